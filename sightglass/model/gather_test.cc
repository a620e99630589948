#include "sightglass/model/gather.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace sightglass {
namespace {

template <class To, class From>
std::vector<To> gathered(const std::vector<From>& data, DataType from, DataType to, Shape shape,
                         Shape strides = {}) {
  Tensor tensor;
  tensor.type = from;
  tensor.shape = shape;
  tensor.strides = strides.empty() ? dense_strides(shape, from) : strides;
  std::vector<To> result(size_t(shape.elements()));
  gather(tensor, reinterpret_cast<const std::byte*>(data.data()), to,
         reinterpret_cast<std::byte*>(result.data()));
  return result;
}

TEST(Gather, TurnsBytesIntoFloats) {
  std::vector<uint8_t> bytes(300);
  std::iota(bytes.begin(), bytes.end(), uint8_t(0));
  const auto floats = gathered<float>(bytes, DataType::u8, DataType::f32, {3, 100});
  for (size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(floats[i], float(bytes[i]));
}

TEST(Gather, LeavesOutTheGapsBetweenRows) {
  const std::vector<uint8_t> rows{1, 2, 3, 99, 4, 5, 6, 99, 7, 8, 9, 99, 10, 11, 12, 99};
  EXPECT_EQ((gathered<uint8_t>(rows, DataType::u8, DataType::u8, {2, 2, 3}, {8, 4, 1})),
            (std::vector<uint8_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST(Gather, ReadsInterleavedPixelsAsPlanes) {
  const std::vector<uint8_t> pixels{1, 2, 3, 4, 5, 6};  // two pixels of three channels
  EXPECT_EQ((gathered<float>(pixels, DataType::u8, DataType::f32, {3, 1, 2}, {1, 6, 3})),
            (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

TEST(Gather, TakesTheNearestValueThatTheTargetHas) {
  const float infinite = std::numeric_limits<float>::infinity();
  const std::vector<float> values{-1, 0.4f, 254.6f, 300, NAN, -infinite, infinite};
  const auto narrow = [&]<class To>(DataType type, To) {
    return gathered<To>(values, DataType::f32, type, {7});
  };
  EXPECT_EQ(narrow(DataType::u8, uint8_t()), (std::vector<uint8_t>{0, 0, 255, 255, 0, 0, 255}));
  EXPECT_EQ(narrow(DataType::i8, int8_t()), (std::vector<int8_t>{-1, 0, 127, 127, 0, -128, 127}));
  EXPECT_EQ(narrow(DataType::i32, int32_t()),
            (std::vector<int32_t>{-1, 0, 255, 300, 0, INT32_MIN, INT32_MAX}));
  EXPECT_EQ(narrow(DataType::i64, int64_t()),
            (std::vector<int64_t>{-1, 0, 255, 300, 0, INT64_MIN, INT64_MAX}));
  EXPECT_EQ((gathered<int8_t>(std::vector<uint8_t>{5, 200}, DataType::u8, DataType::i8, {2})),
            (std::vector<int8_t>{5, 127}));
}

TEST(Gather, WritesHalfPrecision) {
  EXPECT_EQ((gathered<uint16_t>(std::vector<float>{1, -2}, DataType::f32, DataType::f16, {2})),
            (std::vector<uint16_t>{0x3c00, 0xc000}));
  EXPECT_EQ((gathered<uint16_t>(std::vector<float>{1, -2}, DataType::f32, DataType::bf16, {2})),
            (std::vector<uint16_t>{0x3f80, 0xc000}));
}

TEST(Gather, KnowsWhatItCannotDo) {
  EXPECT_TRUE(can_gather(DataType::boolean, DataType::boolean));
  EXPECT_TRUE(can_gather(DataType::u8, DataType::f16));
  EXPECT_FALSE(can_gather(DataType::f64, DataType::f32));
  EXPECT_FALSE(can_gather(DataType::u8, DataType::boolean));
}

}  // namespace
}  // namespace sightglass
