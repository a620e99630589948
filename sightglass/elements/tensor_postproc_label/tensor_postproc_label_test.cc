#include "sightglass/elements/tensor_postproc_label/tensor_postproc_label.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;

// What the element makes of the values; its error, or "none".
struct Outcome {
  std::string error;
  std::optional<Attribute> attribute;
};
Outcome classify(const Tensor& values, const test::Settings& settings, int batch_index = 0) {
  Frame frame = test::frame_of({values});
  frame.source = SourceId{.batch_index = batch_index};
  auto element = test::make<TransformInplace>("tensor_postproc_label", settings);
  if (auto done = test::run(*element, frame, {"prob"}); !done) return {done.error().message, {}};
  if (!frame.attributes) return {};
  return {"", frame.attributes->items().front()};
}
std::string text(const Outcome& outcome) {
  return outcome.attribute ? outcome.attribute->text : outcome.error.empty() ? "none" : outcome.error;
}

TEST(Label, MaxTakesTheLargestRawValue) {
  const Outcome outcome = classify(tensor<float>({1, 3}, {.2f, 5, -1}), {{"labels", "<a,b,c>"}});
  ASSERT_TRUE(outcome.attribute);
  EXPECT_EQ(outcome.attribute->kind, AttributeKind::classification);
  EXPECT_EQ(outcome.attribute->name.view(), "prob");
  EXPECT_EQ(outcome.attribute->text, "b");
  EXPECT_EQ(outcome.attribute->label_id, 1);
  EXPECT_FLOAT_EQ(outcome.attribute->confidence, 5);
  EXPECT_EQ(outcome.attribute->model.view(), "model");
}

TEST(Label, SoftmaxGivesAProbabilityEvenOfLargeLogits) {
  const Outcome outcome =
      classify(tensor<float>({1, 3}, {1000, 1001, 999}), {{"labels", "a,b,c"}, {"method", "softmax"}});
  EXPECT_EQ(text(outcome), "b");
  EXPECT_NEAR(outcome.attribute->confidence, 1 / (1 + std::exp(-1.0) + std::exp(-2.0)), 1e-6);
}

TEST(Label, CompoundPicksOneOfEachPair) {
  const test::Settings gender = {{"labels", "male,female"}, {"method", "compound"}};
  Outcome outcome = classify(tensor<float>({1, 1}, {.8f}), gender);
  EXPECT_EQ(text(outcome), "male");
  EXPECT_EQ(outcome.attribute->label_id, 0);
  EXPECT_FLOAT_EQ(outcome.attribute->confidence, .8f);
  outcome = classify(tensor<float>({1, 1}, {.1f}), gender);
  EXPECT_EQ(text(outcome), "female");
  EXPECT_EQ(outcome.attribute->label_id, 1);
  EXPECT_FLOAT_EQ(outcome.attribute->confidence, .9f);
  EXPECT_EQ(text(classify(tensor<float>({1, 1}, {.5f}), gender)), "male");  // equal is the first
  EXPECT_EQ(
      text(classify(tensor<float>({1, 1}, {.8f}), {gender[0], gender[1], {"compound-threshold", "0.9"}})),
      "female");

  outcome =
      classify(tensor<float>({1, 2}, {.6f, .2f}),
               {{"labels", "<\"hat: T \",\"hat: F \",\"bag: T \",\"bag: F \">"}, {"method", "compound"}});
  EXPECT_EQ(text(outcome), "hat: T bag: F ");
  EXPECT_EQ(outcome.attribute->label_id, -1);
  EXPECT_FLOAT_EQ(outcome.attribute->confidence, .6f);
}

TEST(Label, IndexJoinsTheLabelsOfItsValues) {
  Outcome outcome =
      classify(tensor<int32_t>({1, 4}, {2, 0, 1, -1}), {{"labels", "0,A,B"}, {"method", "index"}});
  EXPECT_EQ(text(outcome), "B0A");
  EXPECT_EQ(outcome.attribute->kind, AttributeKind::text);
  outcome = classify(tensor<float>({1, 1}, {2}), {{"labels", "0,A,B"}, {"method", "index"}});
  EXPECT_EQ(text(outcome), "B");
  EXPECT_EQ(outcome.attribute->label_id, 2);
  EXPECT_EQ(outcome.attribute->kind, AttributeKind::classification);
  EXPECT_EQ(text(classify(tensor<int32_t>({1, 2}, {-1, 1}), {{"labels", "0,A,B"}, {"method", "index"}})),
            "none");
  EXPECT_EQ(text(classify(tensor<int32_t>({1, 2}, {1, 77}), {{"labels", "0,A,B"}, {"method", "index"}})),
            "A");
}

