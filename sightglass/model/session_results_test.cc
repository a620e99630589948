// Results of models on a CUDA device, which stay there until the CPU wants them; with the driver of
// tests/cuda, which has no device behind it.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/memory/cuda/device_bytes.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/model/loaded_session.h"
#include "tests/cuda/driver_double.h"

namespace sightglass {
namespace {

using test::cuda_double;

// Adds 1 and 2 to its input [N,4]. A row that begins with -1 fails.
class DeviceModel final : public LoadedModel {
 public:
  explicit DeviceModel(int64_t batch) {
    signature_.inputs = {{.type = DataType::f32, .shape = {batch, 4}, .name = "in"}};
    for (const char* name : {"one", "two"})
      signature_.outputs.push_back({.type = DataType::f32, .shape = {batch, 4}, .name = name});
  }
  const ModelSignature& signature() const override { return signature_; }
  std::unique_ptr<ModelRequest> request() override { return std::make_unique<Request>(); }
  unsigned parallel_requests() const override { return 1; }
  ContextRef device() const override { return cuda_context(0).value(); }

 private:
  class Request final : public ModelRequest {
   public:
    CudaStream* stream() override { return stream_.get(); }
    Result<uint64_t> place(size_t, const Shape& shape) override {
      const size_t bytes = size_t(shape.elements()) * sizeof(float);
      if (!input_ || input_->size() < bytes) input_ = allocate_cuda(nullptr, bytes).value();
      return static_cast<CudaMemory&>(*input_).address();
    }
    Status run(std::span<const Binding> inputs, std::span<Binding> outputs) override {
      const void* data =
          inputs[0].is_placed
              ? test::host_address(reinterpret_cast<const void*>(static_cast<CudaMemory&>(*input_).address()))
              : inputs[0].data;
      std::vector<float> values(size_t(inputs[0].shape.elements()));
      std::memcpy(values.data(), data, values.size() * sizeof(float));
      for (size_t i = 0; i < values.size(); i += 4)
        if (values[i] == -1) return fail(ErrorCode::internal, "cannot take -1");
      for (Binding& output : outputs) {
        for (float& value : values) ++value;
        if (!output.data) {
          auto block = allocate_memory(values.size() * sizeof(float)).value();
          output.shape = inputs[0].shape, output.data = block->data(), output.memory = block;
        }
        if (Status copied = stream_->copy(address_of(output.data), address_of(values.data()),
                                          values.size() * sizeof(float));
            !copied)
          return copied;
      }
      return stream_->finish();
    }

   private:
    const std::unique_ptr<CudaStream> stream_ = CudaStream::make(nullptr).value();
    MemoryRef input_;
  };
  ModelSignature signature_;
};

class DeviceResults : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_NE(cuda_double().fail, nullptr) << "needs the driver of tests/cuda: run it by ctest";
  }
  void SetUp() override { open(1); }
  void TearDown() override { cuda_double().heal(); }

  void open(unsigned batch) {
    std::vector<std::string> notes;
    session_ = start_session(
                   std::make_unique<DeviceModel>(batch > 1 ? -1 : 1),
                   {.model = "model.test", .batch_size = batch, .batch_timeout = 10000, .workers = 1}, notes)
                   .value();
  }
  std::unique_ptr<SessionStream> stream() {
    const TensorInfo input{.type = DataType::f32, .shape = {1, 4}};
    return session_->open_stream({&input, 1}).value();
  }
  static std::vector<Tensor> submit(SessionStream& to, float value) {
    Tensor in = tensor_in(*to.input_pool(0)->acquire(), {.type = DataType::f32, .shape = {1, 4}});
    std::ranges::fill(map(in, Access::write)->as<float>(), value);
    std::vector<Tensor> outputs;
    EXPECT_TRUE(to.submit({&in, 1}, 0, outputs));
    return outputs;
  }
  static float first(const Tensor& tensor) { return map(tensor, Access::read)->as<const float>()[0]; }
  static uint64_t to_cpu() {
    for (const auto& entry : CopyLedger::process().snapshot())
      if (entry.name == "model.test results to the CPU") return entry.bytes_copied;
    return 0;
  }

  std::shared_ptr<Session> session_;
};

