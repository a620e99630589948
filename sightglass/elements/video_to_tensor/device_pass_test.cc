// With the driver of tests/cuda, which has two devices and no kernels.
#include "sightglass/elements/video_to_tensor/device_pass.h"

#include <gmock/gmock.h>

#include <format>
#include <functional>
#include <tuple>

#include "sightglass/elements/video_to_tensor/video_to_tensor.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
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

TEST_F(DevicePasses, WhatHasBeenLaunchedBeforeAFailureIsWaitedFor) {
  auto pass = DevicePass::make(small, {.canvas = {16, 16}, .planar = true}, 2, 1);
  ASSERT_TRUE(pass) << pass.error().message;
  const Frame frame = picture(0);
  const auto add_two_launches = [&] {
    (*pass)->begin(tensor(40));
    for (size_t i = 0; i < 40; ++i) ASSERT_TRUE((*pass)->add(frame, {0, 0, 64, 32}, i).value());
  };
  for (const unsigned launch : {1u, 2u}) {
    add_two_launches();
    const unsigned waits = cuda_double().calls("cuEventSynchronize");
    cuda_double().fail("cuLaunchKernel", launch, test::launch_failed);
    EXPECT_FALSE((*pass)->run());
    EXPECT_EQ(cuda_double().calls("cuEventSynchronize"), waits + 1);
    cuda_double().heal();
  }
  add_two_launches();
  EXPECT_TRUE((*pass)->run());
}

// ---- tensors that their reader fills

class DeferredPasses : public DevicePasses {
 protected:
  void SetUp() override {
    DevicePasses::SetUp();
    pool_ = make_cuda_pool(first_, info().bytes(), true).value();
    pass_ = DevicePass::make(small, {.canvas = {16, 16}, .planar = true}, 2, 1).value();
  }
  static TensorInfo info() {
    return {.type = DataType::f32, .shape = {1, 3, 16, 16}, .layout = Layout::nchw};
  }
  static CudaMemory& block(const Tensor& tensor) { return static_cast<CudaMemory&>(*tensor.memory); }
  // A tensor of this picture.
  Tensor made_of(const Frame& frame, DevicePass& pass) {
    Tensor tensor = tensor_in(pool_->acquire().value(), info());
    pass.begin(tensor);
    EXPECT_TRUE(pass.add(frame, {0, 0, 64, 32}, 0).value());
    const Status done = pass.run();
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_EQ(pass.affine(0), affine(place({}, {1, 1}, {0, 0, 64, 32}, {16, 16}), small));
    return tensor;
  }
  static unsigned launches() { return cuda_double().calls("cuLaunchKernel"); }

  Ref<MemoryPool> pool_;
  std::unique_ptr<DevicePass> pass_;
};

TEST_F(DeferredPasses, PicturesOfSeveralStreamsBecomeOneLaunch) {
  const unsigned before = launches();
  const auto other = DevicePass::make(small, {.canvas = {16, 16}, .planar = true}, 2, 1).value();
  const Tensor first = made_of(picture(0), *pass_), second = made_of(picture(0), *other);
  EXPECT_EQ(launches(), before);
  const auto one = block(first).deferred(), two = block(second).deferred();
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->kind(), two->kind());
  const Tensor model = tensor(2);
  const uint64_t place = cuda_pointer(model);
  const DeferredWrite::Part parts[] = {{one.get(), place}, {two.get(), place + info().bytes()}};
  ASSERT_TRUE(one->run(parts, static_cast<CUstream_st*>(first_->handle("CUstream"))));
  EXPECT_EQ(launches(), before + 1);
  const auto scaled = DevicePass::make(small, {.canvas = {16, 16}, .planar = true, .scale = 2}, 2, 1).value();
  const Tensor third = made_of(picture(0), *scaled);
  EXPECT_NE(block(third).deferred()->kind(), one->kind());
}

TEST_F(DeferredPasses, WhoeverElseWantsTheTensorHasItFilled) {
  const Frame frame = picture(0);
  CUstream_st* const stream = static_cast<CUstream_st*>(first_->handle("CUstream"));
  for (const auto& want : std::initializer_list<std::function<Status(const Tensor&)>>{
           [](const Tensor& tensor) {
             auto mapped = map(tensor, Access::read);
             return mapped ? Status() : Status(forward_error(mapped));
           },
           [&](const Tensor& tensor) { return cuda_wait(tensor, stream); },
           [](const Tensor& tensor) { return cuda_finish(tensor); },
       }) {
    const Tensor tensor = made_of(frame, *pass_);
    const unsigned before = launches();
    cuda_double().fail("cuLaunchKernel", 1, test::launch_failed);
    EXPECT_FALSE(want(tensor));
    cuda_double().heal();
    const Status done = want(tensor);
    EXPECT_TRUE(done) << done.error().message;
    EXPECT_FALSE(block(tensor).deferred());
    EXPECT_EQ(launches(), before + 2);
    EXPECT_TRUE(want(tensor));
    EXPECT_EQ(launches(), before + 2) << "filled once";
  }
}

