#include "sightglass/elements/meta_smooth/meta_smooth.h"

#include <gtest/gtest.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

std::unique_ptr<Transform> smoother(const test::Settings& settings = {}) {
  auto element = test::make<Transform>("meta_smooth", settings);
  EXPECT_TRUE(element->start());
  return element;
}

SourceId region_of(int64_t object, Time pts, uint32_t roi = 0, bool last = true) {
  return {.roi = roi, .object = object, .last_roi = last, .pts = pts};
}
Frame result(std::optional<SourceId> source, Time pts, const std::string& mood) {
  Frame frame = test::frame_of({test::tensor<float>({1}, {0})});
  frame.pts = pts;
  frame.source = source;
  if (!mood.empty())
    frame.attributes =
        with(nullptr, {.name = Label("mood"), .kind = AttributeKind::classification, .text = mood});
  return frame;
}
const Attribute& mood(const Frame& frame) { return *frame.attributes->find("mood"); }

TEST(MetaSmooth, AGapOfATrackedObjectRepeatsItsResult) {
  auto element = smoother();
  test::Collected out;
  ASSERT_TRUE(element->process(result(region_of(7, 100, 2, false), 100, "glad"), out));
  ASSERT_TRUE(element->process(result(region_of(8, 100, 3), 100, "sad"), out));
  ASSERT_TRUE(element->gap({.pts = 200, .duration = 5, .source = region_of(7, 200, 5)}, out));
  ASSERT_EQ(out.items.size(), 3u);
  EXPECT_EQ(out.frame(0).tensors.size(), 1u);  // frames pass as they are
  const Frame& repeated = out.frame(2);
  EXPECT_EQ(repeated.pts, 200);
  EXPECT_EQ(repeated.duration, 5);
  EXPECT_EQ(repeated.source, region_of(7, 200, 5));
  EXPECT_EQ(mood(repeated).text, "glad");
  EXPECT_EQ(mood(repeated).age, 1u);
  EXPECT_EQ(mood(out.frame(0)).age, 0u);
  EXPECT_TRUE(repeated.tensors.empty());
}

TEST(MetaSmooth, AgesGrowByFrames) {
  auto element = smoother();
  test::Collected out;
  ASSERT_TRUE(element->process(result(region_of(7, 0), 0, "glad"), out));
  for (Time t = 1; t <= 3; ++t) {
    ASSERT_TRUE(element->gap({.pts = t, .source = region_of(6, t, 0, false)},
                             out));  // another object of the same frame
    ASSERT_TRUE(element->gap({.pts = t, .source = region_of(7, t, 1)}, out));
  }
  EXPECT_EQ(mood(out.frame(6)).age, 3u);
}

TEST(MetaSmooth, WhatIsNotKnownStaysAGap) {
  auto element = smoother();
  test::Collected out;
  ASSERT_TRUE(element->process(result(region_of(7, 0), 0, "glad"), out));
  ASSERT_TRUE(element->process(result(region_of(0, 0), 0, "sad"), out));  // untracked: nobody's
  ASSERT_TRUE(element->gap({.pts = 1, .source = region_of(9, 1)}, out));
  ASSERT_TRUE(element->gap({.pts = 1, .source = region_of(0, 1)}, out));
  ASSERT_TRUE(element->gap({.pts = 2}, out));  // no whole frame was looked at
  for (size_t i = 2; i < 5; ++i) EXPECT_TRUE(out.is_gap(i));
}

TEST(MetaSmooth, AGapOfAFrameRepeatsTheLastResultOfAFrame) {
  auto element = smoother();
  test::Collected out;
  Frame frame = result({}, 0, "");
  frame.affine = Affine{{2, 0, 0, 0, 2, 0}};
  frame.regions.resize(1);
  frame.regions[0].box = {.1f, .2f, .3f, .4f};
  frame.regions[0].attributes = with(nullptr, {.name = Label("mood")});
  ASSERT_TRUE(element->process(frame, out));
  ASSERT_TRUE(element->gap({.pts = 1}, out));
  ASSERT_TRUE(element->gap({.pts = 2, .source = SourceId{.stream = 4}}, out));
  const Frame& repeated = out.frame(2);
  EXPECT_EQ(repeated.regions.at(0).box, frame.regions[0].box);
  EXPECT_EQ(repeated.regions[0].attributes->find("mood")->age, 2u);
  EXPECT_EQ(repeated.affine, frame.affine);
  EXPECT_EQ(repeated.source->stream, 4u);
}

