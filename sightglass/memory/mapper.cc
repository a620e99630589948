#include "sightglass/memory/mapper.h"

#include <mutex>
#include <shared_mutex>

namespace sightglass {
namespace {

struct Mappers {
  std::shared_mutex mutex;  // modules that are loaded later register while others plan
  std::vector<std::unique_ptr<Mapper>> all;
};

Mappers& mappers() {
  static Mappers& instance = *new Mappers;  // never destroyed: mappings may outlive main()
  return instance;
}

}  // namespace

Status Mapper::write_back(const Frame&, const Frame&) const {
  return fail(ErrorCode::internal, "{} copies, but cannot copy back", name());
}

MapperRegistration::MapperRegistration(std::unique_ptr<Mapper> mapper) {
  Mappers& registered = mappers();
  std::lock_guard lock(registered.mutex);
  registered.all.push_back(std::move(mapper));
}

std::vector<const Mapper*> all_mappers() {
  Mappers& registered = mappers();
  std::shared_lock lock(registered.mutex);
  std::vector<const Mapper*> list;
  list.reserve(registered.all.size());
  for (const auto& mapper : registered.all) list.push_back(mapper.get());
  return list;
}

}  // namespace sightglass
