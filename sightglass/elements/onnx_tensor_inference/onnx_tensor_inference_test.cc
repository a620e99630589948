#include "sightglass/elements/tensor_inference/tensor_inference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "sightglass/core/registry.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

class Collected final : public Output {
 public:
  std::vector<Frame> frames;
  Status allocate(Frame&) override {
    return fail(ErrorCode::internal, "not for elements with memory of their own");
  }
  Status push(const Frame& frame) override {
    frames.push_back(frame);
    return {};
  }
  Status gap(const Gap&) override { return {}; }
};

Format format_of(TensorInfo info) { return {.media = TensorsInfo{{std::move(info)}, {}}}; }
FormatSpec spec_of(const TensorInfo& info) {
  return {
      .media = TensorsSpec{
          {TensorSpec{
              .types = {info.type}, .shape = info.shape, .layout = info.layout, .strides = {}, .name = {}}},
          {}}};
}
const TensorSpec& tensor_of(const FormatSpec& spec, size_t index = 0) {
  return std::get<TensorsSpec>(spec.media).tensors.at(index);
}

// A picture of the tiny detector: black with a red object, blue first.
template <class T>
Tensor picture(DataType type, Shape shape) {
  const Tensor tensor = *allocate_tensor({.type = type, .shape = shape});
  const auto mapping = map(tensor, Access::write);
  const std::span<T> values = mapping->template as<T>();
  std::ranges::fill(values, T(0));
  for (int y = 20; y < 32; ++y)
    for (int x = 40; x < 52; ++x) values[size_t(2 * 64 * 96 + y * 96 + x)] = T(255);
  return tensor;
}

class OnnxTensorInferenceTest : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::getenv("SIGHTGLASS_TEST_MODELS");
    if (!folder) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
    if (const auto info = engine_for("x.onnx").value()->info(); !info) GTEST_SKIP() << info.error().message;
  }
  std::string file(const std::string& name) const { return std::string(folder) + "/" + name; }

  static std::unique_ptr<TensorInference> make(const Settings& settings) {
    ParamSet params(find_element("onnx_tensor_inference")->params);
    for (const auto& [name, value] : settings) {
      const Status set = params.set_text(name, value);
      EXPECT_TRUE(set) << set.error().message;
    }
    return std::make_unique<TensorInference>(params, "onnxruntime");
  }
  std::unique_ptr<TensorInference> started(const std::string& model, Settings settings = {}) const {
    settings.emplace_back("model", file(model));
    auto element = make(settings);
    const Status status = element->start();
    EXPECT_TRUE(status) << status.error().message;
    return element;
  }
  static Error error_of(const Settings& settings) {
    const Status status = make(settings)->start();
    EXPECT_FALSE(status);
    return status ? Error{} : status.error();
  }

  const char* folder = nullptr;
};

TEST_F(OnnxTensorInferenceTest, IsRegistered) { EXPECT_NE(find_element("onnx_tensor_inference"), nullptr); }

TEST_F(OnnxTensorInferenceTest, AsksForTheModelsShapeAsFloatsOrBytesWithAndWithoutBatch) {
  const auto element = started("ssd_f32.onnx");
  const auto inputs = element->transform_format(Direction::output, {.media = AnySpec{}});
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(tensor_of(inputs[0]).types, (std::vector{DataType::f32, DataType::u8}));
  EXPECT_EQ(tensor_of(inputs[0]).shape, (Shape{1, 3, 64, 96}));
  EXPECT_EQ(tensor_of(inputs[0]).layout, Layout::nchw);
  EXPECT_EQ(tensor_of(inputs[1]).shape, (Shape{3, 64, 96}));
  EXPECT_EQ(tensor_of(inputs[1]).layout, Layout::chw);

  const auto bytes_first =
      started("ssd_u8.onnx")->transform_format(Direction::output, {.media = TensorsSpec{}});
  EXPECT_EQ(tensor_of(bytes_first[0]).types, (std::vector{DataType::u8, DataType::f32}));
}

TEST_F(OnnxTensorInferenceTest, GivesTheOutputsWithTheirNames) {
  const auto element = started("age_gender.onnx", {{"outputs", "<age,prob>"}});
  const auto outputs =
      element->transform_format(Direction::input, spec_of({.type = DataType::u8, .shape = {3, 62, 62}}));
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(std::get<TensorsSpec>(outputs[0].media).model, "age_gender");
  EXPECT_EQ(tensor_of(outputs[0], 0).name, "age");
  EXPECT_EQ(tensor_of(outputs[0], 1).name, "prob");
  EXPECT_EQ(tensor_of(outputs[0], 1).shape, (Shape{1, 2}));
  EXPECT_TRUE(
      element->transform_format(Direction::output, spec_of({.type = DataType::u8, .shape = {1, 2}})).empty());
}

