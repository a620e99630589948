#include "sightglass/elements/postprocess_objects/postprocess_objects.h"

#include <gtest/gtest.h>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

Region object(float x, float confidence, const char* label = "car", const char* model = "cars") {
  Region made;
  made.box = {x, 0.1f, 0.2f, 0.2f};
  made.confidence = confidence;
  made.label = Label(label);
  made.model = Label(model);
  return made;
}

Frame frame_with(std::vector<Region> regions) {
  Frame frame = test::picture(PixelFormat::gray8, 1000, 500);
  frame.regions = std::move(regions);
  for (size_t i = 0; i < frame.regions.size(); ++i) frame.regions[i].id = int32_t(i);
  return frame;
}

std::vector<int32_t> ids(const Frame& frame) {
  std::vector<int32_t> list;
  for (const Region& region : frame.regions) list.push_back(region.id);
  return list;
}

std::vector<int32_t> processed(Frame frame, const test::Settings& settings) {
  auto element = test::make<TransformInplace>("postprocess_objects", settings);
  EXPECT_TRUE(element->start());
  EXPECT_EQ(element->process(frame).value(), Verdict::pass);
  return ids(frame);
}
using Ids = std::vector<int32_t>;

TEST(PostprocessObjects, RunsFunctionsInTheirOrder) {
  const auto frame = frame_with({object(0.1f, 0.5f), object(0.11f, 0.9f), object(0.5f, 0.7f),
                                 object(0.8f, 0.6f, "bus"), object(0.3f, 0.2f)});
  EXPECT_EQ(processed(frame, {}), (Ids{0, 1, 2, 3, 4}));
  EXPECT_EQ(processed(frame, {{"functions", "nms"}}), (Ids{1, 2, 3, 4}));
  EXPECT_EQ(processed(frame, {{"functions", R"(["nms", {"top_k": {"k": 2}}])"}}), (Ids{1, 2}));
  EXPECT_EQ(processed(frame, {{"functions", R"([{"top_k": {"k": 1, "per_class": true}}])"}}), (Ids{1, 3}));
  EXPECT_EQ(processed(frame, {{"functions", R"({"filter_size": {"min_side": 101}})"}}), (Ids{}));
}

TEST(PostprocessObjects, LooksAtOneModelOnly) {
  const auto frame = frame_with({object(0.1f, 0.9f, "car", "cars"), object(0.1f, 0.8f, "car", "cars"),
                                 object(0.1f, 0.7f, "car", "others"), object(0.1f, 0.6f, "car", "others")});
  EXPECT_EQ(processed(frame, {{"functions", "nms"}, {"namespace", "others"}}), (Ids{0, 1, 2}));
  EXPECT_EQ(processed(frame, {{"functions", "nms"}}), (Ids{0}));
}

TEST(PostprocessObjects, WhatWasFoundInADroppedObjectGoesWithIt) {
  auto frame = frame_with({object(0.1f, 0.9f), object(0.1f, 0.8f), object(0.1f, 0.9f, "plate", "plates"),
                           object(0.1f, 0.9f, "text", "texts")});
  frame.regions[2].parent = 1;
  frame.regions[3].parent = 2;
  EXPECT_EQ(processed(frame, {{"functions", "nms"}, {"namespace", "cars"}}), (Ids{0}));
}

TEST(PostprocessObjects, ABadListIsAnErrorAtTheStartAndAWarningLater) {
  EXPECT_THROW(test::make<TransformInplace>("postprocess_objects", {{"functions", "nmss"}}),
               std::runtime_error);
  EXPECT_THROW(test::make<TransformInplace>("postprocess_objects", {{"functions", "letterbox"}}),
               std::runtime_error);
  ParamSet params(find_element("postprocess_objects")->params);
  ASSERT_TRUE(params.set_text("functions", "nms"));
  auto made = find_element("postprocess_objects")->create(params);
  auto& element = static_cast<TransformInplace&>(**made);
  ASSERT_TRUE(params.set_text("functions", R"([{"nms": {"iou": 1}}])"));
  element.update(params);
  ASSERT_EQ(element.take_warnings().size(), 1u);
  Frame frame = frame_with({object(0.1f, 0.9f), object(0.1f, 0.8f)});
  ASSERT_TRUE(element.process(frame));
  EXPECT_EQ(ids(frame), (Ids{0}));
  ASSERT_TRUE(params.set_text("functions", ""));
  element.update(params);
  frame = frame_with({object(0.1f, 0.9f), object(0.1f, 0.8f)});
  ASSERT_TRUE(element.process(frame));
  EXPECT_EQ(ids(frame), (Ids{0, 1}));
}

TEST(PostprocessObjects, DoesNotAllocateOnceWarm) {
  auto element = test::make<TransformInplace>(
      "postprocess_objects",
      {{"functions",
        R"(["merge_tiles", "nms", "nms_rotated", "soft_nms", {"filter_size": {"min_side": 0.01}}, "top_k"])"}});
  std::vector<Region> regions;
  for (int i = 0; i < 40; ++i) regions.push_back(object(0.02f * float(i), 0.3f + 0.01f * float(i)));
  const Frame source = frame_with(regions);
  Frame frame;
  size_t before = 0;
  for (int i = 0; i < 5; ++i) {
    frame.regions.reserve(100);
    frame.regions.assign(source.regions.begin(), source.regions.end());
    if (i == 2) before = allocation_count();
    ASSERT_TRUE(element->process(frame));
  }
  EXPECT_EQ(allocation_count(), before);
  EXPECT_LT(frame.regions.size(), 40u);
}

}  // namespace
}  // namespace sightglass
