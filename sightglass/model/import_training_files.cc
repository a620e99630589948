// Which files beside a model are asked, and by which names tools write them.
#include <filesystem>

#include "sightglass/model/importers.h"
#include "sightglass/model/yaml_map.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// Values as texts that read as YAML again, as the same keys have them inside a model.
Result<std::map<std::string, std::string>> flat(std::string_view text, const std::string& file) {
  auto node = parse_yaml(text, file);
  if (!node) return forward_error(node);
  std::map<std::string, std::string> keys;
  if (!node->IsMap()) return keys;
  for (const auto& entry : *node) {
    if (!entry.first.IsScalar()) continue;
    keys[entry.first.Scalar()] = entry.second.IsScalar() ? entry.second.Scalar() : YAML::Dump(entry.second);
  }
  return keys;
}

}  // namespace

std::vector<ModelInfo> import_training_files(const fs::path& model, const ModelSignature& signature) {
  std::vector<ModelInfo> found;
  std::vector<std::string> warnings;
  // Models for JavaScript lie in a folder of their own below the files that describe them.
  std::vector<fs::path> folders = {model.parent_path()};
  if (model.parent_path().filename() == "onnx") folders.push_back(model.parent_path().parent_path());
  const auto read = [&](const char* name) -> std::string {
    for (const fs::path& folder : folders) {
      std::error_code error;
      if (!fs::exists(folder / name, error)) continue;
      auto text = read_description(folder / name);
      if (text) return std::move(*text);
      warnings.push_back(text.error().message);
    }
    return {};
  };
  const auto origin = [](const char* file, const char* tool) {
    return Origin{OriginKind::training_files, std::format("{} ({})", file, tool)};
  };
  const auto add = [&](Result<ModelInfo> info) {
    if (info)
      found.push_back(std::move(*info));
    else
      warnings.push_back(info.error().message + "; it is left out");
  };

  if (const std::string text = read("metadata.yaml"); !text.empty()) {
    auto keys = flat(text, "metadata.yaml");
    if (keys)
      add(import_ultralytics(*keys, signature, origin("metadata.yaml", "Ultralytics")));
    else
      warnings.push_back(keys.error().message + "; it is left out");
  }
  const std::string config = read("config.json"), preprocessor = read("preprocessor_config.json");
  if (!config.empty() || !preprocessor.empty())
    add(import_huggingface(config, preprocessor,
                           origin(preprocessor.empty() ? "config.json"
                                  : config.empty()     ? "preprocessor_config.json"
                                                       : "config.json and preprocessor_config.json",
                                  "HuggingFace")));
  if (!config.empty() && config.find("\"architecture\"") != std::string::npos)
    add(import_timm(config, origin("config.json", "timm")));
  if (const std::string text = read("inference.yml"); !text.empty())
    add(import_paddle(text, "inference.yml", origin("inference.yml", "PaddleOCR")));

  if (!warnings.empty()) found.emplace_back().warnings = std::move(warnings);
  return found;
}

}  // namespace sightglass