TEST_F(OnnxTensorInferenceTest, BytesAndFloatsGiveTheSameResult) {
  const auto element = started("ssd_f32.onnx");
  Collected made;
  Frame frame;
  frame.pts = 40, frame.duration = 20;
  frame.source = SourceId{.stream = 3, .pts = 40};
  frame.affine = Affine{{0.5, 0, 0, 0, 0.5, 0}};
  for (const bool bytes : {true, false}) {
    const Shape shape = bytes ? Shape{3, 64, 96} : Shape{1, 3, 64, 96};
    const DataType type = bytes ? DataType::u8 : DataType::f32;
    const Status configured = element->configure(format_of({.type = type, .shape = shape}), {});
    ASSERT_TRUE(configured) << configured.error().message;
    frame.tensors = {bytes ? picture<uint8_t>(type, shape) : picture<float>(type, shape)};
    ASSERT_TRUE(element->process(frame, made));
  }
  ASSERT_EQ(made.frames.size(), 2u);
  EXPECT_EQ(made.frames[0].pts, 40);
  EXPECT_EQ(made.frames[0].duration, 20);
  EXPECT_EQ(made.frames[0].source, frame.source);
  EXPECT_EQ(made.frames[0].affine, frame.affine);
  const auto one = map(made.frames[0].tensors[0], Access::read),
             two = map(made.frames[1].tensors[0], Access::read);
  ASSERT_TRUE(one && two);
  EXPECT_TRUE(std::ranges::equal(one->as<const float>(),
                                 two->as<const float>()));  // also: a new format loses nothing
  const std::span<const float> row = one->as<const float>();
  EXPECT_NEAR(row[3] * 96, 40, 1);  // left, top, right, bottom
  EXPECT_NEAR(row[4] * 64, 20, 1);
  EXPECT_NEAR(row[5] * 96, 52, 1);
  EXPECT_NEAR(row[6] * 64, 32, 1);
}

TEST_F(OnnxTensorInferenceTest, WhatIsWrittenIntoItsPoolIsNotCopied) {
  const auto element = started("ssd_f32.onnx");
  const TensorInfo info{.type = DataType::f32, .shape = {1, 3, 64, 96}};
  ASSERT_TRUE(element->configure(format_of(info), {}));
  const Ref<MemoryPool> pool = element->input_pool();
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->block_size(), info.bytes());
  CopyLedger::process().reset();
  Frame frame;
  frame.tensors = {tensor_in(*pool->acquire(), info)};
  std::ranges::fill(map(frame.tensors[0], Access::write)->as<float>(), 0.0f);
  Collected made;
  ASSERT_TRUE(element->process(frame, made));
  ASSERT_TRUE(map(made.frames[0].tensors[0], Access::read));
  EXPECT_EQ(CopyLedger::process().total().bytes_copied, 0u);
  EXPECT_EQ(CopyLedger::process().total().bytes_shared, info.bytes());
}

TEST_F(OnnxTensorInferenceTest, StrictZeroCopyRefusesWhatWouldBeConvertedOrGathered) {
  const auto element = started("ssd_f32.onnx", {{"strict-zero-copy", "true"}});
  const auto converted = element->configure(format_of({.type = DataType::u8, .shape = {3, 64, 96}}), {});
  ASSERT_FALSE(converted);
  EXPECT_NE(converted.error().message.find("takes dense float32, uint8 came"), std::string::npos);
  const TensorInfo padded{.shape = {3, 64, 96}, .strides = {64 * 512, 512, 4}};
  EXPECT_FALSE(element->configure(format_of(padded), {}));
  EXPECT_TRUE(element->configure(format_of({.shape = {3, 64, 96}}), {}));
}

TEST_F(OnnxTensorInferenceTest, AFailingRunConcernsItsOwnFrameOnly) {
  const auto element = started("det_trap.onnx");
  const TensorInfo info{.type = DataType::u8, .shape = {3, 64, 96}};
  ASSERT_TRUE(element->configure(format_of(info), {}));
  Collected made;
  for (const uint8_t grey : {0, 255, 0}) {
    Frame frame;
    frame.tensors = {*allocate_tensor(info)};
    std::ranges::fill(map(frame.tensors[0], Access::write)->as<uint8_t>(), grey);
    ASSERT_TRUE(element->process(frame, made));
  }
  EXPECT_TRUE(map(made.frames[0].tensors[0], Access::read));
  const auto failed = map(made.frames[1].tensors[0], Access::read);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("det_trap.onnx"), std::string::npos) << failed.error().message;
  EXPECT_TRUE(map(made.frames[2].tensors[0], Access::read));
}

