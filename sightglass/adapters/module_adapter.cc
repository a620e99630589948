#include "sightglass/adapters/module_adapter.h"

#include <map>
#include <mutex>
#include <string>

#include "sightglass/memory/module.h"

namespace sightglass::adapters {
namespace {

template <class Create>
class Factories {
 public:
  // Never destroyed: modules register from their own start-up code.
  static Factories& instance() {
    static Factories& all = *new Factories;
    return all;
  }

  void add(std::string_view name, Create create) {
    const std::scoped_lock lock(mutex_);
    by_name_.insert_or_assign(std::string(name), create);
  }

  Result<Create> find(std::string_view module, std::string_view name) {
    if (auto loaded = load_module(module); !loaded) return forward_error(loaded);
    const std::scoped_lock lock(mutex_);
    const auto found = by_name_.find(name);
    if (found == by_name_.end())
      return fail(ErrorCode::internal, "the module {} has been loaded, but has no adapter {}", module, name);
    return found->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Create, std::less<>> by_name_;
};

}  // namespace

ModuleSink::ModuleSink(std::string_view sink, CreateSink create) {
  Factories<CreateSink>::instance().add(sink, create);
}
ModuleSource::ModuleSource(std::string_view source, CreateSource create) {
  Factories<CreateSource>::instance().add(source, create);
}

Result<CreateSink> sink_in_module(std::string_view module, std::string_view sink) {
  return Factories<CreateSink>::instance().find(module, sink);
}
Result<CreateSource> source_in_module(std::string_view module, std::string_view source) {
  return Factories<CreateSource>::instance().find(module, source);
}

}  // namespace sightglass::adapters
