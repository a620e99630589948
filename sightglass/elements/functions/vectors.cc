#include "sightglass/elements/functions/vectors.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace sightglass {
namespace {

// `count` values, `step` apart.
void softmax_of(float* values, size_t count, size_t step, float temperature) {
  double greatest = -INFINITY;
  for (size_t i = 0; i < count; ++i)
    if (!std::isnan(values[i * step])) greatest = std::max(greatest, double(values[i * step]));
  const auto weight = [&](float value) {
    if (std::isnan(value) || greatest == -INFINITY) return 0.0;
    if (std::isinf(greatest)) return value == INFINITY ? 1.0 : 0.0;
    return std::exp((double(value) - greatest) / double(temperature));
  };
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += weight(values[i * step]);
  for (size_t i = 0; i < count; ++i) values[i * step] = sum > 0 ? float(weight(values[i * step]) / sum) : 0;
}

}  // namespace

void softmax(std::span<float> values, float temperature) {
  softmax_of(values.data(), values.size(), 1, temperature);
}

bool softmax(std::span<float> values, const Shape& shape, int axis, float temperature) {
  const int rank = int(shape.rank());
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank || !shape.fixed() || int64_t(values.size()) != shape.elements()) return false;
  size_t step = 1;
  for (int i = axis + 1; i < rank; ++i) step *= size_t(shape[size_t(i)]);
  const size_t count = size_t(shape[size_t(axis)]), block = count * step;
  if (block == 0) return true;
  for (size_t outer = 0; outer < values.size(); outer += block)
    for (size_t inner = 0; inner < step; ++inner)
      softmax_of(values.data() + outer + inner, count, step, temperature);
  return true;
}

bool l2_normalize(std::span<float> vector) {
  double square = 0;
  for (const float value : vector) square += double(value) * value;
  if (!(square > 0) || !std::isfinite(square)) return false;
  const double factor = 1 / std::sqrt(square);
  for (float& value : vector) value = float(value * factor);
  return true;
}

}  // namespace sightglass
