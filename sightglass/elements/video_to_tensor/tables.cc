#include "sightglass/elements/video_to_tensor/tables.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace sightglass::preprocess {
namespace {

// Where output k is taken from, in samples of the plane: the clamped place in the picture, seen from a plane
// whose samples lie in the middle of the pixels that they stand for.
struct Sampler {
  explicit Sampler(const AxisMap& axis_map, PlaneAxis plane_axis)
      : map(axis_map),
        axis(plane_axis),
        step(double(map.length) / map.scaled),
        last(map.begin + map.length - 1),
        per_sample(1.0 / (1 << axis.shift)) {}

  double position(int k) const {
    const double in_picture =
        std::clamp(map.begin + (k + map.skip + 0.5) * step - 0.5, double(map.begin), last);
    return std::clamp((in_picture + 0.5) * per_sample - 0.5, 0.0, double(axis.size - 1));
  }
  int nearest(int k) const {
    const int in_picture = map.begin + std::min(int((k + map.skip + 0.5) * step), map.length - 1);
    return std::min(in_picture >> axis.shift, axis.size - 1);
  }

  const AxisMap& map;
  const PlaneAxis axis;
  const double step, last, per_sample;
};

}  // namespace

void make_row_taps(const AxisMap& map, PlaneAxis axis, bool nearest, std::vector<RowTap>& taps) {
  const Sampler sampler(map, axis);
  taps.resize(size_t(map.count));
  for (int k = 0; k < map.count; ++k) {
    if (nearest) {
      const int row = sampler.nearest(k);
      taps[size_t(k)] = {row, row, 0};
      continue;
    }
    const double position = sampler.position(k);
    int row = int(position);
    long fraction = std::lround((position - row) * 32768);
    if (fraction == 32768) ++row, fraction = 0;
    taps[size_t(k)] = {row, fraction ? std::min(row + 1, axis.size - 1) : row, int16_t(fraction)};
  }
}

void PairTableBuilder::reserve(int outputs) {
  const size_t groups = size_t(outputs + group_outputs - 1) / group_outputs;
  pairs_.reserve(groups * group_outputs);
  base_.reserve(groups * 16);
  shuffle_.reserve(groups * 256);
  weights_.reserve(groups * 32);
}

// One pair fits into a window always.
int PairTableBuilder::parts_needed() const {
  int parts = 1;
  for (; parts < 8; parts *= 2) {
    const size_t per_part = size_t(8 / parts);
    bool fits = true;
    for (size_t i = 0; i < pairs_.size() && fits; i += per_part)
      fits = pairs_[std::min(i + per_part, pairs_.size()) - 1].second - pairs_[i].first < window;
    if (fits) break;
  }
  return parts;
}

void PairTableBuilder::build(const AxisMap& map, PlaneAxis axis, int pixel_bytes, bool nearest) {
  const Sampler sampler(map, axis);
  pairs_.resize(size_t(map.count));
  for (int k = 0; k < map.count; ++k) {
    Pair& pair = pairs_[size_t(k)];
    if (nearest) {
      const int byte = sampler.nearest(k) * pixel_bytes;
      pair = {byte, byte, 0};
      continue;
    }
    const double position = sampler.position(k);
    const int i = int(position);
    pair = {i * pixel_bytes, std::min(i + 1, axis.size - 1) * pixel_bytes,
            uint8_t((position - i) * 128 + 0.5)};
  }

  const size_t parts = size_t(parts_needed()), per_part = 8 / parts;
  const size_t groups = (pairs_.size() + group_outputs - 1) / group_outputs;
  // The other channels of a packed pixel are read with the same table, from up to pixel_bytes - 1 bytes
  // further on.
  const int shortest = shortest_row(pixel_bytes);
  const int last_base = std::max(axis.size * pixel_bytes, shortest) - shortest;
  base_.assign(groups * parts * 2, 0);
  shuffle_.assign(groups * parts * 2 * window, 0x80);
  weights_.assign(groups * group_outputs * 2, 0);
  for (size_t k = 0; k < pairs_.size(); ++k) {
    const Pair& pair = pairs_[k];
    const size_t group = k / group_outputs, block = k % group_outputs / 8, lane = k % 8,
                 part = lane / per_part;
    const size_t load = (group * parts + part) * 2 + block;
    if (lane % per_part == 0) base_[load] = std::min(pair.first, last_base);
    shuffle_[load * window + 2 * lane] = uint8_t(pair.first - base_[load]);
    shuffle_[load * window + 2 * lane + 1] = uint8_t(pair.second - base_[load]);
    weights_[2 * k] = uint8_t(128 - pair.weight);
    weights_[2 * k + 1] = pair.weight;
  }
  table_ = {int(parts), int(groups), base_.data(), shuffle_.data(), weights_.data()};
}

