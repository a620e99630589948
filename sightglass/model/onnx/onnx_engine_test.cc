#include "sightglass/model/onnx/onnx_engine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/session.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// The file of a test model: a tiny one that tests/models/make.py has made, or a real one.
fs::path tiny(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_MODELS");
  return folder ? fs::path(folder) / name : fs::path();
}
fs::path real(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_DATA");
  const fs::path path = folder ? fs::path(folder) / "models" / name : fs::path();
  return !path.empty() && fs::exists(path) ? path : fs::path();
}
#define NEED(path) \
  if ((path).empty()) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS and SIGHTGLASS_TEST_DATA"

#define NEED_ENGINE() \
  if (const auto info = onnx_engine().info(); !info) GTEST_SKIP() << info.error().message

Error error_of(const fs::path& path, const LoadOptions& options = {}) {
  auto loaded = onnx_engine().load(path, options);
  EXPECT_FALSE(loaded) << path;
  if (loaded) return {};
  EXPECT_EQ(loaded.error().message.find('\n'), std::string::npos) << loaded.error().message;
  return loaded.error();
}
bool names(const Error& error, std::string_view part) {
  return error.message.find(part) != std::string::npos;
}

// Comes first, so that what the library prints when it is loaded would be seen.
TEST(OnnxEngine, LoadsWithoutPrinting) {
  NEED(tiny(""));
  NEED_ENGINE();
  testing::internal::CaptureStderr();
  const auto model = onnx_engine().load(tiny("ssd_f32.onnx"), {});
  const auto bad = onnx_engine().load(tiny("truncated.onnx"), {});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(model) << model.error().message;
  EXPECT_FALSE(bad);
}

TEST(OnnxEngine, TellsInputsAndOutputs) {
  NEED(tiny(""));
  const auto model = onnx_engine().load(tiny("ssd_f32.onnx"), {});
  ASSERT_TRUE(model) << model.error().message;
  const ModelSignature& signature = (*model)->signature();
  ASSERT_EQ(signature.inputs.size(), 1u);
  EXPECT_EQ(signature.inputs[0].name, "data");
  EXPECT_EQ(signature.inputs[0].shape, (Shape{1, 3, 64, 96}));
  EXPECT_EQ(signature.inputs[0].layout, Layout::nchw);
  ASSERT_EQ(signature.outputs.size(), 1u);
  EXPECT_EQ(signature.outputs[0].name, "detection_out");
  EXPECT_EQ(signature.outputs[0].shape, (Shape{1, 1, 16, 7}));
  EXPECT_EQ(signature.producer, "sightglass tests");
}

TEST(OnnxEngine, GivesTheOutputsAskedForInThatOrder) {
  NEED(tiny(""));
  const auto model = onnx_engine().load(tiny("age_gender.onnx"), {.outputs = {"age", "prob"}});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->signature().outputs[0].name, "age");
  EXPECT_EQ((*model)->signature().outputs[1].name, "prob");
  const Error unknown = error_of(tiny("age_gender.onnx"), {.outputs = {"gender"}});
  EXPECT_TRUE(names(unknown, "'gender'") && names(unknown, "prob, age")) << unknown.message;
}

TEST(OnnxEngine, TakesAFreeBatchAsOne) {
  NEED(tiny(""));
  const auto model = onnx_engine().load(tiny("mood_batch.onnx"), {});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->signature().inputs[0].shape, (Shape{1, 3, 32, 24}));
  EXPECT_EQ((*model)->signature().outputs[0].shape, (Shape{1, 3}));
}

TEST(OnnxEngine, RefusesAnInputShapeThatDoesNotFit) {
  NEED(tiny(""));
  const Error error = error_of(tiny("mood_batch.onnx"), {.input_shapes = {{1, 3, 32, 32}}});
  EXPECT_TRUE(names(error, "1x3x32x32") && names(error, "?x3x32x24")) << error.message;
  EXPECT_TRUE(onnx_engine().load(tiny("mood_batch.onnx"), {.input_shapes = {{2, 3, -1, 24}}}));
}

