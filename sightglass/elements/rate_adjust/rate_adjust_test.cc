#include "sightglass/elements/rate_adjust/rate_adjust.h"

#include <gtest/gtest.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

std::unique_ptr<TransformInplace> adjuster(const char* ratio) {
  auto element = test::make<TransformInplace>("rate_adjust", {{"ratio", ratio}});
  EXPECT_TRUE(element->start());
  return element;
}

bool passes(TransformInplace& element, const Frame& given) {
  Frame frame = given;
  const Verdict verdict = element.process(frame).value();
  EXPECT_NE(verdict, Verdict::drop);  // joins downstream wait for what vanishes
  return verdict == Verdict::pass;
}

Frame whole(Time pts) {
  Frame frame;
  frame.pts = pts;
  return frame;
}
Frame region(int64_t object, Time pts, uint32_t roi = 0, bool last = false) {
  Frame frame = whole(pts);
  frame.source = SourceId{.roi = roi, .object = object, .last_roi = last, .pts = pts};
  return frame;
}

std::string pattern(const char* ratio, int count) {
  auto element = adjuster(ratio);
  std::string text;
  for (int i = 0; i < count; ++i) text += passes(*element, whole(i)) ? 'x' : '.';
  return text;
}

TEST(RateAdjust, TheFirstOfEachRunPasses) {
  EXPECT_EQ(pattern("1/3", 9), "x..x..x..");
  EXPECT_EQ(pattern("1/1", 4), "xxxx");
  EXPECT_EQ(pattern("0/1", 4), "....");
  EXPECT_EQ(pattern("2/3", 9), "x.xx.xx.x");
  EXPECT_EQ(pattern("1/2147483647", 3), "x..");
}

TEST(RateAdjust, TrackedObjectsAreCountedOnTheirOwn) {
  auto element = adjuster("1/2");
  EXPECT_TRUE(passes(*element, region(1, 0)));
  EXPECT_FALSE(passes(*element, region(1, 1)));
  EXPECT_TRUE(passes(*element, region(2, 1)));  // its first
  EXPECT_TRUE(passes(*element, region(1, 2)));
  EXPECT_FALSE(passes(*element, region(2, 2)));
}

TEST(RateAdjust, UntrackedRegionsAreCountedPerFrame) {
  auto element = adjuster("1/2");
  for (Time t = 0; t < 4; ++t)
    for (uint32_t roi = 0; roi < 3; ++roi)
      EXPECT_EQ(passes(*element, region(0, t, roi, roi == 2)), t % 2 == 0);
}

TEST(RateAdjust, UntrackedRegionsAreCountedPerFrameWithoutTimesToo) {
  auto element = adjuster("1/2");
  for (int t = 0; t < 4; ++t)
    for (uint32_t roi = 0; roi < 3; ++roi)
      EXPECT_EQ(passes(*element, region(0, no_time, roi, roi == 2)), t % 2 == 0);
}

TEST(RateAdjust, CountersOfDeadTracksAreFreed) {
  auto element = adjuster("1/2");
  auto& adjust = dynamic_cast<RateAdjust&>(*element);
  for (int64_t object = 1; object <= 5; ++object) passes(*element, region(object, 0));
  EXPECT_EQ(adjust.remembered_objects(), 5u);
  // Frames in which nobody is seen count as well.
  for (Time t = 1; t < Time(RateAdjust::frames_until_forgotten) + 100; ++t) element->gap({.pts = t});
  EXPECT_EQ(adjust.remembered_objects(), 0u);
}

TEST(RateAdjust, FlushStartsAnew) {
  auto element = adjuster("1/3");
  EXPECT_TRUE(passes(*element, whole(0)));
  element->flush();
  EXPECT_TRUE(passes(*element, whole(1)));
}

TEST(RateAdjust, RatiosBeyondOneAreRefused) {
  EXPECT_THROW(test::make<TransformInplace>("rate_adjust", {{"ratio", "3/2"}}), std::runtime_error);
  EXPECT_THROW(test::make<TransformInplace>("rate_adjust", {{"ratio", "-1/2"}}), std::runtime_error);
  EXPECT_FALSE(RateAdjust({.ratio = {3, 2}}).start());
  EXPECT_FALSE(RateAdjust({.ratio = {1, 0}}).start());
}

Frame tagged(Time pts, const char* tag) {
  Frame frame = whole(pts);
  if (*tag) frame.attributes = with(nullptr, {.name = Label(tag), .model = Label("tag")});
  return frame;
}

TEST(RateAdjust, FramesThatTheConditionLeavesOutAreNotCounted) {
  auto element = test::make<TransformInplace>(
      "rate_adjust", {{"ratio", "1/2"}, {"when", R"({"not": {"frame": {"tag": "skip"}}})"}});
  ASSERT_TRUE(element->start());
  std::string text;
  for (const char* tag : {"", "skip", "", "", "skip", "skip", ""})
    text += passes(*element, tagged(0, tag)) ? 'x' : '.';
  EXPECT_EQ(text, "x..x...");
  EXPECT_TRUE(passes(*element, region(1, 0)));  // regions are not asked
}

TEST(RateAdjust, TheConditionChangesWhileFramesFlowAndABadOneIsRefused) {
  const ElementDesc* desc = find_element("rate_adjust");
  ParamSet params(desc->params);
  auto made = desc->create(params);
  auto& element = static_cast<TransformInplace&>(**made);
  ASSERT_TRUE(element.start());
  EXPECT_TRUE(passes(element, tagged(0, "")));
  ASSERT_TRUE(params.set_text("when", R"({"frame": {"tag": "event"}})"));
  element.update(params);
  EXPECT_FALSE(passes(element, tagged(1, "")));
  EXPECT_TRUE(passes(element, tagged(2, "event")));
  ASSERT_TRUE(params.set_text("when", R"({"label": "face"})"));
  element.update(params);
  EXPECT_EQ(element.take_warnings(),
            std::vector<std::string>{"when.label: is about objects, but here whole frames are asked for; use "
                                     "'frame' or 'child'; what was set before goes on"});
  EXPECT_FALSE(passes(element, tagged(3, "")));
  EXPECT_THROW(test::make<TransformInplace>("rate_adjust", {{"when", "{"}}), std::runtime_error);
}

TEST(RateAdjust, AnObjectThatHasGrownPassesEarly) {
  auto element = test::make<TransformInplace>("rate_adjust", {{"ratio", "1/4"}, {"reuse-growth", "1.3"}});
  ASSERT_TRUE(element->start());
  std::string text;
  Time pts = 0;
  for (const float height : {0.1f, 0.12f, 0.131f, 0.14f, 0.14f, 0.14f, 0.14f, 0.05f, 0.2f}) {
    Frame frame = region(1, pts++, 0, true);
    frame.regions.push_back({.box = {0, 0, 0.1f, height}});
    text += passes(*element, frame) ? 'x' : '.';
  }
  EXPECT_EQ(text, "x.x...x.x");  // a third higher: at once, and four frames after that; then twice as high
  EXPECT_THROW(test::make<TransformInplace>("rate_adjust", {{"reuse-growth", "0.5"}}), std::runtime_error);
}

}  // namespace
}  // namespace sightglass