void TapTable::reserve(int outputs, int plane_size) {
  first_.reserve(size_t(outputs));
  begin_.reserve(size_t(outputs) + 1);
  weights_.reserve(std::max(4 * size_t(outputs), size_t(plane_size) + 2 * size_t(outputs)));
}

void TapTable::add(double from, double centre, double to, Interpolation interpolation) {
  double weights[4];
  int first = 0, count = 0;
  if (interpolation == Interpolation::area) {
    first = std::clamp(int(std::floor(from)), low_, high_ - 1);
    const int end = std::clamp(int(std::ceil(to)), first + 1, high_);
    double sum = 0;
    for (int i = first; i < end; ++i) sum += std::max(0.0, std::min(to, i + 1.0) - std::max(from, double(i)));
    for (int i = first; i < end; ++i) {
      const double covered = std::max(0.0, std::min(to, i + 1.0) - std::max(from, double(i)));
      weights_.push_back(sum > 0 ? float(covered / sum) : float(1.0 / (end - first)));
    }
    first_.push_back(first);
    begin_.push_back(int32_t(weights_.size()));
    return;
  }
  const int base = int(std::floor(centre));
  const double x = centre - base;
  if (interpolation == Interpolation::bicubic) {
    constexpr double a = -0.75;  // as in OpenCV
    weights[0] = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
    weights[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
    weights[2] = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
    weights[3] = 1 - weights[0] - weights[1] - weights[2];
    first = base - 1, count = 4;
  } else {
    weights[0] = 1 - x, weights[1] = x;
    first = base, count = 2;
  }
  // What lies outside counts for the sample at the edge.
  const int inside_first = std::clamp(first, low_, high_ - 1);
  const int inside_last = std::clamp(first + count - 1, low_, high_ - 1);
  const size_t start = weights_.size();
  weights_.resize(start + size_t(inside_last - inside_first) + 1, 0.0f);
  for (int i = 0; i < count; ++i)
    weights_[start + size_t(std::clamp(first + i, low_, high_ - 1) - inside_first)] += float(weights[i]);
  first_.push_back(inside_first);
  begin_.push_back(int32_t(weights_.size()));
}

void TapTable::build(const AxisMap& map, PlaneAxis axis, Interpolation interpolation) {
  const double per_sample = 1.0 / (1 << axis.shift), step = double(map.length) / map.scaled;
  first_.clear();
  begin_.assign(1, 0);
  weights_.clear();
  low_ = std::min(map.begin >> axis.shift, axis.size - 1);
  high_ = std::min((map.begin + map.length - 1) >> axis.shift, axis.size - 1) + 1;
  // An area smaller than a sample would repeat it, so pictures that grow are interpolated.
  if (interpolation == Interpolation::area && step * per_sample <= 1) interpolation = Interpolation::bilinear;
  for (int k = 0; k < map.count; ++k) {
    const double from = (map.begin + (k + map.skip) * step) * per_sample;
    add(from, from + (0.5 * step) * per_sample - 0.5, from + step * per_sample, interpolation);
  }
}

void resample_row(const PlaneView& plane, int pixel_bytes, int offset, const TapTable& x,
                  const TapTable::Taps& y, float* columns, int16_t* out) {
  std::memset(columns + x.low(), 0, sizeof(float) * size_t(x.high() - x.low()));
  for (int j = 0; j < y.count; ++j) {
    const uint8_t* row = plane.data + ptrdiff_t(y.first + j) * plane.stride + offset;
    const float weight = y.weights[j];
    for (int i = x.low(); i < x.high(); ++i) columns[i] += weight * float(row[ptrdiff_t(i) * pixel_bytes]);
  }
  for (int k = 0; k < x.outputs(); ++k) {
    const TapTable::Taps taps = x[k];
    float sum = 0;
    for (int i = 0; i < taps.count; ++i) sum += taps.weights[i] * columns[taps.first + i];
    out[k] = int16_t(std::lrint((std::clamp(sum, 0.0f, 255.0f) - 128) * 128));
  }
}

}  // namespace sightglass::preprocess