TEST(OnnxEngine, SaysInOneLineWhatIsWrongWithAFile) {
  NEED(tiny(""));
  EXPECT_EQ(error_of(tiny("nowhere.onnx")).code, ErrorCode::not_found);
  EXPECT_TRUE(names(error_of(tiny("nowhere.onnx")), "nowhere.onnx"));
  EXPECT_EQ(error_of(tiny("")).code, ErrorCode::invalid_argument);
  const Error truncated = error_of(tiny("truncated.onnx"));
  EXPECT_EQ(truncated.code, ErrorCode::corrupt);
  EXPECT_TRUE(names(truncated, "truncated.onnx")) << truncated.message;

  const fs::path folder = fs::path(testing::TempDir()) / ("onnx_engine_test." + std::to_string(getpid()));
  fs::create_directory(folder);
  std::ofstream(folder / "empty.onnx");
  std::ofstream(folder / "zeros.onnx") << std::string(5000, '\0');
  std::ofstream(folder / "text.onnx") << "this is no model\n";
  for (const char* name : {"empty.onnx", "zeros.onnx", "text.onnx"}) {
    const Error error = error_of(folder / name);
    EXPECT_EQ(error.code, ErrorCode::corrupt) << error.message;
    EXPECT_TRUE(names(error, name)) << error.message;
  }
  fs::remove_all(folder);
}

TEST(OnnxEngine, ChecksItsConfiguration) {
  NEED(tiny(""));
  const auto with = [](const std::string& config) { return LoadOptions{.config = config}; };
  const fs::path path = tiny("mood.onnx");
  EXPECT_TRUE(onnx_engine().load(
      path, with("intra_op_num_threads=2,allow_spinning=0,graph_optimization_level=basic")));
  EXPECT_TRUE(onnx_engine().load(
      path, with("session.set_denormal_as_zero=1,inter_op_num_threads=1,execution_mode=sequential")));
  EXPECT_TRUE(names(error_of(path, with("threads=2")), "intra_op_num_threads"));
  const std::string too_long = "session." + std::string(2000, 'x') + "=1";  // refused by the library itself
  EXPECT_EQ(error_of(path, with(too_long)).code, ErrorCode::invalid_argument);
  for (const char* wrong : {"intra_op_num_threads=two", "allow_spinning=maybe", "graph_optimization_level=7",
                            "execution_mode=", "x"})
    EXPECT_EQ(error_of(path, with(wrong)).code, ErrorCode::invalid_argument) << wrong;
  for (const char* ours :
       {"cuda.device_id=1", "trt.device_id=1", "cuda.user_compute_stream=7", "trt.user_compute_stream=7"})
    EXPECT_TRUE(names(error_of(path, with(ours)), "the device is what device= says")) << ours;
}

TEST(OnnxEngine, ThroughputRunsOneThreadPerRequestAndLatencyAllForOne) {
  NEED(tiny(""));
  const unsigned cores = usable_cores();
  EXPECT_EQ((*onnx_engine().load(tiny("mood.onnx"), {}))->parallel_requests(), cores);
  EXPECT_EQ(
      (*onnx_engine().load(tiny("mood.onnx"), {.policy = SchedulingPolicy::latency}))->parallel_requests(),
      1u);
  EXPECT_EQ(
      (*onnx_engine().load(tiny("mood.onnx"), {.config = "intra_op_num_threads=0"}))->parallel_requests(),
      1u);
}

TEST(OnnxEngine, ADeviceThatIsNotThereIsAnErrorThatSaysWhatIs) {
  NEED(tiny(""));
  if (access("/dev/nvidiactl", F_OK) == 0) GTEST_SKIP() << "this machine has an NVIDIA device";
  const Error error = error_of(tiny("mood.onnx"), {.device = "CUDA"});
  EXPECT_EQ(error.code, ErrorCode::unavailable);
  EXPECT_TRUE(names(error, "device=CUDA") && names(error, "usable: CPU")) << error.message;
  EXPECT_FALSE(onnx_engine().check_device("GPU.1"));
  EXPECT_FALSE(onnx_engine().check_device("NPU"));
  EXPECT_TRUE(onnx_engine().check_device("cpu"));
  const auto chosen = onnx_engine().load(tiny("mood.onnx"), {.device = "AUTO"});
  ASSERT_TRUE(chosen);
  EXPECT_EQ((*chosen)->notes().size(), 1u);
}

