// With the driver of tests/cuda, which has two devices and no kernels.
#include "sightglass/elements/video_to_tensor/device_pass.h"

#include <gmock/gmock.h>

#include "sightglass/elements/video_to_tensor/video_to_tensor.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/system/system_frame.h"
#include "tests/cuda/driver_double.h"

namespace sightglass {
namespace {

using test::cuda_double;
using testing::HasSubstr;

constexpr VideoInfo small{.format = PixelFormat::nv12, .width = 64, .height = 32};

class DevicePasses : public testing::Test, protected Output {
 protected:
  void SetUp() override {
    ASSERT_NE(cuda_double().fail, nullptr) << "needs the driver of tests/cuda: run it by ctest";
    first_ = cuda_context(0).value();
  }
  void TearDown() override { cuda_double().heal(); }

  static Frame picture(int device, Time pts = 0) {
    const Frame frame = allocate_frame(small).value();
    auto up = map_to(frame, {.form = {MemoryKind::cuda, small.format},
                             .access = Access::write,
                             .context = cuda_context(device).value()});
    EXPECT_TRUE(up) << up.error().message;
    Frame there = up->frame();
    there.pts = pts;
    return there;
  }
  Tensor tensor(int64_t pictures) const {
    const TensorInfo info{.type = DataType::f32, .shape = {pictures, 3, 16, 16}, .layout = Layout::nchw};
    return tensor_in(allocate_cuda(first_, info.bytes()).value(), info);
  }

  // Output
  Status allocate(Frame& frame) override {
    frame.tensors = {tensor(batch_)};
    return {};
  }
  Status push(const Frame& frame) override {
    pushed_.push_back(frame);
    return {};
  }
  Status gap(const Gap&) override { return {}; }

  ContextRef first_;
  int64_t batch_ = 1;
  std::vector<Frame> pushed_;
};

TEST_F(DevicePasses, APictureOfAnotherDeviceIsAnErrorThatSaysWhatToDo) {
  auto pass = DevicePass::make(small, {.canvas = {16, 16}, .planar = true}, 2, 1);
  ASSERT_TRUE(pass) << pass.error().message;
  (*pass)->begin(tensor(1));
  ASSERT_TRUE((*pass)->add(picture(0), {0, 0, 64, 32}, 0).value());
  const auto other = (*pass)->add(picture(1), {0, 0, 64, 32}, 0);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::not_negotiated);
  EXPECT_THAT(other.error().message, HasSubstr("device=CUDA:N"));
  EXPECT_THAT(other.error().message, testing::Not(HasSubstr("\n")));
}

// With a model on several devices (device=CUDA:*) the next element learns by the first tensor which one it
// is.
TEST_F(DevicePasses, ATensorLiesOnTheDeviceOfItsPicture) {
  VideoToTensor element(VideoToTensor::Params{.layout = VideoToTensor::Axes::nchw});
  Format in{.media = small, .memory = MemoryKind::cuda}, out{.memory = MemoryKind::cuda};
  out.media = TensorsInfo{{{.type = DataType::f32, .shape = {1, 3, 16, 16}, .layout = Layout::nchw}}};
  ASSERT_TRUE(element.configure(in, out));
  for (const int device : {1, 0, 1}) {
    const Status done = element.process(picture(device), *this);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(pushed_.back().tensors[0].memory->context(), cuda_context(device).value().get());
  }
}

TEST_F(DevicePasses, WhatWasAddedBeforeAFailureIsNotRunLater) {
  VideoToTensor element(VideoToTensor::Params{.layout = VideoToTensor::Axes::nchw});
  batch_ = 4;
  Format in{.media = small, .memory = MemoryKind::cuda}, out{.memory = MemoryKind::cuda};
  out.media = TensorsInfo{{{.type = DataType::f32, .shape = {4, 3, 16, 16}, .layout = Layout::nchw}}};
  ASSERT_TRUE(element.configure(in, out));
  const unsigned before = cuda_double().calls("cuLaunchKernel");
  std::vector<Frame> broken = {picture(0, 1), picture(1, 2)}, good = {picture(0, 3)};
  EXPECT_FALSE(element.process_list(broken, *this));
  EXPECT_TRUE(pushed_.empty());
  const unsigned waits = cuda_double().calls("cuStreamWaitEvent");
  ASSERT_TRUE(element.process_list(good, *this));
  ASSERT_EQ(pushed_.size(), 1u);
  EXPECT_EQ(pushed_[0].batch.size(), 1u);
  EXPECT_EQ(cuda_double().calls("cuLaunchKernel"), before + 1);
  EXPECT_EQ(cuda_double().calls("cuStreamWaitEvent"), waits) << "for pictures that are not of the batch";
}

TEST_F(DevicePasses, ALaunchThatFailsIsAnErrorAndTheNextOneWorks) {
  VideoToTensor element(VideoToTensor::Params{.layout = VideoToTensor::Axes::nchw});
  Format in{.media = small, .memory = MemoryKind::cuda}, out{.memory = MemoryKind::cuda};
  out.media = TensorsInfo{{{.type = DataType::f32, .shape = {1, 3, 16, 16}, .layout = Layout::nchw}}};
  ASSERT_TRUE(element.configure(in, out));
  const Frame frame = picture(0);
  cuda_double().fail("cuLaunchKernel", 1, test::launch_failed);
  const Status failed = element.process(frame, *this);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("a kernel cannot be launched"));
  cuda_double().heal();
  EXPECT_TRUE(element.process(frame, *this));
  EXPECT_EQ(pushed_.size(), 1u);
}

}  // namespace
}  // namespace sightglass
