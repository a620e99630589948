#include "sightglass/model/torch/torch_tensor.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "sightglass/memory/map_to.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

TEST(FromTorch, SharesTheBytesWithTheirStrides) {
  at::Tensor theirs = at::arange(24, at::kFloat).reshape({4, 6}).t();
  auto tensor = from_torch(theirs);
  ASSERT_TRUE(tensor) << tensor.error().message;
  EXPECT_EQ(tensor->memory->kind(), MemoryKind::torch);
  EXPECT_EQ(tensor->shape, (Shape{6, 4}));
  EXPECT_EQ(tensor->strides, (Shape{4, 24}));
  const void* data = theirs.data_ptr();
  theirs = at::Tensor();
  auto mapping = map(*tensor, Access::read);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->data(), data);
  EXPECT_EQ(torch_tensor(*tensor)[5][3].item<float>(), 23.f);
}

TEST(FromTorch, KnowsEveryTypeAndScalars) {
  for (auto type : {at::kByte, at::kChar, at::kShort, at::kInt, at::kLong, at::kHalf, at::kBFloat16,
                    at::kDouble, at::kBool, at::kUInt16, at::kUInt32, at::kUInt64}) {
    auto tensor = from_torch(at::empty({3}, type));
    ASSERT_TRUE(tensor) << tensor.error().message;
    EXPECT_EQ(size_of(tensor->type), c10::elementSize(type));
  }
  EXPECT_EQ(from_torch(at::zeros({}))->shape, Shape{1});
}

TEST(FromTorch, RefusesWhatItCannotBe) {
  EXPECT_EQ(from_torch(at::Tensor()).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(from_torch(at::empty({2}, at::kComplexFloat)).error().code, ErrorCode::unsupported);
  EXPECT_EQ(from_torch(at::eye(3).to_sparse()).error().code, ErrorCode::unsupported);
  EXPECT_EQ(from_torch(at::empty({1, 1, 1, 1, 1, 1, 1, 1, 1})).error().code, ErrorCode::unsupported);
  EXPECT_EQ(from_torch(at::empty({0, 3})).error().code, ErrorCode::unsupported);
  EXPECT_EQ(from_torch(at::empty({3}, at::TensorOptions(at::kMeta))).error().code, ErrorCode::unavailable);
}

TEST(TorchMapper, SharesAPictureThereAndBack) {
  const VideoInfo video{.format = PixelFormat::nv12, .width = 5, .height = 3};
  auto frame = allocate_frame(video);
  ASSERT_TRUE(frame);
  CopyLedger ledger;
  const MapOptions strict{.hop = &ledger.hop("test"), .strict_zero_copy = true};
  auto mapped =
      map_to(*frame, {.form = {MemoryKind::torch, video.format}, .access = Access::read_write}, strict);
  ASSERT_TRUE(mapped) << mapped.error().message;
  const Frame theirs = mapped->frame();
  at::Tensor chroma = torch_tensor(theirs.tensors[1]);
  EXPECT_EQ(chroma.sizes(), at::IntArrayRef({2, 6}));
  EXPECT_EQ(chroma.stride(0), frame->tensors[1].strides[0]);
  chroma[1][5] = 42;
  EXPECT_EQ(map(frame->tensors[1], Access::read)->row<uint8_t>(1)[5], 42);
  auto back = map_to(theirs, {.form = {MemoryKind::system, video.format}}, strict);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->frame().tensors[1].memory, frame->tensors[1].memory);
  EXPECT_EQ(ledger.total().bytes_copied, 0u);
}

TEST(TorchMapper, KeepsOurMemoryAsLongAsTheyHoldTheTensor) {
  auto block = allocate_memory(100);
  const Ref<SystemMemory> watched = *block;
  *block = nullptr;
  at::Tensor theirs;
  {
    Frame frame;
    frame.tensors = {tensor_in(watched, {.type = DataType::i32, .shape = {2, 3}}, 8)};
    auto mapped = map_to(frame, {.form = {MemoryKind::torch, {}}});
    ASSERT_TRUE(mapped);
    theirs = torch_tensor(mapped->frame().tensors[0]);
  }
  EXPECT_FALSE(watched->unique());
  EXPECT_EQ(theirs.data_ptr(), watched->data() + 8);
  theirs = at::Tensor();
  EXPECT_TRUE(watched->unique());
}

TEST(TorchMapper, RefusesStridesThatItCannotSay) {
  auto block = allocate_memory(100);
  for (int64_t stride : {-8, 10}) {
    Frame frame;
    frame.tensors = {tensor_in(*block, {.type = DataType::f32, .shape = {2, 2}, .strides = {stride, 4}})};
    EXPECT_EQ(map_to(frame, {.form = {MemoryKind::torch, {}}}).error().code, ErrorCode::unsupported);
  }
  EXPECT_FALSE(torch_tensor({}).defined());
  EXPECT_FALSE(torch_tensor(tensor_in(*block, {.type = DataType::u8, .shape = {2}})).defined());
}

}  // namespace
}  // namespace sightglass
