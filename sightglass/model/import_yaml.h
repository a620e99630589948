// The neutral YAML importer for documents that are part of a larger one: a manifest's `description`, an entry
// of a module's `models`. Private to those who read YAML, since it shows yaml-cpp's types.
#pragma once

#include <span>

#include "sightglass/model/description.h"
#include "sightglass/model/yaml_map.h"

namespace sightglass {

// `also_allowed`: keys of the larger document that are left alone ("path", "sha256", …).
Result<ModelInfo> import_yaml_node(const YAML::Node& node, const std::string& file,
                                   const std::filesystem::path& base_dir, const Origin& origin,
                                   std::span<const std::string_view> also_allowed = {});

}  // namespace sightglass
