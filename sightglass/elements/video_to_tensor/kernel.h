// From picture to model input in one pass on the CPU: crop, resize, colour, normalisation, borders, layout.
// No picture is made in between: of each source row that is touched, the columns that count are interpolated
// once and kept as small numbers in the cache, pairs of such rows are mixed, and the result is written where
// the model reads.
//
//   auto pre = Preprocessor::make(video, {.canvas = {416, 416}, .rule = {Resize::letterbox}});
//   Affine back = (*pre)->run(planes, crop, {data, row_stride, plane_stride});
//
// Cost: bilinear and nearest 1 to 3 ns per tensor pixel, whatever the size of the picture, since only rows
// that count are read; bicubic and area are plain code, ten times that and more. Bilinear is within 0.15 grey
// levels of the exact value on natural pictures (weights across have 7 bits); converted pixels are not
// rounded to 8 bits on the way.
//
// One instance per stream, one thread at a time. run() never allocates; when the crop changes its size,
// tables of the size of the tensor are made anew (about the cost of a few tensor rows).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"
#include "sightglass/core/video.h"
#include "sightglass/elements/video_to_tensor/geometry.h"

namespace sightglass {

// Where samples are taken: at the centres of the tensor's pixels, without antialiasing, except for area.
enum class Interpolation : uint8_t { nearest, bilinear, bicubic, area };

// Channels of the tensor, in order. gray = .2989 R + .587 G + .114 B, of the resized pixels.
enum class ChannelOrder : uint8_t { rgb, bgr, gray };
constexpr int channel_count(ChannelOrder order) { return order == ChannelOrder::gray ? 1 : 3; }

struct PreprocessOptions {
  Size canvas;  // of the tensor
  ResizeRule rule;
  Interpolation interpolation = Interpolation::bilinear;
  ChannelOrder channels = ChannelOrder::rgb;
  bool planar = false;            // NCHW instead of NHWC
  DataType type = DataType::f32;  // u8, i8, i32, f16, f32; integers are rounded to nearest and saturate

  // out = ((v/255·(hi - lo) + lo) / scale - mean) / std, the inner bracket only if there is a range, else v,
  // 0..255. One value for all channels, or one for each in the order of the tensor.
  std::vector<double> range;      // lo, hi; empty: none
  std::vector<double> mean, std;  // empty: 0 and 1
  double scale = 1;
  std::vector<double> pad_value;  // colour of borders before normalisation, 0..255; empty: 0
  bool operator==(const PreprocessOptions&) const = default;
};

struct PlaneView {
  const uint8_t* data = nullptr;
  ptrdiff_t stride = 0;  // bytes between rows
};

struct TensorView {
  void* data = nullptr;  // aligned for its type
  ptrdiff_t row_stride = 0;
  ptrdiff_t plane_stride = 0;  // bytes between channels, planar only
};

class Preprocessor {
 public:
  // Allocates all there is to allocate. Fails on options that contradict each other.
  static Result<std::unique_ptr<Preprocessor>> make(const VideoInfo& video, const PreprocessOptions& options);
  ~Preprocessor();

  // `planes` as in VideoInfo; `crop` lies inside the picture and is not empty. Gives tensor 0..1 → picture
  // 0..1.
  Affine run(std::span<const PlaneView> planes, const Crop& crop, const TensorView& tensor);

  // "AVX2": the instruction set that was chosen.
  static const char* instruction_set();

 private:
  struct State;
  explicit Preprocessor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass
