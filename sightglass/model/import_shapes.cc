// What the shapes and types of a model's inputs and outputs say for sure. Where two kinds of model share a
// shape (YOLOX and YOLOv6 rows, raw SSD heads), nothing is said.
#include <algorithm>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

const Origin from_shapes{OriginKind::shapes, "shapes of the model"};
constexpr int64_t most_final_boxes = 1000;  // rows of a detector that has already picked its boxes

template <class T>
void say(Known<T>& key, T value) {
  key = {std::move(value), from_shapes};
}

bool is_channels(int64_t n) { return n == 1 || n == 3 || n == 4; }

InputInfo input(const TensorInfo& tensor) {
  InputInfo info;
  if (!tensor.name.empty()) say(info.layer, tensor.name);
  // Types that no picture comes in (int64, bool, …) are the engine's to convert.
  if (auto dtype = check_input_value("dtype", std::string(to_string(tensor.type)))) say(info.dtype, *dtype);
  const Shape& shape = tensor.shape;
  if (shape.rank() != 3 && shape.rank() != 4) return info;
  const size_t first = shape.rank() - 3;
  const bool chw = is_channels(shape[first]), hwc = is_channels(shape[first + 2]);
  if (chw == hwc) return info;
  const int64_t channels = chw ? shape[first] : shape[first + 2],
                height = chw ? shape[first + 1] : shape[first],
                width = chw ? shape[first + 2] : shape[first + 1];
  say(info.layout, std::string(chw ? "nchw" : "nhwc"));
  if (width > 0 && height > 0 && width <= 32768 && height <= 32768)
    say(info.size, PictureSize{int(width), int(height)});
  if (channels == 1) say(info.color, std::string("gray"));
  return info;
}

bool is_float(const TensorInfo& tensor) {
  return tensor.type == DataType::f32 || tensor.type == DataType::f16 || tensor.type == DataType::bf16;
}
bool is_integer(const TensorInfo& tensor) {
  return tensor.type == DataType::i64 || tensor.type == DataType::i32;
}

// Rows that are final boxes: few of them, unlike the cells of a grid. Alone, [N, 7] may as well be a
// classifier of seven classes.
bool has_box_rows(const TensorInfo& tensor, int64_t columns, size_t least_rank = 2) {
  const Shape& shape = tensor.shape;
  if (!is_float(tensor) || shape.rank() < least_rank || shape.rank() > 4 || shape.back() != columns)
    return false;
  for (size_t axis = 0; axis + 2 < shape.rank(); ++axis)
    if (shape[axis] > 1 && !(axis == 0 && shape.rank() > 2)) return false;
  return shape[shape.rank() - 2] <= most_final_boxes;
}

// [1, 4 + classes, cells], or with 32 mask coefficients and a second output of masks.
bool is_yolo_v8(const ModelSignature& model, const InputInfo* picture, OutputInfo& info) {
  if (model.outputs.empty() || model.outputs.size() > 2) return false;
  const TensorInfo& output = model.outputs[0];
  const Shape& shape = output.shape;
  if (!is_float(output) || shape.rank() != 3 || shape[0] > 1 || shape[1] < 5 || shape[1] > 2048) return false;
  const int64_t cells = shape[2];
  if (!picture || !picture->size) {
    if (cells > 0 && cells <= 4 * shape[1]) return false;
  } else if (cells > 0 && cells != grid_cells(picture->size->width, picture->size->height, false) &&
             cells != grid_cells(picture->size->width, picture->size->height, true)) {
    return false;
  }
  int64_t classes = shape[1] - 4;
  if (model.outputs.size() == 2) {
    const Shape& masks = model.outputs[1].shape;
    if (masks.rank() != 4 || masks[1] <= 0 || masks[1] >= classes) return false;
    classes -= masks[1];
    info.properties["task"] = {"seg", from_shapes};
  }
  info.properties["head"] = {"v8", from_shapes};
  info.properties["classes"] = {std::to_string(classes), from_shapes};
  return true;
}

// Boxes and labels, with or without scores, in outputs of their own.
bool is_split_detection(const ModelSignature& model) {
  const auto count = [&](auto matches) { return std::ranges::count_if(model.outputs, matches); };
  const auto labels = count([](const TensorInfo& t) { return is_integer(t) && t.shape.rank() <= 2; });
  if (model.outputs.size() == 2)
    return labels == 1 && count([](const TensorInfo& t) { return has_box_rows(t, 5); }) == 1;
  return model.outputs.size() == 3 && labels == 1 &&
         count([](const TensorInfo& t) { return has_box_rows(t, 4); }) == 1 &&
         count([](const TensorInfo& t) { return is_float(t) && !has_box_rows(t, 4); }) == 1;
}

}  // namespace

ModelInfo import_shapes(const ModelSignature& signature) {
  ModelInfo info;
  for (const TensorInfo& tensor : signature.inputs) info.inputs.push_back(input(tensor));

  OutputInfo output;
  const auto& outputs = signature.outputs;
  if (is_yolo_v8(signature, info.picture(), output)) {
    say(output.decoder, std::string("yolo"));
  } else if (is_split_detection(signature) ||
             (outputs.size() == 1 && (has_box_rows(outputs[0], 7, 3) || has_box_rows(outputs[0], 6, 3)))) {
    say(output.decoder, std::string("detection"));
  } else {
    return info;
  }
  info.outputs.push_back(std::move(output));
  return info;
}

}  // namespace sightglass
