// Neutral YAML: the project's own form of a description, beside a model, inside its metadata, in a manifest
// or a module's file.
#include "sightglass/model/import_yaml.h"

#include <algorithm>
#include <charconv>

#include "sightglass/core/param.h"
#include "sightglass/model/importers.h"
#include "sightglass/model/labels.h"
#include "sightglass/model/spelling.h"

namespace sightglass {
namespace {

constexpr std::string_view document_keys[] = {"sightglass_model", "name", "task", "input", "output"};
constexpr std::string_view input_keys[] = {"layer",         "format",   "size", "color",         "layout",
                                           "dtype",         "resize",   "crop", "interpolation", "pad_value",
                                           "range",         "mean",     "std",  "scale",         "roi_expand",
                                           "size_multiple", "max_width"};
constexpr std::string_view tasks[] = {"detect", "classify", "segment", "pose", "embed", "ocr", "raw"};
// Further parameters of decoders, for messages about misspelt keys where the element itself is not there to
// be asked.
constexpr std::string_view output_keys[] = {"decoder", "layer", "layers", "attribute", "labels"};

struct Reader {
  const std::string& file;
  const std::filesystem::path& base_dir;
  const Origin& origin;

  // read(): one value of each type.
  Status read(const YamlMap& map, std::string_view key, std::string& value) const {
    auto text = map.text(key);
    if (!text) return forward_error(text);
    auto checked = check_input_value(key, *text);
    if (!checked) return map.fail(key, checked.error().message);
    value = *checked;
    return {};
  }
  Status read(const YamlMap& map, std::string_view key, std::vector<double>& value) const {
    auto numbers = map.numbers(key);
    if (!numbers) return forward_error(numbers);
    value = *numbers;
    return checked(map, key, value);
  }
  Status read(const YamlMap& map, std::string_view key, double& value) const {
    auto number = map.number(key);
    if (!number) return forward_error(number);
    value = *number;
    return checked(map, key, value);
  }
  Status read(const YamlMap& map, std::string_view key, int64_t& value) const {
    auto number = map.integer(key);
    if (!number) return forward_error(number);
    value = *number;
    return checked(map, key, value);
  }
  Status read(const YamlMap& map, std::string_view key, PictureSize& value) const {
    auto numbers = map.numbers(key);
    if (!numbers) return forward_error(numbers);
    if (numbers->size() != 2 || (*numbers)[0] != int((*numbers)[0]) || (*numbers)[1] != int((*numbers)[1]))
      return map.fail(key, "expects [width, height] in whole pixels");
    value = {int((*numbers)[0]), int((*numbers)[1])};
    return checked(map, key, value);
  }
  template <class T>
  Status checked(const YamlMap& map, std::string_view key, const T& value) const {
    auto status = check_input_value(key, value);
    if (!status) return map.fail(key, status.error().message);
    return {};
  }

  Result<InputInfo> input(const YAML::Node& node, size_t index) const {
    auto map = YamlMap::read(node, file, std::format("input[{}]", index), input_keys);
    if (!map) return forward_error(map);
    InputInfo info;
    Status status;
    for_each_input_key(
        [&](std::string_view key, auto& known) {
          if (!status || !map->find(key)) return;
          status = read(*map, key, known.value.emplace());
          known.origin = origin;
        },
        info);
    if (!status) return forward_error(status);
    return info;
  }

  Result<std::vector<std::string>> labels(const YamlMap& map) const {
    const YAML::Node& node = *map.find("labels");
    if (node.IsSequence()) return map.texts("labels");
    if (node.IsScalar()) {
      auto labels = resolve_labels(node.Scalar(), base_dir);
      if (!labels) return map.fail("labels", labels.error().message);
      return labels;
    }
    constexpr std::string_view known[] = {"file"};
    auto inner = YamlMap::read(node, file, map.path("labels"), known);
    if (!inner) return forward_error(inner);
    auto path = inner->text("file");
    if (!path) return forward_error(path);
    auto labels = read_labels_file(base_dir / *path);
    if (!labels) return inner->fail("file", labels.error().message);
    return labels;
  }

