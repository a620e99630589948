// What finding boxes on an NVIDIA GPU costs per frame, from the outputs on the device to the objects with the
// CPU; its part is the column CPU. `mapped`: the same outputs brought to the CPU and decoded there.
#include <benchmark/benchmark.h>

#include <cstring>
#include <utility>

#include "sightglass/elements/detection/decoder_bench_support.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

Result<Tensor> on_device(const Tensor& tensor, const ContextRef& context) {
  Tensor there = tensor;
  auto block = allocate_cuda(context, tensor.bytes());
  if (!block) return forward_error(block);
  there.memory = *std::move(block);
  auto to = map(there, Access::write), from = map(tensor, Access::read);
  if (!to) return forward_error(to);
  if (!from) return forward_error(from);
  std::memcpy(to->data(), from->data(), tensor.bytes());
  return there;
}

void decode(benchmark::State& state, const std::vector<Tensor>& outputs, test::Settings settings,
            bool is_mapped) {
  auto context = default_context(MemoryKind::cuda);
  if (!context) return state.SkipWithMessage(context.error().message);
  std::vector<Tensor> there;
  for (const Tensor& output : outputs) {
    auto copied = on_device(output, *context);
    if (!copied) return state.SkipWithError(copied.error().message);
    there.push_back(*std::move(copied));
  }
  settings.push_back({"threshold", "0.3"});
  auto element = test::make<TransformInplace>("tensor_postproc_yolo", settings);
  Frame frame = test::frame_of(there);
  if (auto ready = test::run(*element, frame); !ready) return state.SkipWithError(ready.error().message);
  for (auto _ : state) {
    frame.regions.clear();
    if (is_mapped) {
      frame.tensors = outputs;
      for (size_t i = 0; i < there.size(); ++i)
        if (!map(there[i], Access::read)) return state.SkipWithError("not mapped");
    }
    if (!element->process(frame)) return state.SkipWithError("failed");
  }
  state.counters["objects"] = double(frame.regions.size());
}

void yolox(benchmark::State& state, bool is_mapped) {
  decode(state, {test::yolox_output(int(state.range(0)))}, {}, is_mapped);
}
void yolov8(benchmark::State& state, bool is_mapped) {
  decode(state, {test::yolov8_output(int(state.range(0)))}, {}, is_mapped);
}
void yolov5(benchmark::State& state, bool is_mapped) {
  decode(state, test::yolov5_outputs(), {{"version", "5"}, {"do-cls-softmax", "false"}}, is_mapped);
}
BENCHMARK_CAPTURE(yolox, on_device, false)
    ->Arg(3549)
    ->Arg(8400)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(yolox, mapped, true)->Arg(3549)->Arg(8400)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(yolov8, on_device, false)->Arg(8400)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(yolov8, mapped, true)->Arg(8400)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(yolov5, on_device, false)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK_CAPTURE(yolov5, mapped, true)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
}  // namespace sightglass
