// inference.yml, which PaddleOCR writes beside an exported model: the list of its operations before the
// network, and the one behind it.
#include <algorithm>
#include <charconv>

#include "sightglass/model/importers.h"
#include "sightglass/model/yaml_map.h"

namespace sightglass {
namespace {

// Recognition takes lines of any width; this is as much as is given room for, 27 times their height.
constexpr int widest_line = 1280;

std::optional<double> number(const YAML::Node& node) {
  if (!node || !node.IsScalar()) return {};
  // Scales are written as "1./255.".
  const std::string& text = node.Scalar();
  const auto read = [](std::string_view digits) -> std::optional<double> {
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) return {};
    return value;
  };
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return read(text);
  const auto top = read(text.substr(0, slash)), bottom = read(text.substr(slash + 1));
  if (!top || !bottom || *bottom == 0) return {};
  return *top / *bottom;
}

std::vector<double> numbers(const YAML::Node& node) {
  std::vector<double> values;
  if (node && node.IsSequence())
    for (const auto& item : node)
      if (const auto value = number(item)) values.push_back(*value);
  return values;
}

std::string text(const YAML::Node& node) { return node && node.IsScalar() ? node.Scalar() : ""; }

std::vector<std::string> texts(const YAML::Node& node) {
  std::vector<std::string> values;
  if (node && node.IsSequence())
    for (const auto& item : node) values.push_back(text(item));
  return values;
}

struct Writer {
  const Origin& origin;

  template <class T>
  void say(Known<T>& known, std::string_view key, T value) const {
    if (check_input_value(key, value)) known = {std::move(value), origin};
  }

  void operation(const std::string& name, const YAML::Node& values, InputInfo& input) const {
    const YAML::Node none, &args = values.IsMap() ? values : none;
    const auto arg = [&](const char* key) { return args.IsMap() ? args[key] : YAML::Node(); };
    if (name == "DecodeImage") {
      const std::string mode = text(arg("img_mode"));
      say(input.color, "color", std::string(mode == "RGB" ? "rgb" : mode == "GRAY" ? "gray" : "bgr"));
    } else if (name == "NormalizeImage") {
      say(input.range, "range", std::vector<double>{0, 255 * number(arg("scale")).value_or(1 / 255.0)});
      if (auto mean = numbers(arg("mean")); !mean.empty()) say(input.mean, "mean", std::move(mean));
      if (auto std = numbers(arg("std")); !std.empty()) say(input.std, "std", std::move(std));
    } else if (name == "RecResizeImg") {
      const auto shape = numbers(arg("image_shape"));  // channels, height, width
      if (shape.size() != 3) return;
      say(input.size, "size", PictureSize{std::max(widest_line, int(shape[2])), int(shape[1])});
      say(input.resize, "resize", std::string("fit-height"));
      say(input.range, "range", std::vector<double>{-1, 1});
      say(input.pad_value, "pad_value", std::vector<double>{127.5});
    } else if (name == "DetResizeForTest") {
      say(input.resize, "resize", std::string("multiple"));
      say(input.size_multiple, "size_multiple", int64_t{32});
      const auto longest = number(arg("resize_long")), limit = number(arg("limit_side_len"));
      const bool is_most = text(arg("limit_type")) != "min";
      const int side = int(longest ? *longest : limit && is_most ? *limit : 960);
      say(input.size, "size", PictureSize{side, side});
    } else if (name == "ResizeImage") {
      if (const auto size = numbers(arg("size")); size.size() == 2)
        say(input.size, "size", PictureSize{int(size[0]), int(size[1])});
      say(input.resize, "resize", std::string("stretch"));
    }
  }

  void result(const YAML::Node& post, ModelInfo& info) const {
    OutputInfo output;
    const auto decode = [&](const char* task, const char* decoder) {
      info.task = {task, origin};
      output.decoder = {decoder, origin};
    };
    const auto property = [&](const char* name, std::string value) {
      output.properties[name] = {std::move(value), origin};
    };
    const std::string name = text(post["name"]);
    if (name == "CTCLabelDecode") {
      decode("ocr", "ctc");
      if (auto characters = texts(post["character_dict"]); !characters.empty())
        output.labels = {std::move(characters), origin};
    } else if (name == "DBPostProcess") {
      decode("detect", "segmentation");
      output.labels = {std::vector<std::string>{"text"}, origin};
      property("mode", "boxes");
      property("minimum-side", "3");
      const std::pair<const char*, const char*> keys[] = {
          {"thresh", "threshold"}, {"box_thresh", "box-threshold"}, {"unclip_ratio", "box-expand"}};
      for (const auto& [theirs, ours] : keys)
        if (number(post[theirs])) property(ours, text(post[theirs]));
    } else if (const YAML::Node top = post["Topk"]; top && top.IsMap()) {
      decode("classify", "label");
      property("method", "max");
      if (auto labels = texts(top["label_list"]); !labels.empty())
        output.labels = {std::move(labels), origin};
    } else {
      return;
    }
    info.outputs.push_back(std::move(output));
  }
};

}  // namespace

Result<ModelInfo> import_paddle(std::string_view yaml, const std::string& file, const Origin& origin) {
  auto document = parse_yaml(yaml, file);
  if (!document) return forward_error(document);
  ModelInfo info;
  if (!document->IsMap()) return info;
  const YAML::Node root = *document, pre = root["PreProcess"], post = root["PostProcess"];
  if (!post || !post.IsMap()) return info;
  if (const YAML::Node global = root["Global"]; global && global.IsMap())
    if (const std::string name = text(global["model_name"]); !name.empty()) info.name = {name, origin};

  const Writer writer{origin};
  InputInfo input;
  if (pre && pre.IsMap())
    if (const YAML::Node operations = pre["transform_ops"]; operations && operations.IsSequence())
      for (const auto& item : operations)
        if (item.IsMap())
          for (const auto& entry : item) writer.operation(text(entry.first), entry.second, input);
  info.inputs.push_back(std::move(input));
  writer.result(post, info);
  return info;
}

}  // namespace sightglass