TEST(MetaSmooth, AnEmptyResultIsTheLastResult) {
  auto element = smoother();
  test::Collected out;
  ASSERT_TRUE(element->process(result({}, 0, "glad"), out));
  ASSERT_TRUE(element->process(result({}, 1, ""), out));
  ASSERT_TRUE(element->gap({.pts = 2}, out));
  EXPECT_TRUE(out.is_gap(2));
}

TEST(MetaSmooth, OldResultsAreNotRepeated) {
  auto element = smoother({{"max-age", "2"}});
  test::Collected out;
  ASSERT_TRUE(element->process(result({}, 0, "glad"), out));
  for (Time t = 1; t <= 3; ++t) ASSERT_TRUE(element->gap({.pts = t}, out));
  EXPECT_FALSE(out.is_gap(2));
  EXPECT_TRUE(out.is_gap(3));

  auto unlimited = smoother({{"max-age", "0"}});
  test::Collected all;
  ASSERT_TRUE(unlimited->process(result({}, 0, "glad"), all));
  for (Time t = 1; t <= 1000; ++t) ASSERT_TRUE(unlimited->gap({.pts = t}, all));
  EXPECT_EQ(mood(all.frame(1000)).age, 1000u);
}

TEST(MetaSmooth, TheAgeIsAnAttributeWhenAskedFor) {
  auto element = smoother({{"expose-age", "true"}});
  test::Collected out;
  Frame frame = result({}, 0, "glad");
  frame.regions.resize(1);
  ASSERT_TRUE(element->process(frame, out));
  ASSERT_TRUE(element->gap({.pts = 1}, out));
  EXPECT_FALSE(out.frame(0).attributes->find(MetaSmooth::age_attribute));
  EXPECT_EQ(out.frame(1).attributes->find(MetaSmooth::age_attribute)->number, 1);
  EXPECT_EQ(out.frame(1).regions[0].attributes->find(MetaSmooth::age_attribute)->number, 1);
}

TEST(MetaSmooth, TheCacheIsBoundedAndFreedWithTheTrack) {
  auto element = smoother();
  auto& smooth = dynamic_cast<MetaSmooth&>(*element);
  test::Collected out;
  for (int64_t object = 1; object <= 2000; ++object)
    ASSERT_TRUE(element->process(result(region_of(object, 0, 0, object == 2000), 0, "glad"), out));
  EXPECT_LE(smooth.remembered_objects(), 1024u);
  for (Time t = 1; t < 400; ++t) ASSERT_TRUE(element->gap({.pts = t}, out));
  EXPECT_EQ(smooth.remembered_objects(), 0u);
}

TEST(MetaSmooth, RawTensorsAreNotHeldOnTo) {
  auto element = smoother();
  test::Collected out;
  Frame frame = result({}, 0, "");
  frame.attributes =
      with(nullptr,
           {.name = Label("raw"), .kind = AttributeKind::tensor, .tensor = test::tensor<float>({2}, {3, 4})});
  const MemoryRef memory = frame.attributes->find("raw")->tensor.memory;
  ASSERT_TRUE(element->process(frame, out));
  frame = {};
  out.items.clear();
  EXPECT_TRUE(memory->unique());  // the engine's block is free
  ASSERT_TRUE(element->gap({.pts = 1}, out));
  EXPECT_EQ(test::values_of<float>(out.frame(0).attributes->find("raw")->tensor), (std::vector<float>{3, 4}));
}

TEST(MetaSmooth, FlushForgets) {
  auto element = smoother();
  test::Collected out;
  ASSERT_TRUE(element->process(result({}, 0, "glad"), out));
  element->flush();
  ASSERT_TRUE(element->gap({.pts = 1}, out));
  EXPECT_TRUE(out.is_gap(1));
}

}  // namespace
}  // namespace sightglass
