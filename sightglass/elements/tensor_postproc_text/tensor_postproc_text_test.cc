#include "sightglass/elements/tensor_postproc_text/tensor_postproc_text.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;

std::optional<Attribute> read(std::vector<Tensor> tensors, const test::Settings& settings = {}) {
  Frame frame = test::frame_of(std::move(tensors));
  auto element = test::make<TransformInplace>("tensor_postproc_text", settings);
  if (auto done = test::run(*element, frame, {"age", "height"}); !done)
    throw std::runtime_error(done.error().message);
  if (!frame.attributes) return {};
  return frame.attributes->items().front();
}
std::string text(std::vector<Tensor> tensors, const test::Settings& settings = {}) {
  auto attribute = read(std::move(tensors), settings);
  return attribute ? attribute->text : "none";
}

TEST(Text, ANumberIsTextAndNumber) {
  const auto attribute = read({tensor<float>({1, 1, 1, 1}, {.3449f})}, {{"text-scale", "100"}});
  ASSERT_TRUE(attribute);
  EXPECT_EQ(attribute->kind, AttributeKind::number);
  EXPECT_EQ(attribute->text, "34");
  EXPECT_NEAR(attribute->number, 34.49, 1e-4);
  EXPECT_EQ(attribute->name.view(), "age");
  EXPECT_EQ(attribute->model.view(), "model");
}

TEST(Text, DecimalsFollowThePrecision) {
  const Tensor value = tensor<double>({1}, {3.14159});
  EXPECT_EQ(text({value}), "3");
  EXPECT_EQ(text({value}, {{"text-precision", "2"}}), "3.14");
  EXPECT_EQ(text({tensor<float>({1}, {-.3f})}), "0");
  EXPECT_EQ(text({tensor<float>({1}, {-1.5f})}, {{"text-precision", "1"}}), "-1.5");
}

TEST(Text, ValuesAreJoinedByCommas) {
  const auto attribute = read({tensor<float>({1, 3}, {1, 2, 3})}, {{"attribute-name", "size"}});
  EXPECT_EQ(attribute->text, "1, 2, 3");
  EXPECT_EQ(attribute->kind, AttributeKind::text);
  EXPECT_EQ(attribute->values, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(attribute->name.view(), "size");
}

TEST(Text, AllOutputsUnlessALayerIsNamed) {
  const std::vector<Tensor> both = {tensor<float>({1, 1}, {20}), tensor<int32_t>({1, 1}, {180})};
  EXPECT_EQ(text(both), "20, 180");
  EXPECT_EQ(text(both, {{"layer-name", "height"}}), "180");
  EXPECT_THROW(text(both, {{"layer-name", "width"}}), std::runtime_error);
}

TEST(Text, EveryNumericType) {
  EXPECT_EQ(text({tensor<uint8_t>({1}, {200})}), "200");
  EXPECT_EQ(text({tensor<int64_t>({1}, {-9007199254740993})}),
            "-9007199254740992");  // as far as a double goes
  EXPECT_EQ(text({tensor<double>({1}, {1e15 + .5})}, {{"text-precision", "1"}}), "1000000000000000.5");
}

TEST(Text, ArgmaxTakesTheLargestBin) {
  const auto attribute = read({tensor<float>({1, 4}, {.1f, .2f, .6f, .1f})},
                              {{"reduce", "argmax"}, {"value-offset", "10"}, {"value-step", "5"}});
  EXPECT_EQ(attribute->number, 20);
  EXPECT_FLOAT_EQ(attribute->confidence, .6f);
}

TEST(Text, ExpectationIsTheMeanOfTheBins) {
  const Tensor bins = tensor<float>({1, 4}, {.1f, .2f, .3f, .4f});
  auto attribute = read({bins}, {{"reduce", "expectation"}, {"text-precision", "2"}});
  EXPECT_NEAR(attribute->number, 2, 1e-6);
  EXPECT_EQ(attribute->text, "2.00");
  attribute = read({bins}, {{"reduce", "expectation"}, {"value-offset", "1"}, {"value-step", "0.5"}});
  EXPECT_NEAR(attribute->number, 2, 1e-6);
}

TEST(Text, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf("");
  EXPECT_EQ(text({tensor<float>({1, 3}, {1, nan, 3})}), "1, 3");
  EXPECT_EQ(text({tensor<float>({1, 1}, {nan})}), "none");
  EXPECT_EQ(text({tensor<float>({1, 3}, {nan, 1, INFINITY})}, {{"reduce", "argmax"}}), "1");
  EXPECT_EQ(text({tensor<float>({1, 2}, {nan, nan})}, {{"reduce", "expectation"}}), "none");
  EXPECT_EQ(text({tensor<float>({1, 2}, {0, 0})}, {{"reduce", "expectation"}}), "none");
}

TEST(Text, HugeValuesFit) {
  EXPECT_EQ(text({tensor<double>({1}, {-1e308})}, {{"text-precision", "30"}}).size(), 1u + 309 + 1 + 30);
}

TEST(Text, OnlyTheOwnSampleOfABatchCounts) {
  Frame frame = test::frame_of({tensor<float>({2, 1}, {20, 30})});
  frame.source = SourceId{.batch_index = 1};
  auto element = test::make<TransformInplace>("tensor_postproc_text");
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_EQ(frame.attributes->find("text")->text, "30");
}

}  // namespace
}  // namespace sightglass
