// What a function costs per frame: a C++ one, and Python in a worker and in this process, without and with
// the picture (1080p, NV12), with ten objects.
#include <benchmark/benchmark.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/module/function.h"

namespace sightglass::module {
namespace {

constexpr const char* script = R"(
import sightglass

class NoPixels(sightglass.Function):
    pixels = False
    def process(self, frame): pass

class Pixels(sightglass.Function):
    def process(self, frame): pass

class Objects(sightglass.Function):
    pixels = False
    def process(self, frame):
        for o in frame.objects:
            o.confidence = 0.5
)";

void run(benchmark::State& state, const FunctionSpec& spec) {
  auto element = load_function(spec, {.element = "bench", .budget = 1'000'000'000});
  if (!element) return state.SkipWithError(element.error().message.c_str());
  auto stream = (*element)->open_stream({.source_id = "cam-1"}, nullptr);
  Frame frame = *allocate_frame({.format = PixelFormat::nv12, .width = 1920, .height = 1080});
  for (const Tensor& plane : frame.tensors)
    if (auto mapping = map(plane, Access::write)) std::memset(mapping->data(), 100, mapping->bytes());
  for (int i = 0; i < 10; ++i) {
    frame.regions.push_back(
        {.id = i, .box = {0.1f, 0.1f, 0.1f, 0.1f}, .confidence = 0.9f, .label = Label("face")});
    frame.regions.back().attributes =
        with(nullptr, {.name = Label("mood"), .kind = AttributeKind::classification, .text = "happy"});
  }
  for (auto _ : state) {
    auto verdict = (*stream)->process(frame, {});
    benchmark::DoNotOptimize(verdict);
  }
  if ((*element)->counters().errors > 0) state.SkipWithError((*element)->counters().last_error.c_str());
}

void python(benchmark::State& state, const char* symbol, const char* isolation) {
  const std::string file = std::filesystem::temp_directory_path() / "sightglass_function_bench.py";
  std::ofstream(file) << script;
  run(state, {.path = file, .symbol = symbol, .isolation = isolation});
}
void cpp(benchmark::State& state) { run(state, {.language = "cpp", .path = SIGHTGLASS_OTHER_FUNCTION}); }

BENCHMARK(cpp);
BENCHMARK_CAPTURE(python, worker_without_pixels, "NoPixels", "process");
BENCHMARK_CAPTURE(python, worker_changing_objects, "Objects", "process");
BENCHMARK_CAPTURE(python, worker_with_1080p, "Pixels", "process");
BENCHMARK_CAPTURE(python, inline_without_pixels, "NoPixels", "inline");
BENCHMARK_CAPTURE(python, inline_with_1080p, "Pixels", "inline");

}  // namespace
}  // namespace sightglass::module
