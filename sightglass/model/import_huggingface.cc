// The files of models on the HuggingFace Hub: config.json and preprocessor_config.json of transformers, and
// the config.json of timm.
#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

using Json = nlohmann::json;

constexpr size_t most_labels = 100'000;

// A key of the wrong type counts as absent: these files are not written for us.
template <class T>
std::optional<T> get(const Json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  if (found == object.end()) return {};
  if constexpr (std::is_same_v<T, bool>) {
    if (found->is_boolean()) return found->get<bool>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (found->is_string()) return found->get<std::string>();
  } else {
    if (found->is_number()) return T(found->get<double>());
  }
  return {};
}

const Json& child(const Json& object, const char* key) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

std::vector<double> numbers(const Json& list) {
  std::vector<double> values;
  for (const Json& item : list.is_array() ? list : Json::array())
    if (item.is_number()) values.push_back(item.get<double>());
  return values;
}

Result<Json> parse(std::string_view text, const Origin& origin) {
  if (text.empty()) return Json();
  Json document = Json::parse(text, nullptr, false);
  if (!document.is_object()) return fail(ErrorCode::corrupt, "{}: not a JSON object", origin.name);
  return document;
}

// {"0": "cat"} and {"cat": 0}.
std::vector<std::string> labels_of(const Json& config) {
  std::vector<std::string> labels;
  const auto add = [&](int64_t index, const std::string& name) {
    if (index < 0 || size_t(index) >= most_labels) return;
    if (size_t(index) >= labels.size()) labels.resize(size_t(index) + 1);
    labels[size_t(index)] = name;
  };
  for (const auto& [key, value] : child(config, "id2label").items()) {
    int64_t index = -1;
    std::from_chars(key.data(), key.data() + key.size(), index);
    if (value.is_string()) add(index, value.get<std::string>());
  }
  if (labels.empty())
    for (const auto& [key, value] : child(config, "label2id").items())
      if (value.is_number()) add(value.get<int64_t>(), key);
  // Placeholders of a model that nobody has named the classes of.
  if (!labels.empty() && std::ranges::all_of(labels, [](const auto& l) { return l.starts_with("LABEL_"); }))
    labels.clear();
  return labels;
}

// Fills in keys that pass their check.
struct Writer {
  const Origin& origin;

  template <class T>
  void say(Known<T>& known, std::string_view key, T value) const {
    if (auto checked = check_input_value(key, value)) known = {std::move(value), origin};
  }
  void say(Known<std::string>& known, std::string_view key, const char* value) const {
    say(known, key, std::string(value));
  }
  void property(OutputInfo& output, const char* name, std::string value) const {
    output.properties[name] = {std::move(value), origin};
  }
  // Side by side of the short side before the cut and of the cut itself.
  void centre_cut(InputInfo& input, double kept) const {
    say(input.resize, "resize", "crop");
    if (kept > 0.1 && kept < 1) say(input.roi_expand, "roi_expand", kept);
  }
  void interpolation(InputInfo& input, const std::string& name) const {
    if (name == "bicubic" || name == "bilinear" || name == "nearest")
      say(input.interpolation, "interpolation", name);
  }
  void normalisation(InputInfo& input, std::vector<double> mean, std::vector<double> std) const {
    if (!mean.empty()) say(input.mean, "mean", std::move(mean));
    if (!std.empty()) say(input.std, "std", std::move(std));
  }
};

InputInfo picture_of(const Json& processor, const Writer& writer) {
  InputInfo input;
  if (!processor.is_object()) return input;
  writer.say(input.color, "color", "rgb");
  if (get<bool>(processor, "do_rescale").value_or(true)) {
    const double most = 255 * get<double>(processor, "rescale_factor").value_or(1 / 255.0);
    const bool centred = get<bool>(processor, "offset").value_or(false);  // to -1..1
    writer.say(input.range, "range", std::vector<double>{centred ? -1.0 : 0.0, centred ? most - 1 : most});
  }
  if (get<bool>(processor, "do_normalize").value_or(processor.contains("image_mean")))
    writer.normalisation(input, numbers(child(processor, "image_mean")),
                         numbers(child(processor, "image_std")));
  if (const auto resample = get<int>(processor, "resample"))
    writer.interpolation(input, *resample == 0 ? "nearest" : *resample == 2 ? "bilinear" : "bicubic");

  // A number or {height, width} or {shortest_edge}; the last says nothing about the other side.
  const auto size_of = [](const Json& size) -> std::optional<PictureSize> {
    if (size.is_number()) return PictureSize{int(size.get<double>()), int(size.get<double>())};
    const auto height = get<int>(size, "height"), width = get<int>(size, "width");
    if (!height || !width) return {};
    return PictureSize{*width, *height};
  };
  const Json& size = child(processor, "size");
  const auto shortest = get<double>(size, "shortest_edge");
  const auto whole = size_of(size), cut = size_of(child(processor, "crop_size"));
  if (get<bool>(processor, "do_center_crop").value_or(false) && cut) {
    writer.say(input.size, "size", *cut);
    const double side = shortest ? *shortest : whole ? std::min(whole->width, whole->height) : 0;
    writer.centre_cut(input, side > 0 ? std::min(cut->width, cut->height) / side : 1);
  } else if (const auto share = get<double>(processor, "crop_pct"); shortest && share) {  // ConvNeXT
    writer.say(input.size, "size", PictureSize{int(*shortest), int(*shortest)});
    writer.centre_cut(input, *shortest < 384 ? *share : 1);
  } else if (get<bool>(processor, "do_resize").value_or(true) && whole) {
    writer.say(input.size, "size", *whole);
    writer.say(input.resize, "resize", "stretch");
  }
  return input;
}

}  // namespace

