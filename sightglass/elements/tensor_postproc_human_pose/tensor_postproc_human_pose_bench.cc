#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "sightglass/elements/tensor_postproc_human_pose/openpose.h"

namespace sightglass {
namespace {

// Ten persons on maps of 57 x 32 cells, as OpenPose's model gives them for 456 x 256 pixels.
void openpose(benchmark::State& state) {
  constexpr int64_t w = 57, h = 32;
  std::vector<float> heat(19 * w * h), fields(38 * w * h);
  for (int person = 0; person < 10; ++person)
    for (int k = 0; k < 18; ++k) {
      const int64_t x = 2 + person * 5 + k % 3, y = 2 + k * 28 / 18;
      heat[size_t((k * h + y) * w + x)] = .9f;
      for (int64_t f = 0; f < 19; ++f) fields[size_t(((2 * f + 1) * h + y) * w + x)] = k % 2 ? .8f : -.8f;
    }
  OpenPose pose;
  for (auto _ : state) {
    int persons = 0;
    pose.run({heat, fields, h, w}, {.links = openpose_links(), .closing = 2, .points = 18},
             [&](std::span<const float>) { ++persons; });
    benchmark::DoNotOptimize(persons);
  }
}
BENCHMARK(openpose)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass
