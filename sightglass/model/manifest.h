// Manifests: where a model, a sample video or an engine comes from, which bytes are the right ones, and, for
// a model, its description. One YAML file each in the folder models/ of the data folder:
//
//   sightglass_manifest: 1
//   name: centernet                    # the file is centernet.yaml
//   kind: model                        # model, media, engine
//   title: objects of 80 kinds
//   licence: MIT
//   package: {npm: NAME, version: X}   # or {debian: NAME}: any version whose file has the checksum
//   files:
//     - {path: models/centernet.json, sha256: …}   # `arch: x86_64` for one machine only, `as: NAME` to
//     rename;
//                                                  # of a model, the first is the model, others lists of
//                                                  labels
//   convert: {tfjs: models/centernet.json, outputs: [a, b]}
//   description: {sightglass_model: 1, …}
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass {

enum class ManifestKind : uint8_t { model, media, engine };
std::string_view to_string(ManifestKind kind);

struct PackageName {
  enum class Registry : uint8_t { npm, debian } registry = Registry::npm;
  std::string name, version;  // no version for Debian's
  bool operator==(const PackageName&) const = default;
  std::string to_string() const;  // "npm NAME@VERSION"
};

struct ManifestFile {
  std::string path;    // inside the package, without its top folder
  std::string sha256;  // of the file as it is in the package
  std::string name;    // in the cache
};

struct TfjsConversion {
  std::string graph;                 // path of the JSON file, one of the manifest's
  std::vector<std::string> outputs;  // empty: every node that nobody consumes
};

struct Manifest {
  std::string name;
  ManifestKind kind = ManifestKind::model;
  std::string title, licence;
  PackageName package;
  std::vector<ManifestFile> files;  // those for this machine
  std::optional<TfjsConversion> convert;
  std::string description;  // neutral YAML; empty: none
};

// `file` is the name in messages; its stem has to be the manifest's name.
Result<Manifest> parse_manifest(std::string_view text, const std::filesystem::path& file);
// All of a folder, by name. A manifest that is wrong is an error.
Result<std::vector<Manifest>> load_manifests(const std::filesystem::path& folder);

}  // namespace sightglass
