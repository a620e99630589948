// What OpenVINO's tools write into a model: rt_info/model_info of an .xml, and, since there may be no engine
// to ask, its inputs and outputs.
#include <algorithm>
#include <charconv>

#include <pugixml.hpp>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> list;
  while (true) {
    const size_t begin = text.find_first_not_of(" \t\r\n,");
    if (begin == std::string_view::npos) return list;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find_first_of(" \t\r\n,"), text.size());
    list.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::vector<double> numbers(std::string_view text) {
  std::vector<double> list;
  for (const std::string& word : words(text)) {
    double value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) return {};
    list.push_back(value);
  }
  return list;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  return text;
}

// Names of the model types, lower case and without '_' or '-', by their converter.
std::string converter_of(const std::string& model_type) {
  static const std::map<std::string, std::string> types = {
      {"ssd", "detection_output"},    {"detr", "rtdetr"},
      {"classification", "label"},    {"segmentation", "semantic_segmentation"},
      {"maskrcnn", "mask_rcnn"},      {"yolox", "yolo_x"},
      {"yolov5", "yolo_v8"},  // of the Model API: rows without anchors
      {"yolov8", "yolo_v8"},          {"yolov8seg", "yolo_v8_seg"},
      {"yolo11", "yolo_v11"},         {"yolov11", "yolo_v11"},
      {"yolov11seg", "yolo_v11_seg"}, {"keypointdetection", "keypoints_hrnet"},
  };
  std::string plain = lower(model_type);
  std::erase_if(plain, [](char c) { return c == '_' || c == '-'; });
  const auto found = types.find(plain);
  return found == types.end() ? model_type : found->second;
}

Shape shape_of(std::string_view text) {
  Shape shape;
  for (double side : numbers(text))
    if (shape.rank() < Shape::max_rank) shape.push_back(side > 0 ? int64_t(side) : -1);
  return shape;
}

DataType type_of(std::string_view name) {
  static const std::map<std::string, DataType, std::less<>> types = {
      {"f32", DataType::f32},  {"f16", DataType::f16},  {"bf16", DataType::bf16},      {"u8", DataType::u8},
      {"i8", DataType::i8},    {"i32", DataType::i32},  {"i64", DataType::i64},        {"f64", DataType::f64},
      {"fp32", DataType::f32}, {"fp16", DataType::f16}, {"boolean", DataType::boolean}};
  const auto found = types.find(lower(std::string(name)));
  return found == types.end() ? DataType::f32 : found->second;
}

// "images,data" → "images"
std::string first_name(std::string_view names) { return std::string(names.substr(0, names.find(','))); }

}  // namespace

Result<OpenVinoModel> read_openvino_xml(const std::filesystem::path& path) {
  auto text = read_description(path);
  if (!text) return forward_error(text);
  pugi::xml_document document;
  if (const auto parsed = document.load_buffer(text->data(), text->size()); !parsed)
    return fail(ErrorCode::corrupt, "{}: not XML: {} at byte {}", path.string(), parsed.description(),
                parsed.offset);
  const pugi::xml_node net = document.child("net");
  if (!net) return fail(ErrorCode::corrupt, "{}: not a model of OpenVINO: no element net", path.string());

  OpenVinoModel model;
  for (const pugi::xml_node key : net.child("rt_info").child("model_info"))
    if (const auto value = key.attribute("value")) model.model_info[key.name()] = value.value();

  std::map<std::string, pugi::xml_node> layers;  // by id
  for (const pugi::xml_node layer : net.child("layers")) layers[layer.attribute("id").value()] = layer;
  for (const pugi::xml_node layer : net.child("layers")) {
    const std::string_view type = layer.attribute("type").value();
    if (type == "Parameter") {
      TensorInfo& input = model.signature.inputs.emplace_back();
      input.shape = shape_of(layer.child("data").attribute("shape").value());
      input.type = type_of(layer.child("data").attribute("element_type").value());
      input.name = first_name(layer.child("output").child("port").attribute("names").value());
      if (input.name.empty()) input.name = layer.attribute("name").value();
    } else if (type == "Result") {
      TensorInfo& output = model.signature.outputs.emplace_back();
      const pugi::xml_node edge =
          net.child("edges").find_child_by_attribute("to-layer", layer.attribute("id").value());
      const pugi::xml_node from = layers[edge.attribute("from-layer").value()];
      pugi::xml_node port =
          from.child("output").find_child_by_attribute("id", edge.attribute("from-port").value());
      output.name = first_name(port.attribute("names").value());
      if (output.name.empty()) output.name = from.attribute("name").value();
      output.type = type_of(port.attribute("precision").value());
      for (const pugi::xml_node dim : layer.child("input").child("port").children("dim"))
        if (output.shape.rank() < Shape::max_rank)
          output.shape.push_back(std::max<int64_t>(-1, dim.text().as_llong(-1)));
    }
  }
  return model;
}

