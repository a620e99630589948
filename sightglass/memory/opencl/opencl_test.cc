#include "sightglass/memory/opencl/opencl.h"

#include <gmock/gmock.h>

#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/opencl/cl.h"
#include "sightglass/memory/opencl/opencl_probe.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

using testing::HasSubstr;

constexpr Form gray{MemoryKind::opencl, PixelFormat::gray8};
constexpr Form gray_in_system{MemoryKind::system, PixelFormat::gray8};

// Adds one to each byte of [offset, offset + count).
constexpr const char* add_one = R"(
__kernel void add_one(__global uchar* bytes, uint offset, uint stride) {
  bytes[offset + get_global_id(1) * stride + get_global_id(0)] += 1;
})";

class OpenCL : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = default_context(MemoryKind::opencl);
    if (!opened) GTEST_SKIP() << opened.error().message;
    context_ = *opened;
    queue_ = static_cast<cl_command_queue>(context_->handle("cl_command_queue"));
  }

  Frame picture(int width, int height, uint8_t value) {
    auto frame = allocate_frame({.format = PixelFormat::gray8, .width = width, .height = height});
    EXPECT_TRUE(frame);
    auto mapped = map(frame->tensors[0], Access::write);
    std::memset(mapped->data(), value, mapped->bytes());
    return *frame;
  }

  // Without waiting for it.
  void enqueue_add_one(const Tensor& tensor, cl_command_queue queue, cl_event* event = nullptr) {
    auto context = static_cast<cl_context>(context_->handle("cl_context"));
    auto device = static_cast<cl_device_id>(context_->handle("cl_device_id"));
    const char* source = add_one;
    cl_int code;
    cl_program program = clCreateProgramWithSource(context, 1, &source, nullptr, &code);
    ASSERT_EQ(clBuildProgram(program, 1, &device, "", nullptr, nullptr), CL_SUCCESS);
    cl_kernel kernel = clCreateKernel(program, "add_one", &code);
    ASSERT_TRUE(kernel);
    cl_mem buffer = opencl_buffer(tensor);
    const cl_uint offset = cl_uint(tensor.offset), stride = cl_uint(tensor.strides[0]);
    clSetKernelArg(kernel, 0, sizeof buffer, &buffer);
    clSetKernelArg(kernel, 1, sizeof offset, &offset);
    clSetKernelArg(kernel, 2, sizeof stride, &stride);
    const size_t size[2] = {size_t(tensor.shape[1]), size_t(tensor.shape[0])};
    EXPECT_EQ(clEnqueueNDRangeKernel(queue, kernel, 2, nullptr, size, nullptr, 0, nullptr, event),
              CL_SUCCESS);
    clFlush(queue);
    clReleaseKernel(kernel);
    clReleaseProgram(program);
  }

  static int sum_of(const Tensor& tensor) {
    auto mapped = map(tensor, Access::read);
    if (!mapped) {
      ADD_FAILURE() << mapped.error().message;
      return -1;
    }
    int sum = 0;
    for (int64_t y = 0; y < tensor.shape[0]; ++y) {
      const uint8_t* row = mapped->row<const uint8_t>(y);
      sum = std::accumulate(row, row + tensor.shape[1], sum);
    }
    return sum;
  }

  ContextRef context_;
  cl_command_queue queue_ = nullptr;
};

TEST_F(OpenCL, NamesItsDeviceAndGivesItsHandles) {
  EXPECT_FALSE(context_->description().empty());
  for (const char* type : {"cl_context", "cl_command_queue", "cl_device_id", "cl_platform_id"})
    EXPECT_NE(context_->handle(type), nullptr) << type;
  EXPECT_EQ(context_->handle("CUcontext"), nullptr);
}

