// Models on an NVIDIA device. Without one, or without ONNX Runtime's CUDA provider, the tests say so and are
// skipped.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/model/onnx/onnx_engine.h"
#include "sightglass/model/session.h"

namespace sightglass {
namespace {

std::string tiny(const std::string& name) {
  const char* folder = std::getenv("SIGHTGLASS_TEST_MODELS");
  return folder ? (std::filesystem::path(folder) / name).string() : std::string();
}

class OnnxCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (tiny("").empty()) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
    if (const Status usable = onnx_engine().check_device("CUDA:0"); !usable)
      GTEST_SKIP() << usable.error().message;
  }

  static std::vector<float> numbers(size_t count, int seed) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = float((i * 37 + i / 251 + size_t(seed) * 53) % 256);
    return values;
  }

  // A tensor with these values, in memory of the CPU or of the device.
  static Tensor tensor(const std::vector<float>& values, const TensorInfo& info,
                       const Ref<MemoryPool>& pool) {
    Tensor made = tensor_in(pool->acquire().value(), info);
    std::memcpy(map(made, Access::write)->data(), values.data(), values.size() * sizeof(float));
    return made;
  }

  static std::vector<float> floats(const Tensor& tensor) {
    const auto mapping = map(tensor, Access::read);
    EXPECT_TRUE(mapping) << mapping.error().message;
    if (!mapping) return {};
    const auto values = mapping->as<float>();
    return {values.begin(), values.end()};
  }

  static OpenedSession open(const std::string& model, const std::string& device, unsigned batch,
                            std::optional<std::string> config = {}) {
    auto opened =
        open_session({.model = tiny(model), .device = device, .config = config, .batch_size = batch});
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *std::move(opened) : OpenedSession{};
  }

  // What comes out for `count` samples that are submitted one behind the other.
  static std::vector<std::vector<float>> run(Session& session, MemoryKind memory, int count) {
    TensorInfo input = session.signature().inputs.at(0);
    for (size_t axis = 0; axis < input.shape.rank(); ++axis)
      if (input.shape[axis] < 0) input.shape[axis] = 64;
    auto stream = session.open_stream({&input, 1}, memory);
    EXPECT_TRUE(stream) << stream.error().message;
    if (!stream) return {};
    std::vector<std::vector<Tensor>> outputs(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      const Tensor sample =
          tensor(numbers(size_t(input.shape.elements()), i), input, (*stream)->input_pool(0));
      const Status submitted = (*stream)->submit({&sample, 1}, i, outputs[size_t(i)]);
      EXPECT_TRUE(submitted) << submitted.error().message;
    }
    (*stream)->drain();
    std::vector<std::vector<float>> results;
    for (const auto& tensors : outputs) results.push_back(floats(tensors.at(0)));
    return results;
  }

  static void expect_near(const std::vector<std::vector<float>>& a,
                          const std::vector<std::vector<float>>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].size(), b[i].size());
      for (size_t k = 0; k < a[i].size(); ++k)
        ASSERT_NEAR(a[i][k], b[i][k], 2e-3 * std::max(1.0f, std::abs(a[i][k])))
            << "sample " << i << ", " << k;
    }
  }

  static uint64_t copied(std::string_view hop) {
    for (const auto& entry : CopyLedger::process().snapshot())
      if (entry.name == hop) return entry.bytes_copied;
    return 0;
  }
};

TEST_F(OnnxCuda, GivesWhatTheCpuGives) {
  for (const char* model :
       {"net.onnx", "mood.onnx", "mood_batch.onnx", "mood_batch4.onnx", "embedding.onnx"}) {
    if (!std::filesystem::exists(tiny(model))) continue;
    SCOPED_TRACE(model);
    const OpenedSession cpu = open(model, "CPU", 4), cuda = open(model, "CUDA:0", 4);
    ASSERT_TRUE(cpu.session && cuda.session);
    for (const auto& warning : cuda.warnings) std::puts(warning.c_str());
    EXPECT_FALSE(cpu.session->device());
    ASSERT_TRUE(cuda.session->device());
    const auto expected = run(*cpu.session, MemoryKind::system, 11);
    expect_near(expected, run(*cuda.session, MemoryKind::system, 11));
    expect_near(expected, run(*cuda.session, MemoryKind::cuda, 11));
  }
}

