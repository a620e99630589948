#include "sightglass/elements/tensor_postproc_add_params/tensor_postproc_add_params.h"

#include <gtest/gtest.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;

TEST(AddParams, SharesTheTensorWithATag) {
  Frame frame = test::frame_of({tensor<float>({1, 4}, {1, 2, 3, 4})});
  auto element = test::make<TransformInplace>("tensor_postproc_add_params", {{"format", "landmark_points"}});
  ASSERT_TRUE(test::run(*element, frame, {"out"}));
  const Attribute* attribute = frame.attributes->find("attribute");
  ASSERT_TRUE(attribute);
  EXPECT_EQ(attribute->kind, AttributeKind::tensor);
  EXPECT_EQ(attribute->text, "landmark_points");
  EXPECT_EQ(attribute->tensor.memory, frame.tensors[0].memory);
  EXPECT_EQ(test::values_of<float>(attribute->tensor), (std::vector<float>{1, 2, 3, 4}));
}

TEST(AddParams, SeveralOutputsAreToldApartByName) {
  Frame frame = test::frame_of({tensor<float>({1, 1}, {1}), tensor<float>({1, 1}, {2})});
  auto element = test::make<TransformInplace>("tensor_postproc_add_params", {{"attribute-name", "raw"}});
  ASSERT_TRUE(test::run(*element, frame, {"one"}));
  EXPECT_EQ(test::values_of<float>(frame.attributes->find("raw/one")->tensor), (std::vector<float>{1}));
  EXPECT_EQ(test::values_of<float>(frame.attributes->find("raw/1")->tensor), (std::vector<float>{2}));
}

TEST(AddParams, OnlyTheOwnSampleOfABatchIsKept) {
  Frame frame = test::frame_of({tensor<float>({2, 2}, {1, 2, 3, 4})});
  frame.source = SourceId{.batch_index = 1};
  auto element = test::make<TransformInplace>("tensor_postproc_add_params");
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_EQ(test::values_of<float>(frame.attributes->find("attribute")->tensor), (std::vector<float>{3, 4}));
}

}  // namespace
}  // namespace sightglass
