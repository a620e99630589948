// What the shapes, types and names of a model's inputs and outputs say for sure. Where two kinds of model
// share a shape (YOLOX and YOLOv6 rows, raw SSD heads, YOLO grids with anchors of their own), nothing is
// said.
#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <map>
#include <span>

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

bool name_has(const TensorInfo& tensor, std::initializer_list<std::string_view> words) {
  std::string name = tensor.name;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return std::ranges::any_of(words, [&](std::string_view word) { return name.contains(word); });
}

int64_t cells(const PictureSize& size, std::span<const int> strides) {
  int64_t sum = 0;
  for (const int stride : strides)
    sum += int64_t{(size.width + stride - 1) / stride} * ((size.height + stride - 1) / stride);
  return sum;
}

// Rows of numbers for the cells of a grid: [1, n, columns] or [n, columns].
bool is_cells(const TensorInfo& tensor) {
  const Shape& shape = tensor.shape;
  return is_float(tensor) && (shape.rank() == 2 || (shape.rank() == 3 && shape[0] <= 1)) && shape.back() > 0;
}
int64_t rows_of(const TensorInfo& tensor) { return tensor.shape[tensor.shape.rank() - 2]; }

// How many outputs have so many columns; empty where one has no rows for cells.
std::map<int64_t, int> columns_of(const ModelSignature& model) {
  std::map<int64_t, int> columns;
  for (const TensorInfo& tensor : model.outputs) {
    if (!is_cells(tensor)) return {};
    ++columns[tensor.shape.back()];
  }
  return columns;
}

// [1, 3 · cells, 5 + classes], decoded. Rows of 15 and 16 are those of face and plate detectors with points.
bool is_yolo_v5(const ModelSignature& model, const InputInfo* picture, OutputInfo& info) {
  if (model.outputs.empty() || !picture || !picture->size) return false;
  const Shape& shape = model.outputs[0].shape;
  if (!is_float(model.outputs[0]) || shape.rank() != 3 || shape[0] > 1 || shape[2] < 6 || shape[2] == 15 ||
      shape[2] == 16)
    return false;
  const PictureSize& size = *picture->size;
  if (shape[1] != 3 * grid_cells(size.width, size.height, false) &&
      shape[1] != 3 * grid_cells(size.width, size.height, true))
    return false;
  // Older exporters leave the raw grids beside them; a fourth axis alone are prototypes of masks.
  int64_t masks = 0;
  if (model.outputs.size() == 2 && model.outputs[1].shape.rank() == 4) {
    masks = model.outputs[1].shape[1];
    if (masks <= 0 || masks >= shape[2] - 5) return false;
    info.properties["task"] = {"seg", from_shapes};
  } else if (model.outputs.size() == 2) {
    return false;
  }
  for (size_t i = 1; i < model.outputs.size(); ++i)
    if (model.outputs[i].shape.rank() < 4) return false;
  info.properties["head"] = {"anchor", from_shapes};
  info.properties["classes"] = {std::to_string(shape[2] - 5 - masks), from_shapes};
  return true;
}

// Class, objectness, box and points for three strides.
bool is_yunet(const ModelSignature& model) {
  return model.outputs.size() == 12 && columns_of(model) == std::map<int64_t, int>{{1, 6}, {4, 3}, {10, 3}};
}

// Faces as SCRFD has them: score, plain distances and points for three strides. Or distributions for each of
// three or four strides beside the scores, as PicoDet and NanoDet: which is which tells their number.
bool is_distance_head(const ModelSignature& model, const InputInfo* picture) {
  const size_t count = model.outputs.size();
  const auto columns = columns_of(model);
  if (count == 9) return columns == std::map<int64_t, int>{{1, 3}, {4, 3}, {10, 3}};
  if ((count != 6 && count != 8) || columns.size() != 2 || !picture || !picture->size) return false;
  const int levels = int(count / 2);
  if (columns.begin()->second != levels) return false;
  if (!columns.contains(32) && !columns.contains(68)) return false;
  for (int level = 0; level < levels; ++level) {
    const int stride = 8 << level;
    const int64_t wanted = cells(*picture->size, {&stride, 1});
    if (std::ranges::count_if(model.outputs, [&](const auto& t) { return rows_of(t) == wanted; }) != 2)
      return false;
  }
  return true;
}

// Decoded boxes and scores of UltraFace, told from others by the number of its anchors.
bool is_ultraface(const ModelSignature& model, const InputInfo* picture) {
  static constexpr int strides[] = {8, 8, 8, 16, 16, 32, 32, 64, 64, 64};
  if (model.outputs.size() != 2 || !picture || !picture->size) return false;
  const int64_t anchors = cells(*picture->size, strides);
  const auto has = [&](int64_t width, std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(model.outputs, [&](const TensorInfo& t) {
      return is_cells(t) && t.shape.back() == width && rows_of(t) == anchors && name_has(t, words);
    });
  };
  return has(2, {"score", "conf"}) && has(4, {"box"});
}

// MediaPipe's detectors: one score and one row of box and points for each of their anchors.
bool is_blaze(const ModelSignature& model, const InputInfo* picture, OutputInfo& info) {
  static constexpr int short_range[] = {8, 8, 16, 16, 16, 16, 16, 16}, full_range[] = {4};
  if (model.outputs.size() != 2 || !picture || !picture->size) return false;
  const auto columns = columns_of(model);
  if (columns.size() != 2 || columns.begin()->first != 1) return false;
  const int64_t row = columns.rbegin()->first, count = rows_of(model.outputs[0]);
  if (row < 6 || row % 2 != 0 || rows_of(model.outputs[1]) != count) return false;
  if (count != cells(*picture->size, short_range) && count != cells(*picture->size, full_range)) return false;
  info.properties["keypoints"] = {std::to_string((row - 4) / 2), from_shapes};
  return true;
}

// Detection transformers: a box and logits of all classes for each of a few queries, masks perhaps.
bool is_transformer(const ModelSignature& model) {
  if (model.outputs.size() != 2 && model.outputs.size() != 3) return false;
  const TensorInfo *boxes = nullptr, *logits = nullptr;
  size_t masks = 0;
  for (const TensorInfo& tensor : model.outputs) {
    if (!is_float(tensor)) return false;
    if (tensor.shape.rank() == 4 && name_has(tensor, {"mask"}))
      ++masks;
    else if (has_box_rows(tensor, 4, 3) && name_has(tensor, {"box", "dets"}))
      boxes = &tensor;
    else if (tensor.shape.rank() == 3 && name_has(tensor, {"logit", "labels"}))
      logits = &tensor;
  }
  return boxes && logits && masks + 2 == model.outputs.size() && boxes->shape[1] == logits->shape[1];
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
  } else if (is_yolo_v5(signature, info.picture(), output)) {
    say(output.decoder, std::string("yolo"));
  } else if (is_yunet(signature)) {
    say(output.decoder, std::string("yunet"));
  } else if (is_distance_head(signature, info.picture())) {
    say(output.decoder, std::string("gfl"));
  } else if (is_ultraface(signature, info.picture())) {
    say(output.decoder, std::string("ultraface"));
  } else if (is_blaze(signature, info.picture(), output)) {
    say(output.decoder, std::string("ssd_anchor"));
  } else if (is_transformer(signature)) {
    say(output.decoder, std::string("detection"));
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