  // A further key: a parameter of the decoder, as text.
  Status property(const YamlMap& map, std::string_view key, OutputInfo& info) const {
    const YAML::Node& node = *map.find(key);
    std::string text;
    if (node.IsScalar()) {
      text = node.Scalar();
    } else {
      auto items = map.texts(key);
      if (!items) return forward_error(items);
      text = value_text(*items);
    }
    std::string name(key);
    std::ranges::replace(name, '_', '-');
    // Files lie beside the description.
    if (std::error_code ignored; name.ends_with("-file") && exists(base_dir / text, ignored))
      text = absolute(base_dir / text, ignored).string();
    if (info.decoder) {
      auto checked = check_property(*info.decoder, name, text);
      if (!checked && checked.error().code == ErrorCode::not_found)
        return fail_at(file, node, map.path(key) + ": unknown key; " + checked.error().message);
      if (!checked) return map.fail(key, checked.error().message);
      text = *checked;
    } else if (const std::string hint = did_you_mean(key, output_keys); !hint.empty()) {
      return fail_at(file, node, std::format("{}: unknown key '{}'{}", map.path(key), key, hint));
    }
    info.properties[name] = {text, origin};
    return {};
  }

  Result<OutputInfo> output(const YAML::Node& node, size_t index) const {
    auto map = YamlMap::read(node, file, std::format("output[{}]", index), {});
    if (!map) return forward_error(map);
    OutputInfo info;
    // Decoder and layers first: the rest is read in their light.
    if (map->find("decoder")) {
      auto decoder = map->text("decoder");
      if (!decoder) return forward_error(decoder);
      if (!is_user_decoder(*decoder)) std::ranges::replace(*decoder, '-', '_');
      // A shared object beside the description, unless the loader is to look for it.
      if (std::error_code ignored; decoder->ends_with(".so") && exists(base_dir / *decoder, ignored))
        *decoder = absolute(base_dir / *decoder, ignored).string();
      if (auto status = check_decoder(*decoder); !status) return map->fail("decoder", status.error().message);
      info.decoder = {*decoder, origin};
    }
    for (const auto& [key, value] : map->entries()) {
      if (key == "decoder") continue;
      if (key == "layer" || key == "layers" || key == "layer_name") {
        if (info.layers) return map->fail(key, "the layers are named twice");
        auto layers = map->texts(key);
        if (!layers) return forward_error(layers);
        info.layers = {*layers, origin};
      } else if (key == "attribute" || key == "attribute_name") {
        auto attribute = map->text(key);
        if (!attribute) return forward_error(attribute);
        info.attribute = {*attribute, origin};
      } else if (key == "labels") {
        auto list = labels(*map);
        if (!list) return forward_error(list);
        info.labels = {*list, origin};
      } else if (auto status = property(*map, key, info); !status) {
        return forward_error(status);
      }
    }
    return info;
  }
};

}  // namespace

Result<ModelInfo> import_yaml_node(const YAML::Node& node, const std::string& file,
                                   const std::filesystem::path& base_dir, const Origin& origin,
                                   std::span<const std::string_view> also_allowed) {
  std::vector<std::string_view> known(std::begin(document_keys), std::end(document_keys));
  known.insert(known.end(), also_allowed.begin(), also_allowed.end());
  auto map = YamlMap::read(node, file, "", known);
  if (!map) return forward_error(map);
  auto version = map->integer("sightglass_model");
  if (!version) return forward_error(version);
  if (*version != 1)
    return map->fail("sightglass_model",
                     std::format("version {} is not known; this program reads 1", *version));

  ModelInfo info;
  if (map->find("name")) {
    auto name = map->text("name");
    if (!name) return forward_error(name);
    info.name = {*name, origin};
  }
  if (map->find("task")) {
    auto task = map->text("task");
    if (!task) return forward_error(task);
    if (std::ranges::find(tasks, *task) == std::end(tasks))
      return map->fail("task", std::format("unknown value '{}'; known are {}", *task,
                                           joined(std::span<const std::string_view>(tasks))));
    info.task = {*task, origin};
  }
  const Reader reader{file, base_dir, origin};
  if (const YAML::Node* inputs = map->find("input"))
    for (const YAML::Node& item : yaml_items(*inputs)) {
      auto input = reader.input(item, info.inputs.size());
      if (!input) return forward_error(input);
      info.inputs.push_back(std::move(*input));
    }
  if (const YAML::Node* outputs = map->find("output"))
    for (const YAML::Node& item : yaml_items(*outputs)) {
      auto output = reader.output(item, info.outputs.size());
      if (!output) return forward_error(output);
      info.outputs.push_back(std::move(*output));
    }
  return info;
}

Result<ModelInfo> import_yaml(std::string_view text, const std::string& file,
                              const std::filesystem::path& base_dir, const Origin& origin) {
  auto node = parse_yaml(text, file);
  if (!node) return forward_error(node);
  return import_yaml_node(*node, file, base_dir, origin);
}

}  // namespace sightglass
