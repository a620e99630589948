#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

using testing::HasSubstr;

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = default_context(MemoryKind::cuda);
    if (!opened) GTEST_SKIP() << opened.error().message;
    context_ = *opened;
  }
  CUstream_st* stream() const { return static_cast<CUstream_st*>(context_->handle("CUstream")); }

  ContextRef context_;
};

// Every byte another than its neighbours.
void fill(const Frame& frame, unsigned seed) {
  for (const Tensor& tensor : frame.tensors) {
    auto mapped = map(tensor, Access::write);
    ASSERT_TRUE(mapped) << mapped.error().message;
    for (int64_t y = 0; y < tensor.shape[0]; ++y)
      for (int64_t x = 0; x < tensor.shape[1]; ++x)
        mapped->row<uint8_t>(y)[x] = uint8_t(seed + 7 * y + 3 * x);
  }
}
void expect_filled(const Frame& frame, unsigned seed) {
  for (const Tensor& tensor : frame.tensors) {
    auto mapped = map(tensor, Access::read);
    ASSERT_TRUE(mapped) << mapped.error().message;
    for (int64_t y = 0; y < tensor.shape[0]; ++y)
      for (int64_t x = 0; x < tensor.shape[1]; ++x)
        ASSERT_EQ(mapped->row<uint8_t>(y)[x], uint8_t(seed + 7 * y + 3 * x)) << x << ',' << y;
  }
}
Form on_cuda(const Frame& frame) { return {MemoryKind::cuda, frame.video->format}; }
Form in_system(const Frame& frame) { return {MemoryKind::system, frame.video->format}; }

TEST(CudaDriver, SaysWhatIsMissingOrWorks) {
  auto opened = default_context(MemoryKind::cuda);
  if (opened) {
    EXPECT_GT(cuda_devices(), 0);
    return;
  }
  EXPECT_EQ(opened.error().code, ErrorCode::unavailable);
  EXPECT_THAT(opened.error().message, HasSubstr("NVIDIA driver"));
  EXPECT_EQ(cuda_devices(), 0);
  auto frame = allocate_frame({.format = PixelFormat::nv12, .width = 16, .height = 16});
  ASSERT_TRUE(frame);
  auto mapped = map_to(*frame, {.form = {MemoryKind::cuda, PixelFormat::nv12}});
  ASSERT_FALSE(mapped);
  EXPECT_THAT(mapped.error().message, HasSubstr("NVIDIA driver"));
  EXPECT_EQ(allocate_cuda(nullptr, 100).error().code, ErrorCode::unavailable);
}

TEST(CudaDriver, RefusesMemoryOfOtherKinds) {
  auto tensor = allocate_tensor({.type = DataType::u8, .shape = {8}});
  ASSERT_TRUE(tensor);
  EXPECT_EQ(cuda_pointer(*tensor), 0u);
  EXPECT_EQ(cuda_pointer({}), 0u);
  EXPECT_THAT(cuda_wait(*tensor, nullptr).error().message, HasSubstr("does not lie in CUDA memory"));
  EXPECT_THAT(cuda_written({}, nullptr).error().message, HasSubstr("does not lie in CUDA memory"));
  EXPECT_THAT(export_cuda(*tensor->memory).error().message, HasSubstr("system memory has no CUDA handle"));
}

TEST_F(Cuda, NamesItsDeviceAndGivesItsHandles) {
  EXPECT_FALSE(context_->description().empty());
  EXPECT_NE(context_->handle("CUcontext"), nullptr);
  EXPECT_NE(context_->handle("CUstream"), nullptr);
  EXPECT_EQ(context_->handle("cl_context"), nullptr);
  EXPECT_EQ(cuda_context(0)->get(), context_.get());
  EXPECT_EQ(cuda_context(1000).error().code, ErrorCode::not_found);
}

