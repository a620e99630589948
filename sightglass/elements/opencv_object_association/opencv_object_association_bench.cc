#include <benchmark/benchmark.h>

#include <vector>

#include "sightglass/elements/opencv_object_association/tracker.h"

namespace sightglass {
namespace {

// A crowd that walks to and fro; every seventh object is missed in each frame.
void track_crowd(benchmark::State& state) {
  const int objects = int(state.range(0));
  Tracker tracker({.max_age = 20, .min_hits = 1});
  std::vector<Detection> detections;
  int frame = 0;
  for (auto _ : state) {
    detections.clear();
    for (int i = 0; i < objects; ++i) {
      if ((i + frame) % 7 == 0) continue;
      const float walk =
          float((frame + i * 13) % 200 < 100 ? (frame + i * 13) % 100 : 100 - (frame + i * 13) % 100);
      detections.push_back(
          {{float(i % 20) * 38 + walk, float(i / 20) * 90 + walk / 3, 30, 75}, 0.9f, {}, {}});
    }
    benchmark::DoNotOptimize(tracker.update(detections, 0.04f, {0, 0, 1920, 1080}).data());
    ++frame;
  }
  state.counters["objects"] = objects;
}
BENCHMARK(track_crowd)->Arg(10)->Arg(50)->Arg(200)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass
