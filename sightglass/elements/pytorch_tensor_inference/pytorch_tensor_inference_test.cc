#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "sightglass/core/registry.h"
#include "sightglass/elements/tensor_inference/tensor_inference.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/module.h"
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

class PytorchTensorInferenceTest : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return std::string(folder) + "/" + name; }
  static std::unique_ptr<Element> make(const std::string& element, const Settings& settings) {
    const ElementDesc* desc = find_element(element);
    ParamSet params(desc->params);
    for (const auto& [name, value] : settings) {
      const Status set = params.set_text(name, value);
      EXPECT_TRUE(set) << set.error().message;
    }
    auto made = desc->create(params);
    EXPECT_TRUE(made);
    return *std::move(made);
  }
  // The first output for one picture of noise.
  static std::vector<float> result_of(const std::string& element, const Settings& settings) {
    const auto inference = make(element, settings);
    const Status started = inference->start();
    EXPECT_TRUE(started) << started.error().message;
    const TensorInfo info{.type = DataType::f32, .shape = {3, 20, 30}};
    const Status configured = inference->configure({.media = TensorsInfo{{info}, {}}}, {});
    EXPECT_TRUE(configured) << configured.error().message;
    if (!started || !configured) return {};
    Frame frame;
    frame.tensors = {*allocate_tensor(info)};
    {
      const auto mapping = map(frame.tensors[0], Access::write);
      for (size_t i = 0; float& value : mapping->as<float>()) value = std::sin(float(i++) * 0.37f);
    }
    Collected made;
    EXPECT_TRUE(static_cast<Transform&>(*inference).process(frame, made));
    const auto output = map(made.frames.at(0).tensors.at(0), Access::read);
    EXPECT_TRUE(output) << output.error().message;
    const auto values = output->as<float>();
    return {values.begin(), values.end()};
  }

  void SetUp() override {
    folder = std::getenv("SIGHTGLASS_TEST_MODELS");
    if (!folder) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
  }
  const char* folder = nullptr;
};

TEST_F(PytorchTensorInferenceTest, HasTheParametersOfItsSiblingAndWeights) {
  const ElementDesc* desc = find_element("pytorch_tensor_inference");
  ASSERT_TRUE(desc);
  for (const char* name :
       {"model", "model-weights", "device", "batch-size", "buffer-pool-size", "shared-instance-id"})
    EXPECT_TRUE(desc->params.find(name)) << name;
  EXPECT_FALSE(find_element("onnx_tensor_inference")->params.find("model-weights"));
}

TEST_F(PytorchTensorInferenceTest, GivesWhatItsSiblingGives) {
  if (!module_is_installed("torch") || !std::filesystem::exists(file("net.pt")))
    GTEST_SKIP() << "built without PyTorch";
  const auto torch = result_of("pytorch_tensor_inference", {{"model", file("net.pt")}});
  ASSERT_EQ(torch.size(), 3u);
  const auto doubled = result_of("pytorch_tensor_inference",
                                 {{"model", file("net.pt")}, {"model-weights", file("net_doubled.pth")}});
  EXPECT_NE(torch, doubled);
  if (const auto info = find_engine("onnxruntime")->info(); !info) GTEST_SKIP() << info.error().message;
  const auto onnx = result_of("onnx_tensor_inference", {{"model", file("net.onnx")}});
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(torch[i], onnx.at(i), 1e-5);
}

TEST_F(PytorchTensorInferenceTest, SaysInOneLineWhyItCannotStart) {
  const auto reason = [](const Settings& settings) {
    const Status status = make("pytorch_tensor_inference", settings)->start();
    EXPECT_FALSE(status);
    return status ? std::string() : status.error().message;
  };
  for (const std::string& message :
       {reason({{"model", file("nowhere.pt")}}), reason({{"model", file("net.onnx")}}), reason({})}) {
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_FALSE(message.empty());
  }
  if (!module_is_installed("torch")) {
    EXPECT_NE(reason({{"model", file("net.pt")}}).find("libtorch"), std::string::npos);
  }
}

}  // namespace
}  // namespace sightglass
