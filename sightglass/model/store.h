// The store: what manifests name, by name, in the user's cache. Fetched once, checked against the manifest's
// checksum, converted where needed, and put in place by renaming; afterwards everything works offline and
// nothing is touched.
//
//   <cache>/models/centernet.onnx  + centernet.sightglass.yaml (its description)
//   <cache>/media/vtest.avi
//   <cache>/engines/onnxruntime/libonnxruntime.so.1
//
// All functions may be called by several threads and processes at once; fetches wait for each other.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/model/manifest.h"

namespace sightglass {

// SIGHTGLASS_CACHE, else sightglass/ in XDG_CACHE_HOME or ~/.cache. Need not exist.
std::filesystem::path cache_dir();
// The folder that holds models/ with the manifests: SIGHTGLASS_DATA_DIR, else where this program was built or
// installed.
std::filesystem::path data_dir();

// The manifests in data_dir()/models.
Result<std::vector<Manifest>> known_manifests();

// Where the files of a manifest are, or will be.
std::vector<std::filesystem::path> stored_paths(const Manifest& manifest);
// Whether all are there, and made from this very manifest.
bool is_stored(const Manifest& manifest);

// Gets what is missing; each package is downloaded once. Goes on after a failure; returns every error, none
// when all is well. `progress` is given lines for people.
using FetchProgress = std::function<void(std::string_view line)>;
std::vector<Error> fetch(std::span<const Manifest> manifests, const FetchProgress& progress = {});

// The file for what a user calls a model (or a video): the path of an existing file, else the name of a
// manifest that has been fetched.
Result<std::filesystem::path> resolve_model(std::string_view name_or_path);
Result<std::filesystem::path> resolve_media(std::string_view name_or_path);

}  // namespace sightglass