TEST_F(Cuda, EveryFormatGoesUpAndComesBack) {
  for (PixelFormat format : all_pixel_formats()) {
    auto frame = allocate_frame({.format = format, .width = 67, .height = 35});
    ASSERT_TRUE(frame);
    fill(*frame, 1);
    auto up = map_to(*frame, {.form = on_cuda(*frame)});
    ASSERT_TRUE(up) << up.error().message;
    EXPECT_NE(cuda_pointer(up->frame().tensors[0]), 0u);
    EXPECT_EQ(up->frame().tensors[0].memory->context(), context_.get());
    auto down = map_to(up->frame(), {.form = in_system(*frame)});
    ASSERT_TRUE(down) << down.error().message;
    expect_filled(down->frame(), 1);
  }
}

TEST_F(Cuda, AViewIsUploadedAndWrittenBackAlone) {
  auto whole = allocate_frame({.format = PixelFormat::nv12, .width = 64, .height = 32});
  ASSERT_TRUE(whole);
  fill(*whole, 1);
  auto part = view_of(*whole, {.x = 6, .y = 4, .w = 21, .h = 9});
  ASSERT_TRUE(part);
  auto up = map_to(*part, {.form = on_cuda(*part), .access = Access::read_write});
  ASSERT_TRUE(up) << up.error().message;
  auto down = map_to(up->frame(), {.form = in_system(*part), .access = Access::write});
  ASSERT_TRUE(down) << down.error().message;
  fill(down->frame(), 99);
  ASSERT_TRUE(down->finish());
  ASSERT_TRUE(up->finish());
  expect_filled(*part, 99);
  auto luma = map(whole->tensors[0], Access::read);
  EXPECT_EQ(luma->row<uint8_t>(4)[5], uint8_t(1 + 7 * 4 + 3 * 5));
  EXPECT_EQ(luma->row<uint8_t>(3)[6], uint8_t(1 + 7 * 3 + 3 * 6));
}

TEST_F(Cuda, TheCpuMapsABlockAndWritesIt) {
  auto block = allocate_cuda(context_, 1000);
  ASSERT_TRUE(block) << block.error().message;
  const Tensor tensor = tensor_in(*block, {.type = DataType::u8, .shape = {1000}});
  {
    auto mapped = map(tensor, Access::write);
    ASSERT_TRUE(mapped) << mapped.error().message;
    std::memset(mapped->data(), 5, 1000);
  }
  auto mapped = map(tensor, Access::read);
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_EQ(mapped->as<const uint8_t>()[999], 5);
}

TEST_F(Cuda, TheSourceMayGoWhileItIsMappedAndTheMappingWhileItIsInFlight) {
  auto frame = allocate_frame({.format = PixelFormat::bgr, .width = 640, .height = 480});
  ASSERT_TRUE(frame);
  fill(*frame, 3);
  auto up = map_to(*frame, {.form = on_cuda(*frame)});
  ASSERT_TRUE(up) << up.error().message;
  const Form system = in_system(*frame);
  frame = std::unexpected(Error{});
  auto down = map_to(up->frame(), {.form = system});
  ASSERT_TRUE(down) << down.error().message;
  const Frame kept = down->frame();
  up = std::unexpected(Error{});
  down = std::unexpected(Error{});
  expect_filled(kept, 3);
}

TEST_F(Cuda, WorkInAStreamIsWaitedFor) {
  auto block = allocate_cuda(context_, 100);
  ASSERT_TRUE(block) << block.error().message;
  const Tensor tensor = tensor_in(*block, {.type = DataType::u8, .shape = {100}});
  EXPECT_TRUE(cuda_written(tensor, stream()));
  EXPECT_TRUE(cuda_wait(tensor, stream()));
  EXPECT_TRUE(map(tensor, Access::read));
}

