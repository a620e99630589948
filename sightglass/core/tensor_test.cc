#include "sightglass/core/tensor.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

TEST(DataType, IsFoundByItsName) {
  for (int i = 0; i <= int(DataType::boolean); ++i) EXPECT_EQ(data_type(to_string(DataType(i))), DataType(i));
  EXPECT_EQ(to_string(DataType::bf16), "bfloat16");
  EXPECT_EQ(size_of(DataType::f16), 2u);
  EXPECT_EQ(size_of(DataType::u64), 8u);
  EXPECT_FALSE(data_type("float"));
}

TEST(Layout, IsFoundByItsName) {
  for (int i = 0; i <= int(Layout::nc); ++i) EXPECT_EQ(layout(to_string(Layout(i))), Layout(i));
  EXPECT_EQ(to_string(Layout::any), "");
  EXPECT_FALSE(layout("nchw"));
}

TEST(Shape, WritesDimensionsInnermostFirst) {
  const Shape shape{1, 3, 416, 320};
  EXPECT_EQ(shape.to_dimensions(), "320:416:3:1");
  EXPECT_EQ(shape.to_string(), "1x3x416x320");
  EXPECT_EQ(shape_from_dimensions("320:416:3:1"), shape);
}

TEST(Shape, WritesFreeAxesAsZeroOrQuestionMark) {
  const Shape shape{-1, 3, -1};
  EXPECT_EQ(shape.to_dimensions(), "0:3:0");
  EXPECT_EQ(shape.to_string(), "?x3x?");
  EXPECT_EQ(shape_from_dimensions("0:3:0"), shape);
  EXPECT_FALSE(shape.fixed());
  EXPECT_EQ(shape.elements(), -1);
}

TEST(Shape, RefusesDimensionsThatAreNone) {
  for (const char* text :
       {"", ":", "1:", ":1", "1:-2", "a", "1:b", "1 :2", "1::2", "99999999999999999999", "1:1:1:1:1:1:1:1:1"})
    EXPECT_FALSE(shape_from_dimensions(text)) << text;
  EXPECT_TRUE(shape_from_dimensions("1:1:1:1:1:1:1:1"));
}

TEST(Shape, CountsElements) {
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ((Shape{2, 3, 4}).elements(), 24);
  EXPECT_EQ((Shape{INT64_MAX, INT64_MAX, 0}).elements(), 0);
  EXPECT_EQ((Shape{INT64_MAX, 2}).elements(), INT64_MAX);
}

TEST(Shape, ComparesRankAndSizes) {
  EXPECT_EQ((Shape{1, 2}), (Shape{1, 2}));
  EXPECT_NE((Shape{1, 2}), (Shape{1, 2, 1}));
  EXPECT_NE((Shape{1, 2}), (Shape{2, 1}));
}

TEST(DenseStrides, AreBytesOfWhatLiesInside) {
  EXPECT_EQ(dense_strides({2, 3, 4}, DataType::f32), (Shape{48, 16, 4}));
  EXPECT_EQ(dense_strides({}, DataType::f32), Shape{});
  EXPECT_EQ(dense_strides({5, -1, 4}, DataType::u8), (Shape{-1, 4, 1}));
}

TEST(TensorInfo, CountsBytesUpToTheLastElement) {
  EXPECT_EQ((TensorInfo{.type = DataType::f32, .shape = {2, 3}}).bytes(), 24u);
  EXPECT_EQ((TensorInfo{.type = DataType::u8, .shape = {2, 3}, .strides = {16, 1}}).bytes(), 19u);
  EXPECT_EQ((TensorInfo{.type = DataType::f64, .shape = {}}).bytes(), 8u);
  EXPECT_EQ((TensorInfo{.type = DataType::f64, .shape = {0, 3}}).bytes(), 0u);
  EXPECT_EQ((TensorInfo{.type = DataType::f64, .shape = {-1, 3}}).bytes(), 0u);
  EXPECT_EQ((TensorInfo{.type = DataType::f64, .shape = {INT64_MAX / 4, 3}}).bytes(), size_t(INT64_MAX));
}

TEST(TensorInfo, IsDenseWithoutGaps) {
  EXPECT_TRUE((TensorInfo{.type = DataType::u8, .shape = {2, 3}}).dense());
  EXPECT_TRUE((TensorInfo{.type = DataType::u8, .shape = {2, 3}, .strides = {3, 1}}).dense());
  EXPECT_FALSE((TensorInfo{.type = DataType::u8, .shape = {2, 3}, .strides = {4, 1}}).dense());
  EXPECT_FALSE((TensorInfo{.type = DataType::u8, .shape = {2, 3}, .strides = {1}}).dense());
  // The stride of an axis that is never stepped along does not matter.
  EXPECT_TRUE((TensorInfo{.type = DataType::u8, .shape = {1, 3}, .strides = {64, 1}}).dense());
}

}  // namespace
}  // namespace sightglass
