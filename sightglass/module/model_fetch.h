// Models that a module names by URL (3.3): fetched once, checked, and kept in `storage.downloads`; the next
// start finds them there and needs no network.
//
//   models:
//     face:
//       url: https://models.example.com/face.onnx       # file, http, https, s3
//       sha256: 5d41…
//       auth: {token_file: secrets/token}               # or user and password_file; of s3: access_key, …
//
// The file is DOWNLOADS/<first 16 digits of its checksum>/<name in the URL>. A download that breaks off goes
// on where it was, within a start and with the next one; what has the wrong checksum is removed.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"
#include "sightglass/module/pipeline_template.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

// Of one model while it is made ready; `done` is of this step alone.
using ModelProgress = std::function<void(const Progress&)>;

// The folder; empty in the file: below the user's cache.
std::filesystem::path downloads_folder(const ModuleSpec& module);

// The file of a model with a `url`. Without `may_fetch` only what is there already.
Result<std::filesystem::path> fetch_model(const std::string& name, const ModelSpec& model,
                                          const ModuleSpec& module, bool may_fetch,
                                          const ModelProgress& progress);

}  // namespace sightglass::module
