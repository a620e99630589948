// An engine whose code lies in a module (sightglass/memory/module.h): which files it reads is known without
// it, and the module is loaded when more is asked for.
//
//   in the list of engines   static ModuleEngine torch("torch", reads_torch_file);
//   in the module            const ModuleEngineRegistration registration("torch", engine);
#pragma once

#include <filesystem>
#include <string_view>

#include "sightglass/model/engine.h"

namespace sightglass {

class ModuleEngine final : public Engine {
 public:
  using Reads = bool (*)(const std::filesystem::path& model);
  ModuleEngine(std::string_view module, Reads reads_file) : module_(module), reads_(reads_file) {}

  std::string_view name() const override { return module_; }
  bool reads(const std::filesystem::path& model) const override { return reads_(model); }
  Result<EngineInfo> info() override;
  Status check_device(std::string_view device) override;
  Result<std::unique_ptr<LoadedModel>> load(const std::filesystem::path& model,
                                            const LoadOptions& options) override;
  Result<std::vector<std::string>> devices(std::string_view pattern) override;

 private:
  Result<Engine*> loaded() const;

  const std::string_view module_;  // whose engine has the same name
  const Reads reads_;
};

struct ModuleEngineRegistration {
  ModuleEngineRegistration(std::string_view module, Engine& engine);
};

}  // namespace sightglass
