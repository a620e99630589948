#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

class TorchEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::getenv("SIGHTGLASS_TEST_MODELS");
    if (!folder) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
    if (!std::filesystem::exists(file("net.pt"))) GTEST_SKIP() << "the test models were made without PyTorch";
  }
  std::string file(const std::string& name) const { return std::string(folder) + "/" + name; }
  static Engine& torch() { return **engine_for("x.pt"); }
  std::unique_ptr<LoadedModel> load(const std::string& name, const LoadOptions& options = {}) const {
    auto model = (*engine_for(file(name)))->load(file(name), options);
    EXPECT_TRUE(model) << model.error().message;
    return model ? *std::move(model) : nullptr;
  }
  Error error_of(const std::string& name, const LoadOptions& options = {}) const {
    auto model = torch().load(file(name), options);
    EXPECT_FALSE(model);
    return model ? Error{} : model.error();
  }

  static std::vector<float> picture(const Shape& shape) {
    std::vector<float> values(size_t(shape.elements()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(float(i) * 0.37f);
    return values;
  }
  // All outputs in memory of the engine, for one input.
  static std::vector<Binding> run(LoadedModel& model, std::vector<float>& values, const Shape& shape) {
    const Binding input{.data = values.data(), .shape = shape, .memory = {}};
    std::vector<Binding> outputs(model.signature().outputs.size());
    const Status status = model.request()->run({&input, 1}, outputs);
    EXPECT_TRUE(status) << status.error().message;
    return outputs;
  }
  static const float* numbers(const Binding& output) { return static_cast<const float*>(output.data); }

  const char* folder = nullptr;
};

TEST_F(TorchEngineTest, GivesWhatOnnxRuntimeGivesForTheSameNetwork) {
  if (const auto info = (*engine_for("x.onnx"))->info(); !info) GTEST_SKIP() << info.error().message;
  const Shape shape{1, 3, 20, 31};
  auto values = picture(shape);
  const auto torch = load("net.pt"), onnx = load("net.onnx"), traced = load("net_traced.pt");
  const auto expected = run(*onnx, values, shape);
  for (LoadedModel* model : {torch.get(), traced.get()}) {
    const auto outputs = run(*model, values, shape);
    ASSERT_EQ(outputs[0].shape, (Shape{1, 3}));
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(numbers(outputs[0])[i], numbers(expected[0])[i], 1e-5);
  }
}

TEST_F(TorchEngineTest, FindsShapesThatTheFileDoesNotSay) {
  const auto model = load("net.pt");
  const ModelSignature& signature = model->signature();
  ASSERT_EQ(signature.inputs.size(), 1u);
  EXPECT_EQ(signature.inputs[0].name, "image");
  EXPECT_EQ(signature.inputs[0].shape, (Shape{1, 3, -1, -1}));
  EXPECT_EQ(signature.inputs[0].layout, Layout::nchw);
  ASSERT_EQ(signature.outputs.size(), 1u);
  EXPECT_EQ(signature.outputs[0].name, "output");
  EXPECT_EQ(signature.outputs[0].shape, (Shape{1, 3}));
  const auto exported = load("net_exported.torchscript.pt");
  EXPECT_EQ(exported->signature().inputs[0].shape, (Shape{1, 3, 64, 96}));
  EXPECT_EQ(exported->signature().metadata.at("task"), "classify");
  const auto same = load("same.pt");
  EXPECT_EQ(same->signature().outputs[0].shape, (Shape{1, 3, -1, -1})) << "follows the input";
  const auto fixed = load("same.pt", {.input_shapes = {{1, 5}}});
  EXPECT_EQ(fixed->signature().outputs[0].shape, (Shape{1, 5}));
}

TEST_F(TorchEngineTest, NamesTheOutputsOfDictionariesAndTuples) {
  const auto names = [&](const std::string& model) {
    std::vector<std::string> list;
    const auto loaded = load(model);
    for (const TensorInfo& info : loaded->signature().outputs) list.push_back(info.name);
    return list;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names("heads.pt"), (Names{"difference", "sum"}));
  EXPECT_EQ(names("named.pt"), (Names{"boxes", "counts"}));
  EXPECT_EQ(names("nested.pt"), (Names{"output0", "output1.output0", "output1.output1"}));
  EXPECT_EQ(load("named.pt")->signature().outputs[1].type, DataType::i64);
}

TEST_F(TorchEngineTest, TakesSeveralInputsAndWritesWhereItIsTold) {
  const auto model =
      load("heads.pt", {.input_shapes = {{1, 2, 2, 3}, {1, 2, 2, 3}}, .outputs = {"sum", "difference"}});
  ASSERT_EQ(model->signature().inputs.size(), 2u);
  EXPECT_EQ(model->signature().outputs[0].name, "sum");
  const Shape shape{1, 2, 2, 3};
  std::vector<float> left(12, 5.f), right(12, 3.f), sum(2), difference(12);
  const Binding inputs[] = {{left.data(), shape, {}}, {right.data(), shape, {}}};
  Binding outputs[] = {{sum.data(), {1, 2}, {}}, {difference.data(), shape, {}}};
  ASSERT_TRUE(model->request()->run(inputs, outputs));
  EXPECT_EQ(sum[1], 48.f);
  EXPECT_EQ(difference[11], 4.f);
  Binding misfit[] = {{sum.data(), {1, 3}, {}}, {}};
  EXPECT_FALSE(model->request()->run(inputs, misfit));
}

TEST_F(TorchEngineTest, NeverHandsOnMemoryThatIsNotItsOwn) {
  const Shape shape{1, 3, 4, 5};
  auto values = picture(shape);
  const auto model = load("same.pt");
  const auto outputs = run(*model, values, shape);
  EXPECT_NE(outputs[0].data, values.data());
  EXPECT_EQ(numbers(outputs[0])[59], values[59]);
  ASSERT_TRUE(outputs[0].memory);
}

TEST_F(TorchEngineTest, RunsByPolicy) {
  const auto wide = load("net.pt");
  EXPECT_EQ(wide->parallel_requests(), usable_cores());
  EXPECT_EQ(load("net.pt", {.policy = SchedulingPolicy::latency})->parallel_requests(), 1u);
  std::vector<std::thread> threads;
  std::vector<float> first(4);
  for (size_t i = 0; i < first.size(); ++i)
    threads.emplace_back([&, i] {
      const Shape shape{1, 3, 16, 16};
      auto values = picture(shape);
      for (int round = 0; round < 5; ++round) first[i] = numbers(run(*wide, values, shape)[0])[0];
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(std::count(first.begin(), first.end(), first[0]), 4);
}

TEST_F(TorchEngineTest, TakesWeightsFromAFile) {
  const Shape shape{1, 3, 16, 16};
  auto values = picture(shape);
  const auto result = [&](const LoadOptions& options) {
    const auto model = load("net.pt", options);
    return model ? numbers(run(*model, values, shape)[0])[0] : 0;
  };
  const float plain = result({});
  EXPECT_EQ(result({.config = "weights=" + file("net_same.pth")}), plain);
  EXPECT_NE(result({.config = "weights=" + file("net_doubled.pth")}), plain);
  EXPECT_EQ(error_of("same.pt", {.config = "weights=" + file("net_same.pth")}).code,
            ErrorCode::invalid_argument);
  const Error ordered = error_of("net.pt", {.config = "weights=" + file("net_weights.pth")});
  EXPECT_NE(ordered.message.find("dict(model.state_dict())"), std::string::npos) << ordered.message;
  EXPECT_EQ(error_of("net.pt", {.config = "weights=" + file("nowhere.pth")}).code, ErrorCode::not_found);
  EXPECT_EQ(error_of("net.pt", {.config = "weights=" + file("not_torch.pt")}).code, ErrorCode::corrupt);
}

TEST_F(TorchEngineTest, SaysInOneLineWhatIsWrongWithAFile) {
  const auto check = [&](const std::string& name, ErrorCode code, std::string_view reason,
                         const LoadOptions& options = {}) {
    const Error error = error_of(name, options);
    EXPECT_EQ(error.code, code) << error.message;
    EXPECT_NE(error.message.find(reason), std::string::npos) << error.message;
    EXPECT_EQ(error.message.find('\n'), std::string::npos) << error.message;
  };
  check("damaged.pt", ErrorCode::corrupt, "damaged.pt");
  check("not_torch.pt", ErrorCode::corrupt, "not_torch.pt");
  check("nowhere.pt", ErrorCode::not_found, "nowhere.pt");
  check("net_weights.pth", ErrorCode::unsupported, "torch.jit.script");
  check("words.pt", ErrorCode::unsupported, "String");
  check("complex.pt", ErrorCode::unsupported, "ComplexFloat");
  check("listed.pt", ErrorCode::unsupported, "List[Tensor]");
  check("picky.pt", ErrorCode::invalid_argument, "input-shape");
  check("net.pt", ErrorCode::invalid_argument, "input-shape 1x4x8x8", {.input_shapes = {{1, 4, 8, 8}}});
  check("net.pt", ErrorCode::not_found, "'boxes'", {.outputs = {"boxes"}});
  check("net.pt", ErrorCode::invalid_argument, "spin", {.config = "spin=1"});
  check("net.pt", ErrorCode::unavailable, "NPU", {.device = "NPU"});
  EXPECT_TRUE(load("picky.pt", {.input_shapes = {{1, 7}}}));
  EXPECT_EQ(torch().load("torchvision.models.resnet18", {}).error().code, ErrorCode::unsupported);
}

TEST_F(TorchEngineTest, AFailingRunIsAnError) {
  const auto model = load("net.pt");
  const Shape shape{1, 3, 2, 2};  // smaller than the kernel
  auto values = picture(shape);
  const Binding input{.data = values.data(), .shape = shape, .memory = {}};
  Binding output;
  const Status status = model->request()->run({&input, 1}, {&output, 1});
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("ernel size"), std::string::npos) << status.error().message;
  EXPECT_EQ(status.error().message.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace sightglass