TEST_F(OnnxCuda, TensorsOfTheDeviceStayThere) {
  const OpenedSession opened = open("mood_batch.onnx", "CUDA:0", 4);
  ASSERT_TRUE(opened.session);
  (void)run(*opened.session, MemoryKind::cuda, 1);
  const uint64_t up = copied("mood_batch.onnx input to the device"),
                 down = copied("CUDA memory mapped for the CPU"),
                 within = copied("mood_batch.onnx input on the device"),
                 results = copied("mood_batch.onnx results to the CPU");
  // What the test itself writes is brought up by mapping, which reads the block first.
  const size_t bytes = opened.session->signature().inputs[0].bytes();
  (void)run(*opened.session, MemoryKind::cuda, 4);
  EXPECT_EQ(copied("mood_batch.onnx input to the device"), up);
  EXPECT_EQ(copied("CUDA memory mapped for the CPU"), down + 4 * bytes);
  EXPECT_EQ(copied("mood_batch.onnx input on the device"), within + 4 * bytes);
  EXPECT_GE(copied("mood_batch.onnx results to the CPU"), results + 4 * 3 * sizeof(float));
}

TEST_F(OnnxCuda, WithoutGraphsResultsAreTheSame) {
  const OpenedSession with = open("mood_batch.onnx", "CUDA:0", 4),
                      without = open("mood_batch.onnx", "CUDA:0", 4, "cuda.enable_cuda_graph=0");
  ASSERT_TRUE(with.session && without.session);
  expect_near(run(*with.session, MemoryKind::cuda, 9), run(*without.session, MemoryKind::cuda, 9));
}

TEST_F(OnnxCuda, TakesNoOtherMemoryAndNoOtherTypes) {
  const OpenedSession opened = open("mood.onnx", "CUDA:0", 1);
  ASSERT_TRUE(opened.session);
  TensorInfo input = opened.session->signature().inputs.at(0);
  EXPECT_FALSE(opened.session->open_stream({&input, 1}, MemoryKind::opencl));
  input.type = DataType::u8;
  EXPECT_TRUE(opened.session->open_stream({&input, 1}, MemoryKind::system));
  const auto refused = opened.session->open_stream({&input, 1}, MemoryKind::cuda);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_negotiated);
}

TEST_F(OnnxCuda, AutoTakesTheDeviceAndSaysSo) {
  const OpenedSession opened = open("mood.onnx", "AUTO", 1);
  ASSERT_TRUE(opened.session);
  EXPECT_TRUE(opened.session->device());
  ASSERT_FALSE(opened.warnings.empty());
  EXPECT_NE(opened.warnings.front().find("device=AUTO uses CUDA:0"), std::string::npos)
      << opened.warnings.front();
}

TEST_F(OnnxCuda, ErrorsAreOneLineThatSaysWhatThereIs) {
  const auto other = open_session({.model = tiny("mood.onnx"), .device = "CUDA:99"});
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("there is no CUDA device 99"), std::string::npos)
      << other.error().message;
  EXPECT_NE(other.error().message.find("usable: CPU, CUDA:0"), std::string::npos) << other.error().message;
  // More than the whole device: the block that a batch's input needs.
  const auto huge = allocate_cuda(nullptr, size_t(1) << 42);
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, ErrorCode::exhausted);
  const auto option =
      open_session({.model = tiny("mood.onnx"), .device = "CUDA:0", .config = "cuda.color=blue"});
  ASSERT_FALSE(option);
  EXPECT_EQ(option.error().message.find('\n'), std::string::npos);
}

TEST_F(OnnxCuda, OutOfMemoryIsOneClearLine) {
  auto opened =
      open_session({.model = tiny("net.onnx"), .device = "CUDA:0", .config = "cuda.gpu_mem_limit=1024"});
  if (opened) {
    TensorInfo input = opened->session->signature().inputs.at(0);
    input.shape = {1, 3, 512, 512};
    const auto stream = opened->session->open_stream({&input, 1});
    ASSERT_FALSE(stream);
    opened = std::unexpected(stream.error());
  }
  EXPECT_EQ(opened.error().code, ErrorCode::exhausted) << opened.error().message;
  EXPECT_NE(opened.error().message.find("the GPU has not enough free memory"), std::string::npos)
      << opened.error().message;
  EXPECT_EQ(opened.error().message.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace sightglass