TEST_F(OnnxTensorInferenceTest, HalfPrecisionModelsTakeFloats) {
  const auto element = started("det_f16.onnx");
  ASSERT_TRUE(element->configure(format_of({.type = DataType::f32, .shape = {1, 3, 64, 96}}), {}));
  Collected made;
  Frame frame;
  frame.tensors = {picture<float>(DataType::f32, {1, 3, 64, 96})};
  ASSERT_TRUE(element->process(frame, made));
  EXPECT_EQ(made.frames[0].tensors[0].type, DataType::f16);
  EXPECT_TRUE(map(made.frames[0].tensors[0], Access::read));
}

TEST_F(OnnxTensorInferenceTest, AFormatThatDoesNotFitIsRefusedWithBothShapes) {
  const auto element = started("ssd_f32.onnx");
  const Status misfit = element->configure(format_of({.type = DataType::f32, .shape = {1, 3, 64, 64}}), {});
  ASSERT_FALSE(misfit);
  EXPECT_EQ(misfit.error().message,
            "input 'data' of ssd_f32.onnx takes float32 1x3x64x96; float32 1x3x64x64 is offered");
  EXPECT_FALSE(element->configure(Format{.media = VideoInfo{}}, {}));
  EXPECT_FALSE(element->configure({}, {}));
  Collected made;
  EXPECT_FALSE(element->process({}, made));  // before its format
  const auto two = started("two_inputs.onnx");
  EXPECT_FALSE(two->configure(format_of({.type = DataType::f32, .shape = {1, 3, 32, 32}}), {}));
}

TEST_F(OnnxTensorInferenceTest, AModelThatCannotBeLoadedIsNamed) {
  for (const std::string model : {"nowhere.onnx", "truncated.onnx", "mood.json"})
    EXPECT_NE(error_of({{"model", file(model)}}).message.find(model), std::string::npos);
  EXPECT_NE(error_of({}).message.find("model"), std::string::npos);
  EXPECT_NE(error_of({{"model", file("mood.onnx")}, {"input-shape", "24x32"}}).message.find("24x32"),
            std::string::npos);
  EXPECT_NE(error_of({{"model", file("mood.onnx")}, {"device", "NPU"}}).message.find("NPU"),
            std::string::npos);
}

TEST_F(OnnxTensorInferenceTest, TheOneThatNamesTheModelMayStartLast) {
  auto follower = make({{"shared-instance-id", "inference-test"}});
  ASSERT_TRUE(follower->start());
  const auto leader = started("mood.onnx", {{"shared-instance-id", "inference-test"}});
  const Status configured =
      follower->configure(format_of({.type = DataType::f32, .shape = {1, 3, 32, 24}}), {});
  EXPECT_TRUE(configured) << configured.error().message;
  EXPECT_TRUE(follower->take_warnings().empty());

  auto differs = make({{"shared-instance-id", "inference-test"}, {"warmup", "3"}});
  ASSERT_TRUE(differs->start());
  EXPECT_EQ(differs->take_warnings().size(), 1u);
  EXPECT_TRUE(differs->take_warnings().empty());

  auto alone = make({{"shared-instance-id", "another"}});
  ASSERT_TRUE(alone->start());
  EXPECT_FALSE(alone->configure(format_of({.type = DataType::f32, .shape = {1, 3, 32, 24}}), {}));
}

TEST_F(OnnxTensorInferenceTest, WorksAgainAfterFlushAndAfterStop) {
  const auto element = started("mood.onnx");
  const TensorInfo info{.type = DataType::f32, .shape = {1, 3, 32, 24}};
  Collected made;
  Frame frame;
  frame.tensors = {*allocate_tensor(info)};
  std::ranges::fill(map(frame.tensors[0], Access::write)->as<float>(), 1.0f);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(element->configure(format_of(info), {}));
    ASSERT_TRUE(element->process(frame, made));
    element->flush();
    ASSERT_TRUE(element->process(frame, made));
    EXPECT_TRUE(map(made.frames.back().tensors[0], Access::read));
    element->stop();
    ASSERT_TRUE(element->start());
  }
}

// ---- batches

