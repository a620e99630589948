#include "sightglass/core/registry.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <utility>

namespace sightglass {
namespace {

struct Elements {
  std::shared_mutex mutex;        // plug-ins that are loaded later register while others look up
  std::deque<ElementDesc> descs;  // a deque never moves its elements
  std::map<std::string_view, const ElementDesc*> by_name;
};

// Made on first use, since registrations run before main() in any order; never destroyed, so that descriptors
// outlive everything.
Elements& elements() {
  static Elements& instance = *new Elements;
  return instance;
}

}  // namespace

Registration::Registration(ElementDesc desc) {
  Elements& all = elements();
  std::lock_guard lock(all.mutex);
  const ElementDesc& kept = all.descs.emplace_back(std::move(desc));
  // Checked in every kind of build: two elements of one name are a mistake in the sources and found at the
  // first start.
  if (kept.name.empty() || !all.by_name.emplace(kept.name, &kept).second) {
    std::fprintf(stderr, "sightglass: the element '%s' is registered twice or has no name\n",
                 kept.name.c_str());
    std::abort();
  }
}

const ElementDesc* find_element(std::string_view name) {
  Elements& all = elements();
  std::shared_lock lock(all.mutex);
  const auto found = all.by_name.find(name);
  return found == all.by_name.end() ? nullptr : found->second;
}

std::vector<const ElementDesc*> all_elements() {
  Elements& all = elements();
  std::shared_lock lock(all.mutex);
  std::vector<const ElementDesc*> list;
  list.reserve(all.by_name.size());
  for (const auto& [name, desc] : all.by_name) list.push_back(desc);
  return list;
}

}  // namespace sightglass
