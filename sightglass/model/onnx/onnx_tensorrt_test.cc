// What of the TensorRT provider can be looked at without one: Debian's ONNX Runtime has none.
#include "sightglass/model/onnx/onnx_tensorrt.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "sightglass/model/compiled_cache.h"
#include "sightglass/model/load_progress.h"
#include "sightglass/model/onnx/onnx_engine.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

class OnnxTensorRt : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / std::format("sightglass-tensorrt-{}", getpid());
    fs::create_directories(folder_);
    model_ = folder_ / "net.onnx";
    std::ofstream(model_) << "one";
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string value(const ProviderSettings& settings, std::string_view name) {
    for (const auto& [key, text] : settings)
      if (key == name) return text;
    return "(none)";
  }

  fs::path folder_, model_;
};

TEST_F(OnnxTensorRt, OptionsHaveTheProvidersNames) {
  EXPECT_EQ(tensorrt_option("fp16_enable", "1"), std::pair(std::string("trt_fp16_enable"), std::string("1")));
  EXPECT_EQ(tensorrt_option("trt_fp16_enable", "1").first, "trt_fp16_enable");
  EXPECT_EQ(tensorrt_option("device_id", "1").first, "device_id");
}

TEST_F(OnnxTensorRt, WhatIsBuiltLiesInAFolderForAllThatItDependsOn) {
  const CompiledFolder kept(folder_ / "kept");
  const auto folder = [&](std::string_view platform, std::string config = "trt.fp16_enable=1") {
    ProviderSettings settings{{"trt_fp16_enable", "1"}};
    const fs::path made = keep_tensorrt_engines(
        settings, model_,
        {.device = "CUDA:0", .config = std::move(config), .input_shapes = {}, .outputs = {}}, platform);
    EXPECT_EQ(value(settings, "trt_engine_cache_enable"), "1");
    EXPECT_EQ(value(settings, "trt_engine_cache_path"), made.string());
    EXPECT_EQ(value(settings, "trt_timing_cache_enable"), "1");
    EXPECT_EQ(value(settings, "trt_timing_cache_path"), made.string());
    EXPECT_TRUE(fs::is_directory(made));
    EXPECT_EQ(made.parent_path(), folder_ / "kept");
    return made;
  };
  const fs::path first = folder("H100 sm_90, driver 580, TensorRT 10.9.0, ONNX Runtime 1.29.0");
  EXPECT_EQ(folder("H100 sm_90, driver 580, TensorRT 10.9.0, ONNX Runtime 1.29.0"), first);
  EXPECT_NE(folder("H100 sm_90, driver 581, TensorRT 10.9.0, ONNX Runtime 1.29.0"), first);
  EXPECT_NE(folder("H100 sm_90, driver 580, TensorRT 10.9.0, ONNX Runtime 1.29.0", "trt.int8_enable=1"),
            first);
  std::ofstream(model_) << "another";
  EXPECT_NE(folder("H100 sm_90, driver 580, TensorRT 10.9.0, ONNX Runtime 1.29.0"), first);

  EXPECT_FALSE(has_tensorrt_engine(first));
  std::ofstream(first / "TensorrtExecutionProvider_1.engine") << "built";
  EXPECT_TRUE(has_tensorrt_engine(first));
  EXPECT_FALSE(has_tensorrt_engine(folder_ / "nowhere"));
}

TEST_F(OnnxTensorRt, TwoDevicesOfOneKindShareWhatIsBuilt) {
  const CompiledFolder kept(folder_ / "kept");
  ProviderSettings one, other;
  EXPECT_EQ(
      keep_tensorrt_engines(one, model_,
                            {.device = "CUDA:0", .config = {}, .input_shapes = {}, .outputs = {}}, "H100"),
      keep_tensorrt_engines(other, model_,
                            {.device = "CUDA:1", .config = {}, .input_shapes = {}, .outputs = {}}, "H100"));
}

TEST_F(OnnxTensorRt, TheUsersFolderAndWishToKeepNothingCount) {
  const CompiledFolder kept(folder_ / "kept");
  ProviderSettings named{{"trt_engine_cache_path", "/somewhere"}};
  EXPECT_EQ(keep_tensorrt_engines(named, model_, {}, "H100"), "/somewhere");
  EXPECT_EQ(named.size(), 1u);
  ProviderSettings off{{"trt_engine_cache_enable", "0"}};
  EXPECT_EQ(keep_tensorrt_engines(off, model_, {}, "H100"), "");
  EXPECT_FALSE(fs::exists(folder_ / "kept"));
}

TEST_F(OnnxTensorRt, WithoutAModuleTheCacheOfTheUserIsTaken) {
  const char* const before = std::getenv("SIGHTGLASS_CACHE");
  const std::string kept = before ? before : "";
  setenv("SIGHTGLASS_CACHE", folder_.c_str(), 1);
  ProviderSettings settings;
  const fs::path made = keep_tensorrt_engines(settings, model_, {}, "H100");
  before ? setenv("SIGHTGLASS_CACHE", kept.c_str(), 1) : unsetenv("SIGHTGLASS_CACHE");
  EXPECT_EQ(made.parent_path(), folder_ / "engines" / "tensorrt");
}

TEST_F(OnnxTensorRt, ALibraryWithoutTheProviderSaysSoInOneLine) {
  const auto library = onnx_library();
  if (!library) GTEST_SKIP() << library.error().message;
  const Status usable = check_tensorrt(**library, {{"trt_fp16_enable", "1"}}, 0);
  if (usable) GTEST_SKIP() << "this ONNX Runtime has TensorRT";
  EXPECT_EQ(usable.error().code, ErrorCode::unavailable);
  EXPECT_EQ(usable.error().message.find('\n'), std::string::npos);
  EXPECT_NE(usable.error().message.find("cannot use TensorRT"), std::string::npos) << usable.error().message;
  EXPECT_NE(usable.error().message.find((*library)->info.version), std::string::npos)
      << usable.error().message;
}

TEST_F(OnnxTensorRt, OnTheCpuItIsAnErrorForWhoeverHasChosenThat) {
  if (!onnx_library()) GTEST_SKIP() << "no ONNX Runtime";
  const auto model = onnx_engine().load(
      model_, {.device = "CPU", .config = "trt.enable=1", .input_shapes = {}, .outputs = {}});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().message,
            "config: trt.* needs an NVIDIA device, and device=CPU is none; set device=CUDA:0 or AUTO");
  // Switched off it is not there, and the file is looked at.
  const auto off = onnx_engine().load(
      model_, {.device = "CPU", .config = "trt.enable=0", .input_shapes = {}, .outputs = {}});
  ASSERT_FALSE(off);
  EXPECT_EQ(off.error().code, ErrorCode::corrupt);
}

TEST(LoadProgress, TheInnermostListenerOfTheThreadIsTold) {
  std::vector<std::string> outer, inner;
  const LoadProgress one([&](std::string_view text) { outer.emplace_back(text); });
  tell_load_progress("a");
  {
    const LoadProgress two([&](std::string_view text) { inner.emplace_back(text); });
    tell_load_progress("b");
  }
  tell_load_progress("c");
  EXPECT_EQ(outer, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(inner, std::vector<std::string>{"b"});
}

}  // namespace
}  // namespace sightglass