TEST_F(OpenCL, WhatAKernelWritesIsThereForTheCpuWithoutAnyWaitInBetween) {
  const Frame frame = picture(33, 17, 4);
  {
    auto mapped = map_to(frame, {.form = gray, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    enqueue_add_one(mapped->frame().tensors[0], queue_);
  }
  EXPECT_EQ(sum_of(frame.tensors[0]), 33 * 17 * 5);
}

TEST_F(OpenCL, FinishIsEnoughWhileTheMappingLives) {
  const Frame frame = picture(256, 256, 4);
  auto mapped = map_to(frame, {.form = gray, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  enqueue_add_one(mapped->frame().tensors[0], queue_);
  EXPECT_TRUE(mapped->finish());
  EXPECT_EQ(sum_of(frame.tensors[0]), 256 * 256 * 5);
}

TEST_F(OpenCL, TheSecondMappingSeesWhatTheFirstHasInFlight) {
  const Frame frame = picture(64, 64, 0);
  for (int i = 0; i < 3; ++i) {
    auto mapped = map_to(frame, {.form = gray, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    enqueue_add_one(mapped->frame().tensors[0], queue_);
  }
  EXPECT_EQ(sum_of(frame.tensors[0]), 64 * 64 * 3);
}

TEST_F(OpenCL, AViewIsWrittenAndNothingBesideIt) {
  const Frame frame = picture(20, 10, 0);
  auto view = view_of(frame, {.x = 3, .y = 2, .w = 5, .h = 4});
  ASSERT_TRUE(view);
  {
    auto mapped = map_to(*view, {.form = gray, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    enqueue_add_one(mapped->frame().tensors[0], queue_);
  }
  EXPECT_EQ(sum_of(view->tensors[0]), 20);
  EXPECT_EQ(sum_of(frame.tensors[0]), 20);
}

TEST_F(OpenCL, TheSourceMayGoWhileItIsMappedAndTheMappingWhileItIsInFlight) {
  Frame frame = picture(64, 64, 1);
  auto mapped = map_to(frame, {.form = gray, .access = Access::read_write});
  ASSERT_TRUE(mapped) << mapped.error().message;
  frame = {};
  EXPECT_EQ(sum_of(mapped->frame().tensors[0]), 64 * 64);
  enqueue_add_one(mapped->frame().tensors[0], queue_);
  // The last holder of the picture goes while the kernel is still writing it.
  mapped = std::unexpected(Error{});
  clFinish(queue_);
}

TEST_F(OpenCL, AnotherQueueWaitsAndIsWaitedFor) {
  auto context = static_cast<cl_context>(context_->handle("cl_context"));
  auto device = static_cast<cl_device_id>(context_->handle("cl_device_id"));
  cl_int code;
  cl_command_queue other = clCreateCommandQueue(context, device, 0, &code);
  ASSERT_TRUE(other);
  const Frame frame = picture(64, 64, 0);
  {
    auto mapped = map_to(frame, {.form = gray, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    const Tensor& tensor = mapped->frame().tensors[0];
    enqueue_add_one(tensor, queue_);
    EXPECT_TRUE(opencl_wait(tensor, other));
    cl_event event = nullptr;
    enqueue_add_one(tensor, other, &event);
    EXPECT_TRUE(opencl_written(tensor, event));
    clReleaseEvent(event);
    EXPECT_EQ(sum_of(tensor), 64 * 64 * 2);
  }
  EXPECT_EQ(sum_of(frame.tensors[0]), 64 * 64 * 2);
  clReleaseCommandQueue(other);
}

TEST_F(OpenCL, PoolsGiveBuffersAgainButNotThoseThatSomebodyHolds) {
  auto pool = make_opencl_pool(context_, 1000);
  ASSERT_TRUE(pool);
  EXPECT_EQ((*pool)->block_size(), 1000u);
  const auto handle_of = [](const MemoryRef& memory) { return static_cast<OpenCLMemory&>(*memory).handle(); };
  auto block = (*pool)->acquire();
  ASSERT_TRUE(block) << block.error().message;
  EXPECT_EQ((*block)->context(), context_.get());
  const cl_mem first = handle_of(*block);
  *block = nullptr;
  block = (*pool)->acquire();
  ASSERT_TRUE(block);
  EXPECT_EQ(handle_of(*block), first);
  clRetainMemObject(first);
  *block = nullptr;
  block = (*pool)->acquire();
  ASSERT_TRUE(block);
  EXPECT_NE(handle_of(*block), first);
  clReleaseMemObject(first);
  // Blocks may come back after the pool has gone.
  *pool = nullptr;
}

TEST_F(OpenCL, APoolServesManyThreads) {
  auto pool = make_opencl_pool(context_, sizeof(int));
  ASSERT_TRUE(pool);
  std::vector<std::jthread> threads;
  for (int id = 0; id < 4; ++id)
    threads.emplace_back([&, id] {
      for (int i = 0; i < 50; ++i) {
        auto block = (*pool)->acquire();
        ASSERT_TRUE(block);
        const Tensor tensor = tensor_in(*block, {.type = DataType::i32, .shape = {1}});
        *reinterpret_cast<int*>(map(tensor, Access::write)->data()) = id;
        EXPECT_EQ(*reinterpret_cast<int*>(map(tensor, Access::read)->data()), id);
      }
    });
}

TEST_F(OpenCL, ManyThreadsPlanAndMapAtOnce) {
  const Frame frame = picture(64, 32, 3);
  std::vector<std::jthread> threads;
  for (int id = 0; id < 4; ++id)
    threads.emplace_back([&] {
      for (MemoryKind kind : {MemoryKind::opencl, MemoryKind::opencl_image, MemoryKind::opencl}) {
        auto mapped = map_to(frame, {.form = {kind, PixelFormat::gray8}});
        ASSERT_TRUE(mapped) << mapped.error().message;
        auto back = map_to(mapped->frame(), {.form = gray_in_system});
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(sum_of(back->frame().tensors[0]), 64 * 32 * 3);
      }
    });
}

TEST_F(OpenCL, TakesTheUsersOwnContextAndBuffer) {
  auto device = static_cast<cl_device_id>(context_->handle("cl_device_id"));
  cl_int code;
  cl_context context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &code);
  cl_command_queue queue = clCreateCommandQueue(context, device, 0, &code);
  auto adopted = adopt_opencl(context, queue);
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_FALSE((*adopted)->same_device(*context_));
  auto mapped = map_to(picture(8, 8, 7), {.form = gray, .context = *adopted});
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_EQ(mapped->frame().tensors[0].memory->context(), adopted->get());
  EXPECT_EQ(sum_of(mapped->frame().tensors[0]), 8 * 8 * 7);

  cl_mem buffer = clCreateBuffer(context, CL_MEM_READ_WRITE, 64, nullptr, &code);
  auto wrapped = wrap_opencl_buffer(*adopted, buffer);
  ASSERT_TRUE(wrapped) << wrapped.error().message;
  clReleaseMemObject(buffer);
  EXPECT_EQ((*wrapped)->size(), 64u);
  EXPECT_TRUE(map(tensor_in(*wrapped, {.type = DataType::u8, .shape = {64}}), Access::read_write));
  EXPECT_EQ(wrap_opencl_buffer(context_, buffer).error().code, ErrorCode::invalid_argument);

  clReleaseCommandQueue(queue);
  clReleaseContext(context);
}

TEST_F(OpenCL, RefusesBadHandlesWithTheReason) {
  EXPECT_THAT(adopt_opencl(nullptr, nullptr).error().message, HasSubstr("an OpenCL context and a queue"));
  EXPECT_THAT(wrap_opencl_buffer(context_, nullptr).error().message, HasSubstr("null"));
  EXPECT_EQ(make_opencl_pool(context_, 0).error().code, ErrorCode::invalid_argument);
  const Frame frame = picture(4, 4, 0);
  EXPECT_EQ(opencl_buffer(frame.tensors[0]), nullptr);
  EXPECT_EQ(opencl_image({}), nullptr);
  EXPECT_THAT(opencl_wait(frame.tensors[0], queue_).error().message,
              HasSubstr("does not lie in OpenCL memory"));
  EXPECT_THAT(opencl_written({}, nullptr).error().message, HasSubstr("does not lie in OpenCL memory"));
  auto device = static_cast<cl_device_id>(context_->handle("cl_device_id"));
  cl_int code;
  cl_context context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, &code);
  EXPECT_THAT(adopt_opencl(context, queue_).error().message, HasSubstr("does not belong"));
  clReleaseContext(context);
}

TEST_F(OpenCL, AnImageHasNoAddress) {
  auto mapped = map_to(picture(8, 8, 7), {.form = {MemoryKind::opencl_image, PixelFormat::gray8}});
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_NE(opencl_image(mapped->frame().tensors[0]), nullptr);
  EXPECT_EQ(opencl_buffer(mapped->frame().tensors[0]), nullptr);
  auto refused = map(mapped->frame().tensors[0], Access::read);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
}

TEST_F(OpenCL, SystemMemoryComesBackToItsPoolAfterTheDevice) {
  auto pool = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = 64 * 64, .max_blocks = 1});
  {
    auto block = pool->acquire();
    ASSERT_TRUE(block);
    const VideoInfo video{.format = PixelFormat::gray8, .width = 64, .height = 64};
    const Frame frame = frame_in(*block, video, FrameLayout::of(video));
    auto mapped = map_to(frame, {.form = gray, .access = Access::read_write});
    ASSERT_TRUE(mapped) << mapped.error().message;
    enqueue_add_one(mapped->frame().tensors[0], queue_);
  }
  EXPECT_TRUE(pool->acquire());  // waits for it
}

TEST(OpenCLProbe, AnswersTheSameTwiceAndLeavesTheProcessAlive) {
  const Status first = probe_opencl(), second = probe_opencl();
  EXPECT_EQ(first.has_value(), second.has_value());
  if (!first) GTEST_SKIP() << first.error().message;
}

}  // namespace
}  // namespace sightglass
