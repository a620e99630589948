#include "sightglass/elements/tensor_postproc_detection/detection_layout.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <string>
#include <string_view>

#include "sightglass/elements/detection/model_outputs.h"

namespace sightglass {
namespace {

bool is_integer(DataType type) {
  return type != DataType::f16 && type != DataType::bf16 && type != DataType::f32 && type != DataType::f64;
}

bool name_has(const TensorInfo& tensor, std::initializer_list<std::string_view> words) {
  std::string name = tensor.name;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return std::ranges::any_of(words, [&](std::string_view word) { return name.contains(word); });
}

// The box tensor: the only one, or the one whose name says so, or the one with the longest row that boxes can
// have.
int find_boxes(const TensorsInfo& outputs) {
  auto fits = [](const TensorInfo& tensor) {
    return tensor.shape.rank() >= 2 && tensor.shape.back() >= 4 && tensor.shape.back() <= 7;
  };
  const auto& tensors = outputs.tensors;
  if (tensors.size() == 1) return 0;
  int found = -1;
  for (int i = 0; i < int(tensors.size()); ++i) {
    const TensorInfo& tensor = tensors[size_t(i)];
    if (!fits(tensor) || is_integer(tensor.type)) continue;
    if (name_has(tensor, {"box", "dets"})) return i;
    if (found < 0 || tensor.shape.back() > tensors[size_t(found)].shape.back()) found = i;
  }
  return found;
}

// How many numbers `tensor` holds for each of the box tensor's rows; 0: none, -1: unknown.
int64_t numbers_per_row(const TensorInfo& boxes, const TensorInfo& tensor) {
  const int64_t count = boxes.shape.elements(), other = tensor.shape.elements();
  if (tensor.shape.empty()) return 0;
  // A free axis of rows is most often the same in both.
  if (count < 0 || other < 0) return -1;
  const int64_t rows = std::max<int64_t>(1, count / boxes.shape.back());
  return other % rows == 0 ? other / rows : 0;
}

// A picture for each box, or for each box and class.
bool looks_like_masks(const TensorInfo& boxes, const TensorInfo& tensor) {
  const Shape& shape = tensor.shape;
  if (shape.rank() < 3 || numbers_per_row(boxes, tensor) == 0) return false;
  if (name_has(tensor, {"mask"})) return true;
  // Two axes more than those of the boxes have values in a row, and both too long for a box.
  const int64_t height = shape[shape.rank() - 2], width = shape.back();
  return !name_has(tensor, {"score", "conf", "prob", "logit", "label", "box"}) && height == width &&
         height > 7 && shape.rank() >= boxes.shape.rank() + 1;
}

class Finder {
 public:
  Finder(const TensorsInfo& outputs, const DetectionRequest& request)
      : outputs_(outputs), request_(request) {}

  Result<DetectionLayout> find() {
    const auto& tensors = outputs_.tensors;
    for (const auto& [name, index] : {std::pair{"box", request_.box_index},
                                      {"confidence", request_.confidence_index},
                                      {"label", request_.label_index},
                                      {"imageid", request_.imageid_index},
                                      {"mask", request_.mask_index}})
      if (index >= int(tensors.size()))
        return fail(ErrorCode::invalid_argument, "{}-index={}: there are only {}", name, index,
                    to_string(outputs_));
    DetectionLayout& found = found_;
    const int self = found.box.tensor = request_.box_index >= 0 ? request_.box_index : find_boxes(outputs_);
    if (self < 0) return unknown("no tensor has rows of boxes");
    if (tensor(self).shape.rank() < 2) return unknown("boxes need rows");
    found.mask = request_.mask_index;
    for (int i = 0; i < int(tensors.size()) && found.mask < 0; ++i)
      if (i != self && i != request_.confidence_index && i != request_.label_index &&
          looks_like_masks(tensor(self), tensor(i)))
        found.mask = i;

    const int64_t columns = tensor(self).shape.back();
    const bool wide = columns > 7 && tensors.size() == 1 && request_.confidence_offset < 0;
    switch (request_.box_offset >= 0 ? 0 : columns) {
      case 7:
        found.image = {self, 0}, found.label = {self, 1}, found.confidence = {self, 2}, found.box.offset = 3;
        break;
      case 6:
        found.confidence = {self, 4}, found.label = {self, 5};
        break;
      case 5:
        found.confidence = {self, 4};
        [[fallthrough]];
      case 4:
        found.label.tensor = find_labels();
        if (found.confidence.tensor < 0) found.confidence.tensor = find_confidences();
        break;
      case 0:
        found.box.offset = request_.box_offset;
        break;
      default:
        // A transformer's rows of box and class scores. As many classes as labels make sure that it is one.
        if (!wide || (request_.labels != columns - 4 && request_.box_format != BoxFormat::cxcywh))
          return unknown("box-offset is not set");
        found.confidence = {self, 4}, found.score_per_class = true, found.centred = true;
        break;
    }
    override_with(found.confidence, request_.confidence_index, request_.confidence_offset);
    override_with(found.label, request_.label_index, request_.label_offset);
    override_with(found.image, request_.imageid_index, request_.imageid_offset);
    if (found.confidence.tensor < 0) return unknown("no tensor has scores");
    if (found.label.tensor < 0 && found.confidence.tensor != self) found.score_per_class = true;
    found.batched = tensor(self).shape.rank() >= 3;

    Status checked = check_column("box", found.box, 4);
    if (checked) checked = check_column("confidence", found.confidence, 1);
    if (checked) checked = check_column("label", found.label, 1);
    if (checked) checked = check_column("imageid", found.image, 1);
    if (!checked) return forward_error(checked);
    find_scores();
    if (auto units = find_units(); !units) return forward_error(units);
    if (found.mask >= 0) find_mask();
    return found;
  }

