// What decoding costs per frame: outputs as real networks make them, most cells empty and some objects found
// several times.
#include <benchmark/benchmark.h>

#include <random>

#include "sightglass/elements/detection/decoder_bench_support.h"
#include "sightglass/elements/tensor_postproc_yolo/yolo_heads.h"

namespace sightglass {
namespace {

using test::background;
using test::classes;
using test::yolov5_outputs;
using test::yolov8_output;
using test::yolox_output;

void decode(benchmark::State& state, const char* name, std::vector<Tensor> outputs,
            const test::Settings& settings) {
  auto element = test::make<TransformInplace>(name, settings);
  Frame frame = test::frame_of(std::move(outputs));
  if (auto ready = test::run(*element, frame); !ready) return state.SkipWithError(ready.error().message);
  for (auto _ : state) {
    frame.regions.clear();
    if (!element->process(frame)) state.SkipWithError("failed");
  }
  state.counters["objects"] = double(frame.regions.size());
}

void yolox(benchmark::State& state) {
  decode(state, "tensor_postproc_yolo", {yolox_output(int(state.range(0)))}, {{"threshold", "0.3"}});
}
BENCHMARK(yolox)->Arg(3549)->Arg(8400)->Unit(benchmark::kMicrosecond);

void yolov8(benchmark::State& state) {
  decode(state, "tensor_postproc_yolo", {yolov8_output(int(state.range(0)))}, {{"threshold", "0.3"}});
}
BENCHMARK(yolov8)->Arg(2100)->Arg(8400)->Unit(benchmark::kMicrosecond);

void centernet(benchmark::State& state) {
  std::vector<float> rows;
  for (int i = 0; i < 100; ++i) {
    const float x = float(i % 10) * 50, y = float(i / 10) * 50;
    rows.insert(rows.end(), {x, y, x + 60, y + 60, 1 - float(i) / 100, float(i % 3)});
  }
  decode(state, "tensor_postproc_detection", {test::tensor<float>({1, 100, 6}, rows)},
         {{"threshold", "0.3"}, {"iou-threshold", "0.5"}, {"input-width", "512"}, {"input-height", "512"}});
}
BENCHMARK(centernet)->Unit(benchmark::kMicrosecond);

void yolov5_grids(benchmark::State& state) {
  decode(state, "tensor_postproc_yolo", yolov5_outputs(),
         {{"threshold", "0.3"}, {"version", "5"}, {"do-cls-softmax", "false"}});
}
BENCHMARK(yolov5_grids)->Unit(benchmark::kMicrosecond);

void yolov5_rows(benchmark::State& state) {
  constexpr int rows = 25200, columns = 5 + classes;
  std::vector<float> values = background(size_t(rows) * columns);
  for (int i = 0; i < 60; ++i) {
    float* row = values.data() + size_t(i * 37) * columns;
    row[0] = float(20 + i % 10 * 60), row[1] = float(20 + i / 10 * 90), row[2] = 40, row[3] = 60;
    row[4] = row[5 + i % 7] = .9f;
  }
  decode(state, "tensor_postproc_yolo", {test::tensor<float>({1, rows, columns}, values)},
         {{"threshold", "0.3"}, {"head", "anchor"}});
}
BENCHMARK(yolov5_rows)->Unit(benchmark::kMicrosecond);

// Ten objects of a third of the picture with masks of 32 prototypes.
void yolov8_masks(benchmark::State& state) {
  constexpr int anchors = 2100, channels = 4 + classes + 32;
  std::vector<float> values = background(size_t(anchors) * channels);
  for (int i = 0; i < 10; ++i) {
    const float box[4] = {float(60 + i * 20), 160, 100, 100};
    for (int c = 0; c < 4; ++c) values[size_t(c * anchors + i)] = box[c];
    values[size_t((4 + i) * anchors + i)] = .8f;
    for (int k = 0; k < 32; ++k) values[size_t((4 + classes + k) * anchors + i)] = k % 2 ? .5f : -.5f;
  }
  decode(state, "tensor_postproc_yolo",
         {test::tensor<float>({1, channels, anchors}, values),
          test::tensor<float>({1, 32, 80, 80}, background(32 * 80 * 80))},
         {{"threshold", "0.3"}});
}
BENCHMARK(yolov8_masks)->Unit(benchmark::kMicrosecond);

void picodet(benchmark::State& state) {
  std::vector<Tensor> outputs;
  for (const int columns : {classes, 32})
    for (const int cells : {1600, 400, 100, 25}) {
      auto values = background(size_t(cells * columns));
      for (int i = 0; columns == classes && cells == 1600 && i < 60; ++i)
        values[size_t(i * 26 * columns + i % 7)] = .8f;
      outputs.push_back(test::tensor<float>({1, cells, columns}, values));
    }
  decode(state, "tensor_postproc_gfl", std::move(outputs), {{"input-width", "320"}, {"input-height", "320"}});
}
BENCHMARK(picodet)->Unit(benchmark::kMicrosecond);

void yunet(benchmark::State& state) {
  std::vector<Tensor> outputs;
  for (const int columns : {1, 1, 4, 10})
    for (const int cells : {3840, 960, 240}) {
      auto values = background(size_t(cells * columns));
      for (int i = 0; columns == 1 && cells == 3840 && i < 10; ++i) values[size_t(i * 300)] = 1;
      outputs.push_back(test::tensor<float>({1, cells, columns}, values));
    }
  decode(state, "tensor_postproc_yunet", std::move(outputs),
         {{"input-width", "640"}, {"input-height", "384"}});
}
BENCHMARK(yunet)->Unit(benchmark::kMicrosecond);

void blazeface(benchmark::State& state) {
  std::vector<float> scores(896, -8.f), boxes(896 * 16, 0.f);
  for (int i = 0; i < 10; ++i)
    scores[size_t(i * 50)] = 3, boxes[size_t(i * 50 * 16 + 2)] = boxes[size_t(i * 50 * 16 + 3)] = 30;
  decode(state, "tensor_postproc_ssd_anchor",
         {test::tensor<float>({1, 896, 16}, boxes), test::tensor<float>({1, 896, 1}, scores)},
         {{"input-width", "128"}, {"input-height", "128"}, {"keypoints", "6"}, {"weighted-nms", "true"}});
}
BENCHMARK(blazeface)->Unit(benchmark::kMicrosecond);

void detr(benchmark::State& state) {
  std::vector<float> logits(300 * 80, -5.f), boxes(300 * 4, .2f);
  for (int i = 0; i < 20; ++i) logits[size_t(i * 80 + i)] = 2;
  auto element = test::make<TransformInplace>("tensor_postproc_detection");
  Frame frame =
      test::frame_of({test::tensor<float>({1, 300, 80}, logits), test::tensor<float>({1, 300, 4}, boxes)});
  if (auto ready = test::run(*element, frame, {"logits", "pred_boxes"}); !ready)
    return state.SkipWithError(ready.error().message);
  for (auto _ : state) {
    frame.regions.clear();
    if (!element->process(frame)) state.SkipWithError("failed");
  }
  state.counters["objects"] = double(frame.regions.size());
}
BENCHMARK(detr)->Unit(benchmark::kMicrosecond);

// Turned boxes cost more to compare.
void oriented_suppression(benchmark::State& state) {
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> place(0, 600), score(0, 1), angle(-1.5f, 1.5f);
  std::vector<Candidate> given;
  for (int i = 0; i < 1000; ++i) {
    const float x = place(random), y = place(random);
    add_candidate(
        given,
        {.x1 = x, .y1 = y, .x2 = x + 40, .y2 = y + 60, .score = score(random), .angle = angle(random)});
  }
  Suppression suppression;
  std::vector<Candidate> candidates;
  for (auto _ : state) {
    candidates = given;
    benchmark::DoNotOptimize(suppression.run(candidates, {.iou_threshold = .45f, .oriented = true}).size());
  }
}
BENCHMARK(oriented_suppression)->Unit(benchmark::kMicrosecond);

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
