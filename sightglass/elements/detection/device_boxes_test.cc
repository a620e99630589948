// Decoders on outputs in CUDA memory find what they find on the CPU. Where there is no device the driver of
// tests/cuda stands for one, and the kernels are emulated.
#include "sightglass/elements/detection/device_boxes.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <format>
#include <random>

#include "sightglass/memory/cuda/cuda_emulation.h"
// After what it is emulated with.
#include "sightglass/elements/detection/cuda_boxes.cu"
#include "sightglass/elements/detection/decoder_bad_input.h"
#include "sightglass/elements/detection/decoder_test_support.h"
#include "sightglass/flow/flow.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/device_bytes.h"
#include "sightglass/memory/system/system_memory.h"
#include "tests/cuda/driver_double.h"

namespace sightglass {
namespace {

using test::cuda_double;
using test::Settings;
using testing::HasSubstr;

template <void (*kernel)(cuda::BoxTask)>
void emulate(const unsigned (&grid)[3], const unsigned (&block)[3], const void* argument) {
  auto task = *static_cast<const cuda::BoxTask*>(argument);
  for (cuda::BoxLevel& level : task.level)
    for (const void*& values : level.values) values = test::host_address(values);
  task.keys = test::host_address(task.keys), task.classes_found = test::host_address(task.classes_found);
  task.kept = test::host_address(task.kept), task.counters = test::host_address(task.counters);
  cuda_emulation::launch({grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, kernel, task);
}

class DeviceBoxesTest : public testing::Test {
 protected:
  static bool is_emulated() { return cuda_double().set_kernel != nullptr; }
  static void SetUpTestSuite() {
    if (!is_emulated()) return;
    cuda_double().set_kernel("boxes_f32", emulate<boxes_f32>);
    cuda_double().set_kernel("boxes_f16", emulate<boxes_f16>);
  }
  void SetUp() override {
    auto opened = default_context(MemoryKind::cuda);
    if (!opened) GTEST_SKIP() << opened.error().message;
    context_ = *opened;
  }
  void TearDown() override {
    if (is_emulated()) cuda_double().heal();
  }

  Tensor on_device(const Tensor& tensor) const {
    Tensor there = tensor;
    const size_t bytes = tensor.bytes();
    there.memory = allocate_cuda(context_, std::max<size_t>(bytes, 1)).value();
    if (bytes > 0) {
      auto to = map(there, Access::write).value();
      std::memcpy(to.data(), map(tensor, Access::read)->data(), bytes);
    }
    return there;
  }
  std::vector<Tensor> on_device(const std::vector<Tensor>& tensors) const {
    std::vector<Tensor> there;
    for (const Tensor& tensor : tensors) there.push_back(on_device(tensor));
    return there;
  }

  static void expect_near(float a, float b) {
    EXPECT_TRUE(a == b || std::abs(a - b) <= 1e-5f * std::max({1.f, std::abs(a), std::abs(b)}))
        << a << " and " << b;
  }
  static void expect_same(const test::Decoded& there, const test::Decoded& here) {
    EXPECT_EQ(there.error, here.error);
    ASSERT_EQ(there.frame.regions.size(), here.frame.regions.size());
    for (size_t i = 0; i < here.frame.regions.size(); ++i) {
      SCOPED_TRACE(std::format("region {}", i));
      const Region &a = there.frame.regions[i], &b = here.frame.regions[i];
      EXPECT_EQ(a.label_id, b.label_id);
      expect_near(a.confidence, b.confidence);
      expect_near(a.box.x, b.box.x), expect_near(a.box.y, b.box.y);
      expect_near(a.box.w, b.box.w), expect_near(a.box.h, b.box.h);
      expect_near(a.angle, b.angle);
      ASSERT_EQ(bool(a.attributes), bool(b.attributes));
      if (!a.attributes) continue;
      ASSERT_EQ(a.attributes->items().size(), b.attributes->items().size());
      for (size_t k = 0; k < b.attributes->items().size(); ++k) {
        const Attribute &one = a.attributes->items()[k], &other = b.attributes->items()[k];
        EXPECT_EQ(one.name, other.name);
        ASSERT_EQ(one.values.size(), other.values.size());
        for (size_t v = 0; v < one.values.size(); ++v) expect_near(one.values[v], other.values[v]);
        if (!one.tensor.memory) continue;
        const auto mask = test::values_of<float>(one.tensor), wanted = test::values_of<float>(other.tensor);
        ASSERT_EQ(mask.size(), wanted.size());
        for (size_t v = 0; v < mask.size(); ++v) expect_near(mask[v], wanted[v]);
      }
    }
  }
  // How many objects there are.
  size_t compare(std::string_view element, const std::vector<Tensor>& outputs, const Settings& settings,
                 int batch_index = 0) const {
    const auto here = test::decode(element, outputs, settings, batch_index);
    expect_same(test::decode(element, on_device(outputs), settings, batch_index), here);
    return here.frame.regions.size();
  }

  ContextRef context_;
};

// Noise with an object here and there, whose box lies on those of its neighbours.
class Noise {
 public:
  explicit Noise(unsigned seed) : random_(seed) {}
  float in(float low, float high) { return std::uniform_real_distribution<float>(low, high)(random_); }
  bool one_in(int n) { return std::uniform_int_distribution<int>(1, n)(random_) == 1; }

  // [1, channels, boxes] or [1, boxes, channels] of boxes in pixels of a `size`² input; behind the classes
  // angles, points, weights.
  std::vector<float> rows(int boxes, int channels, int classes, bool columns_first, bool has_objectness,
                          float size) {
    std::vector<float> values(size_t(boxes) * size_t(channels));
    for (int i = 0; i < boxes; ++i)
      for (int c = 0; c < channels; ++c) {
        const int first_class = has_objectness ? 5 : 4;
        float value = c < 2                        ? in(0, size)
                      : c < 4                      ? in(size / 20, size / 4)
                      : c >= first_class + classes ? in(-1, 1)
                      : one_in(5)                  ? in(0, 1)
                                                   : in(0, .2f);
        if (c == 4 && has_objectness) value = one_in(4) ? in(.5f, 1) : 0;
        values[columns_first ? size_t(c * boxes + i) : size_t(i * channels + c)] = value;
      }
    return values;
  }
  std::vector<float> logits(size_t count, float low = -4, float high = 4) {
    std::vector<float> values(count);
    for (float& value : values) value = in(low, high);
    return values;
  }

 private:
  std::minstd_rand random_;
};

Tensor floats(const Shape& shape, const std::vector<float>& values) {
  return test::tensor<float>(shape, values);
}
Tensor halves(const Tensor& from) {
  std::vector<uint16_t> bits;
  for (const float value : test::values_of<float>(from))
    bits.push_back(std::bit_cast<uint16_t>(static_cast<_Float16>(value)));
  return test::tensor<uint16_t>(from.shape, bits, DataType::f16);
}

struct Case {
  std::string name;
  std::vector<Tensor> outputs;
  Settings settings;
  std::string element = "tensor_postproc_yolo";
};
std::vector<Case> cases() {
  std::vector<Case> all;
  Noise noise(1);
  // 84 cells: a 64×64 input; 1344: 256×256; 2100: 320×320.
  all.push_back({"v8", {floats({1, 12, 2100}, noise.rows(2100, 12, 8, true, false, 320))}, {}});
  all.push_back(
      {"v8 by rows", {floats({1, 84, 9}, noise.rows(84, 9, 5, false, false, 64))}, {{"head", "v8"}}});
  all.push_back({"v8 with one class", {floats({1, 5, 1344}, noise.rows(1344, 5, 1, true, false, 256))}, {}});
  all.push_back({"obb", {floats({1, 8, 1344}, noise.rows(1344, 8, 3, true, false, 256))}, {{"task", "obb"}}});
  all.push_back(
      {"pose", {floats({1, 56, 1344}, noise.rows(1344, 56, 1, true, false, 256))}, {{"task", "pose"}}});
  all.push_back({"seg",
                 {floats({1, 4 + 3 + 32, 1344}, noise.rows(1344, 39, 3, true, false, 256)),
                  floats({1, 32, 64, 64}, noise.logits(32 * 64 * 64, -1, 1))},
                 {}});
  all.push_back({"v5 as decoded",
                 {floats({1, 252, 9}, noise.rows(252, 9, 4, false, true, 64))},
                 {{"head", "anchor"}, {"task", "box"}}});
  std::vector<float> x = noise.rows(2100, 15, 10, false, true, 1);
  for (size_t i = 0; i < x.size(); i += 15) x[i + 2] = noise.in(-1, 3), x[i + 3] = noise.in(-1, 3);
  all.push_back({"x", {floats({1, 2100, 15}, x)}, {{"head", "x"}}});
  std::vector<float> rows = noise.rows(300, 6, 1, false, true, 320);
  for (size_t i = 0; i < rows.size(); i += 6)
    rows[i + 2] += rows[i], rows[i + 3] += rows[i + 1], rows[i + 5] = std::floor(noise.in(0, 9));
  all.push_back({"end to end",
                 {floats({1, 300, 6}, rows)},
                 {{"head", "end2end"}, {"input-width", "320"}, {"input-height", "320"}}});
  for (const char* version : {"3", "5", "7"})
    all.push_back({std::string("grids of version ") + version,
                   {floats({1, 24, 2, 2}, noise.logits(24 * 4)), floats({1, 24, 4, 4}, noise.logits(24 * 16)),
                    floats({1, 24, 8, 8}, noise.logits(24 * 64))},
                   {{"version", version}, {"do-cls-softmax", *version == '3' ? "true" : "false"}}});
  all.push_back({"grids of five axes with points",
                 {floats({1, 3, 8, 8, 12}, noise.logits(3 * 64 * 12)),
                  floats({1, 3, 4, 4, 12}, noise.logits(3 * 16 * 12)),
                  floats({1, 3, 2, 2, 12}, noise.logits(3 * 4 * 12))},
                 {{"version", "5"}, {"keypoints", "2"}}});
  all.push_back({"grid of version 2",
                 {floats({1, 10, 10, 35}, noise.logits(35 * 100))},
                 {{"version", "2"}, {"classes", "2"}}});
  Case faces{"yunet", {}, {{"threshold", "0.5"}}, "tensor_postproc_yunet"};
  for (const int columns : {1, 1, 4, 10})
    for (const int side : {20, 10, 5}) {
      const float low = columns == 1 ? -.2f : -1.f, high = columns == 1 ? 1.2f : 1.5f;
      faces.outputs.push_back(
          floats({1, side * side, columns}, noise.logits(size_t(side * side * columns), low, high)));
    }
  all.push_back(faces);
  faces.name = "yunet without points";
  faces.settings.push_back({"landmarks", "false"});
  all.push_back(faces);
  return all;
}

uint64_t copied(std::string_view name) {
  for (const auto& entry : CopyLedger::process().snapshot())
    if (entry.name.contains(name)) return entry.bytes_copied;
  return 0;
}

TEST_F(DeviceBoxesTest, FindsWhatTheCpuFinds) {
  for (const Case& one : cases()) {
    size_t most = 0;
    for (const char* threshold : {"0", "0.25", "0.6"})
      for (const char* overlap : {"0", "0.45", "1"}) {
        SCOPED_TRACE(one.name + " threshold " + threshold + " overlap " + overlap);
        Settings settings = one.settings;
        settings.insert(settings.end(), {{"threshold", threshold}, {"iou-threshold", overlap}});
        const uint64_t before = copied("boxes found");
        most = std::max(most, compare(one.element, one.outputs, settings));
        EXPECT_GT(copied("boxes found"), before) << "not on the device";
      }
    EXPECT_GT(most, 20u) << one.name;
  }
}

TEST_F(DeviceBoxesTest, OfHalfPrecisionToo) {
  for (const Case& one : cases()) {
    SCOPED_TRACE(one.name);
    std::vector<Tensor> outputs;
    for (const Tensor& output : one.outputs) outputs.push_back(halves(output));
    EXPECT_GT(compare(one.element, outputs, one.settings), 2u);
  }
}

TEST_F(DeviceBoxesTest, SuppressesAsItIsTold) {
  const Case one = cases()[0];
  for (const Settings& how : std::vector<Settings>{{{"nms", "false"}},
                                                   {{"nms-per-class", "false"}},
                                                   {{"max-objects", "1"}},
                                                   {{"max-objects", "7"}, {"threshold", "0.1"}},
                                                   {{"max-objects", "1024"}, {"threshold", "0"}}}) {
    SCOPED_TRACE(how[0].first);
    EXPECT_GE(compare(one.element, one.outputs, how), 1u);
  }
}

TEST_F(DeviceBoxesTest, OnlyAnOverlapAboveTheThresholdSuppresses) {
  // The second box is the left half of the first.
  std::vector<float> values(5 * 84, 0.f);
  const float columns[2][5] = {{20, 20, 20, 20, .9f}, {15, 20, 10, 20, .8f}};
  for (size_t i = 0; i < 2; ++i)
    for (size_t c = 0; c < 5; ++c) values[c * 84 + 40 + i] = columns[i][c];
  const std::vector<Tensor> outputs = {floats({1, 5, 84}, values)};
  EXPECT_EQ(compare("tensor_postproc_yolo", outputs, {{"iou-threshold", "0.5"}}), 2u);
  EXPECT_EQ(compare("tensor_postproc_yolo", outputs, {{"iou-threshold", "0.4999"}}), 1u);
}

// All rows pass, and most lie on better ones, so the list is gone through chunk by chunk.
TEST_F(DeviceBoxesTest, HoweverManyPassTheBestStay) {
  Noise noise(7);
  std::vector<float> values = noise.rows(8400, 6, 2, true, false, 640);
  for (size_t i = 0; i < 8400; ++i) {
    const bool is_apart = i % 400 == 0;
    values[i] = is_apart ? float(i % 640) : 300 + noise.in(-4, 4);
    values[8400 + i] = is_apart ? float(i / 640 * 40) : 300 + noise.in(-4, 4);
    values[2 * 8400 + i] = values[3 * 8400 + i] = is_apart ? 8.f : 60.f;
    // Many are equal.
    values[4 * 8400 + i] = is_apart ? .3f : .5f + float(int(noise.in(0, 50))) / 100;
    values[5 * 8400 + i] = 0;
  }
  const std::vector<Tensor> outputs = {floats({1, 6, 8400}, values)};
  EXPECT_GT(compare("tensor_postproc_yolo", outputs, {{"threshold", "0.1"}}), 20u);
  EXPECT_GT(compare("tensor_postproc_yolo", outputs, {{"threshold", "0.1"}, {"iou-threshold", "0.9"}}), 25u);
  EXPECT_EQ(compare("tensor_postproc_yolo", outputs, {{"threshold", "0.1"}, {"nms", "false"}}), 300u);
  EXPECT_EQ(compare("tensor_postproc_yolo", outputs,
                    {{"threshold", "0.1"}, {"nms", "false"}, {"max-objects", "1024"}}),
            1024u);
}

TEST_F(DeviceBoxesTest, EachSampleOfABatchHasItsOwn) {
  Noise noise(3);
  const auto first = noise.rows(84, 9, 5, true, false, 64), second = noise.rows(84, 9, 5, true, false, 64);
  const Tensor batch = test::batch_of<float>({1, 9, 84}, first, second);
  const size_t a = compare("tensor_postproc_yolo", {batch}, {}, 0),
               b = compare("tensor_postproc_yolo", {batch}, {}, 1);
  EXPECT_GT(a, 0u);
  EXPECT_GT(b, 0u);
  EXPECT_NE(compare("tensor_postproc_yolo", {batch}, {}, 2), a + b) << "there is no such sample";
}

// The outputs of real models on real pictures.
TEST_F(DeviceBoxesTest, FindsWhatTheCpuFindsInPictures) {
  const char* const data = std::getenv("SIGHTGLASS_TEST_DATA");
  if (!data || !*data) GTEST_SKIP() << "SIGHTGLASS_TEST_DATA is not set";
  struct Real {
    std::string model, picture, preprocess, decoder;
    Settings settings;
  };
  const std::string bgr = "color=bgr layout=nchw resize=letterbox-topleft", rgb = "layout=nchw scale=255";
  for (const Real& real : {
           Real{"yolox_nano", "bus.jpg", bgr + " pad-value=<114>", "tensor_postproc_yolo", {{"head", "x"}}},
           Real{"yolo11n_int8", "bus.jpg", rgb, "tensor_postproc_yolo", {}},
           Real{"yolov8n-seg_int8", "bus.jpg", rgb, "tensor_postproc_yolo", {}},
           Real{"yunet_n_320_320", "zidane.jpg", bgr, "tensor_postproc_yunet", {}},
       }) {
    auto flow = Flow::parse(
        std::format("ffmpeg_multi_source inputs={0}/media/{1} ! video_to_tensor {2} ! onnx_tensor_inference "
                    "model={0}/models/{3}.onnx",
                    data, real.picture, real.preprocess, real.model));
    ASSERT_TRUE(flow) << flow.error().to_string();
    std::vector<Tensor> outputs;
    flow->on_frame([&](const Frame& frame) -> Status {
      for (const Tensor& output : frame.tensors)
        outputs.push_back(floats(output.shape, test::values_of<float>(output)));
      return {};
    });
    const Status done = flow->run();
    if (!done && done.error().code == ErrorCode::unavailable) GTEST_SKIP() << done.error().message;
    ASSERT_TRUE(done) << done.error().to_string();
    for (const char* threshold : {"0.005", "0.25", "0.5"}) {
      SCOPED_TRACE(real.model + " threshold " + threshold);
      Settings settings = real.settings;
      settings.push_back({"threshold", threshold});
      EXPECT_GE(compare(real.decoder, outputs, settings), real.model.starts_with("yolo") ? 3u : 2u);
    }
  }
}

TEST_F(DeviceBoxesTest, WhateverComesInIsThatOfTheCpu) {
  if (!is_emulated()) GTEST_SKIP() << "the last digit of exp decides here";
  const auto shapes = test::outputs();
  for (const test::Decoder& decoder : test::decoders()) {
    if (!decoder.name.contains("yolo") && !decoder.name.contains("yunet")) continue;
    for (const auto& outputs : shapes)
      for (const test::Fill fill : {test::Fill::one, test::Fill::nan, test::Fill::infinity, test::Fill::huge,
                                    test::Fill::noise, test::Fill::wild}) {
        std::vector<Tensor> made;
        for (const Shape& shape : outputs)
          made.push_back(floats(shape, test::values(shape.elements(), fill)));
        SCOPED_TRACE(std::format("{} {} outputs, first {}, fill {}", decoder.name, outputs.size(),
                                 outputs[0].to_string(), int(fill)));
        compare(decoder.name, made, decoder.settings);
        if (HasFailure()) return;
      }
  }
}

TEST_F(DeviceBoxesTest, OnlyTheObjectsCross) {
  const Case one = cases()[0];
  auto element = test::make<TransformInplace>(one.element, {});
  const std::vector<Tensor> outputs = on_device(one.outputs);
  const uint64_t mapped = copied("CUDA memory mapped"), found = copied("boxes found");
  Frame frame = test::frame_of(outputs);
  ASSERT_TRUE(test::run(*element, frame));
  ASSERT_GT(frame.regions.size(), 0u);
  EXPECT_EQ(copied("CUDA memory mapped"), mapped);
  EXPECT_EQ(copied("boxes found") - found, 4 + frame.regions.size() * sizeof(cuda::FoundBox));
}

TEST_F(DeviceBoxesTest, AFrameThatFailsIsAnErrorAndTheNextIsFound) {
  if (!is_emulated()) GTEST_SKIP() << "a real device does not fail when it is told to";
  const Case one = cases()[1];
  ASSERT_EQ(one.name, "v8 by rows");
  const std::vector<Tensor> outputs = on_device(one.outputs);
  auto element = test::make<TransformInplace>(one.element, one.settings);
  Frame frame = test::frame_of(outputs);
  ASSERT_TRUE(test::run(*element, frame));
  const size_t regions = frame.regions.size();
  unsigned failures = 0;
  for (unsigned call = 1; call < 20; ++call) {
    frame.regions.clear();
    cuda_double().fail("", call, test::device_gone);
    const auto done = element->process(frame);
    cuda_double().heal();
    if (!done) {
      ++failures;
      EXPECT_THAT(done.error().message, testing::Not(HasSubstr("\n")));
      EXPECT_TRUE(frame.regions.empty());
    }
    frame.regions.clear();
    ASSERT_TRUE(element->process(frame));
    EXPECT_EQ(frame.regions.size(), regions) << "after failing from call " << call;
  }
  EXPECT_GT(failures, 3u);
}

// Asking keeps the outputs of a session on the device, from where the CPU fetches them frame by frame.
TEST_F(DeviceBoxesTest, OutputsThatTheKernelsDoNotReadAreNotAskedFor) {
  class Watched final : public SystemMemory, public DeviceBytes {
   public:
    Watched() : SystemMemory(nullptr, 4096) {}
    Result<DevicePlace> on_device() override {
      ++asked;
      return DevicePlace{};
    }
    int asked = 0;
  };
  const auto memory = make_ref<Watched>();
  DeviceBoxes boxes;
  const auto find = [&](DataType first, DataType second, int64_t step) {
    Tensor one{.type = first, .shape = {1, 4, 8}};
    one.strides = {int64_t(32 * size_of(first)), int64_t(8 * size_of(first)), step * int64_t(size_of(first))};
    one.memory = memory;
    Tensor other = one;
    other.type = second;
    const Tensor outputs[] = {one, other};
    return boxes.find(outputs).value();
  };
  EXPECT_FALSE(find(DataType::i32, DataType::i32, 1));
  EXPECT_FALSE(find(DataType::f32, DataType::i32, 1));
  EXPECT_FALSE(find(DataType::f32, DataType::f32, 2));
  EXPECT_EQ(memory->asked, 0);
  EXPECT_FALSE(find(DataType::f32, DataType::f32, 1));
  EXPECT_EQ(memory->asked, 1);
}

TEST_F(DeviceBoxesTest, WithoutKernelsTheCpuFindsThem) {
  if (!is_emulated()) GTEST_SKIP() << "a real device does not fail when it is told to";
  const Case one = cases()[0];
  const std::vector<Tensor> outputs = on_device(one.outputs);
  auto element = test::make<TransformInplace>(one.element, {});
  cuda_double().fail("cuModuleGetFunction", 1, test::no_binary);
  Frame frame = test::frame_of(outputs);
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_EQ(frame.regions.size(), test::decode(one.element, one.outputs).frame.regions.size());
  EXPECT_THAT(element->take_warnings(), testing::ElementsAre(HasSubstr("boxes are found on the CPU")));
}

}  // namespace
}  // namespace sightglass
