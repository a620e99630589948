// model-proc JSON, the description that pipelines of Intel DL Streamer bring along; schemas 1.0.0 and 2.x.
#include <algorithm>

#include <nlohmann/json.hpp>

#include "sightglass/model/importers.h"
#include "sightglass/model/labels.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

using Json = nlohmann::json;

constexpr std::string_view schemas[] = {"1.0.0", "2.0.0", "2.1.0", "2.2.0"};

struct Converter {
  std::string_view name, decoder;
  std::string_view property = {}, value = {};
};
constexpr Converter converters[] = {
    {"detection_output", "detection"},
    {"boxes", "detection"},
    {"boxes_labels", "detection"},
    {"boxes_scores", "detection"},
    {"rtdetr", "detection"},
    {"rfdetr", "detection"},
    {"rfdetr_seg", "detection"},
    {"mask_rcnn", "detection"},
    {"yolo_v2", "yolo", "version", "2"},
    {"yolo_v3", "yolo", "version", "3"},
    {"yolo_v4", "yolo", "version", "4"},
    {"yolo_v5", "yolo", "version", "5"},
    {"yolo_v7", "yolo", "version", "7"},
    {"yolo_x", "yolo", "head", "x"},
    {"yolo_v8", "yolo", "head", "v8"},
    {"yolo_v10", "yolo", "head", "end2end"},
    {"yolo_v11", "yolo", "head", "v8"},
    {"yolo_v26", "yolo", "head", "end2end"},
    {"semantic_segmentation", "segmentation", "mode", "semantic"},
    {"heatmap_boxes", "segmentation", "mode", "boxes"},
    {"centerface", "centernet"},
    {"keypoints_openpose", "human_pose", "mode", "openpose"},
    {"keypoints_hrnet", "human_pose", "mode", "heatmap"},
    {"keypoints_3d", "human_pose", "mode", "heatmap"},
    {"label", "label"},
    {"text", "text"},
    {"raw_data_copy", "add_params"},
    {"depth_estimation", "add_params"},
    {"paddle_ocr", "ctc"},
    {"paddle_ocr_ctc", "ctc"},
    {"docTR_ocr", "ctc"},
    {"clip_token", "embedding"},
};
constexpr std::pair<std::string_view, std::string_view> tasks[] = {
    {"_obb", "obb"}, {"_pose", "pose"}, {"_seg", "seg"}};
// Not carried, and why.
constexpr std::pair<std::string_view, std::string_view> refusals[] = {
    {"custom_to_roi", "it calls code built for another framework; use decoder: file.so or module:Class"},
    {"custom_to_tensor", "it calls code built for another framework; use decoder: file.so or module:Class"},
    {"AnomalyDetection", "its scores need statistics of the training that are not in the file"},
    {"audio_labels", "it is for sound, which no model here takes"},
};
// Spellings of older schemas.
constexpr std::pair<std::string_view, std::string_view> deprecated[] = {
    {"tensor_to_bbox_ssd", "detection_output"},
    {"tensor_to_bbox_atss", "boxes_labels"},
    {"tensor_to_bbox_heatmap", "heatmap_boxes"},
    {"tensor_to_data", "raw_data_copy"},
    {"tensor_to_keypoints_openpose", "keypoints_openpose"},
    {"tensor_to_keypoints_hrnet", "keypoints_hrnet"},
    {"tensor_to_keypoints_3d", "keypoints_3d"},
    {"tensor_to_label", "label"},
    {"tensor_to_text", "text"},
};
// Keys that the decoders call otherwise.
constexpr std::pair<std::string_view, std::string_view> renamed[] = {
    {"binarize-threshold", "threshold"},    {"confidence-threshold", "threshold"},
    {"nms-threshold", "iou-threshold"},     {"tensor-to-text-precision", "text-precision"},
    {"tensor-to-text-scale", "text-scale"},
};

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array()) {
    std::vector<std::string> items;
    for (const Json& item : value) items.push_back(text_of(item));
    return value_text(items);
  }
  return value.dump();
}

struct Reader {
  const std::string& file;
  const std::filesystem::path& base_dir;
  const Origin& origin;

  template <class... Args>
  std::unexpected<Error> wrong(const std::string& where, std::format_string<Args...> format,
                               Args&&... args) const {
    return fail(ErrorCode::corrupt, "{}: {}: {}", file, where,
                std::format(format, std::forward<Args>(args)...));
  }
  std::unexpected<Error> refused(const std::string& where, const std::string& what) const {
    return fail(ErrorCode::unsupported, "{}: {}: {}", file, where, what);
  }

  template <class T, class V>
  Status set(Known<T>& known, const std::string& where, std::string_view key, V value) const {
    auto checked = check_input_value(key, value);
    if (!checked) return wrong(where, "{}: {}", key, checked.error().message);
    if constexpr (std::is_same_v<T, std::string>)
      known = {*checked, origin};
    else
      known = {std::move(value), origin};
    return {};
  }

