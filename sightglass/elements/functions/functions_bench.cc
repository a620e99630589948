#include <benchmark/benchmark.h>

#include <random>

#include "sightglass/elements/functions/crops.h"
#include "sightglass/elements/functions/objects.h"

namespace sightglass {
namespace {

std::vector<Region> objects(int count) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> place(0, 0.9f), size(0.02f, 0.2f), angle(-3, 3), score(0, 1);
  std::vector<Region> regions(static_cast<size_t>(count));
  for (Region& region : regions) {
    region.box = {place(random), place(random), size(random), size(random)};
    region.angle = angle(random);
    region.confidence = score(random);
  }
  return regions;
}

template <class Run>
void of_objects(benchmark::State& state, Run run) {
  const auto regions = objects(int(state.range(0)));
  Chosen all, chosen;
  for (uint32_t i = 0; i < regions.size(); ++i) all.push_back(i);
  for (auto _ : state) {
    chosen.assign(all.begin(), all.end());
    run(regions, chosen);
    benchmark::DoNotOptimize(chosen.data());
  }
}
void plain_nms(benchmark::State& state) {
  of_objects(state, [](const auto& regions, Chosen& chosen) { nms(regions, chosen, {}); });
}
void rotated_nms(benchmark::State& state) {
  of_objects(state,
             [](const auto& regions, Chosen& chosen) { nms_rotated(regions, chosen, {}, {1920, 1080}); });
}
void face_of_112(benchmark::State& state) {
  std::vector<uint8_t> picture(1920 * 1080 * 3, 77), face(112 * 112 * 3);
  const auto turn = align_face_5pt(
      std::vector<Pixel>{{800, 400}, {880, 410}, {838, 450}, {805, 500}, {870, 505}}, 112, 112);
  for (auto _ : state) {
    warp({picture.data(), 1920 * 3, 1920, 1080, 3}, *turn, {face.data(), 112 * 3, 112, 112, 3});
    benchmark::DoNotOptimize(face.data());
  }
}

BENCHMARK(plain_nms)->Arg(20)->Arg(300);
BENCHMARK(rotated_nms)->Arg(20)->Arg(300);
BENCHMARK(face_of_112);

}  // namespace
}  // namespace sightglass