TEST(OnnxEngine, RunsManyRequestsAtOnceIntoTheGivenMemory) {
  NEED(tiny(""));
  const auto model = onnx_engine().load(tiny("two_inputs.onnx"), {});
  ASSERT_TRUE(model) << model.error().message;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      const auto request = (*model)->request();
      std::vector<float> left(3 * 32 * 32, 1.0f), right(left.size());
      const Shape shape{1, 3, 32, 32};
      for (int i = 0; i < 50; ++i) {
        std::ranges::fill(right, float(thread * 100 + i));
        float difference = -1;
        const Binding inputs[] = {{left.data(), shape, nullptr}, {right.data(), shape, nullptr}};
        Binding outputs[] = {{&difference, {1}, nullptr}};
        ASSERT_TRUE(request->run(inputs, outputs));
        ASSERT_FLOAT_EQ(difference, std::abs(float(thread * 100 + i) - 1));
      }
    });
}

TEST(OnnxEngine, HandsOutItsOwnMemoryWhichOutlivesTheModel) {
  NEED(tiny(""));
  Binding outputs[1];
  {
    auto model = onnx_engine().load(tiny("two_inputs.onnx"), {});
    ASSERT_TRUE(model);
    std::vector<float> left(3 * 32 * 32, 1.0f), right(left.size(), 3.0f);
    const Binding inputs[] = {{left.data(), {1, 3, 32, 32}, nullptr},
                              {right.data(), {1, 3, 32, 32}, nullptr}};
    ASSERT_TRUE((*model)->request()->run(inputs, outputs));
  }
  EXPECT_EQ(outputs[0].shape, (Shape{1}));
  EXPECT_EQ(outputs[0].memory->size(), sizeof(float));
  EXPECT_EQ(*outputs[0].memory->map(Access::read), outputs[0].data);
  EXPECT_FLOAT_EQ(*static_cast<float*>(outputs[0].data), 2);
}