TEST(Label, MultiGivesAllThatPassBestFirst) {
  const Outcome outcome = classify(tensor<float>({1, 3}, {.6f, .2f, .9f}),
                                   {{"labels", "a,b,c"}, {"method", "multi"}, {"threshold", "0.5"}});
  EXPECT_EQ(text(outcome), "c, a");
  EXPECT_EQ(outcome.attribute->kind, AttributeKind::multi);
  EXPECT_EQ(outcome.attribute->values, (std::vector<float>{2, .9f, 0, .6f}));
  EXPECT_EQ(outcome.attribute->label_id, 2);
  EXPECT_FLOAT_EQ(outcome.attribute->confidence, .9f);
  EXPECT_EQ(text(classify(tensor<float>({1, 3}, {.1f, .2f, .3f}),
                          {{"labels", "a,b,c"}, {"method", "multi"}, {"threshold", "0.5"}})),
            "none");
}

TEST(Label, SoftmaxMultiAndSigmoid) {
  EXPECT_EQ(text(classify(tensor<float>({1, 3}, {2, 2, -9}),
                          {{"labels", "a,b,c"}, {"method", "softmax-multi"}, {"threshold", "0.4"}})),
            "a, b");
  const Outcome outcome = classify(tensor<float>({1, 2}, {0, 1}), {{"labels", "a,b"}, {"method", "sigmoid"}});
  EXPECT_EQ(text(outcome), "b");
  EXPECT_NEAR(outcome.attribute->confidence, 1 / (1 + std::exp(-1.0)), 1e-6);
}

TEST(Label, TopKListsTheBest) {
  const Outcome outcome = classify(tensor<float>({1, 4}, {.1f, .4f, .3f, .2f}),
                                   {{"labels", "a,b,c,d"}, {"top-k", "3"}, {"threshold", "0.25"}});
  EXPECT_EQ(text(outcome), "b, c");
  EXPECT_EQ(outcome.attribute->label_id, 1);
}

TEST(Label, AScoreEqualToTheThresholdIsKept) {
  EXPECT_EQ(text(classify(tensor<float>({1, 2}, {.7f, .1f}), {{"labels", "a,b"}, {"threshold", "0.7"}})),
            "a");
  EXPECT_EQ(text(classify(tensor<float>({1, 2}, {.69f, .1f}), {{"labels", "a,b"}, {"threshold", "0.7"}})),
            "none");
}

TEST(Label, MethodNumbersAreFixed) {
  for (auto [number, name] : {std::pair{0, "max"}, {1, "softmax"}, {2, "compound"}, {3, "index"}}) {
    ParamSet params(find_element("tensor_postproc_label")->params);
    ASSERT_TRUE(params.set_text("method", name));
    EXPECT_EQ(std::get<int64_t>(params.get("method").value()), number);
  }
}

TEST(Label, OnlyTheOwnSampleOfABatchCounts) {
  const Tensor batch = tensor<float>({2, 2}, {.9f, .1f, .2f, .3f});
  EXPECT_EQ(text(classify(batch, {{"labels", "a,b"}}, 0)), "a");
  EXPECT_EQ(text(classify(batch, {{"labels", "a,b"}}, 1)), "b");
  EXPECT_NE(text(classify(batch, {{"labels", "a,b,c"}})).find("3 labels"),
            std::string::npos);  // two values each, not four
}

TEST(Label, NoLabelsAreAnErrorAtStart) {
  auto element = test::make<TransformInplace>("tensor_postproc_label");
  EXPECT_NE(test::message_of(element->start()).find("no labels"), std::string::npos);
  // unless it is known how many classes there are
  const Outcome outcome = classify(tensor<float>({1, 3}, {.2f, 5, -1}), {{"classes", "3"}});
  ASSERT_TRUE(outcome.attribute);
  EXPECT_EQ(outcome.attribute->label_id, 1);
  EXPECT_EQ(outcome.attribute->text, "");
}

