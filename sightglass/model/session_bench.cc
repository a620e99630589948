// Requests per second through a session, by the number of workers and of threads for each: yolox_nano.onnx of
// SIGHTGLASS_TEST_DATA.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <format>
#include <vector>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/session.h"

namespace sightglass {
namespace {

void requests(benchmark::State& state) {
  const char* data = std::getenv("SIGHTGLASS_TEST_DATA");
  SessionOptions options;
  options.model = std::format("{}/models/yolox_nano.onnx", data ? data : "");
  if (!data || !std::filesystem::exists(*options.model))
    return state.SkipWithMessage("no yolox_nano.onnx in SIGHTGLASS_TEST_DATA");
  const auto workers = unsigned(state.range(0)), threads = unsigned(state.range(1));
  const bool spin = state.range(2) != 0;
  options.workers = workers;
  options.config = std::format("intra_op_num_threads={},allow_spinning={}", threads, spin ? 1 : 0);
  const auto opened = open_session(options);
  if (!opened) return state.SkipWithError(opened.error().message);
  const TensorInfo picture{.type = DataType::f32, .shape = {1, 3, 416, 416}};
  const auto stream = opened->session->open_stream(std::span(&picture, 1));
  if (!stream) return state.SkipWithError(stream.error().message);

  std::vector<std::vector<Tensor>> pending(2 * workers);  // the results of the last requests
  size_t next = 0;
  for (auto _ : state) {
    std::vector<Tensor>& outputs = pending[next++ % pending.size()];
    if (!outputs.empty() && !map(outputs[0], Access::read)) return state.SkipWithError("a run failed");
    const Tensor input = tensor_in(*(*stream)->input_pool(0)->acquire(), picture);
    if (!(*stream)->submit(std::span(&input, 1), Time(next), outputs))
      return state.SkipWithError("a request was refused");
  }
  for (const auto& outputs : pending)
    if (!outputs.empty()) benchmark::DoNotOptimize(map(outputs[0], Access::read).has_value());
  state.SetItemsProcessed(state.iterations());
  state.SetLabel("ONNX Runtime " + (*engine_for(*options.model))->info()->version);
}
BENCHMARK(requests)
    ->ArgNames({"workers", "threads", "spin"})
    ->Args({1, 1, 0})
    ->Args({2, 1, 0})
    ->Args({1, 2, 1})
    ->Args({1, 2, 0})
    ->UseRealTime()
    ->MeasureProcessCPUTime()  // of all threads: what a request costs, also on a busy machine
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sightglass
