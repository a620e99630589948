// What happens when a device or its driver fails; with the driver of tests/cuda, so that it does.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_module.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "tests/cuda/driver_double.h"
#include "tests/temporary_folder.h"

namespace sightglass {
namespace {

using test::cuda_double;
using testing::HasSubstr;
using testing::Not;

// As readers of messages want it.
void expect_one_line(const Error& error) {
  EXPECT_THAT(error.message, Not(HasSubstr("\n")));
  EXPECT_THAT(error.message, HasSubstr("CUDA error"));
}

class CudaFaults : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_NE(cuda_double().fail, nullptr) << "needs the driver of tests/cuda: run it by ctest";
  }
  void SetUp() override {
    auto opened = cuda_context(0);
    ASSERT_TRUE(opened) << opened.error().message;
    context_ = *opened;
    auto frame = allocate_frame({.format = PixelFormat::nv12, .width = 64, .height = 32});
    ASSERT_TRUE(frame);
    frame_ = *std::move(frame);
  }
  void TearDown() override {
    cuda_double().heal();
    EXPECT_EQ(cuda_double().depth(), 0) << "a context was entered and not left";
  }
  Result<FrameMapping> up() const {
    return map_to(frame_, {.form = {MemoryKind::cuda, PixelFormat::nv12}, .access = Access::read});
  }

  ContextRef context_;
  Frame frame_;
};

TEST_F(CudaFaults, MemoryThatRunsOutIsExhaustedAndComesBack) {
  std::vector<MemoryRef> blocks;
  auto pool = make_cuda_pool(context_, 4096);
  ASSERT_TRUE(pool);
  const size_t before = cuda_double().device_bytes();
  cuda_double().fail("cuMemAlloc_v2", 3, test::out_of_memory);
  for (int i = 0; i < 2; ++i) blocks.push_back((*pool)->acquire().value());
  const auto none = (*pool)->acquire();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::exhausted);
  EXPECT_THAT(none.error().message, HasSubstr("4096 bytes of CUDA memory: out of memory"));
  expect_one_line(none.error());
  EXPECT_EQ(cuda_double().device_bytes(), before + 2 * 4096);
  blocks.pop_back();
  EXPECT_TRUE((*pool)->acquire()) << "a block that is there already needs no driver";
  blocks.clear();
  *pool = nullptr;
  EXPECT_EQ(cuda_double().device_bytes(), before);
}

TEST_F(CudaFaults, PinnedMemoryThatRunsOutIsExhausted) {
  auto pool = make_pinned_pool(context_, 12345);
  ASSERT_TRUE(pool);
  cuda_double().fail("cuMemAllocHost_v2", 1, test::out_of_memory);
  const auto none = (*pool)->acquire();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::exhausted);
  cuda_double().heal();
  EXPECT_TRUE((*pool)->acquire());
}

// Whichever call is the first that fails: an error of one line, nothing is left behind, and it goes on when
// the device is back.
TEST_F(CudaFaults, ADeviceThatGoesAwayAtAnyCallIsAnErrorOfOneLine) {
  ASSERT_TRUE(up());
  const auto round_trip = [&]() -> Status {
    auto there = up();
    if (!there) return forward_error(there);
    auto back =
        map_to(there->frame(), {.form = {MemoryKind::system, PixelFormat::nv12}, .access = Access::read});
    if (!back) return forward_error(back);
    auto bytes = map(back->frame().tensors[0], Access::read);
    return bytes ? Status() : Status(forward_error(bytes));
  };
  const unsigned before = cuda_double().calls("cuCtxPushCurrent_v2");
  ASSERT_TRUE(round_trip());
  ASSERT_GT(cuda_double().calls("cuCtxPushCurrent_v2"), before);
  const size_t device = cuda_double().device_bytes(), pinned = cuda_double().pinned_bytes();
  unsigned failures = 0;
  for (unsigned call = 1; call < 200; ++call) {
    cuda_double().fail("", call, test::device_gone);
    const Status status = round_trip();
    cuda_double().heal();
    EXPECT_EQ(cuda_double().depth(), 0) << "failing from call " << call;
    if (!status) {
      ++failures;
      EXPECT_EQ(status.error().code, ErrorCode::unavailable);
      EXPECT_THAT(status.error().message, HasSubstr("busy or unavailable"));
      expect_one_line(status.error());
    }
    ASSERT_TRUE(round_trip()) << "after failing from call " << call;
  }
  EXPECT_GT(failures, 10u);
  EXPECT_EQ(cuda_double().device_bytes(), device);
  EXPECT_EQ(cuda_double().pinned_bytes(), pinned);
}