TEST(Label, MoreLabelsThanValuesAreAnErrorNamingBoth) {
  const std::string error = text(classify(tensor<float>({1, 2}, {.2f, 5}), {{"labels", "a,b,c"}}));
  EXPECT_EQ(error, "3 labels, but the output prob float32 1x2 has only 2 values");
  EXPECT_NE(text(classify(tensor<float>({1, 1}, {.2f}), {{"labels", "a,b,c"}, {"method", "compound"}}))
                .find("3 labels"),
            std::string::npos);
  EXPECT_NE(text(classify(tensor<float>({1, 2}, {.2f, 1}), {{"labels", "a,b,c"}, {"method", "compound"}}))
                .find("pairs"),
            std::string::npos);
  EXPECT_EQ(text(classify(tensor<float>({1, 3}, {.2f, .1f, 5}), {{"labels", "a,b"}})),
            "");  // fewer: an id without text
}

TEST(Label, TheLayerAndTheNameOfTheResultCanBeChosen) {
  Frame frame = test::frame_of({tensor<float>({1, 2}, {.9f, .1f}), tensor<float>({1, 2}, {.1f, .8f})});
  auto element = test::make<TransformInplace>(
      "tensor_postproc_label", {{"labels", "a,b"}, {"layer-name", "two"}, {"attribute-name", "mood"}});
  ASSERT_TRUE(test::run(*element, frame, {"one", "two"}));
  ASSERT_TRUE(frame.attributes->find("mood"));
  EXPECT_EQ(frame.attributes->find("mood")->text, "b");
  // A second decoder in series adds its own.
  auto other =
      test::make<TransformInplace>("tensor_postproc_label", {{"labels", "a,b"}, {"layer-name", "one"}});
  ASSERT_TRUE(test::run(*other, frame, {"one", "two"}));
  EXPECT_EQ(frame.attributes->items().size(), 2u);
  EXPECT_EQ(frame.attributes->find("one")->text, "a");
}

TEST(Label, WhichLayerIsMeantHasToBeSaid) {
  Frame frame = test::frame_of({tensor<float>({1, 2}, {.9f, .1f}), tensor<float>({1, 2}, {.1f, .8f})});
  auto element = test::make<TransformInplace>("tensor_postproc_label", {{"labels", "a,b"}});
  EXPECT_NE(test::message_of(test::run(*element, frame, {"one", "two"})).find("layer-name"),
            std::string::npos);
  auto wrong =
      test::make<TransformInplace>("tensor_postproc_label", {{"labels", "a,b"}, {"layer-name", "three"}});
  EXPECT_NE(test::message_of(test::run(*wrong, frame, {"one", "two"})).find("layer-name=three"),
            std::string::npos);
}

TEST(Label, ANamelessOutputMakesAClassification) {
  Frame frame = test::frame_of({tensor<float>({1, 2}, {.9f, .1f})});
  auto element = test::make<TransformInplace>("tensor_postproc_label", {{"labels", "a,b"}});
  ASSERT_TRUE(test::run(*element, frame));
  EXPECT_NE(frame.attributes->find("classification"), nullptr);
}

TEST(Label, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf("");
  for (const char* method : {"max", "softmax", "sigmoid", "multi", "softmax-multi"}) {
    const Outcome outcome = classify(tensor<float>({1, 3}, {nan, .5f, INFINITY}),
                                     {{"labels", "a,b,c"}, {"method", method}, {"threshold", "0.01"}});
    if (std::string_view(method) == "sigmoid")
      EXPECT_EQ(text(outcome), "c");  // which is 1
    else
      EXPECT_EQ(text(outcome), "b") << method;
  }
  EXPECT_EQ(text(classify(tensor<float>({1, 2}, {nan, nan}), {{"labels", "a,b"}})), "none");
  EXPECT_EQ(text(classify(tensor<float>({1, 1}, {nan}), {{"labels", "a,b"}, {"method", "compound"}})),
            "none");
  EXPECT_EQ(text(classify(tensor<float>({1, 1}, {nan}), {{"labels", "a,b"}, {"method", "index"}})), "none");
}

TEST(Label, SpatialAxesOfOneDoNotMatter) {
  EXPECT_EQ(text(classify(tensor<float>({1, 3, 1, 1}, {.2f, .9f, .1f}), {{"labels", "a,b,c"}})), "b");
  EXPECT_EQ(text(classify(tensor<float>({3}, {.2f, .9f, .1f}), {{"labels", "a,b,c"}})), "b");
}

}  // namespace
}  // namespace sightglass
