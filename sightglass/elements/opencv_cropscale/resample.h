// Resizes a rectangle of one plane of samples of 8 or 16 bits, by weighted means of its samples, along one
// axis after the other.
//
// Samples are taken at the centres of the target's pixels, as OpenCV does: source position
// begin + (k + 0.5)·length/count - 0.5, clamped to the rectangle. Bicubic (a = -0.75) and lanczos (8 taps)
// take neighbours of the source's own size, without antialiasing; area takes the mean of what a target pixel
// covers, and bilinear's weights where the picture grows. Plain code; for speed there is video_to_tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sightglass {

enum class ResampleMethod : uint8_t { nearest, bilinear, bicubic, area, lanczos };

// One axis: `count` targets out of `length` samples from `begin` on, of a plane of `size`. Positions in a
// subsampled plane need not be whole.
struct ResampleAxis {
  double begin = 0, length = 0;
  int count = 0;
  int size = 0;
  bool operator==(const ResampleAxis&) const = default;
};

// The samples that make up each target, with their weights.
class Taps {
 public:
  void build(const ResampleAxis& axis, ResampleMethod method);
  struct Tap {
    int first, count;
    const float* weights;
  };
  Tap operator[](int target) const {
    const auto k = size_t(target);
    return {first_[k], begin_[k + 1] - begin_[k], weights_.data() + begin_[k]};
  }
  int count() const { return int(first_.size()); }

 private:
  std::vector<int> first_, begin_;
  std::vector<float> weights_;
};

// Tables for one plane; made anew when the geometry changes, without allocation when it does not grow.
class PlaneResampler {
 public:
  void prepare(const ResampleAxis& x, const ResampleAxis& y, ResampleMethod method);
  // `channels` numbers per sample, all treated alike. Strides are bytes between rows. T: uint8_t or uint16_t.
  template <class T>
  void run(const T* from, ptrdiff_t from_stride, T* to, ptrdiff_t to_stride, int channels);

 private:
  ResampleAxis x_axis_, y_axis_;
  ResampleMethod method_ = ResampleMethod::nearest;
  Taps x_, y_;
  std::vector<float> rows_;       // source rows, resized across, as a ring
  std::vector<int> row_numbers_;  // which one each place holds; -1: none
  std::vector<float> sum_;
};

}  // namespace sightglass
