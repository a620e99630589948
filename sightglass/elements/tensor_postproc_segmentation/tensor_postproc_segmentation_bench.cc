#include <benchmark/benchmark.h>

#include <vector>

#include "sightglass/core/registry.h"
#include "sightglass/elements/tensor_postproc_segmentation/blobs.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

// 40 lines of text on a map of 960 x 960 cells.
void text_boxes(benchmark::State& state) {
  constexpr int64_t side = 960;
  std::vector<float> map(side * side);
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x)
      if (y % 24 < 10 && x % 200 > 6 && x > 40) map[size_t(y * side + x)] = .8f;
  BlobFinder finder;
  for (auto _ : state) benchmark::DoNotOptimize(finder.run(map, side, side, .3f).size());
}
BENCHMARK(text_boxes)->Unit(benchmark::kMicrosecond);

// 21 classes on a map of 128 x 128 cells.
void class_map(benchmark::State& state) {
  TensorInfo info;
  info.shape = {1, 21, 128, 128};
  Frame frame;
  frame.tensors = {allocate_tensor(info).value()};
  {
    auto mapping = map(frame.tensors[0], Access::write).value();
    const auto values = mapping.as<float>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = float(i * 2654435761u % 1000);
  }
  const ElementDesc* desc = find_element("tensor_postproc_segmentation");
  auto made = desc->create(ParamSet(desc->params)).value();
  auto& element = dynamic_cast<TransformInplace&>(*made);
  Format format;
  format.media = TensorsInfo{{info}, {}};
  if (!element.start() || !element.configure(format, format)) return state.SkipWithError("configure");
  for (auto _ : state) {
    frame.attributes = nullptr;
    benchmark::DoNotOptimize(element.process(frame));
  }
}
BENCHMARK(class_map)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass
