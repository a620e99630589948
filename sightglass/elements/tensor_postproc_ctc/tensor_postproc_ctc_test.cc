#include "sightglass/elements/tensor_postproc_ctc/tensor_postproc_ctc.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using testing::HasSubstr;

// A step for each class in `steps`, that class with `sure`, the rest shared by the others.
std::vector<float> steps_of(const std::vector<int>& steps, int classes, float sure = .9f) {
  std::vector<float> values;
  for (int step : steps)
    for (int i = 0; i < classes; ++i) values.push_back(i == step ? sure : (1 - sure) / float(classes - 1));
  return values;
}

struct Read {
  std::string text, error;
  float confidence = 0;
};
Read read(const Tensor& scores, const test::Settings& settings, int sample = 0) {
  Frame frame = test::frame_of({scores});
  frame.source = SourceId{.batch_index = sample};
  auto element = test::make<TransformInplace>("tensor_postproc_ctc", settings);
  if (auto done = test::run(*element, frame, {"out"}); !done) return {"", done.error().message, 0};
  if (!frame.attributes) return {"none", "", 0};
  const Attribute& attribute = frame.attributes->items().front();
  EXPECT_EQ(attribute.kind, AttributeKind::text);
  EXPECT_EQ(attribute.name.view(), "out");
  return {attribute.text, "", attribute.confidence};
}

TEST(Ctc, TakesRepeatsOnceAndLeavesBlanksOut) {
  // blank a b, and the space that nobody lists: "ab bb" needs a blank between equal letters.
  const Tensor scores = tensor<float>({1, 9, 4}, steps_of({1, 1, 0, 2, 3, 2, 0, 2, 0}, 4));
  const Read result = read(scores, {{"labels", "a,b"}});
  EXPECT_EQ(result.text, "ab bb");
  EXPECT_NEAR(result.confidence, .9, 1e-6);
}

TEST(Ctc, ListsWithAndWithoutTheBlank) {
  const Tensor scores = tensor<float>({3, 3}, steps_of({1, 0, 2}, 3));
  EXPECT_EQ(read(scores, {{"labels", "#,a,b"}}).text, "ab");
  EXPECT_EQ(read(scores, {{"labels", "a,b"}}).text, "ab");
  EXPECT_EQ(read(scores, {{"labels", "a,b"}, {"blank-index", "2"}}).text, "ba");
  EXPECT_EQ(read(scores, {{"labels", "a"}}).text, "a ");  // the last class is the space
  EXPECT_THAT(read(scores, {{"labels", "a"}, {"space-last", "false"}}).error,
              HasSubstr("1 characters do not fit the 3 classes"));
  EXPECT_THAT(read(scores, {{"labels", "a,b,c,d"}}).error,
              HasSubstr("4 characters do not fit the 3 classes"));
  EXPECT_THAT(read(scores, {{"labels", "a,b"}, {"blank-index", "3"}}).error,
              HasSubstr("there are 3 classes"));
}

TEST(Ctc, ReadsCharactersFromAFile) {
  const std::string path = testing::TempDir() + "charset.txt";
  std::ofstream(path) << "京\nA\n";
  const Tensor scores = tensor<float>({1, 2, 3}, steps_of({1, 2}, 3));
  EXPECT_EQ(read(scores, {{"charset-file", path}}).text, "京A");
  EXPECT_THAT(read(scores, {{"charset-file", "/no/such"}}).error, HasSubstr("/no/such: no such file"));
  EXPECT_THAT(read(scores, {}).error, HasSubstr("no characters; set charset-file"));
}

TEST(Ctc, LogitsGiveProbabilities) {
  const Read result = read(tensor<float>({1, 1, 3}, {-2, 3, 1}), {{"labels", "a,b"}});
  EXPECT_EQ(result.text, "a");
  EXPECT_NEAR(result.confidence, 1 / (1 + std::exp(-5.0) + std::exp(-2.0)), 1e-6);
}

TEST(Ctc, ConfidenceIsTheMeanOfTheCharacters) {
  std::vector<float> values = steps_of({1}, 3, .8f);
  for (float value : steps_of({2}, 3, .6f)) values.push_back(value);
  const Tensor scores = tensor<float>({1, 2, 3}, values);
  EXPECT_NEAR(read(scores, {{"labels", "a,b"}}).confidence, .7, 1e-6);
  EXPECT_EQ(read(scores, {{"labels", "a,b"}, {"threshold", "0.6"}}).text, "ab");
  EXPECT_EQ(read(scores, {{"labels", "a,b"}, {"threshold", "0.75"}}).text, "none");
}

TEST(Ctc, ReadsItsOwnSampleAndStepsThatComeFirst) {
  std::vector<float> values = steps_of({1, 0}, 3);
  for (float value : steps_of({2, 0}, 3)) values.push_back(value);
  const Tensor batch = tensor<float>({2, 2, 3}, values);
  EXPECT_EQ(read(batch, {{"labels", "a,b"}}, 0).text, "a");
  EXPECT_EQ(read(batch, {{"labels", "a,b"}}, 1).text, "b");
  EXPECT_EQ(read(tensor<float>({4, 1, 3}, values), {{"labels", "a,b"}}).text, "ab");
}

TEST(Ctc, WhatIsNotFiniteIsBlank) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(
      read(tensor<float>({1, 3, 3}, {nan, nan, nan, 0, inf, 0, .1f, .8f, .1f}), {{"labels", "a,b"}}).text,
      "a");
  EXPECT_EQ(read(tensor<float>({1, 1, 3}, {nan, 1, 0}), {{"labels", "a,b"}}).text, "none");
  EXPECT_EQ(read(tensor<float>({1, 2, 3}, steps_of({0, 0}, 3)), {{"labels", "a,b"}}).text, "none");
  EXPECT_THAT(read(tensor<float>({3}, {1, 0, 0}), {{"labels", "a,b"}}).error,
              HasSubstr("steps and classes are needed"));
}

TEST(Ctc, FindsTheBestOfManyClasses) {
  constexpr int classes = 1003;
  std::string list = "<";
  for (int i = 1; i < classes; ++i) list += (i > 1 ? ",c" : "c") + std::to_string(i);
  for (int best : {1, 15, 16, 17, 999, 1002})
    EXPECT_EQ(read(tensor<float>({1, 1, classes}, steps_of({best}, classes)), {{"labels", list + ">"}}).text,
              "c" + std::to_string(best));
}

}  // namespace
}  // namespace sightglass
