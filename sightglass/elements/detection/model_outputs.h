// The outputs of a model as a decoder reads them: found by name, one sample of a batch, the numbers as float
// or double.
//
//   auto outputs = outputs_of(input);              // configure()
//   …
//   auto sample = own_sample(frame, 0);            // process()
//   auto values = read_values(*sample, scratch_);  // maps; no copy for dense float32
//   for (float value : values->data) …
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/frame.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {

// What every decoder takes: tensors of any number, shape and type in system memory.
std::vector<FormatSpec> any_tensors();

// The tensors of the format, at least one; an error otherwise.
Result<const TensorsInfo*> outputs_of(const Format& format);

// Names, types and shapes, for messages: "scores float32 1x4420x2, boxes float32 1x4420x4".
std::string to_string(const TensorsInfo& outputs);

// Place of the output called `layer`, or of the only one when `layer` is empty. The error lists the outputs.
Result<int> find_output(const TensorsInfo& outputs, std::string_view layer);

// Tensor `index` of the frame. Where it holds a whole batch, several samples along its first axis, the one
// that is this frame's; the others belong to other frames. With fewer axes than `batch_rank` the first axis
// is none of samples.
Result<Tensor> own_sample(const Frame& frame, size_t index, size_t batch_rank = 2);

// The numbers of a tensor, outermost axis first, valid as long as this object.
template <class T>
struct Values {
  Mapping mapping;
  std::span<const T> data;
};

// Waits for the work in flight. Anything but dense float32 (for T float) is converted into `scratch`, whose
// memory is reused. T is float or double.
template <class T>
Result<Values<T>> read_values(const Tensor& tensor, std::vector<T>& scratch);

}  // namespace sightglass