TEST_F(DeferredPasses, APictureIsHeldAsLongAsItsTensorNeedsIt) {
  Frame frame = picture(0);
  const MemoryRef surface = frame.tensors[0].memory;
  frame.clear();
  const uint32_t without = surface->count();
  frame = picture(0);
  frame.tensors[0].memory = frame.tensors[1].memory = surface;
  Tensor tensor = made_of(frame, *pass_);
  frame.clear();
  EXPECT_GT(surface->count(), without);
  tensor.memory = nullptr;  // as of a sample that was given up
  EXPECT_EQ(surface->count(), without);
  EXPECT_FALSE(block(tensor_in(pool_->acquire().value(), info())).deferred()) << "of the block before";
  // The pass may be gone before the tensor is.
  frame = picture(0);
  tensor = made_of(frame, *pass_);
  pass_ = nullptr;
  EXPECT_TRUE(map(tensor, Access::read));
}

TEST_F(DeferredPasses, MorePicturesThanMayBeHeldAreMadeAtOnce) {
  std::vector<Frame> frames;
  std::vector<Tensor> tensors;
  const unsigned before = launches();
  for (size_t i = 0; i < DevicePass::most_described; ++i) {
    frames.push_back(picture(0));
    tensors.push_back(made_of(frames[i], *pass_));
    tensors.push_back(made_of(frames[i], *pass_));  // another part of a picture that is held anyway
  }
  EXPECT_EQ(launches(), before);
  const Frame one_more = picture(0);
  EXPECT_FALSE(block(made_of(one_more, *pass_)).deferred());
  EXPECT_EQ(launches(), before + 1);
  EXPECT_TRUE(block(made_of(frames[0], *pass_)).deferred());
  tensors.pop_back();
  EXPECT_FALSE(block(made_of(one_more, *pass_)).deferred());
  tensors.pop_back();
  EXPECT_TRUE(block(made_of(one_more, *pass_)).deferred());
}

TEST_F(DeferredPasses, PicturesOfLaunchesGoBackAlsoWhenNoneFollows) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < DevicePass::most_described; ++i) tensors.push_back(made_of(picture(0), *pass_));
  Frame frame = picture(0);
  const MemoryRef surface = frame.tensors[0].memory;
  cuda_double().fail("cuEventQuery", 1, test::not_ready);
  const Tensor launched = made_of(frame, *pass_);
  cuda_double().heal();
  frame.clear();
  const uint32_t held = surface->count();
  tensors.clear();
  const Tensor next = made_of(picture(0), *pass_);
  EXPECT_TRUE(block(next).deferred());
  EXPECT_LT(surface->count(), held);
}

TEST_F(DeferredPasses, ATensorOfSeveralPicturesIsMadeAtOnce) {
  const Ref<MemoryPool> pool = make_cuda_pool(first_, info().bytes() * 2, true).value();
  const Frame frame = picture(0);
  const unsigned before = launches();
  TensorInfo pair = info();
  pair.shape = {2, 3, 16, 16};
  pass_->begin(tensor_in(pool->acquire().value(), pair));
  ASSERT_TRUE(pass_->add(frame, {0, 0, 64, 32}, 0).value());
  ASSERT_TRUE(pass_->add(frame, {0, 0, 32, 32}, 1).value());
  ASSERT_TRUE(pass_->run());
  EXPECT_EQ(launches(), before + 1);
}

TEST_F(DevicePasses, PicturesThatTheKernelsCannotReadAreAnError) {
  for (const auto& [format, plane, unit] :
       {std::tuple(PixelFormat::nv12, 1, 2), {PixelFormat::p010, 0, 2}, {PixelFormat::p010, 1, 4}}) {
    VideoInfo video = small;
    video.format = format;
    auto pass = DevicePass::make(video, {.canvas = {16, 16}, .planar = true}, 2, 1);
    ASSERT_TRUE(pass) << pass.error().message;
    // Planes somewhere in one block, which has room for them.
    const MemoryRef block = allocate_cuda(first_, 64 * 32 * 8).value();
    Frame frame;
    for (size_t p = 0; p < 2; ++p) {
      Tensor tensor{.offset = p * 64 * 32 * 4, .type = DataType::u8, .layout = Layout::hw};
      tensor.shape = {p ? 16 : 32, 64};
      tensor.strides = {256, 1};
      tensor.memory = block;
      frame.tensors.push_back(tensor);
    }
    (*pass)->begin(tensor(1));
    EXPECT_TRUE((*pass)->add(frame, {0, 0, 64, 32}, 0).value());
    for (const bool is_stride : {false, true}) {
      Frame odd = frame;
      Tensor& moved = odd.tensors[size_t(plane)];
      if (is_stride)
        moved.strides = {256 + unit / 2, 1};
      else
        moved.offset += size_t(unit / 2);
      const auto added = (*pass)->add(odd, {0, 0, 64, 32}, 0);
      ASSERT_FALSE(added);
      EXPECT_EQ(added.error().code, ErrorCode::unsupported);
      EXPECT_THAT(added.error().message, HasSubstr(std::format("multiples of {} bytes", unit)));
    }
  }
}

TEST_F(DevicePasses, TheFirstDeviceNeedNotWork) {
  cuda_double().fail("cuStreamCreate", 1, test::out_of_memory);
  auto pass = DevicePass::make(small, {.canvas = {16, 16}, .planar = true}, 2, 1);
  cuda_double().heal();
  ASSERT_TRUE(pass) << pass.error().message;
  (*pass)->begin(tensor(1));
  ASSERT_TRUE((*pass)->add(picture(0), {0, 0, 64, 32}, 0).value());
  EXPECT_TRUE((*pass)->run());
  // What no device can do is said at once.
  EXPECT_FALSE(DevicePass::make(
      small, {.canvas = {16, 16}, .interpolation = Interpolation::area, .planar = true}, 2, 1));
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
