// What the flow itself costs: chains of elements that do nothing. The difference between nine and one is what
// eight elements cost.
#include <benchmark/benchmark.h>

#include "sightglass/flow/flow.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass {
namespace {

class SameFrame final : public Source {
 public:
  explicit SameFrame(benchmark::State& state) : state_(state) {}
  Result<std::vector<Format>> formats() override { return std::vector<Format>{{.media = *frame_.video}}; }
  Result<bool> read(Frame& frame, Output&) override {
    if (!state_.KeepRunning()) return false;
    frame = frame_;
    return true;
  }

 private:
  benchmark::State& state_;
  const Frame frame_ = *allocate_frame({.format = PixelFormat::nv12, .width = 640, .height = 480});
};

class Nothing final : public TransformInplace {
 public:
  Result<Verdict> process(Frame&) override { return Verdict::pass; }
};

class Passes final : public Transform {
 public:
  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    return {spec};
  }
  Status process(const Frame& frame, Output& output) override { return output.push(frame); }
};

ElementDesc desc_of(ElementKind kind) {
  return {.name = "bench", .kind = kind, .input = {{AnySpec{}}}, .output = {{AnySpec{}}}};
}

// args: elements, a queue behind each.
template <class T, ElementKind kind>
void chain(benchmark::State& state) {
  Flow flow;
  auto before = flow.add(std::make_unique<SameFrame>(state), desc_of(ElementKind::source));
  for (int64_t i = 0; i < state.range(0); ++i) {
    auto next = flow.add(std::make_unique<T>(), desc_of(kind));
    if (!flow.link(*before, *next)) return state.SkipWithError("does not link");
    before = next;
    if (!state.range(1)) continue;
    auto queue = flow.add("queue");
    if (!flow.link(*before, *queue)) return state.SkipWithError("does not link");
    before = queue;
  }
  if (auto status = flow.run(); !status) state.SkipWithError(status.error().to_string());
}

BENCHMARK(chain<Nothing, ElementKind::transform_inplace>)
    ->Name("inplace")
    ->ArgNames({"elements", "queues"})
    ->Args({1, 0})
    ->Args({9, 0})
    ->Args({1, 1})
    ->Args({3, 1})
    ->MeasureProcessCPUTime()
    ->UseRealTime();
BENCHMARK(chain<Passes, ElementKind::transform>)
    ->Name("transform")
    ->ArgNames({"elements", "queues"})
    ->Args({1, 0})
    ->Args({9, 0})
    ->MeasureProcessCPUTime()
    ->UseRealTime();

}  // namespace
}  // namespace sightglass
