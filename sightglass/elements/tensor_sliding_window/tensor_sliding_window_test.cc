#include "sightglass/elements/tensor_sliding_window/tensor_sliding_window.h"

#include <gmock/gmock.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using testing::ElementsAre;
using testing::HasSubstr;

class SlidingWindow : public testing::Test {
 protected:
  // Windows of three tensors of two values.
  void start(const std::string& partial = "wait") {
    element_ = test::make<Transform>("tensor_sliding_window", {{"partial", partial}});
    ASSERT_TRUE(element_->start());
    const Status status = configure({1, 2}, {1, 3, 2});
    ASSERT_TRUE(status) << test::message_of(status);
  }
  Status configure(const Shape& in, const Shape& out) {
    Format input, output;
    input.media = TensorsInfo{{{.shape = in}}, {}};
    output.media = TensorsInfo{{{.shape = out}}, {}};
    collected_ = test::Collected(output);
    return element_->configure(input, output);
  }
  void push(float value, const std::optional<SourceId>& source = {}) {
    Frame frame = test::frame_of({tensor<float>({1, 2}, {value, value + .5f})});
    frame.pts = time_++;
    frame.source = source;
    const Status status = element_->process(frame, collected_);
    EXPECT_TRUE(status) << test::message_of(status);
  }
  std::vector<float> values(size_t i) const { return test::values_of<float>(collected_.frame(i).tensors[0]); }

  std::unique_ptr<Transform> element_;
  test::Collected collected_;
  Time time_ = 0;
};

TEST_F(SlidingWindow, SendsGapsUntilItIsFull) {
  start();
  for (float value : {1.f, 2.f, 3.f, 4.f}) push(value);
  ASSERT_EQ(collected_.items.size(), 4u);
  EXPECT_TRUE(collected_.is_gap(0));
  EXPECT_EQ(collected_.gap_at(1).pts, 1);
  EXPECT_THAT(values(2), ElementsAre(1, 1.5, 2, 2.5, 3, 3.5));
  EXPECT_THAT(values(3), ElementsAre(2, 2.5, 3, 3.5, 4, 4.5));
  EXPECT_EQ(collected_.frame(3).pts, 3);
}

TEST_F(SlidingWindow, RepeatsTheOldestOrBeginsWithZeros) {
  start("pad");
  push(1), push(2);
  EXPECT_THAT(values(0), ElementsAre(1, 1.5, 1, 1.5, 1, 1.5));
  EXPECT_THAT(values(1), ElementsAre(1, 1.5, 1, 1.5, 2, 2.5));
  start("emit");
  push(1), push(2);
  EXPECT_THAT(values(0), ElementsAre(0, 0, 0, 0, 1, 1.5));
  EXPECT_THAT(values(1), ElementsAre(0, 0, 1, 1.5, 2, 2.5));
}

TEST_F(SlidingWindow, AFlushBeginsAnewAndGapsPass) {
  start();
  push(1), push(2), push(3);
  element_->flush();
  push(4);
  EXPECT_TRUE(collected_.is_gap(3));
  ASSERT_TRUE(element_->gap({7, 1, {}}, collected_));
  EXPECT_EQ(collected_.gap_at(4).pts, 7);
}

TEST_F(SlidingWindow, TrackedObjectsHaveWindowsOfTheirOwn) {
  start("pad");
  push(1, SourceId{.roi = 0, .object = 5});
  push(9, SourceId{.roi = 1, .object = 6, .last_roi = true});
  push(2, SourceId{.roi = 0, .object = 5, .last_roi = true});
  EXPECT_THAT(values(1), ElementsAre(9, 9.5, 9, 9.5, 9, 9.5));
  EXPECT_THAT(values(2), ElementsAre(1, 1.5, 1, 1.5, 2, 2.5));
}

TEST_F(SlidingWindow, ConvertsAnyType) {
  start();
  Format input, output;
  input.media = TensorsInfo{{{.type = DataType::u8, .shape = {2}}}, {}};
  output.media = TensorsInfo{{{.shape = {2}}}, {}};
  ASSERT_TRUE(element_->configure(input, output));
  collected_ = test::Collected(output);
  ASSERT_TRUE(element_->process(test::frame_of({tensor<uint8_t>({2}, {3, 4})}), collected_));
  EXPECT_THAT(values(0), ElementsAre(3, 4));
}

TEST_F(SlidingWindow, SaysWhyItCannotBe) {
  start();
  EXPECT_THAT(test::message_of(configure({1, 2}, {1, 5})),
              HasSubstr("1x5, is no multiple of the input's, 1x2"));
  EXPECT_THAT(test::message_of(configure({1, 2}, {})), HasSubstr("the length of the window is not known"));
  EXPECT_THAT(test::message_of(configure({1, 2}, {1, -1})),
              HasSubstr("the length of the window is not known"));
  ASSERT_TRUE(configure({1, 2}, {1, 3, 2}));
  EXPECT_THAT(
      test::message_of(element_->process(test::frame_of({tensor<float>({1, 3}, {1, 2, 3})}), collected_)),
      HasSubstr("the tensor is 1x3, not of 2 values"));
  EXPECT_FALSE(element_->process(test::frame_of({}), collected_));
}

}  // namespace
}  // namespace sightglass
