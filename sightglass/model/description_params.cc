// From a description to the parameters of elements, and to text for people.
#include <algorithm>

#include "sightglass/core/registry.h"
#include "sightglass/model/importers.h"
#include "sightglass/model/labels.h"

namespace sightglass {
namespace {

std::string with_dashes(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

bool takes(const std::string& decoder, std::string_view name, bool if_unknown = true) {
  const ElementDesc* element = find_element(element_of_decoder(decoder));
  return element ? element->params.find(name) != nullptr : if_unknown;
}

// Rows of a YOLOX head look like those of other detectors, so it takes a person to say that they are one.
bool may_be_yolox(const InputInfo* picture, const ModelSignature& signature) {
  if (!picture || !picture->size || signature.outputs.size() != 1) return false;
  const Shape& shape = signature.outputs[0].shape;
  return shape.rank() == 3 && shape[2] > 5 &&
         shape[1] == grid_cells(picture->size->width, picture->size->height, false);
}

}  // namespace

Settings preprocess_params(const ModelInfo& info) {
  Settings settings;
  const InputInfo* input = info.picture();
  if (!input) return settings;
  for_each_input_key(
      [&](std::string_view key, const auto& known) {
        if (!known || key == "layer" || key == "format" || key == "crop") return;
        if (key == "size") {
          settings.emplace_back("width", std::to_string(input->size->width));
          settings.emplace_back("height", std::to_string(input->size->height));
        } else if (key == "resize" && input->crop) {
          settings.emplace_back("resize", "crop");  // centre cut, whatever it was scaled by before
        } else {
          settings.emplace_back(with_dashes(key), value_text(*known));
        }
      },
      *input);
  return settings;
}

std::vector<ElementSettings> postprocess_elements(const ModelInfo& info) {
  std::vector<ElementSettings> elements;
  for (const OutputInfo& output : info.outputs) {
    const std::string decoder = output.decoder.value_or(output.labels ? "label" : "add_params");
    ElementSettings element{element_of_decoder(decoder), {}};
    if (is_user_decoder(decoder)) element.params.emplace_back("decoder", decoder);
    // Decoders that read one output of several do so by its name; the others find theirs by shape.
    if (output.layers && output.layers->size() == 1 &&
        takes(decoder, "layer-name", decoder == "label" || decoder == "text"))
      element.params.emplace_back("layer-name", output.layers->front());
    if (output.attribute && takes(decoder, "attribute-name"))
      element.params.emplace_back("attribute-name", *output.attribute);
    if (output.labels && takes(decoder, "labels"))
      element.params.emplace_back("labels", labels_text(*output.labels));
    for (const auto& [name, value] : output.properties)
      if (takes(decoder, name)) element.params.emplace_back(name, *value);
    // Boxes in pixels are pixels of the model's input.
    if (const InputInfo* picture = info.picture(); picture && picture->size) {
      const std::pair<const char*, int> sides[] = {{"input-width", picture->size->width},
                                                   {"input-height", picture->size->height}};
      for (const auto& [name, side] : sides)
        if (takes(decoder, name, false) && !output.properties.contains(name))
          element.params.emplace_back(name, std::to_string(side));
    }
    elements.push_back(std::move(element));
  }
  return elements;
}

std::vector<DescribedKey> described_keys(const ModelInfo& info) {
  std::vector<DescribedKey> keys;
  const auto add = [&](std::string key, const auto& known) {
    if (known) keys.push_back({std::move(key), value_text(*known), known.origin.name});
  };
  add("name", info.name);
  add("task", info.task);
  for (size_t i = 0; i < info.inputs.size(); ++i)
    for_each_input_key(
        [&](std::string_view key, const auto& known) { add(std::format("input[{}].{}", i, key), known); },
        info.inputs[i]);
  for (size_t i = 0; i < info.outputs.size(); ++i) {
    const OutputInfo& output = info.outputs[i];
    for_each_output_key(
        [&](std::string_view key, const auto& known) { add(std::format("output[{}].{}", i, key), known); },
        output);
    for (const auto& [name, value] : output.properties) {
      std::string key = name;
      std::ranges::replace(key, '-', '_');
      add(std::format("output[{}].{}", i, key), value);
    }
  }
  return keys;
}

std::vector<std::string> missing_keys(const ModelInfo& info, const ModelSignature& signature) {
  std::vector<std::string> missing;
  const InputInfo* picture = info.picture();
  if (!picture) {
    missing.push_back("input[0]: nothing says which input takes a picture");
  } else {
    if (!picture->size)
      missing.push_back(
          "input[0].size: the model takes any size, so the pipeline or the description has to name one");
    if (picture->color.origin.kind == OriginKind::defaults)
      missing.push_back("input[0].color: nothing says whether the model wants RGB or BGR");
    if (!picture->range && !picture->mean && !picture->scale &&
        picture->dtype.value_or("float32") != "uint8" && !info.described())
      missing.push_back(
          "input[0].range, mean, std: nothing says how pixels are normalised, so they stay 0..255");
  }
  std::string shapes;
  for (const TensorInfo& output : signature.outputs)
    shapes += std::format("{}{} [{}]", shapes.empty() ? "" : ", ", output.name, output.shape.to_string());
  if (info.outputs.empty() ||
      std::ranges::none_of(info.outputs, [](const OutputInfo& o) { return bool(o.decoder); }))
    missing.push_back("output[0].decoder: nothing says what the outputs mean: " + shapes +
                      (may_be_yolox(picture, signature)
                           ? "; if this is a YOLOX: input: {color: bgr, resize: letterbox_topleft, "
                             "pad_value: 114}, output: {decoder: yolo, head: x}"
                           : ""));
  for (size_t i = 0; i < info.outputs.size(); ++i) {
    const OutputInfo& output = info.outputs[i];
    const std::string decoder = output.decoder.value_or("");
    if (!output.labels && (decoder == "detection" || decoder == "yolo" || decoder == "label"))
      missing.push_back(std::format("output[{}].labels: objects are known by number only", i));
    if (decoder == "ctc" && !output.labels && !output.properties.contains("charset-file") &&
        !output.properties.contains("labels-file"))
      missing.push_back(
          std::format("output[{}].charset_file: nothing says which characters the classes are", i));
  }
  return missing;
}

}  // namespace sightglass
