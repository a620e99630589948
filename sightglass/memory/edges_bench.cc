// A line for every edge that works here, with a picture of 1920x1080 in NV12: what the hand-over itself
// costs, bytes copied included, fences waited for. What shares is told from what copies by the counter
// `bytes`.
#include <benchmark/benchmark.h>

#include <string>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/module.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass {
namespace {

constexpr PixelFormat format = PixelFormat::nv12;

void cross(benchmark::State& state, const Mapper& mapper, const Form& from, const Edge& edge) {
  auto start = allocate_frame({.format = format, .width = 1920, .height = 1080});
  if (!start) return state.SkipWithError(start.error().message);
  auto brought = map_to(*start, {.form = from});
  if (!brought) return state.SkipWithError(brought.error().message);
  for (auto _ : state) {
    Frame mapped;
    if (auto status = mapper.map(brought->frame(), {.form = edge.to}, mapped); !status)
      return state.SkipWithError(status.error().message);
    benchmark::DoNotOptimize(mapped.tensors.data());
  }
  state.counters["bytes"] = edge.cost_per_byte > 0 ? double(content_bytes(*start)) : 0;
}

// Registered before main() runs the benchmarks that it finds.
const bool registered = [] {
  for (std::string_view name : known_modules())
    if (module_is_installed(name)) (void)load_module(name);
  for (const Mapper* mapper : all_mappers()) {
    if (!mapper->available()) continue;
    for (size_t kind = 0; kind < memory_kinds; ++kind) {
      const Form from{MemoryKind(kind), format};
      std::vector<Edge> edges;
      mapper->edges(from, edges);
      for (const Edge& edge : edges) {
        if (edge.to.pixels != format) continue;
        const std::string name =
            std::format("edge/{}_to_{}/{}", to_string(from.memory), to_string(edge.to.memory),
                        edge.cost_per_byte > 0 ? "copy" : "shared");
        benchmark::RegisterBenchmark(
            name, [mapper, from, edge](benchmark::State& state) { cross(state, *mapper, from, edge); });
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace sightglass
