#include "sightglass/adapters/adapter.h"

#include <algorithm>
#include <deque>
#include <utility>

namespace sightglass::adapters {
namespace {

// Filled before main() begins, or while a module is loaded; only read afterwards. Descriptors never move.
template <class Desc>
std::deque<Desc>& registry() {
  static std::deque<Desc> all;
  return all;
}

template <class Desc>
const Desc* find(std::string_view name) {
  const auto& all = registry<Desc>();
  const auto found = std::ranges::find(all, name, &Desc::name);
  return found == all.end() ? nullptr : &*found;
}

template <class Desc>
std::vector<const Desc*> sorted() {
  std::vector<const Desc*> all;
  for (const Desc& desc : registry<Desc>()) all.push_back(&desc);
  std::ranges::sort(all, {}, &Desc::name);
  return all;
}

}  // namespace

std::string_view to_string(SourceState state) {
  static constexpr std::string_view names[] = {"starting", "running", "blocked", "stalled", "ended"};
  return names[size_t(state)];
}

SinkRegistration::SinkRegistration(SinkDesc desc) { registry<SinkDesc>().push_back(std::move(desc)); }
SourceRegistration::SourceRegistration(SourceDesc desc) { registry<SourceDesc>().push_back(std::move(desc)); }

const SinkDesc* find_sink(std::string_view name) { return find<SinkDesc>(name); }
const SourceDesc* find_source(std::string_view name) { return find<SourceDesc>(name); }
std::vector<const SinkDesc*> all_sinks() { return sorted<SinkDesc>(); }
std::vector<const SourceDesc*> all_sources() { return sorted<SourceDesc>(); }

}  // namespace sightglass::adapters
