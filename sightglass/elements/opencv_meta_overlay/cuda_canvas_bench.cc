// The overlay on an NVIDIA GPU: time per frame of 1080p NV12 with labelled objects, of the host (fill, sort,
// upload) and until the device is done, and the bytes that go to it.
#include <benchmark/benchmark.h>

#include "sightglass/core/registry.h"
#include "sightglass/elements/opencv_meta_overlay/opencv_meta_overlay.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass {
namespace {

void draw_on_cuda(benchmark::State& state) {
  auto picture = allocate_frame({.format = PixelFormat::nv12, .width = 1920, .height = 1080});
  if (!picture) return state.SkipWithError(picture.error().message);
  auto mapped = map_to(*picture, {.form = {MemoryKind::cuda, PixelFormat::nv12}, .access = Access::read});
  if (!mapped) return state.SkipWithError(mapped.error().message);
  Frame frame = mapped->frame();
  for (int i = 0; i < state.range(0); ++i) {
    Region& region = frame.regions.emplace_back();
    region.box = {0.09f * float(i % 10) + 0.02f, 0.1f + 0.008f * float(i / 10), 0.06f, 0.15f};
    region.label = Label("person");
    region.track = i + 1;
  }
  const ElementDesc* desc = find_element("opencv_meta_overlay");
  const auto element = desc->create(ParamSet(desc->params));
  if (!(*element)->start()) return state.SkipWithError("does not start");
  auto& overlay = static_cast<TransformInplace&>(**element);
  CopyLedger::Hop& hop = CopyLedger::process().hop("overlay commands to the device");
  const auto sent = [&] {
    for (const auto& entry : CopyLedger::process().snapshot())
      if (entry.name == hop.name()) return double(entry.bytes_copied);
    return 0.0;
  };
  if (auto warm = overlay.process(frame); !warm) return state.SkipWithError(warm.error().message);
  const double before = sent();
  constexpr int frames = 50;
  for (auto _ : state) {
    for (int i = 0; i < frames; ++i)
      if (auto drawn = overlay.process(frame); !drawn) return state.SkipWithError(drawn.error().message);
    // The fence of the last is the picture's.
    auto done = map(frame.tensors[0], Access::read);
    if (!done) return state.SkipWithError(done.error().message);
  }
  const double count = double(state.iterations()) * frames;
  state.counters["us_per_frame"] =
      benchmark::Counter(count * 1e-6, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["bytes_per_frame"] = (sent() - before) / count;
}
BENCHMARK(draw_on_cuda)->Arg(10)->Arg(100)->Arg(1000)->UseRealTime()->MeasureProcessCPUTime();

}  // namespace
}  // namespace sightglass
