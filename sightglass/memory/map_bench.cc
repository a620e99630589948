// What a hand-over costs: finding the way (cold), and walking one that is known and shares.
#include <benchmark/benchmark.h>

#include "sightglass/memory/map_planner.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

void plan_cold(benchmark::State& state, const char* from_text, const char* to_text) {
  const Form from = parse_form(from_text).value(), to = parse_form(to_text).value();
  (void)plan_map(from, to);  // loads the modules, asks the devices
  const auto mappers = all_mappers();
  if (auto way = find_way(mappers, from, to); !way) return state.SkipWithError(way.error().message);
  for (auto _ : state) benchmark::DoNotOptimize(find_way(mappers, from, to));
}
BENCHMARK_CAPTURE(plan_cold, share, "system:BGR", "dlpack:BGR");
BENCHMARK_CAPTURE(plan_cold, across_modules, "ffmpeg:NV12", "opencv:NV12");
BENCHMARK_CAPTURE(plan_cold, with_conversion, "gst:NV12", "opencv-umat:BGR");

void map_planned(benchmark::State& state, const char* to_text) {
  const MapTarget target{parse_form(to_text).value(), Access::read, nullptr};
  Frame frame;
  if (target.form.pixels) {
    frame = allocate_frame({.format = *target.form.pixels, .width = 1920, .height = 1080}).value();
  } else {
    frame.tensors.push_back(allocate_tensor({.shape = {1, 3, 416, 416}}).value());
  }
  auto plan = plan_map(form_of(frame), target.form);
  if (!plan) return state.SkipWithError(plan.error().message);
  if ((*plan)->copies()) return state.SkipWithError("this way copies");
  for (auto _ : state) {
    auto mapped = map_to(frame, target);
    if (!mapped) return state.SkipWithError(mapped.error().message);
    benchmark::DoNotOptimize(mapped->frame().tensors.data());
  }
}
BENCHMARK_CAPTURE(map_planned, dlpack_tensor, "dlpack:tensor");
BENCHMARK_CAPTURE(map_planned, opencv_BGR, "opencv:BGR");
BENCHMARK_CAPTURE(map_planned, ffmpeg_NV12, "ffmpeg:NV12");
BENCHMARK_CAPTURE(map_planned, gst_NV12, "gst:NV12");

}  // namespace
}  // namespace sightglass
