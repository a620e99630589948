#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "sightglass/core/registry.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

// 160 steps of 6,625 characters, as PP-OCR gives them for a line of text.
void ctc(benchmark::State& state) {
  constexpr int64_t steps = 160, classes = 6625;
  TensorInfo info;
  info.shape = {1, steps, classes};
  Frame frame;
  frame.tensors = {allocate_tensor(info).value()};
  {
    auto mapping = map(frame.tensors[0], Access::write).value();
    auto values = mapping.as<float>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = i % classes == i / classes % 7 ? .9f : 1e-5f;
  }
  const ElementDesc* desc = find_element("tensor_postproc_ctc");
  ParamSet params(desc->params);
  std::vector<std::string> characters;
  for (int64_t i = 1; i < classes; ++i) characters.push_back("c" + std::to_string(i));
  if (!params.set("labels", characters)) return state.SkipWithError("labels");
  auto made = desc->create(params).value();
  auto& element = dynamic_cast<TransformInplace&>(*made);
  Format format;
  format.media = TensorsInfo{{info}, {}};
  if (!element.start() || !element.configure(format, format)) return state.SkipWithError("configure");
  for (auto _ : state) {
    frame.attributes = nullptr;
    benchmark::DoNotOptimize(element.process(frame));
  }
}
BENCHMARK(ctc)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass
