#include "sightglass/elements/detection/model_outputs.h"

#include <gtest/gtest.h>

#include <stdfloat>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

template <class T>
std::vector<double> read(const Tensor& tensor) {
  std::vector<T> scratch;
  auto values = read_values(tensor, scratch);
  EXPECT_TRUE(values);
  return {values->data.begin(), values->data.end()};
}
using Numbers = std::vector<double>;

TEST(ReadValues, SharesDenseFloats) {
  const Tensor tensor = test::tensor<float>({2, 2}, {1, 2, 3, 4});
  std::vector<float> scratch;
  auto values = read_values(tensor, scratch);
  ASSERT_TRUE(values);
  EXPECT_EQ(static_cast<const void*>(values->data.data()), map(tensor, Access::read)->data());
  EXPECT_TRUE(scratch.empty());
}

TEST(ReadValues, ConvertsEveryNumericType) {
  EXPECT_EQ(read<float>(test::tensor<uint8_t>({2}, {0, 255})), (Numbers{0, 255}));
  EXPECT_EQ(read<float>(test::tensor<int32_t>({2}, {-5, 7})), (Numbers{-5, 7}));
  EXPECT_EQ(read<double>(test::tensor<int64_t>({1}, {int64_t(1) << 40})),
            (Numbers{double(int64_t(1) << 40)}));
  EXPECT_EQ(read<double>(test::tensor<double>({1}, {0.1})), (Numbers{0.1}));
  EXPECT_EQ(read<float>(test::tensor<std::float16_t>({2}, {std::float16_t(0.5f), std::float16_t(-2.0f)},
                                                     DataType::f16)),
            (Numbers{0.5, -2}));
  EXPECT_EQ(read<float>(test::tensor<std::bfloat16_t>({1}, {std::bfloat16_t(1.5f)}, DataType::bf16)),
            (Numbers{1.5}));
}

TEST(ReadValues, FollowsStrides) {
  Tensor tensor = test::tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  tensor.shape = {2, 3};
  tensor.strides = {4, 8};  // transposed
  EXPECT_EQ(read<float>(tensor), (Numbers{1, 3, 5, 2, 4, 6}));
  tensor.shape = {2, 1, 2};
  tensor.strides = {16, 0, 4};  // every second row
  EXPECT_EQ(read<float>(tensor), (Numbers{1, 2, 5, 6}));
}

TEST(ReadValues, AnEmptyTensorHasNoValues) {
  EXPECT_TRUE(read<float>(test::tensor<uint8_t>({0, 6}, {})).empty());
}

TEST(ReadValues, ATensorBeyondItsMemoryIsAnError) {
  Tensor tensor = test::tensor<float>({2}, {1, 2});
  tensor.shape = {2000};
  std::vector<float> scratch;
  EXPECT_FALSE(read_values(tensor, scratch));
}

TEST(OwnSample, IsTheFramesPlaceInItsBatch) {
  Frame frame = test::frame_of({test::tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6})});
  frame.source = SourceId{.batch_index = 2};
  auto sample = own_sample(frame, 0);
  ASSERT_TRUE(sample);
  EXPECT_EQ(sample->shape, (Shape{1, 2}));
  EXPECT_EQ(read<float>(*sample), (Numbers{5, 6}));
  frame.source->batch_index = 3;
  EXPECT_FALSE(own_sample(frame, 0));
  EXPECT_FALSE(own_sample(frame, 1));  // no such tensor
}

TEST(OwnSample, WithFewAxesNothingIsABatch) {
  Frame frame = test::frame_of({test::tensor<float>({3, 2}, {1, 2, 3, 4, 5, 6})});
  EXPECT_EQ(own_sample(frame, 0, 3)->shape, (Shape{3, 2}));
}

TEST(FindOutput, NamesWhatThereIs) {
  TensorsInfo outputs;
  outputs.tensors.push_back({DataType::f32, {1, 3}, {}, Layout::any, "prob"});
  EXPECT_EQ(find_output(outputs, "").value(), 0);
  outputs.tensors.push_back({DataType::f32, {1, 1}, {}, Layout::any, "age"});
  EXPECT_EQ(find_output(outputs, "age").value(), 1);
  auto missing = find_output(outputs, "mood");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            "layer-name=mood: there is no such output, only prob float32 1x3, age float32 1x1");
  EXPECT_FALSE(find_output(outputs, ""));
}

TEST(CellRows, AreTheRowsOfAGridHoweverItLies) {
  const auto rows = cell_rows(3, {1, 64, 5});
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->tensor, 3);
  EXPECT_EQ(rows->cells, 64);
  EXPECT_EQ(rows->columns, 5);
  EXPECT_EQ(rows->cell_step, 5);
  EXPECT_EQ(cell_rows(0, {64, 5})->column_step, 1);
  const auto grid = cell_rows(0, {1, 5, 8, 8});
  EXPECT_EQ(grid->cells, 64);
  EXPECT_EQ(grid->columns, 5);
  EXPECT_EQ(grid->cell_step, 1);
  EXPECT_EQ(grid->column_step, 64);
  EXPECT_FALSE(cell_rows(0, {1, -1, 5}));
  EXPECT_FALSE(cell_rows(0, {2, 64, 5}));
  EXPECT_FALSE(cell_rows(0, {5}));
}

TEST(OwnSample, ABatchThatNobodyTookApartIsAnError) {
  Frame frame = test::frame_of({test::tensor<float>({2, 3}, std::vector<float>(6))});
  frame.batch.resize(2);
  const auto sample = own_sample(frame, 0);
  ASSERT_FALSE(sample);
  EXPECT_NE(sample.error().message.find("batch_split"), std::string::npos);
}

}  // namespace
}  // namespace sightglass