TEST_F(CudaFaults, AFenceOpensForSuccessOnlyAndSaysWhatWentWrong) {
  auto stream = CudaStream::make(context_);
  ASSERT_TRUE(stream);
  auto fence = (*stream)->fence();
  ASSERT_TRUE(fence);
  EXPECT_TRUE((*fence)->ready());
  for (const int code : {test::not_ready, test::launch_failed, test::device_gone}) {
    cuda_double().fail("cuEventQuery", 1, code);
    EXPECT_FALSE((*fence)->ready()) << code;
  }
  cuda_double().fail("cuEventSynchronize", 1, test::launch_failed);
  const Status failed = (*fence)->wait();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("work on a CUDA device has failed"));
  expect_one_line(failed.error());
}

TEST(CudaAllocations, WhoWaitsToBeAloneGivesUpAndHoldsUpNobody) {
  CudaAllocations allocations;
  {
    const std::shared_lock allocates(allocations);
    const std::unique_lock alone(allocations, std::chrono::milliseconds(1));
    EXPECT_FALSE(alone.owns_lock());
    const std::shared_lock another(allocations);
  }
  std::unique_lock alone(allocations, std::chrono::milliseconds(1));
  ASSERT_TRUE(alone.owns_lock());
  EXPECT_FALSE(std::unique_lock(allocations, std::chrono::milliseconds(1)).owns_lock());
  std::atomic<bool> is_alone = true;
  std::thread later([&] {
    const std::shared_lock allocates(allocations);
    EXPECT_FALSE(is_alone);
  });
  is_alone = false;
  alone.unlock();
  later.join();
}

// ONNX Runtime records graphs such that calls of other threads fail and spoil the recording, unless those
// threads have said that it is none of their business.
TEST_F(CudaFaults, EveryThreadSaysOnceThatRecordingsOfOthersAreNotItsOwn) {
  constexpr const char* exchange = "cuThreadExchangeStreamCaptureMode";
  const auto work = [&] { EXPECT_TRUE(allocate_cuda(context_, 64)); };
  work();
  const unsigned before = cuda_double().calls(exchange);
  work();
  EXPECT_EQ(cuda_double().calls(exchange), before);
  std::jthread([&] { work(), work(); }).join();
  EXPECT_EQ(cuda_double().calls(exchange), before + 1);
}

TEST_F(CudaFaults, ADeviceThatIsNotThereIsNamed) {
  EXPECT_EQ(cuda_devices(), 2);
  ASSERT_TRUE(cuda_context(1));
  EXPECT_FALSE((*cuda_context(1))->same_device(*context_));
  const auto none = cuda_context(2);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_THAT(none.error().message, HasSubstr("no CUDA device 2, only 2"));
}

// ---- kernels and where they are kept

class CudaKernels : public CudaFaults {
 protected:
  void SetUp() override {
    CudaFaults::SetUp();
    setenv("SIGHTGLASS_CACHE", folder_.path().c_str(), 1);
  }
  void TearDown() override {
    unsetenv("SIGHTGLASS_CACHE");
    CudaFaults::TearDown();
  }
  static int compiled() {
    void* library = dlopen("libnvrtc.so.13", RTLD_NOW | RTLD_LOCAL);
    auto* count = library ? reinterpret_cast<int (*)()>(dlsym(library, "nvrtc_double_compiled")) : nullptr;
    return count ? count() : -1;
  }
  // Every name once: modules live as long as the process.
  Result<Ref<CudaModule>> load(const std::string& text, std::span<const std::byte> binary = {}) {
    static int number = 0;
    static std::vector<std::string>& names = *new std::vector<std::string>;
    names.reserve(100);
    return CudaModule::load(
        context_, {names.emplace_back("kernels_" + std::to_string(++number)), text, binary}, binary.empty());
  }
  std::vector<std::filesystem::path> files() const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path()))
      if (entry.is_regular_file()) found.push_back(entry.path());
    return found;
  }
  // The same source again, as another process would load it.
  Result<Ref<CudaModule>> load_again(const std::string& name, const std::string& text) {
    return CudaModule::load(context_, {name, text, {}}, true);
  }

  test::TemporaryFolder folder_;
  const std::vector<std::byte> binary_{std::byte(1), std::byte(2)};
};

TEST_F(CudaKernels, ThatHaveBeenCompiledAreKept) {
  const int before = compiled();
  const auto first = load_again("kept", "text 1");
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ((*first)->origin(), "sm_90 by NVRTC 13.0");
  EXPECT_EQ(compiled(), before + 1);
  ASSERT_EQ(files().size(), 1u) << "and nothing half written beside it";
  ASSERT_TRUE(load_again("kept", "text 1"));
  EXPECT_EQ(compiled(), before + 1);
  ASSERT_TRUE(load_again("kept", "text 2")) << "another source is another file";
  EXPECT_EQ(compiled(), before + 2);
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(CudaKernels, ThatAreDamagedAreCompiledAgain) {
  ASSERT_TRUE(load_again("damaged", "text"));
  ASSERT_EQ(files().size(), 1u);
  const auto file = files()[0];
  std::ifstream in(file, std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(in), {}};
  in.close();
  for (size_t size : {size_t(0), whole.size() / 2, whole.size() - 1, whole.size()}) {
    std::string bytes = whole.substr(0, size);
    if (size == whole.size()) bytes.back() ^= 1;
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    const int before = compiled();
    ASSERT_TRUE(load_again("damaged", "text"));
    EXPECT_EQ(compiled(), before + 1) << size << " bytes";
    ASSERT_TRUE(load_again("damaged", "text"));
    EXPECT_EQ(compiled(), before + 1) << "and are whole again";
  }
}

TEST_F(CudaKernels, ThatDoNotLoadAreCompiledAgain) {
  ASSERT_TRUE(load_again("refused", "text"));
  const int before = compiled();
  cuda_double().fail("cuModuleLoadData", 1, test::no_binary);
  const auto refused = load_again("refused", "text");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_EQ(compiled(), before + 1);
}

TEST_F(CudaKernels, WorkWithoutAPlaceToKeepThem) {
  setenv("SIGHTGLASS_CACHE", "/proc/nowhere", 1);
  EXPECT_TRUE(load_again("homeless", "text"));
}

TEST_F(CudaKernels, OfTheBuildAreTakenAndOnlyAMisfitIsCompiled) {
  const int before = compiled();
  const auto built = load("text", binary_);
  ASSERT_TRUE(built);
  EXPECT_EQ((*built)->origin(), "sm_90 by nvcc");
  cuda_double().fail("cuModuleLoadData", 1, test::out_of_memory);
  const auto full = load("text", binary_);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::exhausted);
  EXPECT_EQ(compiled(), before);
}

TEST_F(CudaKernels, ThatCannotBeMadeSayWhyTheyHadToBe) {
  cuda_double().fail("cuModuleLoadData", 1, test::no_binary);
  const auto failed = load("this is wrong", binary_);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("this is wrong"));
  EXPECT_THAT(failed.error().message, HasSubstr("no kernel image"));
}

}  // namespace
}  // namespace sightglass