Result<ModelInfo> import_huggingface(std::string_view config_text, std::string_view preprocessor_text,
                                     const Origin& origin) {
  auto config = parse(config_text, origin), processor = parse(preprocessor_text, origin);
  if (!config) return forward_error(config);
  if (!processor) return forward_error(processor);
  ModelInfo info;
  const Json& architectures = child(*config, "architectures");
  if (!architectures.is_array() && !processor->is_object()) return info;  // some other config.json
  const Writer writer{origin};
  info.inputs.push_back(picture_of(*processor, writer));

  const std::string architecture =
      architectures.is_array() && !architectures.empty() && architectures[0].is_string()
          ? architectures[0].get<std::string>()
          : "";
  const auto is_for = [&](std::string_view purpose) { return architecture.ends_with(purpose); };
  OutputInfo output;
  const auto decode = [&](const char* task, const char* decoder) {
    info.task = {task, origin};
    output.decoder = {decoder, origin};
  };
  std::vector<std::string> labels = labels_of(*config);
  if (is_for("ForImageClassification")) {
    decode("classify", "label");
    if (get<std::string>(*config, "problem_type") == "multi_label_classification") {
      writer.property(output, "method", "sigmoid");
      writer.property(output, "threshold", "0.5");
      writer.property(output, "top-k", std::to_string(std::clamp<size_t>(labels.size(), 1, 1000)));
    } else {
      writer.property(output, "method", "softmax");
    }
    if (labels.empty())
      if (const auto classes = get<int>(*config, "num_labels"))
        writer.property(output, "classes", std::to_string(*classes));
  } else if (is_for("ForObjectDetection")) {
    decode("detect", "detection");
  } else if (is_for("ForSemanticSegmentation")) {
    decode("segment", "segmentation");
    writer.property(output, "mode", "semantic");
  } else if (is_for("ForDepthEstimation")) {
    decode("raw", "add_params");
  } else if (is_for("WithProjection") || is_for("Model")) {
    decode("embed", "embedding");
    labels.clear();
  }
  if (!labels.empty()) output.labels = {std::move(labels), origin};
  if (output.decoder || output.labels) info.outputs.push_back(std::move(output));
  return info;
}

Result<ModelInfo> import_timm(std::string_view config_text, const Origin& origin) {
  auto config = parse(config_text, origin);
  if (!config) return forward_error(config);
  ModelInfo info;
  // Old files have the keys at the top.
  const Json& own = config->contains("pretrained_cfg") ? (*config)["pretrained_cfg"] : *config;
  const std::vector<double> size = numbers(child(own, "input_size"));
  if (!config->contains("architecture") || size.size() != 3) return info;
  const Writer writer{origin};
  info.name = {(*config)["architecture"].is_string() ? (*config)["architecture"].get<std::string>() : "timm",
               origin};

  InputInfo input;
  writer.say(input.size, "size", PictureSize{int(size[2]), int(size[1])});
  writer.say(input.color, "color", size[0] == 1 ? "gray" : "rgb");
  writer.say(input.range, "range", std::vector<double>{0, 1});
  writer.normalisation(input, numbers(child(own, "mean")), numbers(child(own, "std")));
  writer.interpolation(input, get<std::string>(own, "interpolation").value_or(""));
  const std::string mode = get<std::string>(own, "crop_mode").value_or("center");
  const double kept = get<double>(own, "crop_pct").value_or(1);
  if (mode == "squash")
    writer.say(input.resize, "resize", "stretch");
  else if (mode == "border")
    writer.say(input.resize, "resize", "letterbox");
  else
    writer.centre_cut(input, kept);
  info.inputs.push_back(std::move(input));

  OutputInfo output;
  const int classes = get<int>(own, "num_classes").value_or(get<int>(*config, "num_classes").value_or(0));
  std::vector<std::string> labels;
  for (const Json* place : {static_cast<const Json*>(&*config), &own})
    for (const char* key : {"label_names", "labels"})
      for (const Json& label : labels.empty() ? child(*place, key) : Json::array())
        labels.push_back(label.is_string() ? label.get<std::string>() : label.dump());
  if (classes == 0 && labels.empty()) {
    info.task = {"embed", origin};
    output.decoder = {"embedding", origin};
  } else {
    info.task = {"classify", origin};
    output.decoder = {"label", origin};
    writer.property(output, "method", "softmax");
    if (!labels.empty())
      output.labels = {std::move(labels), origin};
    else
      writer.property(output, "classes", std::to_string(classes));
  }
  info.outputs.push_back(std::move(output));
  return info;
}

}  // namespace sightglass
