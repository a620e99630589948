// Where engines may keep what they have built of a model for a device, so that the next start need not build
// it again:
//
//   const auto place = compiled_place(path, options, name(), version);     // in Engine::load()
//   if (place && exists(*place)) …                  // as it was built
//   …build; write beside it and rename              // put_compiled()
//
// The name stands for everything that the result depends on: the bytes of the model, the options, the device,
// engine and version of it. Nothing is kept unless who loads the model has said where, with a CompiledFolder
// on the same thread; modules do, see `storage.compiled`.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "sightglass/core/result.h"
#include "sightglass/model/engine.h"

namespace sightglass {

// Holds for what this thread loads, as long as it lives.
class CompiledFolder {
 public:
  explicit CompiledFolder(std::filesystem::path folder);
  ~CompiledFolder();
  CompiledFolder(const CompiledFolder&) = delete;
  CompiledFolder& operator=(const CompiledFolder&) = delete;

 private:
  std::filesystem::path before_;
};

// Reads the whole model for its checksum. `what` besides: version of engine and driver, name of the device as
// it was chosen. None: nothing is kept here. The folder need not exist.
std::optional<std::filesystem::path> compiled_place(const std::filesystem::path& model,
                                                    const LoadOptions& options, std::string_view engine,
                                                    std::string_view what);

// Whole or not at all.
Status put_compiled(const std::filesystem::path& place, std::string_view bytes);

}  // namespace sightglass
