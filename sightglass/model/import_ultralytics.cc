// The keys that Ultralytics' exporters embed in a model. They are texts as Python prints values: "{0:
// 'person', 1: 'bicycle'}", "[640, 640]", which read as YAML.
#include <algorithm>
#include <charconv>

#include "sightglass/model/importers.h"
#include "sightglass/model/yaml_map.h"

namespace sightglass {
namespace {

constexpr size_t most_labels = 100'000;

const Origin from_metadata{OriginKind::metadata, "metadata of the model (Ultralytics)"};

template <class T>
void say(Known<T>& key, T value) {
  key = {std::move(value), from_metadata};
}

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

// The head by the first output, since exporters of different age say different things: "end2end" or NMS
// inside the model give rows of six.
std::optional<std::string> head_of(const ModelSignature& signature, const Metadata& metadata, size_t classes,
                                   bool plain_boxes) {
  if (metadata.text("description").find("RT-DETR") != std::string::npos) return {};
  const Shape shape = signature.outputs.empty() ? Shape() : signature.outputs[0].shape;
  const bool rows = shape.rank() == 3 && plain_boxes && shape[2] == 6 && shape[1] != int64_t(4 + classes);
  if (metadata.is_true("end2end") || rows) return "end2end";
  if (shape.rank() == 3 && shape[1] > 0 && classes > 0 && shape[1] < int64_t(4 + classes)) return {};
  return "v8";
}

}  // namespace

ModelInfo import_ultralytics(const ModelSignature& signature) {
  ModelInfo info;
  const Metadata metadata(signature.metadata);
  // Their older YOLOv5 exporter writes `stride` and `names` only.
  if (!metadata.has("names") || !(metadata.has("task") || metadata.has("stride"))) return info;

  const std::string task = metadata.has("task") ? metadata.text("task") : "";
  const std::vector<std::string> labels = metadata.labels();
  InputInfo input;
  say(input.color, std::string(metadata.text("channels") == "1" ? "gray" : "rgb"));
  say(input.range, {0, 1});
  if (auto size = metadata.size()) say(input.size, *size);
  if (task == "classify") {
    say(input.resize, std::string("crop"));
  } else {
    say(input.resize, std::string("letterbox"));
    say(input.pad_value, {114});
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
    output.properties["method"] = {"max", from_metadata};
  } else if (const auto known = tasks.find(task); known != tasks.end()) {
    say(info.task, known->second.first);
    if (const auto head = head_of(signature, metadata, labels.size(), task == "detect")) {
      say(output.decoder, std::string("yolo"));
      output.properties["head"] = {*head, from_metadata};
      output.properties["task"] = {known->second.second, from_metadata};
    }
  }
  info.outputs.push_back(std::move(output));
  return info;
}

}  // namespace sightglass