TEST_F(DeviceResults, ResultsStayForThoseWhoReadThemThere) {
  auto one = stream();
  const uint64_t before = to_cpu();
  for (int i = 0; i < 5; ++i) {
    const auto outputs = submit(*one, float(i));
    for (size_t k = 0; k < 2; ++k) {
      const auto there = device_tensor(outputs[k]);
      ASSERT_TRUE(there && there->memory);
      EXPECT_EQ(there->memory->kind(), MemoryKind::cuda);
      EXPECT_EQ(first(*there), float(i) + 1 + float(k));
    }
  }
  EXPECT_EQ(to_cpu(), before);
}

TEST_F(DeviceResults, WhoMapsThemGetsThemAndFromThenOnWithTheRun) {
  auto one = stream();
  const uint64_t before = to_cpu();
  auto outputs = submit(*one, 5);
  EXPECT_EQ(first(outputs[0]), 6);
  EXPECT_EQ(first(outputs[0]), 6);
  EXPECT_EQ(to_cpu() - before, 16u);
  outputs = submit(*one, 7);
  EXPECT_EQ(first(outputs[0]), 8);
  EXPECT_EQ(to_cpu() - before, 32u);
  EXPECT_FALSE(device_tensor(outputs[0])->memory);
  // The other output is still nobody's, and other streams have their own habits.
  EXPECT_TRUE(device_tensor(outputs[1])->memory);
  EXPECT_TRUE(device_tensor(submit(*stream(), 1)[0])->memory);
}

TEST_F(DeviceResults, WhoLooksAtThemBesidesChangesNothing) {
  auto one = stream();
  for (int i = 0; i < 3; ++i) {
    const auto outputs = submit(*one, float(i));
    EXPECT_TRUE(device_tensor(outputs[0])->memory);
    EXPECT_EQ(first(outputs[0]), float(i) + 1);
  }
}

TEST_F(DeviceResults, WhatTheCpuHasChangedIsNotOnTheDevice) {
  auto one = stream();
  const auto outputs = submit(*one, 1);
  ASSERT_TRUE(device_tensor(outputs[0])->memory);
  map(outputs[0], Access::read_write)->as<float>()[0] = 40;
  EXPECT_FALSE(device_tensor(outputs[0])->memory);
  EXPECT_EQ(first(outputs[0]), 40);
}

TEST_F(DeviceResults, SamplesOfABatchMayBeWantedInBothPlaces) {
  open(2);
  auto here = stream(), there = stream();
  for (int i = 0; i < 4; ++i) {
    const auto mine = submit(*here, float(i)), other = submit(*there, float(100 + i));
    EXPECT_EQ(first(mine[0]), float(i) + 1);
    const auto on_device = device_tensor(other[0]);
    ASSERT_TRUE(on_device && on_device->memory);
    EXPECT_EQ(first(*on_device), float(100 + i) + 1);
  }
}

TEST_F(DeviceResults, ARunThatFailsIsAnErrorInBothPlaces) {
  auto one = stream();
  const auto outputs = submit(*one, -1);
  EXPECT_EQ(device_tensor(outputs[0]).error().message, "model.test: cannot take -1");
  EXPECT_EQ(map(outputs[1], Access::read).error().message, "model.test: cannot take -1");
  EXPECT_EQ(first(submit(*one, 1)[0]), 2);
}

TEST_F(DeviceResults, ADownloadThatFailsIsAnErrorAndMayBeTriedAgain) {
  auto one = stream();
  const auto outputs = submit(*one, 1);
  ASSERT_TRUE(device_tensor(outputs[0]));
  cuda_double().fail("cuMemcpy2DAsync_v2", 1, test::device_gone);
  EXPECT_FALSE(map(outputs[0], Access::read));
  cuda_double().heal();
  EXPECT_EQ(first(outputs[0]), 2);
}

TEST_F(DeviceResults, WithoutRoomOnTheDeviceTheyComeToTheCpu) {
  auto one = stream();
  const auto kept = submit(*one, 1);  // in the only blocks there are
  ASSERT_TRUE(device_tensor(kept[0])->memory);
  cuda_double().fail("cuMemAlloc_v2", 1, test::out_of_memory);
  const auto outputs = submit(*one, 2);
  const auto there = device_tensor(outputs[0]);
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_FALSE(there->memory);
  EXPECT_EQ(first(outputs[0]), 3);
}

TEST_F(DeviceResults, KeepsNoMoreMemoryThanIsInUse) {
  auto one = stream();
  (void)device_tensor(submit(*one, 1)[0]);
  const size_t before = cuda_double().device_bytes();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(device_tensor(submit(*one, float(i))[0]));
  EXPECT_EQ(cuda_double().device_bytes(), before);
}

}  // namespace
}  // namespace sightglass
