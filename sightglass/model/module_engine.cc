#include "sightglass/model/module_engine.h"

#include <map>
#include <mutex>

#include "sightglass/memory/module.h"

namespace sightglass {
namespace {

struct Registered {
  std::mutex mutex;
  std::map<std::string, Engine*, std::less<>> by_module;
};

Registered& registered() {
  static Registered& instance =
      *new Registered;  // never destroyed: modules register from their own start-up code
  return instance;
}

}  // namespace

ModuleEngineRegistration::ModuleEngineRegistration(std::string_view module, Engine& engine) {
  std::lock_guard lock(registered().mutex);
  registered().by_module.insert_or_assign(std::string(module), &engine);
}

Result<Engine*> ModuleEngine::loaded() const {
  if (auto status = load_module(module_); !status) return forward_error(status);
  std::lock_guard lock(registered().mutex);
  const auto found = registered().by_module.find(module_);
  if (found == registered().by_module.end())
    return fail(ErrorCode::internal, "the module {} has been loaded, but has no engine", module_);
  return found->second;
}

Result<EngineInfo> ModuleEngine::info() {
  auto engine = loaded();
  if (!engine) return forward_error(engine);
  return (*engine)->info();
}

Status ModuleEngine::check_device(std::string_view device) {
  auto engine = loaded();
  if (!engine) return forward_error(engine);
  return (*engine)->check_device(device);
}

Result<std::vector<std::string>> ModuleEngine::devices(std::string_view pattern) {
  auto engine = loaded();
  if (!engine) return forward_error(engine);
  return (*engine)->devices(pattern);
}

Result<std::unique_ptr<LoadedModel>> ModuleEngine::load(const std::filesystem::path& model,
                                                        const LoadOptions& options) {
  auto engine = loaded();
  if (!engine) return fail(engine.error().code, "{}: {}", model.string(), engine.error().message);
  return (*engine)->load(model, options);
}

}  // namespace sightglass
