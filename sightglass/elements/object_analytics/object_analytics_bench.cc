#include <benchmark/benchmark.h>

#include "sightglass/core/registry.h"
#include "sightglass/elements/object_analytics/object_analytics.h"

namespace sightglass {
namespace {

// Objects that walk through four zones and across two lines.
void analytics(benchmark::State& state) {
  AnalyticsOptions options;
  for (int i = 0; i < 4; ++i) {
    const float x = 0.25f * float(i);
    options.counting.zones.push_back(
        {std::string(1, char('a' + i)), {{x, 0.2f}, {x + 0.2f, 0.2f}, {x + 0.2f, 0.9f}, {x, 0.8f}}});
  }
  options.counting.lines = {{"gate", {{0, 0.5f}, {1, 0.5f}}}, {"way", {{0.5f, 0}, {0.5f, 1}}}};
  ObjectAnalytics element(options);
  (void)element.configure({.media = VideoInfo{.width = 1920, .height = 1080}}, {});
  Frame frame;
  int n = 0;
  for (auto _ : state) {
    frame.clear();
    frame.pts = ++n * Time(40'000'000);
    for (int i = 0; i < state.range(0); ++i) {
      Region& region = frame.regions.emplace_back();
      region.box = {float((n + 17 * i) % 900) / 1000, float((n / 2 + 29 * i) % 900) / 1000, 0.05f, 0.1f};
      region.track = i + 1;
    }
    benchmark::DoNotOptimize(element.process(frame).has_value());
  }
  state.counters["objects"] = double(state.range(0));
}
BENCHMARK(analytics)->Arg(0)->Arg(10)->Arg(100)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass
