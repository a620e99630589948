// The outputs of a model as a decoder reads them: found by name, one sample of a batch, the numbers as float
// or double.
//
//   auto outputs = outputs_of(input);              // configure()
//   …
//   auto sample = own_sample(frame, 0);            // process()
//   auto values = read_values(*sample, scratch_);  // maps; no copy for dense float32
//   for (float value : values->data) …
#pragma once

#include <optional>
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

// The numbers of several outputs at a time, mapped while a frame is read.
class OutputReader {
 public:
  // The frame's own sample of output `index`; valid until release().
  Result<std::span<const float>> read(const Frame& frame, size_t index, size_t batch_rank);
  void release();  // when the frame is done: the engine may reuse its memory

 private:
  struct Output {
    Values<float> values;
    std::vector<float> scratch;
  };
  std::vector<Output> outputs_;
};

// An output that has a row of numbers for each cell of a grid: [1, cells, columns], [cells, columns], or the
// grid itself as [1, columns, height, width].
struct CellRows {
  int tensor = 0;
  int64_t cells = 0, columns = 0;
  int64_t cell_step = 0, column_step = 0;  // from one to the next, in numbers
};
// Nothing where the shape is none of these or not fixed.
std::optional<CellRows> cell_rows(int tensor, const Shape& shape);
// Of all outputs of the frame; those that are none of these are left out. Samples of a batch count once.
void cell_rows(const Frame& frame, std::vector<CellRows>& rows);
// The shapes of the frame's tensors are the ones in `shapes`; else they are noted there.
bool same_shapes(const Frame& frame, std::vector<Shape>& shapes);
// The outputs as the frame has them, with the names of the agreed ones: for messages.
TensorsInfo with_shapes(const TensorsInfo& agreed, const Frame& frame);

}  // namespace sightglass
