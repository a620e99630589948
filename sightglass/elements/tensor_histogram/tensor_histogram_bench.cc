#include <benchmark/benchmark.h>

#include "sightglass/core/registry.h"
#include "sightglass/elements/tensor_histogram/tensor_histogram.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

class Discard final : public Output {
 public:
  explicit Discard(const TensorInfo& info) : tensor_(allocate_tensor(info).value()) {}
  Status allocate(Frame& frame) override {
    frame.tensors.assign(1, tensor_);
    return {};
  }
  Status push(const Frame&) override { return {}; }
  Status gap(const Gap&) override { return {}; }

 private:
  Tensor tensor_;
};

// The histogram of one object of 64 by 64 pixels.
void histogram(benchmark::State& state) {
  const int slices = int(state.range(0));
  TensorHistogram element({.num_slices_x = slices, .num_slices_y = slices});
  TensorInfo in{.type = DataType::u8, .shape = {1, 64, 64, 3}, .layout = Layout::nhwc};
  Format format;
  format.media = TensorsInfo{{in}, {}};
  (void)element.start();
  (void)element.configure(format, {});
  Frame frame;
  frame.tensors = {allocate_tensor(in).value()};
  Discard output({.type = DataType::f32, .shape = {1, 512 * slices * slices}});
  for (auto _ : state) benchmark::DoNotOptimize(element.process(frame, output).has_value());
}
BENCHMARK(histogram)->Arg(1)->Arg(2)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass
