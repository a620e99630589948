#include "sightglass/memory/system/system_frame.h"

#include <gmock/gmock.h>

#include <numeric>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

class SystemFrame : public testing::TestWithParam<PixelFormat> {};

TEST_P(SystemFrame, HasPlanesThatLieApartAndWithinTheirBlock) {
  const auto frame = allocate_frame({.format = GetParam(), .width = 21, .height = 11}).value();
  ASSERT_EQ(frame.tensors.size(), plane_count(GetParam()));
  size_t end = 0;
  for (const Tensor& plane : frame.tensors) {
    EXPECT_GE(plane.offset, end);
    EXPECT_EQ(plane.offset % 64, 0u);
    EXPECT_EQ(plane.strides[0] % 64, 0);
    end = plane.offset + plane.bytes();
    EXPECT_LE(end, plane.memory->size());
    EXPECT_TRUE(map(plane, Access::write));
  }
}

TEST_P(SystemFrame, IsCopiedBetweenDifferentStrides) {
  const VideoInfo video{.format = GetParam(), .width = 21, .height = 11};
  const Frame padded = allocate_frame(video, 64).value(), dense = allocate_frame(video, 1).value();
  for (const Tensor& plane : padded.tensors) {
    auto mapping = map(plane, Access::write).value();
    for (int64_t y = 0; y < plane.shape[0]; ++y)
      std::iota(mapping.row<uint8_t>(y), mapping.row<uint8_t>(y) + plane.shape[1], uint8_t(y));
  }
  ASSERT_TRUE(copy_content(padded, dense));
  for (size_t i = 0; i < dense.tensors.size(); ++i) {
    auto mapping = map(dense.tensors[i], Access::read).value();
    for (int64_t y = 0; y < mapping.shape()[0]; ++y)
      for (int64_t x = 0; x < mapping.shape()[1]; ++x) ASSERT_EQ(mapping.row<uint8_t>(y)[x], uint8_t(y + x));
  }
  EXPECT_EQ(content_bytes(padded), content_bytes(dense));
}

INSTANTIATE_TEST_SUITE_P(EveryFormat, SystemFrame, testing::ValuesIn(all_pixel_formats()),
                         [](const auto& of) { return std::string(to_string(of.param)); });

TEST(CopyTensor, WalksStridesOfEveryAxis) {
  auto from = allocate_tensor({.type = DataType::i16, .shape = {2, 3, 4}}).value();
  auto to = allocate_tensor({.type = DataType::i16, .shape = {4, 3, 2}}).value();
  {
    auto mapping = map(from, Access::write).value();
    std::iota(mapping.as<int16_t>().begin(), mapping.as<int16_t>().end(), int16_t(0));
  }
  Tensor transposed = to;
  transposed.shape = {2, 3, 4};
  transposed.strides = {2, 4, 12};
  ASSERT_TRUE(copy_tensor(from, transposed));
  auto mapping = map(to, Access::read).value();
  EXPECT_EQ(mapping.as<int16_t>()[1], 12);  // [0][0][1] of `to` is [1][0][0] of `from`
  EXPECT_EQ(mapping.as<int16_t>()[6], 1);   // [1][0][0] is [0][0][1]
}

TEST(CopyTensor, RefusesOtherShapesAndTypes) {
  auto a = allocate_tensor({.type = DataType::u8, .shape = {4}}).value();
  auto b = allocate_tensor({.type = DataType::u8, .shape = {5}}).value();
  auto c = allocate_tensor({.type = DataType::i8, .shape = {4}}).value();
  EXPECT_EQ(copy_tensor(a, b).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(copy_tensor(a, c).error().code, ErrorCode::invalid_argument);
}

TEST(AllocateFrame, RefusesPicturesWithoutPixels) {
  EXPECT_FALSE(allocate_frame({.width = 0, .height = 4}));
  EXPECT_FALSE(allocate_frame({.width = 4, .height = -1}));
}

}  // namespace
}  // namespace sightglass
