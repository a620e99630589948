// How the colours of a picture are distributed, as a feature by which a tracker tells objects apart.
//
// in   one uint8 tensor of `width` × `height` with 3 or 4 channels, last (NHWC) or first (NCHW), dense or
// with
//      strides; the fourth channel (alpha, x) does not count
// out  one float32 tensor [N, num-slices-y · num-slices-x · num-bins³]
//
// The picture is cut into slices, which follow row by row; each has a histogram of its own over the joint
// values of the three channels in their order in memory (the first channel has the greatest step). A pixel
// counts by its distance from the middle of its slice, by a Gaussian of half the slice's size, so that what
// lies behind an object at the corners counts little. Every histogram sums up to 1.
//
// One stream, one thread; no allocation once warm. A table look-up and an addition per pixel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sightglass/core/element.h"

namespace sightglass {

class TensorHistogram final : public Transform {
 public:
  struct Params {
    int width = 64, height = 64;
    int num_slices_x = 1, num_slices_y = 1;
    int num_bins = 8;
    int batch_size = 1;  // 0: any
    std::string device;
  };

  explicit TensorHistogram(const Params& params) : params_(params) {}

  Status start() override;
  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override;
  Status configure(const Format& input, const Format& output) override;
  Status process(const Frame& frame, Output& output) override;

 private:
  // Which axis of a tensor is what; without a batch axis `sample` is -1.
  struct Axes {
    int sample, row, column, channel;
  };
  static Axes axes_of(Layout layout);
  TensorSpec picture(Layout layout, int channels) const;
  std::vector<TensorSpec> pictures() const;
  TensorSpec histogram() const;
  void count(const uint8_t* sample, const Shape& strides, float* bins) const;

  Params params_;
  Axes axes_{};
  std::vector<float> weights_;   // of the pixels of a slice
  std::vector<uint32_t> steps_;  // [3][256]: what a channel's value adds to the number of the bin
  Frame result_;
};

}  // namespace sightglass