  Result<std::vector<double>> numbers(const Json& value, const std::string& where) const {
    std::vector<double> values;
    for (const Json& item : value.is_array() ? value : Json::array({value})) {
      if (!item.is_number()) return wrong(where, "expects numbers, got {}", item.dump());
      values.push_back(item.get<double>());
    }
    return values;
  }
  Result<std::string> word(const Json& value, const std::string& where) const {
    if (!value.is_string()) return wrong(where, "expects text, got {}", value.dump());
    return value.get<std::string>();
  }

  Status resize(InputInfo& info, const std::string& where, const std::string& value) const {
    static const std::map<std::string, std::string> names = {{"no", "none"},
                                                             {"no-aspect-ratio", "stretch"},
                                                             {"aspect-ratio", "letterbox"},
                                                             {"aspect-ratio-pad", "letterbox-topleft"}};
    const auto found = names.find(value);
    if (found == names.end())
      return wrong(
          where, "unknown resize '{}'; known are no, no-aspect-ratio, aspect-ratio, aspect-ratio-pad", value);
    return set(info.resize, where, "resize", found->second);
  }

  Status padding(InputInfo& info, const std::string& where, const Json& value) const {
    if (!value.is_object()) return wrong(where, "expects an object");
    for (const auto& [key, item] : value.items()) {
      if (key == "fill_value") {
        auto fill = numbers(item, where + ".fill_value");
        if (!fill) return forward_error(fill);
        if (auto status = set(info.pad_value, where, "pad_value", *fill); !status) return status;
      } else if (key == "stride" || key == "stride_x" || key == "stride_y") {
        if (item != 0) return refused(where + "." + key, "a border around the picture is not supported");
      } else {
        return wrong(where, "unknown key '{}'", key);
      }
    }
    return {};
  }

  Status input_key(InputInfo& info, const std::string& where, const std::string& key,
                   const Json& value) const {
    const std::string at = where + "." + key;
    if (key == "precision") return {};  // the model itself knows
    if (key == "format") {
      auto format = word(value, at);
      if (!format) return forward_error(format);
      return set(info.format, where, key, *format);
    }
    if (key == "params") {
      if (!value.is_object()) return wrong(at, "expects an object");
      for (const auto& [name, item] : value.items())
        if (auto status = input_key(info, at, name, item); !status) return status;
      return {};
    }
    if (key == "padding") return padding(info, at, value);
    if (key == "range" || key == "mean" || key == "std") {
      auto values = numbers(value, at);
      if (!values) return forward_error(values);
      return set(key == "range" ? info.range : key == "mean" ? info.mean : info.std, where, key, *values);
    }
    if (key == "scale") {
      if (!value.is_number()) return wrong(at, "expects a number, got {}", value.dump());
      return set(info.scale, where, key, value.get<double>());
    }
    if (key != "layer_name" && key != "resize" && key != "crop" && key != "color_space" &&
        key != "color_format")
      return wrong(where, "unknown key '{}'", key);
    auto text = word(value, at);
    if (!text) return forward_error(text);
    if (key == "layer_name") return text->empty() ? Status() : set(info.layer, where, "layer", *text);
    if (key == "resize") return resize(info, at, *text);
    if (key == "crop") return set(info.crop, where, "crop", *text);
    std::ranges::transform(*text, text->begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
    return set(info.color, where, "color", *text == "grayscale" ? std::string("gray") : *text);
  }

  // Sets decoder and its head, or says in one line why not.
  Status converter(OutputInfo& info, const std::string& where, const std::string& name) const {
    auto found = decoder_of_converter(name);
    if (!found) return refused(where, found.error().message);
    info.decoder = {found->decoder, origin};
    for (const auto& [key, value] : found->properties) info.properties[key] = {value, origin};
    return {};
  }

  Status labels(OutputInfo& info, const std::string& where, const Json& value) const {
    if (value.is_array()) {
      std::vector<std::string> list;
      for (const Json& item : value) list.push_back(text_of(item));
      info.labels = {list, origin};
      return {};
    }
    auto text = word(value, where);
    if (!text) return forward_error(text);
    auto list =
        resolve_labels(*text, base_dir, info.layers && info.layers->size() == 1 ? info.layers->front() : "");
    if (!list) return wrong(where, "{}", list.error().message);
    info.labels = {*list, origin};
    return {};
  }

  Result<OutputInfo> output(const Json& entry, const std::string& where,
                            std::vector<std::string>& warnings) const {
    if (!entry.is_object()) return wrong(where, "expects an object");
    OutputInfo info;
    if (entry.contains("converter")) {
      auto name = word(entry["converter"], where + ".converter");
      if (!name) return forward_error(name);
      if (!name->empty())
        if (auto status = converter(info, where, *name); !status) return forward_error(status);
    }
    for (const std::string key : {"layer_name", "layer_names"}) {
      if (!entry.contains(key)) continue;
      std::vector<std::string> layers;
      for (const Json& item : entry[key].is_array() ? entry[key] : Json::array({entry[key]})) {
        auto layer = word(item, where + "." + key);
        if (!layer) return forward_error(layer);
        if (!layer->empty() && *layer != "ANY") layers.push_back(*layer);
      }
      if (!layers.empty()) info.layers = {layers, origin};
    }
    for (const auto& [key, value] : entry.items()) {
      if (key == "converter" || key == "layer_name" || key == "layer_names") continue;
      if (key == "labels") {
        if (auto status = labels(info, where + ".labels", value); !status) return forward_error(status);
      } else if (key == "attribute_name") {
        auto name = word(value, where + ".attribute_name");
        if (!name) return forward_error(name);
        info.attribute = {*name, origin};
      } else {
        std::string name = key, text = text_of(value);
        std::ranges::replace(name, '_', '-');
        for (const auto& [theirs, ours] : renamed)
          if (name == theirs) name = ours;
        if (key == "method") std::ranges::replace(text, '_', '-');
        auto checked = info.decoder ? check_property(*info.decoder, name, text) : Result<std::string>(text);
        if (!checked && checked.error().code != ErrorCode::not_found)
          return wrong(where, "{}", checked.error().message);
        if (!checked) {
          warnings.push_back(
              std::format("{}: {}: {}; the key is ignored", file, where, checked.error().message));
          continue;
        }
        info.properties[name] = {*checked, origin};
      }
    }
    return info;
  }
};

}  // namespace

