// What decoding costs per frame: outputs as real networks make them, most cells empty and some objects found
// several times.
#include <benchmark/benchmark.h>

#include <random>

#include "sightglass/elements/element_test_support.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_heads.h"

namespace sightglass {
namespace {

constexpr int classes = 80;

// Scores of empty cells, close to 0 but not quite.
std::vector<float> background(size_t count) {
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> score(0, .01f);
  std::vector<float> values(count);
  for (float& value : values) value = score(random);
  return values;
}

Tensor yolox_output(int cells) {
  std::vector<float> values = background(size_t(cells) * (5 + classes));
  for (int i = 0; i < 60; ++i) {
    float* row = values.data() + size_t(i * 37 % cells) * (5 + classes);
    row[2] = row[3] = 1.5f;
    row[4] = .9f;
    row[5 + i % 7] = .9f;
  }
  return test::tensor<float>({1, cells, 5 + classes}, values);
}

Tensor yolov8_output(int anchors) {
  std::vector<float> values = background(size_t(anchors) * (4 + classes));
  for (int i = 0; i < 60; ++i) {
    const int at = i * 37 % anchors;
    const float box[4] = {float(20 + i % 10 * 30), float(20 + i / 10 * 40), 40, 60};
    for (int c = 0; c < 4; ++c) values[size_t(c * anchors + at)] = box[c];
    values[size_t((4 + i % 7) * anchors + at)] = .8f;
  }
  return test::tensor<float>({1, 4 + classes, anchors}, values);
}

void decode(benchmark::State& state, const char* name, const Tensor& output, const test::Settings& settings) {
  auto element = test::make<TransformInplace>(name, settings);
  Frame frame = test::frame_of({output});
  if (auto ready = test::run(*element, frame); !ready) return state.SkipWithError(ready.error().message);
  for (auto _ : state) {
    frame.regions.clear();
    if (!element->process(frame)) state.SkipWithError("failed");
  }
  state.counters["objects"] = double(frame.regions.size());
}

void yolox(benchmark::State& state) {
  decode(state, "tensor_postproc_yolo", yolox_output(int(state.range(0))), {{"threshold", "0.3"}});
}
BENCHMARK(yolox)->Arg(3549)->Arg(8400)->Unit(benchmark::kMicrosecond);

void yolov8(benchmark::State& state) {
  decode(state, "tensor_postproc_yolo", yolov8_output(int(state.range(0))), {{"threshold", "0.3"}});
}
BENCHMARK(yolov8)->Arg(2100)->Arg(8400)->Unit(benchmark::kMicrosecond);

void centernet(benchmark::State& state) {
  std::vector<float> rows;
  for (int i = 0; i < 100; ++i) {
    const float x = float(i % 10) * 50, y = float(i / 10) * 50;
    rows.insert(rows.end(), {x, y, x + 60, y + 60, 1 - float(i) / 100, float(i % 3)});
  }
  decode(state, "tensor_postproc_detection", test::tensor<float>({1, 100, 6}, rows),
         {{"threshold", "0.3"}, {"iou-threshold", "0.5"}, {"input-width", "512"}, {"input-height", "512"}});
}
BENCHMARK(centernet)->Unit(benchmark::kMicrosecond);

// Greedy suppression of so many candidates, of which about a third stay.
void suppression(benchmark::State& state) {
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> place(0, 600), score(0, 1);
  std::vector<Candidate> given;
  for (int i = 0; i < int(state.range(0)); ++i) {
    const float x = place(random), y = place(random);
    add_candidate(given, {x, y, x + 40, y + 60, score(random), i % 10});
  }
  Suppression suppression;
  std::vector<Candidate> candidates;
  size_t kept = 0;
  for (auto _ : state) {
    candidates = given;
    kept = suppression.run(candidates, {.iou_threshold = .45f}).size();
  }
  state.counters["kept"] = double(kept);
}
BENCHMARK(suppression)->Arg(100)->Arg(1000)->Arg(8400)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sightglass
