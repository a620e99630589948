// Which source samples make up which outputs along one axis of one plane, for the fast loops (pairs of
// neighbours) and for the general one (any number of taps). Internal to this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sightglass/elements/video_to_tensor/geometry.h"
#include "sightglass/elements/video_to_tensor/kernel.h"
#include "sightglass/elements/video_to_tensor/kernel_simd.h"

namespace sightglass::preprocess {

// One axis of a plane: samples, subsampling as a power of two.
struct PlaneAxis {
  int size = 0;
  int shift = 0;
};

// The two source rows of an output row.
struct RowTap {
  int32_t upper, lower;
  int16_t fraction;  // of 32768
};
void make_row_taps(const AxisMap& map, PlaneAxis axis, bool nearest, std::vector<RowTap>& taps);

// Owns what a PairTable points to.
class PairTableBuilder {
 public:
  // Room for `outputs`, so that build() does not allocate.
  void reserve(int outputs);
  // `pixel_bytes`: from one sample to the next. Rows of a plane that have fewer bytes than shortest_row()
  // have to be copied to where that many may be read.
  void build(const AxisMap& map, PlaneAxis axis, int pixel_bytes, bool nearest);
  const PairTable& table() const { return table_; }

  static constexpr int shortest_row(int pixel_bytes) { return window + pixel_bytes - 1; }

 private:
  struct Pair {
    int32_t first, second;  // bytes from the start of the row
    uint8_t weight;         // of the second, of 128
  };
  int parts_needed() const;

  std::vector<Pair> pairs_;
  std::vector<int32_t> base_;
  std::vector<uint8_t> shuffle_, weights_;
  PairTable table_;
};

// Any number of weighted neighbours per output: bicubic and area.
class TapTable {
 public:
  void reserve(int outputs, int plane_size);
  void build(const AxisMap& map, PlaneAxis axis, Interpolation interpolation);

  struct Taps {
    int first, count;
    const float* weights;
  };
  Taps operator[](int output) const {
    return {first_[size_t(output)], begin_[size_t(output) + 1] - begin_[size_t(output)],
            weights_.data() + begin_[size_t(output)]};
  }
  int outputs() const { return int(first_.size()); }
  int low() const { return low_; }    // first source sample that counts
  int high() const { return high_; }  // behind the last one

 private:
  void add(double from, double centre, double to, Interpolation interpolation);

  std::vector<int32_t> first_, begin_;
  std::vector<float> weights_;
  int low_ = 0, high_ = 0;
};

// One row of samples by taps; `columns` has room for a source row of floats.
void resample_row(const PlaneView& plane, int pixel_bytes, int offset, const TapTable& x,
                  const TapTable::Taps& y, float* columns, int16_t* out);

}  // namespace sightglass::preprocess
