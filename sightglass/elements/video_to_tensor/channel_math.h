// What the passes on the CPU and on CUDA share: where the components of a format lie, and the numbers that
// make values of the tensor from them. Internal to this folder.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "sightglass/elements/video_to_tensor/kernel.h"

namespace sightglass::preprocess {

// Where one component (Y, U, V or R, G, B or gray) lies.
struct Component {
  size_t plane = 0;
  int offset = 0;  // bytes within the pixel
};
// Y, U, V or R, G, B, or one for gray; empty: a format that is not taken.
std::vector<Component> components(PixelFormat format);

// R = y_gain·(Y - y_black) + red_v·(V - 128), …; all in 0..255. Rec. ITU-R BT.601, 709 and 2020.
struct YuvCoefficients {
  double y_gain, y_black, red_v, green_u, green_v, blue_u;
};
YuvCoefficients yuv_coefficients(ColorMatrix matrix, bool full_range);

// Value of the tensor = mul·v + add, v in 0..255, by channel in the order of the tensor. `pad` is v of
// borders.
struct ChannelScales {
  std::array<double, 3> mul{}, add{}, pad{};
  bool plain = true;  // nothing is changed
};
ChannelScales channel_scales(const PreprocessOptions& options);

// Whether the options agree with each other and with pictures of this kind.
Status check(const VideoInfo& video, const PreprocessOptions& options);

}  // namespace sightglass::preprocess
