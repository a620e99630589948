#include "sightglass/elements/functions/attribute_smoother.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sightglass {
namespace {

using Method = AttributeSmoother::Method;

class Smoothing : public testing::Test {
 protected:
  void use(Method method, unsigned n = 3, float alpha = 0.5f, const char* attribute = "") {
    smoother_.emplace(AttributeSmoother::Options{Label(attribute), method, n, alpha});
  }
  Attribute seen(Attribute attribute, int64_t track = 1) {
    Frame frame;
    attribute.model = Label("mood");
    frame.regions.push_back({.id = 0, .track = track});
    frame.regions[0].attributes = with(nullptr, std::move(attribute));
    smoother_->run(frame, Label("mood"));
    return frame.regions[0].attributes->items()[0];
  }
  double number(double value, int64_t track = 1) {
    return seen({.name = Label("years"), .kind = AttributeKind::number, .number = value}, track).number;
  }
  std::string emotion(const char* text, float confidence = 0.5f) {
    return seen({.name = Label("emotion"),
                 .kind = AttributeKind::classification,
                 .text = text,
                 .confidence = confidence})
        .text;
  }
  std::optional<AttributeSmoother> smoother_;
};

TEST_F(Smoothing, MeanOfTheLastNumbers) {
  use(Method::mean);
  EXPECT_DOUBLE_EQ(number(30), 30);
  EXPECT_DOUBLE_EQ(number(33), 31.5);
  EXPECT_DOUBLE_EQ(number(36), 33);
  EXPECT_DOUBLE_EQ(number(0), 23);    // 33, 36, 0
  EXPECT_DOUBLE_EQ(number(5, 2), 5);  // another track
  EXPECT_DOUBLE_EQ(number(NAN), 23);  // no result
  EXPECT_DOUBLE_EQ(number(7, 0), 7);  // no track
  smoother_->reset();
  EXPECT_DOUBLE_EQ(number(1), 1);
}

TEST_F(Smoothing, ExponentialAndMedian) {
  use(Method::exponential, 3, 0.25f);
  EXPECT_DOUBLE_EQ(number(8), 8);
  EXPECT_DOUBLE_EQ(number(16), 10);
  EXPECT_DOUBLE_EQ(number(10), 10);
  use(Method::majority);
  number(1), number(100);
  EXPECT_DOUBLE_EQ(number(3), 3);
}

TEST_F(Smoothing, MajorityOfTextsTheLaterOfEquals) {
  use(Method::majority);
  EXPECT_EQ(emotion("sad"), "sad");
  EXPECT_EQ(emotion("happy"), "happy");
  EXPECT_EQ(emotion("sad"), "sad");
  EXPECT_EQ(emotion("happy"), "happy");
  EXPECT_EQ(emotion("angry"), "angry");  // each once
  const auto last = seen({.name = Label("emotion"),
                          .kind = AttributeKind::classification,
                          .text = "happy",
                          .label_id = 4,
                          .confidence = 0.9f});
  EXPECT_EQ(last.text, "happy");
  EXPECT_EQ(last.label_id, 4);
  EXPECT_NEAR(last.confidence, 0.7, 1e-6);
}

TEST_F(Smoothing, MeanWeighsTextsByTheirConfidence) {
  use(Method::mean);
  emotion("sad", 0.9f);
  EXPECT_EQ(emotion("happy", 0.4f), "sad");
  EXPECT_EQ(emotion("happy", 0.4f), "sad");
  EXPECT_EQ(emotion("happy", 0.4f), "happy");  // that of sad is too old now
}

TEST_F(Smoothing, VectorsAreSmoothedAndBeginAnewWithAnotherLength) {
  use(Method::mean);
  const auto vector = [&](std::vector<float> values) {
    return seen({.name = Label("look"), .kind = AttributeKind::vector, .values = std::move(values)}).values;
  };
  vector({1, 0});
  EXPECT_EQ(vector({0, 1}), (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(vector({4, 4, 4}), (std::vector<float>{4, 4, 4}));
}

TEST_F(Smoothing, ARepeatedResultIsNoNewOne) {
  use(Method::mean);
  number(10);
  number(20);
  const auto repeated = seen({.name = Label("years"), .kind = AttributeKind::number, .number = 20, .age = 2});
  EXPECT_DOUBLE_EQ(repeated.number, 15);
  EXPECT_EQ(repeated.age, 2u);
  EXPECT_DOUBLE_EQ(number(30), 20);
}

TEST_F(Smoothing, OtherAttributesStayAndGoneTracksAreForgotten) {
  use(Method::mean, 3, 0.5f, "weight");
  number(1);
  EXPECT_DOUBLE_EQ(number(3), 3);
  use(Method::mean);
  Frame frame;
  frame.regions.push_back({.track = 9});
  frame.regions[0].attributes =
      with(nullptr, {.name = Label("x"), .kind = AttributeKind::number, .model = Label("other")});
  const AttributesRef before = frame.regions[0].attributes;
  smoother_->run(frame, Label("mood"));
  EXPECT_EQ(frame.regions[0].attributes, before);
  for (int64_t track = 1; track < 1000; ++track) number(1, track);
  EXPECT_LE(smoother_->remembered_tracks(), AttributeSmoother::frames_until_forgotten + 64);
}

}  // namespace
}  // namespace sightglass