ModelInfo import_openvino(const std::map<std::string, std::string>& keys, const Origin& origin) {
  ModelInfo info;
  if (keys.empty()) return info;
  const auto text = [&](const char* key) {
    const auto found = keys.find(key);
    return found == keys.end() ? std::string() : found->second;
  };
  const auto is_true = [&](const char* key) {
    const std::string word = lower(text(key));
    return word == "true" || word == "yes" || word == "1";
  };
  // A value that cannot be is left out; the model is not worse for it.
  const auto say = [&]<class T>(Known<T>& known, std::string_view key, T value) {
    if (check_input_value(key, value)) known = {std::move(value), origin};
  };
  const auto property = [&](OutputInfo& output, const char* name, std::string value) {
    if (!value.empty()) output.properties[name] = {std::move(value), origin};
  };

  InputInfo input;
  const std::string resize = lower(text("resize_type"));
  if (resize == "crop") say(input.resize, "resize", std::string("crop"));
  if (resize == "standard") say(input.resize, "resize", std::string("stretch"));
  if (resize == "fit_to_window") say(input.resize, "resize", std::string("letterbox-topleft"));
  if (resize == "fit_to_window_letterbox") say(input.resize, "resize", std::string("letterbox"));
  if (const auto values = numbers(text("pad_value")); !values.empty())
    say(input.pad_value, "pad_value", values);
  if (!text("reverse_input_channels").empty())
    say(input.color, "color", std::string(is_true("reverse_input_channels") ? "rgb" : "bgr"));
  if (const auto values = numbers(text("mean_values")); !values.empty()) say(input.mean, "mean", values);
  if (const auto values = numbers(text("scale_values")); !values.empty()) say(input.std, "std", values);
  info.inputs.push_back(std::move(input));

  OutputInfo output;
  if (const std::string type = text("model_type"); !type.empty()) {
    if (auto found = decoder_of_converter(converter_of(type))) {
      output.decoder = {found->decoder, origin};
      for (auto& [name, value] : found->properties) property(output, name.c_str(), std::move(value));
    } else {
      info.warnings.push_back(std::format("{}: model_type {}", origin.name, found.error().message));
    }
  }
  if (const auto labels = words(text("labels")); !labels.empty()) output.labels = {labels, origin};
  property(output, "threshold", text("confidence_threshold"));
  property(output, "iou-threshold", text("iou_threshold"));
  if (output.decoder && *output.decoder == "label") {
    const bool raw = is_true("output_raw_scores");
    // Several classes of raw scores: each by its own sigmoid, all of those that pass.
    if (is_true("multilabel") && raw) {
      property(output, "method", "sigmoid");
      property(output, "top-k", std::to_string(std::clamp<size_t>(words(text("labels")).size(), 1, 1000)));
    } else {
      property(output, "method", is_true("multilabel") ? "multi" : raw ? "softmax" : "max");
    }
  }
  info.outputs.push_back(std::move(output));
  return info;
}

}  // namespace sightglass
