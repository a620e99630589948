#include "sightglass/elements/module_element.h"

#include <map>
#include <mutex>
#include <string>

#include "sightglass/memory/module.h"

namespace sightglass {
namespace {

struct Factories {
  std::mutex mutex;
  std::map<std::string, CreateElement, std::less<>> by_name;
};

Factories& factories() {
  static Factories& instance =
      *new Factories;  // never destroyed: modules register from their own start-up code
  return instance;
}

}  // namespace

ModuleElement::ModuleElement(std::string_view element, CreateElement create) {
  auto& all = factories();
  std::lock_guard lock(all.mutex);
  all.by_name.insert_or_assign(std::string(element), create);
}

Result<std::unique_ptr<Element>> create_in_module(std::string_view module, std::string_view element,
                                                  const ParamSet& params) {
  if (auto status = load_module(module); !status) return forward_error(status);
  CreateElement create = nullptr;
  {
    auto& all = factories();
    std::lock_guard lock(all.mutex);
    const auto found = all.by_name.find(element);
    if (found != all.by_name.end()) create = found->second;
  }
  if (!create)
    return fail(ErrorCode::internal, "the module {} has been loaded, but has no element {}", module, element);
  return create(params);
}

}  // namespace sightglass