Result<ConverterDecoder> decoder_of_converter(std::string_view converter) {
  std::string name(converter);
  for (const auto& [old, now] : deprecated)
    if (name == old) name = now;
  if (name.starts_with("tensor_to_bbox_")) name = name.substr(std::string_view("tensor_to_bbox_").size());
  for (const auto& [refusal, reason] : refusals)
    if (name == refusal) return fail(ErrorCode::unsupported, "converter '{}' is refused: {}", name, reason);

  auto found = std::ranges::find(converters, name, &Converter::name);
  std::string_view task;
  if (found == std::end(converters) && name.starts_with("yolo_"))
    for (const auto& [suffix, value] : tasks)
      if (name.ends_with(suffix)) {
        found = std::ranges::find(converters, name.substr(0, name.size() - suffix.size()), &Converter::name);
        task = value;
      }
  if (found == std::end(converters)) {
    std::vector<std::string_view> known;
    for (const Converter& item : converters) known.push_back(item.name);
    return fail(ErrorCode::unsupported, "converter '{}' is not supported{}", name, [&] {
      const std::string hint = did_you_mean(name, known);
      return hint.empty() ? "; these are: " + joined(known) : hint;
    }());
  }
  ConverterDecoder decoder{std::string(found->decoder), {}};
  if (!found->property.empty()) decoder.properties.emplace_back(found->property, found->value);
  if (!task.empty()) decoder.properties.emplace_back("task", task);
  return decoder;
}

Result<ModelInfo> import_model_proc(std::string_view text, const std::string& file,
                                    const std::filesystem::path& base_dir, const Origin& origin) {
  Json document;
  try {
    document = Json::parse(text);
  } catch (const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 3, column 5: …": the first word is for
    // programmers.
    const std::string_view what = error.what();
    const size_t at = what.find("] ");
    return fail(ErrorCode::corrupt, "{}: not JSON: {}", file, what.substr(at == what.npos ? 0 : at + 2));
  }
  const Reader reader{file, base_dir, origin};
  if (!document.is_object()) return reader.wrong("document", "expects an object");
  for (const auto key : {"json_schema_version", "input_preproc", "output_postproc"})
    if (!document.contains(key)) return reader.wrong("document", "{} is missing", key);
  const Json& version = document["json_schema_version"];
  if (!version.is_string() || std::ranges::find(schemas, version.get<std::string>()) == std::end(schemas))
    return reader.wrong("json_schema_version", "{} is not known; known are {}", version.dump(),
                        joined(std::span<const std::string_view>(schemas)));
  for (const auto key : {"input_preproc", "output_postproc"})
    if (!document[key].is_array()) return reader.wrong(key, "expects a list");

  ModelInfo info;
  for (const Json& entry : document["input_preproc"]) {
    const std::string where = std::format("input_preproc[{}]", info.inputs.size());
    if (!entry.is_object()) return reader.wrong(where, "expects an object");
    InputInfo input;
    for (const auto& [key, value] : entry.items())
      if (auto status = reader.input_key(input, where, key, value); !status) return forward_error(status);
    info.inputs.push_back(std::move(input));
  }
  for (const Json& entry : document["output_postproc"]) {
    auto output =
        reader.output(entry, std::format("output_postproc[{}]", info.outputs.size()), info.warnings);
    if (!output) return forward_error(output);
    info.outputs.push_back(std::move(*output));
  }
  return info;
}

}  // namespace sightglass