 private:
  const TensorInfo& tensor(int i) const { return outputs_.tensors[size_t(i)]; }

  std::unexpected<Error> unknown(std::string_view why) const {
    return fail(
        ErrorCode::not_negotiated,
        "unknown layout of detections: {} ({}); known: […,7], […,6], […,5] with labels, boxes with scores, "
        "logits with boxes; box-index, box-offset, confidence-index, confidence-offset, label-index and "
        "label-offset name others",
        to_string(outputs_), why);
  }

  int find_labels() const {
    int labels = -1;
    for (int i = 0; i < int(outputs_.tensors.size()); ++i) {
      const int64_t each = numbers_per_row(tensor(found_.box.tensor), tensor(i));
      if (i == found_.box.tensor || i == found_.mask || each == 0) continue;
      if (each > 1 && !is_integer(tensor(i).type)) continue;  // a score for each label
      if (name_has(tensor(i), {"label", "class"}) && !name_has(tensor(i), {"score", "logit"})) return i;
      if (labels < 0 && is_integer(tensor(i).type)) labels = i;
    }
    return labels;
  }

  int find_confidences() const {
    int scores = -1;
    for (int i = 0; i < int(outputs_.tensors.size()); ++i) {
      if (i == found_.box.tensor || i == found_.label.tensor || i == found_.mask ||
          is_integer(tensor(i).type) || numbers_per_row(tensor(found_.box.tensor), tensor(i)) == 0)
        continue;
      if (name_has(tensor(i), {"score", "conf", "prob", "logit"})) return i;
      if (scores < 0) scores = i;
    }
    return scores;
  }

  void override_with(DetectionColumn& column, int index, int offset) const {
    if (index >= 0) column = {index, 0};
    if (offset >= 0) column = {column.tensor >= 0 ? column.tensor : found_.box.tensor, offset};
  }

  // Other tensors may have a value per row without an axis of their own for it; what they have shows with the
  // first frame.
  Status check_column(const char* name, const DetectionColumn& column, int width) const {
    if (column.tensor < 0) return {};
    const Shape& shape = tensor(column.tensor).shape;
    if (column.tensor == found_.box.tensor && shape.back() >= 0 && column.offset + width > shape.back())
      return fail(ErrorCode::invalid_argument, "{}-offset={}: rows of {} have only {} columns", name,
                  column.offset, shape.to_string(), shape.back());
    return {};
  }

  // What the numbers of the score tensor are. The detection transformers give logits, of which DETR's own
  // have a class "no object" behind the others.
  void find_scores() {
    const TensorInfo& scores = tensor(found_.confidence.tensor);
    const bool logits = found_.score_per_class && found_.confidence.tensor != found_.box.tensor &&
                        (name_has(scores, {"logit"}) || name_has(scores, {"label"}));
    const int64_t classes = numbers_per_row(tensor(found_.box.tensor), scores);
    found_.background = request_.background;
    found_.activation = request_.activation;
    if (request_.activation == ScoreActivation::automatic) {
      const bool one_more = request_.labels > 0 && classes == request_.labels + 1;
      found_.activation = !logits                                ? ScoreActivation::none
                          : one_more || request_.background >= 0 ? ScoreActivation::softmax
                                                                 : ScoreActivation::sigmoid;
    }
    if (found_.activation == ScoreActivation::softmax && found_.background < 0 && classes > 1)
      found_.background = classes - 1;
    const bool kin = logits || name_has(tensor(found_.box.tensor), {"pred_boxes"});
    transformer_ = kin || (found_.score_per_class && found_.confidence.tensor == found_.box.tensor);
    if (request_.box_format != BoxFormat::automatic)
      found_.centred = request_.box_format == BoxFormat::cxcywh;
    else if (kin)
      found_.centred = true;
    found_.mask_is_logit = logits;
  }

  Status find_units() {
    const bool size_known = request_.input_width > 0 && request_.input_height > 0;
    const int64_t columns = tensor(found_.box.tensor).shape.back();
    found_.pixels = request_.box_units == BoxUnits::pixel;
    // SSD's rows and lone boxes are 0..1 by custom; those with their score behind them are pixels where we
    // know of how many.
    if (request_.box_units == BoxUnits::automatic)
      found_.pixels = size_known && !transformer_ && (columns == 5 || columns == 6);
    if (found_.pixels && !size_known)
      return fail(ErrorCode::invalid_argument,
                  "box-units=pixel needs input-width and input-height, the size of the model's input");
    return {};
  }

  // Masks of the size of the input, or a quarter of it, are of all of it; smaller ones are of the box.
  void find_mask() {
    const Shape& shape = tensor(found_.mask).shape;
    const int64_t height = shape.rank() < 2 ? 0 : shape[shape.rank() - 2], width = shape.back();
    const int64_t input_width = request_.input_width, input_height = request_.input_height;
    found_.mask_of_input = request_.mask_extent == MaskExtent::input;
    found_.masks_from_one = found_.image.tensor == found_.box.tensor;
    if (request_.mask_extent == MaskExtent::automatic)
      found_.mask_of_input = found_.mask_is_logit || height < 0 || width < 0 ||
                             (input_width > 0 && 4 * width >= input_width && 4 * height >= input_height &&
                              width * input_height == height * input_width);
  }

  const TensorsInfo& outputs_;
  const DetectionRequest& request_;
  DetectionLayout found_;
  bool transformer_ = false;
};

}  // namespace

Result<DetectionLayout> find_detections(const TensorsInfo& outputs, const DetectionRequest& request) {
  return Finder(outputs, request).find();
}

}  // namespace sightglass