TEST(OnnxEngine, ARunThatFailsIsAnErrorAndTheNextOneWorks) {
  NEED(tiny(""));
  const auto model = onnx_engine().load(tiny("det_trap.onnx"), {});
  ASSERT_TRUE(model) << model.error().message;
  const auto request = (*model)->request();
  const TensorInfo in = (*model)->signature().inputs[0], out = (*model)->signature().outputs[0];
  std::vector<float> picture(size_t(in.shape.elements())), rows(size_t(out.shape.elements()));
  const Binding inputs[] = {{picture.data(), in.shape, nullptr}};
  Binding outputs[] = {{rows.data(), out.shape, nullptr}};
  testing::internal::CaptureStderr();
  EXPECT_TRUE(request->run(inputs, outputs));
  std::ranges::fill(picture, 255.0f);
  const Status failed = request->run(inputs, outputs);
  EXPECT_FALSE(failed);
  EXPECT_EQ(failed.error().message.find('\n'), std::string::npos);
  std::ranges::fill(picture, 0.0f);
  EXPECT_TRUE(request->run(inputs, outputs));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(OnnxEngine, RealModelWritesTheOutputOfASession) {
  const fs::path path = real("yolox_nano.onnx");
  NEED(path);
  SessionOptions options;
  options.model = path.string();
  const auto opened = open_session(options);
  ASSERT_TRUE(opened) << opened.error().message;
  const TensorInfo picture{.type = DataType::f32, .shape = {1, 3, 416, 416}};
  auto stream = opened->session->open_stream(std::span(&picture, 1));
  ASSERT_TRUE(stream) << stream.error().message;
  EXPECT_EQ((*stream)->outputs()[0].shape, (Shape{1, 3549, 85}));
  const Tensor input = tensor_in(*(*stream)->input_pool(0)->acquire(), picture);
  std::ranges::fill(map(input, Access::write)->as<float>(), 114.0f);
  std::vector<Tensor> outputs;
  ASSERT_TRUE((*stream)->submit(std::span(&input, 1), 0, outputs));
  const auto rows = map(outputs[0], Access::read);
  ASSERT_TRUE(rows);
  // Grey shows nothing: no objectness above the threshold of the reference.
  for (size_t row = 0; row < 3549; ++row) ASSERT_LT(rows->as<const float>()[row * 85 + 4], 0.3f);
}

TEST(OnnxEngine, RealModelOfFreeSizeGivesOutputsForEachSize) {
  const fs::path path = real("yunet_n_dynamic.onnx");
  NEED(path);
  SessionOptions options;
  options.model = path.string();
  const auto opened = open_session(options);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->session->signature().inputs[0].shape, (Shape{1, 3, -1, -1}));
  for (int64_t side : {320, 160}) {
    const Shape shape{1, 3, side, 2 * side};
    const auto outputs = opened->session->outputs_for(std::span(&shape, 1));
    ASSERT_TRUE(outputs) << outputs.error().message;
    for (const TensorInfo& output : *outputs) {
      if (output.name == "cls_8") {
        EXPECT_EQ(output.shape, (Shape{1, 2 * side * side / 64, 1}));
      }
    }
    const TensorInfo picture{.type = DataType::u8, .shape = shape};
    auto stream = opened->session->open_stream(std::span(&picture, 1));
    ASSERT_TRUE(stream) << stream.error().message;
    const Tensor input = *allocate_tensor(picture);
    std::ranges::fill(map(input, Access::write)->as<uint8_t>(), uint8_t(0));
    std::vector<Tensor> made;
    ASSERT_TRUE((*stream)->submit(std::span(&input, 1), 0, made));
    for (const Tensor& tensor : made) EXPECT_TRUE(map(tensor, Access::read));
  }
  options.input_shape = "640:320:3:1";
  const auto fixed = open_session(options);
  ASSERT_TRUE(fixed) << fixed.error().message;
  EXPECT_EQ(fixed->session->signature().inputs[0].shape, (Shape{1, 3, 320, 640}));
}

TEST(OnnxEngineDeathTest, ALibraryThatWasAskedForAndDoesNotLoadIsAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        setenv("SIGHTGLASS_ONNXRUNTIME", "/nowhere/libonnxruntime.so", 1);
        const auto info = onnx_engine().info();
        if (!info) fprintf(stderr, "%s\n", info.error().message.c_str());
        exit(info ? 0 : 3);
      },
      testing::ExitedWithCode(3), "SIGHTGLASS_ONNXRUNTIME.*/nowhere/libonnxruntime.so");
}

TEST(OnnxEngineDeathTest, ALibraryThatIsNotOnnxRuntimeIsAnError) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        setenv("SIGHTGLASS_ONNXRUNTIME", "libm.so.6", 1);
        const auto info = onnx_engine().info();
        if (!info) fprintf(stderr, "%s\n", info.error().message.c_str());
        exit(info ? 0 : 3);
      },
      testing::ExitedWithCode(3), "is not ONNX Runtime");
}

TEST(OnnxEngine, FetchedLibraryLiesInTheCache) {
  const char* cache = std::getenv("SIGHTGLASS_CACHE");
  const std::string before = cache ? cache : "";
  setenv("SIGHTGLASS_CACHE", "/somewhere", 1);
  EXPECT_EQ(onnxruntime_path(), "/somewhere/engines/onnxruntime/libonnxruntime.so.1");
  if (cache)
    setenv("SIGHTGLASS_CACHE", before.c_str(), 1);
  else
    unsetenv("SIGHTGLASS_CACHE");
}

}  // namespace
}  // namespace sightglass