class OnnxBatchTest : public OnnxTensorInferenceTest {
 protected:
  static TensorInfo info() { return TensorInfo{.type = DataType::f32, .shape = {1, 3, 32, 24}}; }
  // A picture of one colour, blue first: the model says glad to red, calm to green, sad to blue.
  static Frame of_colour(TensorInference& element, size_t channel, Time pts) {
    Frame frame;
    frame.pts = pts;
    frame.tensors = {tensor_in(*element.input_pool()->acquire(), info())};
    const auto mapping = map(frame.tensors[0], Access::write);
    const std::span<float> values = mapping->as<float>();
    std::ranges::fill(values, 0.f);
    std::ranges::fill(values.subspan(channel * 32 * 24, 32 * 24), 255.f);
    return frame;
  }
  static size_t mood(const Frame& frame) {
    const auto mapping = map(frame.tensors[0], Access::read);
    if (!mapping) return 99;
    const std::span<const float> values = mapping->as<const float>();
    return size_t(std::ranges::max_element(values) - values.begin());
  }
};

TEST_F(OnnxBatchTest, WhatIsPendingLeavesAtTheEndOfTheStream) {
  for (const char* model : {"mood_batch.onnx", "mood_batch4.onnx"}) {
    const auto element = started(model, {{"batch-size", "4"}, {"batch-timeout", "1000000"}});
    EXPECT_TRUE(element->take_warnings().empty());
    ASSERT_TRUE(element->configure(format_of(info()), {}));
    Collected made;
    for (size_t i = 0; i < 6; ++i) ASSERT_TRUE(element->process(of_colour(*element, i % 3, Time(i)), made));
    ASSERT_TRUE(element->drain(made));
    ASSERT_EQ(made.frames.size(), 6u);
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(mood(made.frames[i]), 2 - i % 3) << model;
      EXPECT_EQ(made.frames[i].pts, Time(i));
      EXPECT_EQ(made.frames[i].tensors[0].shape, (Shape{1, 3}));
    }
  }
}

TEST_F(OnnxBatchTest, ATensorThatHoldsABatchComesOutAsOne) {
  const auto element = started("mood_batch.onnx", {{"batch-size", "2"}});
  const auto inputs = element->transform_format(Direction::output, {.media = AnySpec{}});
  ASSERT_EQ(inputs.size(), 3u);
  EXPECT_EQ(tensor_of(inputs[2]).shape, (Shape{2, 3, 32, 24}));
  const TensorInfo both{.type = DataType::f32, .shape = {2, 3, 32, 24}};
  ASSERT_TRUE(element->configure(format_of(both), {}));
  Frame frame;
  frame.tensors = {*allocate_tensor(both)};
  std::ranges::fill(map(frame.tensors[0], Access::write)->as<float>(), 1.f);
  frame.batch = {Sample{.source = {.stream = 1}}, Sample{.source = {.stream = 2}}};
  Collected made;
  ASSERT_TRUE(element->process(frame, made));
  EXPECT_EQ(made.frames[0].tensors[0].shape, (Shape{2, 3}));
  EXPECT_EQ(made.frames[0].batch, frame.batch);
  EXPECT_TRUE(map(made.frames[0].tensors[0], Access::read));
}

TEST_F(OnnxBatchTest, AModelWithoutABatchAxisSaysSoOnce) {
  const auto element = started("mood.onnx", {{"batch-size", "8"}});
  const auto warnings = element->take_warnings();
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("batch-size=8 has no effect on mood.onnx"), std::string::npos) << warnings[0];
  ASSERT_TRUE(element->configure(format_of(info()), {}));
  EXPECT_TRUE(element->take_warnings().empty());
}

TEST_F(OnnxBatchTest, ConstantInputsLeaveOneForThePicture) {
  const auto element = started("two_inputs.onnx");
  const auto inputs = element->session()->signature().inputs;
  ASSERT_EQ(inputs.size(), 2u);
  const auto constant = started("two_inputs.onnx", {{"constant-inputs", "<" + inputs[1].name + ":1>"}});
  EXPECT_EQ(constant->session()->signature().inputs.size(), 1u);
  EXPECT_EQ(constant->session()->signature_with_constants().inputs.size(), 2u);
  for (const std::string wrong : {"<b>", "<b:x>", "<:1>", "<b:>"})
    EXPECT_NE(
        error_of({{"model", file("two_inputs.onnx")}, {"constant-inputs", wrong}}).message.find("constant"),
        std::string::npos)
        << wrong;
  EXPECT_EQ(error_of({{"model", file("two_inputs.onnx")}, {"constant-inputs", "<nobody:1>"}}).code,
            ErrorCode::not_found);
}

}  // namespace
}  // namespace sightglass