TEST_F(Cuda, PoolsGiveBlocksAgainToManyThreads) {
  auto pool = make_cuda_pool(context_, 4096);
  ASSERT_TRUE(pool);
  uint64_t first = 0;
  {
    auto block = (*pool)->acquire();
    ASSERT_TRUE(block) << block.error().message;
    first = static_cast<CudaMemory&>(**block).address();
  }
  {
    auto block = (*pool)->acquire();
    ASSERT_TRUE(block);
    EXPECT_EQ(static_cast<CudaMemory&>(**block).address(), first);
  }
  std::vector<std::jthread> threads;
  for (int id = 0; id < 4; ++id)
    threads.emplace_back([&, id] {
      for (int i = 0; i < 20; ++i) {
        auto block = (*pool)->acquire();
        ASSERT_TRUE(block);
        const Tensor tensor = tensor_in(*block, {.type = DataType::u8, .shape = {4096}});
        std::memset(map(tensor, Access::write)->data(), id, 4096);
        EXPECT_EQ(map(tensor, Access::read)->as<const uint8_t>()[4095], id);
      }
    });
}

TEST_F(Cuda, WrapsMemoryOfOthersAndLetsItGoOnce) {
  auto block = allocate_cuda(context_, 256);
  ASSERT_TRUE(block) << block.error().message;
  int released = 0;
  {
    auto wrapped = wrap_cuda(context_, static_cast<CudaMemory&>(**block).address(), 256,
                             [&released] noexcept { ++released; });
    ASSERT_TRUE(wrapped);
    EXPECT_TRUE(map(tensor_in(*wrapped, {.type = DataType::u8, .shape = {256}}), Access::read));
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  EXPECT_EQ(wrap_cuda(context_, 0, 256, nullptr).error().code, ErrorCode::invalid_argument);
}

// Rows that lie elsewhere in the one than in the other.
TEST_F(Cuda, CopiesWithinTheDevice) {
  auto from = allocate_frame({.format = PixelFormat::nv12, .width = 50, .height = 30});
  ASSERT_TRUE(from);
  fill(*from, 5);
  auto there = map_to(*from, {.form = on_cuda(*from), .access = Access::read});
  ASSERT_TRUE(there) << there.error().message;
  Frame to = there->frame();
  size_t bytes = 0;
  for (Tensor& plane : to.tensors) {
    plane.offset = bytes + 3;
    plane.strides = {plane.shape[1] + 9, 1};
    bytes += size_t(plane.shape[0] * plane.strides[0]) + 3;
  }
  auto block = allocate_cuda(context_, bytes);
  ASSERT_TRUE(block);
  for (Tensor& plane : to.tensors) plane.memory = *block;
  const auto copied = cuda_copy(there->frame(), to);
  ASSERT_TRUE(copied) << copied.error().message;
  expect_filled(to, 5);
  EXPECT_TRUE(cuda_finish(to.tensors[0]));

  Frame other = to;
  other.tensors[0].shape = {30, 49};
  EXPECT_EQ(cuda_copy(there->frame(), other).error().code, ErrorCode::invalid_argument);
  other = to;
  other.tensors[1].offset += 1000;
  EXPECT_EQ(cuda_copy(there->frame(), other).error().code, ErrorCode::corrupt);
  EXPECT_EQ(cuda_copy(*from, to).error().code, ErrorCode::invalid_argument);
  other.tensors.pop_back();
  EXPECT_EQ(cuda_copy(there->frame(), other).error().code, ErrorCode::invalid_argument);
}

TEST_F(Cuda, MemoryOfOthersSaysWhetherItMayBeWrittenTo) {
  auto block = allocate_cuda(context_, 64);
  ASSERT_TRUE(block);
  EXPECT_TRUE((*block)->writable());
  const uint64_t address = static_cast<CudaMemory&>(**block).address();
  bool is_free = false;
  auto lent = wrap_cuda(context_, address, 64, [] noexcept {}, [&] noexcept { return is_free; });
  ASSERT_TRUE(lent);
  EXPECT_FALSE((*lent)->writable());
  is_free = true;
  EXPECT_TRUE((*lent)->writable());
}

TEST_F(Cuda, RefusesWhatCannotBeCopied) {
  auto memory = allocate_memory(1024);
  ASSERT_TRUE(memory);
  Frame frame;
  frame.tensors.push_back({.memory = *memory, .offset = 512, .shape = {4, 8}, .strides = {-16, 1}});
  auto mapped = map_to(frame, {.form = {MemoryKind::cuda, {}}});
  ASSERT_FALSE(mapped);
  EXPECT_THAT(mapped.error().message, HasSubstr("negative strides"));
  EXPECT_FALSE(make_cuda_pool(context_, 0));
  EXPECT_EQ(allocate_cuda(context_, size_t(1) << 60).error().code, ErrorCode::exhausted);
}

// Runs this program's helper test below in a process of its own, since CUDA does not survive a fork.
TEST_F(Cuda, AnotherProcessReadsOurMemory) {
  auto block = allocate_cuda(context_, 256);
  ASSERT_TRUE(block) << block.error().message;
  std::memset(map(tensor_in(*block, {.type = DataType::u8, .shape = {256}}), Access::write)->data(), 77, 256);
  auto handle = export_cuda(**block);
  ASSERT_TRUE(handle) << handle.error().message;
  EXPECT_FALSE(import_cuda(context_, *handle)) << "in the process that made it the driver refuses";

  std::string text;
  for (std::byte byte : handle->handle) text += std::format("{:02x}", unsigned(byte));
  text += std::format(" {} {}", handle->offset, handle->size);
  const pid_t child = fork();
  if (child == 0) {
    setenv("SIGHTGLASS_CUDA_IPC", text.c_str(), 1);
    execl("/proc/self/exe", "cuda_memory_test", "--gtest_filter=CudaChild.*", nullptr);
    _exit(127);
  }
  int state = 0;
  waitpid(child, &state, 0);
  EXPECT_EQ(state, 0);
}

TEST(CudaChild, ReadsTheMemoryOfItsParent) {
  const char* text = getenv("SIGHTGLASS_CUDA_IPC");
  if (!text) GTEST_SKIP() << "run by AnotherProcessReadsOurMemory";
  unsetenv("GTEST_OUTPUT");
  CudaIpcHandle handle;
  for (size_t i = 0; i < 64; ++i) {
    const char digits[3] = {text[2 * i], text[2 * i + 1], 0};
    handle.handle[i] = std::byte(strtoul(digits, nullptr, 16));
  }
  char* end = nullptr;
  handle.offset = strtoull(text + 128, &end, 10);
  handle.size = strtoull(end, nullptr, 10);
  auto memory = import_cuda(nullptr, handle);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_FALSE(export_cuda(**memory));
  EXPECT_EQ(
      map(tensor_in(*memory, {.type = DataType::u8, .shape = {256}}), Access::read)->as<const uint8_t>()[255],
      77);
}

TEST_F(Cuda, AForkedProcessGetsAnErrorAndNoCrash) {
  auto frame = allocate_frame({.format = PixelFormat::gray8, .width = 16, .height = 16});
  ASSERT_TRUE(frame);
  auto up = map_to(*frame, {.form = on_cuda(*frame)});
  ASSERT_TRUE(up) << up.error().message;
  const pid_t child = fork();
  if (child == 0) {
    const auto again = map_to(*frame, {.form = on_cuda(*frame)});
    const auto down = map_to(up->frame(), {.form = in_system(*frame)});
    const bool refused = !again && again.error().message.find("forked") != std::string::npos && !down;
    up = std::unexpected(Error{});  // lets memory go that belongs to the parent
    _exit(refused ? 0 : 1);
  }
  int state = 0;
  waitpid(child, &state, 0);
  EXPECT_EQ(state, 0);
  EXPECT_TRUE(map_to(up->frame(), {.form = in_system(*frame)}));
}

}  // namespace
}  // namespace sightglass
