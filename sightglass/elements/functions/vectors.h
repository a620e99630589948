// Numbers that models give: scores to probabilities, vectors to unit length. In place, without allocation.
#pragma once

#include <span>

#include "sightglass/core/tensor.h"

namespace sightglass {

// exp(v / temperature) / sum of the same, stable for values of any size. NaN and -inf become 0; values of
// +inf share everything equally; where no value is a number above -inf, all become 0.
void softmax(std::span<float> values, float temperature = 1);

// The same along one axis of dense values of that shape; a negative axis counts from the last. False: there
// is no such axis, or the values do not fill the shape.
bool softmax(std::span<float> values, const Shape& shape, int axis, float temperature = 1);

// To length 1. False: the vector is zero or no vector (NaN, infinite), and stays as it is.
bool l2_normalize(std::span<float> vector);

}  // namespace sightglass
