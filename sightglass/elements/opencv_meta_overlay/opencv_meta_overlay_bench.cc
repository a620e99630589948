#include <benchmark/benchmark.h>

#include <algorithm>

#include "sightglass/core/registry.h"
#include "sightglass/elements/opencv_meta_overlay/opencv_meta_overlay.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

enum class With { labels, masks };

// Ten labelled objects, or as many as the third number says, with a mask of 28 by 28 each or without.
void draw(benchmark::State& state, PixelFormat format, With with_what) {
  Frame frame;
  frame.video = VideoInfo{.format = format, .width = int(state.range(0)), .height = int(state.range(1))};
  for (size_t plane = 0; plane < plane_count(format); ++plane) {
    const int64_t row = int64_t(plane_width(*frame.video, plane)) * plane_layout(format, plane).pixel_bytes;
    auto tensor = allocate_tensor({.type = DataType::u8, .shape = {plane_height(*frame.video, plane), row}});
    if (!tensor) return state.SkipWithError(tensor.error().message);
    frame.tensors.push_back(*tensor);
  }
  for (int i = 0; i < state.range(2); ++i) {
    Region& region = frame.regions.emplace_back();
    region.box = {0.09f * float(i % 10) + 0.02f, 0.1f + 0.2f * float(i / 10), 0.06f, 0.15f};
    region.label = Label("person");
    region.track = i + 1;
    if (with_what == With::labels) continue;
    auto tensor = allocate_tensor({.type = DataType::f32, .shape = {28, 28}});
    if (!tensor) return state.SkipWithError(tensor.error().message);
    std::ranges::fill(map(*tensor, Access::write)->as<float>(), 1.0f);
    Attribute mask{.name = Label("mask"),
                   .kind = AttributeKind::mask,
                   .values = {region.box.x, region.box.y, region.box.w, region.box.h}};
    mask.tensor = *tensor;
    region.attributes = with({}, std::move(mask));
  }
  const ElementDesc* desc = find_element("opencv_meta_overlay");
  const auto element = desc->create(ParamSet(desc->params));
  if (!(*element)->start()) return state.SkipWithError("does not start");
  auto& overlay = static_cast<TransformInplace&>(**element);
  for (auto _ : state) benchmark::DoNotOptimize(overlay.process(frame));
}
BENCHMARK_CAPTURE(draw, I420, PixelFormat::i420, With::labels)
    ->Args({768, 576, 10})
    ->Args({1920, 1080, 10})
    ->Args({768, 576, 0});
BENCHMARK_CAPTURE(draw, NV12, PixelFormat::nv12, With::labels)->Args({768, 576, 10});
BENCHMARK_CAPTURE(draw, BGR, PixelFormat::bgr, With::labels)->Args({768, 576, 10});
BENCHMARK_CAPTURE(draw, masks, PixelFormat::nv12, With::masks)->Args({768, 576, 10});

}  // namespace
}  // namespace sightglass
