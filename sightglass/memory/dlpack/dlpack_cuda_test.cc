// Tensors in CUDA memory by DLPack; with the driver of tests/cuda.
#include <dlpack/dlpack.h>
#include <gtest/gtest.h>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/memory/dlpack/dlpack_tensor.h"
#include "sightglass/memory/system/system_memory.h"
#include "tests/cuda/driver_double.h"

namespace sightglass {
namespace {

using test::cuda_double;

class DlpackOnCuda : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(cuda_double().fail, nullptr) << "needs the driver of tests/cuda: run it by ctest";
    const ContextRef second = cuda_context(1).value();
    const TensorInfo info{.type = DataType::f32, .shape = {2, 3}};
    tensor = tensor_in(allocate_cuda(second, info.bytes()).value(), info);
    writer = CudaStream::make(second).value();
    reader = CudaStream::make(second).value();
    ASSERT_TRUE(cuda_written(tensor, writer->get()));
    before = {cuda_double().calls("cuStreamWaitEvent"), cuda_double().calls("cuEventRecord")};
  }
  unsigned waits() const { return cuda_double().calls("cuStreamWaitEvent") - before.first; }
  unsigned records() const { return cuda_double().calls("cuEventRecord") - before.second; }

  Tensor tensor;
  std::unique_ptr<CudaStream> writer, reader;
  std::pair<unsigned, unsigned> before;
};

TEST_F(DlpackOnCuda, LiesWhereItDidOnItsDevice) {
  auto managed = to_dlpack(tensor, Access::read, reader->get());
  ASSERT_TRUE(managed) << managed.error().message;
  const DLTensor& lent = (*managed)->dl_tensor;
  EXPECT_EQ(lent.device.device_type, kDLCUDA);
  EXPECT_EQ(lent.device.device_id, 1);
  EXPECT_EQ(reinterpret_cast<uint64_t>(lent.data), cuda_pointer(tensor));
  (*managed)->deleter(*managed);
}

TEST_F(DlpackOnCuda, TheStreamOfWhoeverTakesItComesBehindTheWriterAndTheNextUserBehindTheStream) {
  auto managed = to_dlpack(tensor, Access::read, reader->get());
  ASSERT_TRUE(managed);
  EXPECT_EQ(waits(), 1u);
  EXPECT_EQ(records(), 0u);
  (*managed)->deleter(*managed);
  EXPECT_EQ(records(), 1u);
  EXPECT_TRUE(writer->wait_for(tensor));  // as whoever gets the block next
  EXPECT_EQ(waits(), 3u);
}

TEST_F(DlpackOnCuda, WithoutAStreamThereIsNoOrder) {
  auto managed = to_dlpack(tensor, Access::read, std::nullopt);
  ASSERT_TRUE(managed);
  (*managed)->deleter(*managed);
  EXPECT_EQ(waits(), 0u);
  EXPECT_EQ(records(), 0u);
}

TEST_F(DlpackOnCuda, WhatIsDeferredIsWrittenForWhoeverTakesIt) {
  class Counted final : public DeferredWrite {
   public:
    const void* kind() const override { return this; }
    Status run(std::span<const Part> parts, CUstream_st*) override {
      runs += int(parts.size());
      return {};
    }
    int runs = 0;
  };
  for (const auto stream : {std::optional<CUstream_st*>(reader->get()), std::optional<CUstream_st*>()}) {
    const auto write = make_ref<Counted>();
    static_cast<CudaMemory&>(*tensor.memory).defer(write);
    auto managed = to_dlpack(tensor, Access::read, stream);
    ASSERT_TRUE(managed) << managed.error().message;
    EXPECT_EQ(write->runs, 1);
    (*managed)->deleter(*managed);
  }
}

TEST_F(DlpackOnCuda, ADeviceThatGoesAwayMeanwhileLeavesNothingBehind) {
  auto managed = to_dlpack(tensor);
  ASSERT_TRUE(managed);
  cuda_double().fail("", 1, test::device_gone);
  (*managed)->deleter(*managed);
  EXPECT_FALSE(to_dlpack(tensor));
  cuda_double().heal();
  EXPECT_EQ(cuda_double().depth(), 0);
}

}  // namespace
}  // namespace sightglass
