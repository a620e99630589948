// The keys that Ultralytics' exporters embed in a model, or write beside it. They are texts as Python prints
// values: "{0: 'person', 1: 'bicycle'}", "[640, 640]", which read as YAML.
#include <algorithm>
#include <charconv>

#include "sightglass/model/importers.h"
#include "sightglass/model/yaml_map.h"

namespace sightglass {
namespace {

constexpr size_t most_labels = 100'000;
constexpr int64_t most_final_boxes = 1000;  // rows of a detector that has already picked its boxes

std::optional<int64_t> whole(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

class Metadata {
 public:
  explicit Metadata(const std::map<std::string, std::string>& entries) : entries_(entries) {}

  bool has(const std::string& key) const { return entries_.contains(key); }
  std::string text(const std::string& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? std::string() : found->second;
  }
  bool is_true(const std::string& key) const { return text(key) == "True" || text(key) == "true"; }

  std::vector<std::string> labels() const {
    std::vector<std::string> labels;
    const auto node = parse_yaml(text("names"), "names");
    if (!node) return labels;
    if (node->IsSequence()) {
      for (const auto& item : *node)
        if (item.IsScalar()) labels.push_back(item.Scalar());
    } else if (node->IsMap()) {
      for (const auto& item : *node) {
        if (!item.first.IsScalar() || !item.second.IsScalar()) return {};
        const auto index = whole(item.first.Scalar());
        if (!index || *index < 0 || size_t(*index) >= most_labels) return {};
        if (size_t(*index) >= labels.size()) labels.resize(size_t(*index) + 1);
        labels[size_t(*index)] = item.second.Scalar();
      }
    }
    return labels;
  }

  // The first of "[points, numbers of each]".
  std::optional<std::string> keypoints() const {
    const auto node = parse_yaml(text("kpt_shape"), "kpt_shape");
    if (!node || !node->IsSequence() || node->size() == 0 || !(*node)[0].IsScalar()) return {};
    const auto count = whole((*node)[0].Scalar());
    if (!count || *count < 1 || *count > 1000) return {};
    return std::to_string(*count);
  }

  // "[height, width]", or one number for both.
  std::optional<PictureSize> size() const {
    const auto node = parse_yaml(text("imgsz"), "imgsz");
    if (!node) return {};
    std::vector<int64_t> sides;
    for (const YAML::Node& item : yaml_items(*node)) {
      const auto side = item.IsScalar() ? whole(item.Scalar()) : std::nullopt;
      if (!side || *side < 1 || *side > 32768) return {};
      sides.push_back(*side);
    }
    if (sides.empty() || sides.size() > 2) return {};
    return PictureSize{int(sides.back()), int(sides.front())};
  }

 private:
  const std::map<std::string, std::string>& entries_;
};

bool is_rt_detr(const Metadata& metadata) {
  return metadata.text("description").find("RT-DETR") != std::string::npos;
}

// The head by the first output, since exporters of different age say different things: "end2end" or NMS
// inside the model give rows of six; rows with one number more than box and classes are those of v5.
std::optional<std::string> head_of(const ModelSignature& signature, const Metadata& metadata, size_t classes,
                                   bool plain_boxes) {
  const Shape shape = signature.outputs.empty() ? Shape() : signature.outputs[0].shape;
  const int64_t boxes_first = int64_t(4 + classes);
  const bool rows = shape.rank() == 3 && plain_boxes && shape[2] == 6 && shape[1] != boxes_first &&
                    shape[1] <= most_final_boxes;
  if (metadata.is_true("end2end") || rows) return "end2end";
  if (shape.rank() == 3 && classes > 0 && shape[1] != boxes_first) {
    int64_t masks = 0;
    for (const TensorInfo& output : signature.outputs)
      if (output.shape.rank() == 4) masks = std::max<int64_t>(0, output.shape[1]);
    if (shape[2] == boxes_first + 1 + (plain_boxes ? 0 : masks)) return "anchor";
  }
  if (shape.rank() == 3 && shape[1] > 0 && classes > 0 && shape[1] < boxes_first) return {};
  return "v8";
}

}  // namespace

ModelInfo import_ultralytics(const std::map<std::string, std::string>& keys, const ModelSignature& signature,
                             const Origin& origin) {
  ModelInfo info;
  const auto say = [&]<class T>(Known<T>& key, T value) { key = {std::move(value), origin}; };
  const Metadata metadata(keys);
  // Their older YOLOv5 exporter writes `stride` and `names` only.
  if (!metadata.has("names") || !(metadata.has("task") || metadata.has("stride"))) return info;

  const std::string task = metadata.has("task") ? metadata.text("task") : "";
  const std::vector<std::string> labels = metadata.labels();
  InputInfo input;
  say(input.color, std::string(metadata.text("channels") == "1" ? "gray" : "rgb"));
  say(input.range, std::vector<double>{0, 1});
  if (auto size = metadata.size()) say(input.size, *size);
  if (task == "classify") {
    say(input.resize, std::string("crop"));
  } else {
    say(input.resize, std::string("letterbox"));
    say(input.pad_value, std::vector<double>{114});
  }
  info.inputs.push_back(std::move(input));

  OutputInfo output;
  if (!labels.empty()) say(output.labels, labels);
  static const std::map<std::string, std::pair<std::string, std::string>> tasks = {
      {"detect", {"detect", "box"}},
      {"segment", {"segment", "seg"}},
      {"pose", {"pose", "pose"}},
      {"obb", {"detect", "obb"}}};
  if (task == "classify") {
    say(info.task, task);
    say(output.decoder, std::string("label"));
    output.properties["method"] = {"max", origin};
  } else if (is_rt_detr(metadata)) {
    // A transformer's rows of a box in 0..1 and a score per class, of a picture that was stretched.
    say(info.task, std::string("detect"));
    say(info.inputs[0].resize, std::string("stretch"));
    info.inputs[0].pad_value = {};
    say(output.decoder, std::string("detection"));
    output.properties["box-format"] = {"cxcywh", origin};
    output.properties["box-units"] = {"unit", origin};
  } else if (const auto known = tasks.find(task.empty() ? "detect" : task); known != tasks.end()) {
    say(info.task, known->second.first);
    const auto head = head_of(signature, metadata, labels.size(), known->first == "detect");
    // Who writes no task is the old exporter of v5.
    if (head && (!task.empty() || *head == "anchor")) {
      say(output.decoder, std::string("yolo"));
      output.properties["head"] = {head, origin};
      output.properties["task"] = {known->second.second, origin};
      if (const auto points = metadata.keypoints()) output.properties["keypoints"] = {points, origin};
    }
  }
  info.outputs.push_back(std::move(output));
  return info;
}

}  // namespace sightglass
