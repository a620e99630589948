#include "sightglass/elements/opencv_cropscale/resample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <type_traits>

namespace sightglass {
namespace {

double cubic(double x) {
  constexpr double a = -0.75;
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

double lanczos4(double x) {
  if (std::abs(x) < 1e-6) return 1;
  if (std::abs(x) >= 4) return 0;
  const double p = std::numbers::pi * x;
  return 4 * std::sin(p) * std::sin(p / 4) / (p * p);
}

}  // namespace

void Taps::build(const ResampleAxis& axis, ResampleMethod method) {
  const int low = std::max(0, int(std::floor(axis.begin)));
  const int high = std::min(axis.size, int(std::ceil(axis.begin + axis.length))) - 1;  // the last that counts
  const double step = axis.length / axis.count;
  // Where a target's edge or centre lies in the source; multiplied first, so that whole numbers stay exact.
  const auto place = [&axis](double position) { return axis.begin + position * axis.length / axis.count; };
  first_.clear();
  weights_.clear();
  begin_.assign(1, 0);

  const auto add_around = [&](double centre, int reach, auto weight) {
    // Weights of samples beyond the edge go to the one at the edge.
    const int middle = int(std::floor(centre)), from = middle - reach + 1, to = middle + reach;
    const int first = std::clamp(from, low, high), last = std::clamp(to, low, high);
    const size_t start = weights_.size();
    first_.push_back(first);
    weights_.resize(start + size_t(last - first + 1), 0.0f);
    double sum = 0;
    for (int i = from; i <= to; ++i) sum += weight(i - centre);
    for (int i = from; i <= to; ++i)
      weights_[start + size_t(std::clamp(i, first, last) - first)] += float(weight(i - centre) / sum);
  };

  for (int k = 0; k < axis.count; ++k) {
    const double centre = place(k + 0.5) - 0.5;
    const double left = place(k), right = place(k + 1);
    if (method == ResampleMethod::nearest) {
      first_.push_back(std::clamp(int(std::floor(place(k + 0.5))), low, high));
      weights_.push_back(1);
    } else if (method == ResampleMethod::area && step > 1) {
      const int first = std::clamp(int(std::floor(left)), low, high),
                last = std::clamp(int(std::ceil(right)) - 1, low, high);
      first_.push_back(first);
      // What of sample i the target covers; beyond the edge, where odd pictures' chroma ends, the last one
      // stands for all.
      const auto cover = [&](int i) {
        return std::max(std::min<double>(i + 1, right) - std::max<double>(i, left), 0.0);
      };
      double sum = 0;
      for (int i = first; i <= last; ++i) sum += cover(i);
      for (int i = first; i <= last; ++i)
        weights_.push_back(sum > 0 ? float(cover(i) / sum) : float(i == last));
    } else if (method == ResampleMethod::bicubic) {
      add_around(centre, 2, cubic);
    } else if (method == ResampleMethod::lanczos) {
      add_around(centre, 4, lanczos4);
    } else {
      add_around(std::clamp(centre, double(low), double(high)), 1,
                 [](double x) { return std::max(0.0, 1 - std::abs(x)); });
    }
    begin_.push_back(int(weights_.size()));
  }
}

void PlaneResampler::prepare(const ResampleAxis& x, const ResampleAxis& y, ResampleMethod method) {
  if (x == x_axis_ && y == y_axis_ && method == method_) return;
  x_axis_ = x, y_axis_ = y, method_ = method;
  x_.build(x, method);
  y_.build(y, method);
}

template <class T>
void PlaneResampler::run(const T* from, ptrdiff_t from_stride, T* to, ptrdiff_t to_stride, int channels) {
  const auto row_of = [](auto* plane, ptrdiff_t stride, int row) {
    using Bytes = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(plane)>>, const std::byte,
                                     std::byte>;
    return reinterpret_cast<decltype(plane)>(reinterpret_cast<Bytes*>(plane) + row * stride);
  };
  int most = 1;
  for (int y = 0; y < y_.count(); ++y) most = std::max(most, y_[y].count);
  const size_t width = size_t(x_.count()) * size_t(channels);
  rows_.resize(width * size_t(most));
  row_numbers_.assign(size_t(most), -1);
  sum_.resize(width);

  // A row that the window over the source reaches is resized across once and stays until the window has
  // passed it.
  const auto resized = [&](int number) -> const float* {
    const size_t place = size_t(number) % size_t(most);
    float* const row = rows_.data() + place * width;
    if (row_numbers_[place] == number) return row;
    row_numbers_[place] = number;
    const T* source = row_of(from, from_stride, number);
    for (int x = 0; x < x_.count(); ++x) {
      const Taps::Tap tap = x_[x];
      for (int c = 0; c < channels; ++c) {
        const T* sample = source + ptrdiff_t(tap.first) * channels + c;
        float sum = 0;
        for (int i = 0; i < tap.count; ++i) sum += tap.weights[i] * float(sample[ptrdiff_t(i) * channels]);
        row[size_t(x) * size_t(channels) + size_t(c)] = sum;
      }
    }
    return row;
  };

  for (int y = 0; y < y_.count(); ++y) {
    const Taps::Tap tap = y_[y];
    std::ranges::fill(sum_, 0.0f);
    for (int i = 0; i < tap.count; ++i) {
      const float* row = resized(tap.first + i);
      for (size_t k = 0; k < width; ++k) sum_[k] += tap.weights[i] * row[k];
    }
    T* target = row_of(to, to_stride, y);
    constexpr float most_of_type = float(std::numeric_limits<T>::max());
    for (size_t k = 0; k < width; ++k) target[k] = T(std::clamp(sum_[k] + 0.5f, 0.0f, most_of_type));
  }
}

template void PlaneResampler::run(const uint8_t*, ptrdiff_t, uint8_t*, ptrdiff_t, int);
template void PlaneResampler::run(const uint16_t*, ptrdiff_t, uint16_t*, ptrdiff_t, int);

}  // namespace sightglass
