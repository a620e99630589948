#include "sightglass/memory/map_planner.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace sightglass {
namespace {

// Forms are numbered, so that the search needs arrays only.
constexpr size_t formats_and_none = std::to_underlying(PixelFormat::gray16) + 2;
constexpr size_t form_count = memory_kinds * formats_and_none;

size_t index_of(const Form& form) {
  const size_t pixels = form.pixels ? std::to_underlying(*form.pixels) + 1u : 0u;
  return std::to_underlying(form.memory) * formats_and_none + pixels;
}

Form form_at(size_t index) {
  Form form{MemoryKind(index / formats_and_none), {}};
  if (const size_t pixels = index % formats_and_none) form.pixels = PixelFormat(pixels - 1);
  return form;
}

// Bytes per pixel, so that a way that copies late, in a smaller format, wins.
double size_of_pixel(const Form& form) {
  if (!form.pixels) return 1;
  double bytes = 0;
  for (size_t plane = 0; plane < plane_count(*form.pixels); ++plane) {
    const PlaneLayout layout = plane_layout(*form.pixels, plane);
    bytes += double(layout.pixel_bytes) / (1 << (layout.shift_x + layout.shift_y));
  }
  return bytes;
}

// Of two ways that copy the same the one with fewer hand-overs is taken.
constexpr double cost_of_step = 1e-3;
// A conversion loses something, so that one is better than two that are cheaper.
constexpr double cost_of_conversion = 1e3;

// What can be reached from one form, and over which step.
struct Reached {
  std::array<double, form_count> cost;
  std::array<const Mapper*, form_count> mapper{};
  std::array<Edge, form_count> edge{};
  std::array<uint16_t, form_count> before{};
  std::array<bool, form_count> done{};

  bool has(size_t form) const { return cost[form] < std::numeric_limits<double>::infinity(); }
};

using Mappers = std::vector<const Mapper*>;

// Dijkstra, until `to` is reached; none: everything.
void search(const Mappers& mappers, const Form& from, std::optional<size_t> to, Reached& reached) {
  reached.cost.fill(std::numeric_limits<double>::infinity());
  reached.cost[index_of(from)] = 0;
  std::vector<size_t> open{index_of(from)};
  std::vector<Edge> edges;
  while (!open.empty()) {
    const auto nearest = std::ranges::min_element(open, {}, [&](size_t form) { return reached.cost[form]; });
    const size_t current = *nearest;
    *nearest = open.back();
    open.pop_back();
    reached.done[current] = true;
    if (current == to) return;
    const Form form = form_at(current);
    for (const Mapper* mapper : mappers) {
      edges.clear();
      mapper->edges(form, edges);
      for (const Edge& edge : edges) {
        const size_t next = index_of(edge.to);
        const double bytes = std::max(size_of_pixel(form), size_of_pixel(edge.to));
        const double cost = reached.cost[current] + edge.cost_per_byte * bytes + cost_of_step +
                            (edge.to.pixels == form.pixels ? 0 : cost_of_conversion);
        if (reached.done[next] || cost >= reached.cost[next]) continue;
        if (!reached.has(next)) open.push_back(next);
        reached.cost[next] = cost;
        reached.mapper[next] = mapper;
        reached.edge[next] = edge;
        reached.before[next] = uint16_t(current);
      }
    }
  }
}

// Every form from which `to` can be made.
std::array<bool, form_count> leading_to(const Mappers& mappers, const Form& to) {
  std::array<std::vector<uint16_t>, form_count> before;
  std::vector<Edge> edges;
  for (size_t form = 0; form < form_count; ++form) {
    for (const Mapper* mapper : mappers) {
      edges.clear();
      mapper->edges(form_at(form), edges);
      for (const Edge& edge : edges) before[index_of(edge.to)].push_back(uint16_t(form));
    }
  }
  std::array<bool, form_count> leads{};
  std::vector<size_t> open{index_of(to)};
  leads[index_of(to)] = true;
  while (!open.empty()) {
    const size_t current = open.back();
    open.pop_back();
    for (const uint16_t form : before[current]) {
      if (std::exchange(leads[form], true)) continue;
      open.push_back(form);
    }
  }
  return leads;
}

MapPlan plan_of(const Form& from, const Form& to, const Reached& reached) {
  MapPlan plan{.from = from};
  for (size_t form = index_of(to); form != index_of(from); form = reached.before[form])
    plan.steps.push_back({reached.mapper[form], form_at(reached.before[form]), reached.edge[form]});
  std::ranges::reverse(plan.steps);
  return plan;
}

// What one would have to add: a step from where one gets to where the goal can be reached from. The nearest
// three, those that change one thing only first.
std::string missing_steps(const Mappers& mappers, const Form& from, const Form& to) {
  Reached reached;
  search(mappers, from, {}, reached);
  const auto leads = leading_to(mappers, to);
  struct Gap {
    double cost;
    size_t from, to;
  };
  std::vector<Gap> gaps;
  for (size_t here = 0; here < form_count; ++here) {
    if (!reached.has(here)) continue;
    for (size_t there = 0; there < form_count; ++there) {
      if (!leads[there]) continue;
      const Form a = form_at(here), b = form_at(there);
      const bool same_memory = a.memory == b.memory, same_pixels = a.pixels == b.pixels;
      // What is neither the start nor the goal has to be on the way for a reason.
      const double detour = reached.cost[here] + (there == index_of(to) ? 0 : 0.5);
      gaps.push_back({detour + (same_memory || same_pixels ? 0 : 100), here, there});
    }
  }
  std::ranges::stable_sort(gaps, {}, &Gap::cost);
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(3, gaps.size()); ++i)
    text += std::format("{}{} to {}", i ? ", or " : "", to_string(form_at(gaps[i].from)),
                        to_string(form_at(gaps[i].to)));
  return text;
}

}  // namespace

Result<MapPlan> find_way(Mappers mappers, const Form& from, const Form& to) {
  if (from == to) return MapPlan{.from = from};
  std::string unusable;
  while (true) {
    Reached reached;
    search(mappers, from, index_of(to), reached);
    if (!reached.has(index_of(to))) break;
    MapPlan plan = plan_of(from, to, reached);
    // Asking is dear (a driver may have to be loaded), so only the mappers on the way are asked.
    const Mapper* lacking = nullptr;
    for (const auto& step : plan.steps) {
      auto status = step.mapper->available();
      if (status) continue;
      lacking = step.mapper;
      unusable += std::format("{}{} is not usable here: {}", unusable.empty() ? "" : "; ",
                              step.mapper->name(), status.error().message);
      break;
    }
    if (!lacking) return plan;
    std::erase(mappers, lacking);
  }
  if (!unusable.empty())
    return fail(ErrorCode::unavailable, "no way from {} to {}: {}", to_string(from), to_string(to), unusable);
  return fail(ErrorCode::not_negotiated, "no way from {} to {}: nothing leads from {}", to_string(from),
              to_string(to), missing_steps(mappers, from, to));
}

}  // namespace sightglass
