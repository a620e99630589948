// The selector of the example in docs/selectors.md, for one object. At most 100 ns are asked for.
#include <benchmark/benchmark.h>

#include "sightglass/elements/selection/selector.h"

namespace sightglass {
namespace {

constexpr const char* example =
    R"({"label": "face", "track": {"state": "confirmed"},
        "any": [{"box.width": {"ge": 48}}, {"confidence": {"ge": 0.9}}],
        "not": {"region": {"zone": [[0, 0], [1, 0], [1, 0.1], [0, 0.1]]}}})";

Frame frame_with(const char* label, float width) {
  Frame frame;
  frame.video = VideoInfo{.width = 1920, .height = 1080};
  frame.regions.push_back({.id = 0,
                           .box = {0.5f, 0.5f, width, 0.2f},
                           .confidence = 0.95f,
                           .label = Label(label),
                           .model = Label("faces"),
                           .track = 7});
  return frame;
}

void run(benchmark::State& state, const Frame& frame) {
  const auto selector = Selector::parse(example);
  const SelectionContext context;
  for (auto _ : state) benchmark::DoNotOptimize(selector->matches(frame, frame.regions[0], context));
}

void selected(benchmark::State& state) { run(state, frame_with("face", 0.1f)); }
void selected_by_the_second_choice(benchmark::State& state) { run(state, frame_with("face", 0.01f)); }
void of_another_label(benchmark::State& state) { run(state, frame_with("person", 0.1f)); }

BENCHMARK(selected);
BENCHMARK(selected_by_the_second_choice);
BENCHMARK(of_another_label);

}  // namespace
}  // namespace sightglass
