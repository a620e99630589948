#include "sightglass/elements/roi_split/roi_split.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

Region region(int32_t id, Box box, const char* label = "person", float confidence = .5f) {
  Region made;
  made.id = id;
  made.box = box;
  made.label = Label(label);
  made.confidence = confidence;
  return made;
}
// Pixels of the picture below.
Box px(float x1, float y1, float x2, float y2) {
  return {x1 / 200, y1 / 100, (x2 - x1) / 200, (y2 - y1) / 100};
}

Frame with_regions(std::vector<Region> regions) {
  Frame frame = test::picture(PixelFormat::i420, 200, 100);
  frame.pts = 40;
  frame.duration = 10;
  frame.regions = std::move(regions);
  return frame;
}

test::Collected split(const Frame& frame, const test::Settings& settings = {}) {
  auto element = test::make<Transform>("roi_split", settings);
  test::Collected out;
  EXPECT_TRUE(element->start());
  EXPECT_TRUE(element->configure(test::format_of_picture(frame), test::format_of_picture(frame)));
  EXPECT_TRUE(element->process(frame, out));
  return out;
}

std::vector<uint32_t> ids(const test::Collected& out) {
  std::vector<uint32_t> all;
  for (size_t i = 0; i < out.items.size(); ++i)
    all.push_back(*(out.is_gap(i) ? out.gap_at(i).source : out.frame(i).source)->roi);
  return all;
}

TEST(RoiSplit, SendsOneFramePerRegionThatSharesThePicture) {
  Frame frame = with_regions({region(0, px(10, 20, 50, 60)), region(3, px(0, 0, 200, 100), "car")});
  frame.regions[1].track = 7;
  frame.attributes = with(nullptr, {.name = Label("scene")});
  const test::Collected out = split(frame);
  ASSERT_EQ(out.items.size(), 2u);
  const Frame& first = out.frame(0);
  EXPECT_EQ(first.tensors[0].memory, frame.tensors[0].memory);
  EXPECT_EQ(first.video, frame.video);
  EXPECT_EQ(first.pts, 40);
  EXPECT_EQ(first.duration, 10);
  EXPECT_EQ(first.crop, (Crop{10, 20, 40, 40}));
  EXPECT_EQ(first.source, (SourceId{.roi = 0, .object = 0, .last_roi = false, .pts = 40}));
  ASSERT_EQ(first.regions.size(), 1u);
  EXPECT_EQ(first.regions[0], frame.regions[0]);
  EXPECT_FALSE(first.attributes);  // those of the whole frame are not the region's
  EXPECT_EQ(out.frame(1).source, (SourceId{.roi = 3, .object = 7, .last_roi = true, .pts = 40}));
  EXPECT_EQ(out.frame(1).crop, (Crop{0, 0, 200, 100}));
}

TEST(RoiSplit, KeepsOrderWhenClassFilterIsEmpty) {
  EXPECT_EQ(ids(split(with_regions({region(2, px(0, 0, 9, 9), "b"), region(0, px(0, 0, 9, 9), "a"),
                                    region(1, px(0, 0, 9, 9), "")}))),
            (std::vector<uint32_t>{2, 0, 1}));
}

TEST(RoiSplit, ClassFilterIsACommaList) {
  const Frame frame =
      with_regions({region(0, px(0, 0, 9, 9), "car"), region(1, px(0, 0, 9, 9), "traffic light"),
                    region(2, px(0, 0, 9, 9), "dog"), region(3, px(0, 0, 9, 9), "")});
  EXPECT_EQ(ids(split(frame, {{"object-class", "dog, traffic light"}})), (std::vector<uint32_t>{1, 2}));
}

TEST(RoiSplit, ClassFilterMayChangeWhileFramesFlow) {
  const Frame frame = with_regions({region(0, px(0, 0, 9, 9), "car"), region(1, px(0, 0, 9, 9), "dog")});
  auto element = test::make<Transform>("roi_split", {{"object-class", "car"}});
  ParamSet params(find_element("roi_split")->params);
  ASSERT_TRUE(params.set_text("object-class", "dog"));
  element->update(params);
  test::Collected out;
  ASSERT_TRUE(element->process(frame, out));
  EXPECT_EQ(ids(out), (std::vector<uint32_t>{1}));
}

TEST(RoiSplit, WithoutAPassingRegionTheFrameIsAGap) {
  for (const Frame& frame : {with_regions({}), with_regions({region(0, px(0, 0, 9, 9), "car")})}) {
    const test::Collected out = split(frame, {{"object-class", "dog"}});
    ASSERT_EQ(out.items.size(), 1u);
    EXPECT_EQ(out.gap_at(0).pts, 40);
    EXPECT_EQ(out.gap_at(0).duration, 10);
    EXPECT_FALSE(out.gap_at(0).source->roi);
  }
}

TEST(RoiSplit, ARegionWithoutAPixelIsAGapOfItsOwn) {
  const test::Collected out = split(with_regions(
      {region(0, px(-50, 0, -10, 50)), region(1, px(10, 10, 20, 20)), region(2, px(10, 10, 20, 10))}));
  ASSERT_EQ(out.items.size(), 3u);
  EXPECT_EQ(out.gap_at(0).source, (SourceId{.roi = 0, .last_roi = false, .pts = 40}));
  EXPECT_EQ(out.frame(1).crop, (Crop{10, 10, 10, 10}));
  EXPECT_EQ(out.gap_at(2).source, (SourceId{.roi = 2, .last_roi = true, .pts = 40}));
}

TEST(RoiSplit, CropsCoverEveryTouchedPixelInsideThePicture) {
  EXPECT_EQ(split(with_regions({region(0, px(10.5f, 20.2f, 50.1f, 59.9f))})).frame(0).crop,
            (Crop{10, 20, 41, 40}));
  EXPECT_EQ(split(with_regions({region(0, px(-10, -10, 500, 30))})).frame(0).crop, (Crop{0, 0, 200, 30}));
}

TEST(RoiSplit, WholePixelsStayWholePixels) {
  // Boxes are floats: an edge at a whole pixel must not take in the next one.
  for (int size : {200, 1920, 3840, 7680}) {
    Frame frame = test::picture(PixelFormat::gray8, size, 10);
    for (int x = 0; x + 33 < size; x += 31) {
      frame.regions = {region(0, {float(x) / float(size), 0, 33.0f / float(size), 1})};
      ASSERT_EQ(split(frame).frame(0).crop, (Crop{x, 0, 33, 10})) << size;
    }
  }
}

TEST(RoiSplit, BrokenBoxesAreGaps) {
  const float nan = std::nanf("");
  const test::Collected out = split(with_regions(
      {region(0, {nan, nan, nan, nan}), region(1, {0, 0, -1, -1}), region(2, {1e30f, 0, 1e30f, 1})}));
  ASSERT_EQ(out.items.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(out.is_gap(i));
}

TEST(RoiSplit, SmallObjectsDoNotPass) {
  EXPECT_EQ(ids(split(with_regions({region(0, px(0, 0, 50, 9)), region(1, px(0, 0, 10, 10))}),
                      {{"min-size", "10"}})),
            (std::vector<uint32_t>{1}));
}

TEST(RoiSplit, TheMostConfidentPassInTheirOrder) {
  EXPECT_EQ(
      ids(split(with_regions({region(0, px(0, 0, 9, 9), "a", .5f), region(1, px(0, 0, 9, 9), "a", .9f),
                              region(2, px(0, 0, 9, 9), "a", .4f), region(3, px(0, 0, 9, 9), "a", .5f)}),
                {{"max-regions", "2"}})),
      (std::vector<uint32_t>{0, 1}));
}

TEST(RoiSplit, OnlyObjectsOfOneModel) {
  Frame frame = with_regions({region(0, px(0, 0, 9, 9)), region(1, px(0, 0, 9, 9))});
  frame.regions[1].model = Label("faces");
  EXPECT_EQ(ids(split(frame, {{"source", "faces"}})), (std::vector<uint32_t>{1}));
}

TEST(RoiSplit, TheStreamAndTheTimeOfTheFullFrameAreKept) {
  Frame frame = with_regions({region(5, px(0, 0, 9, 9))});
  frame.source = SourceId{.stream = 3, .roi = 1, .object = 9, .pts = 30};
  EXPECT_EQ(split(frame).frame(0).source,
            (SourceId{.stream = 3, .roi = 5, .object = 0, .last_roi = true, .pts = 30}));
}

TEST(RoiSplit, RegionsWithoutNumberGetTheirPlace) {
  EXPECT_EQ(ids(split(with_regions({region(-1, px(0, 0, 9, 9)), region(-1, px(0, 0, 9, 9))}))),
            (std::vector<uint32_t>{0, 1}));
}

TEST(RoiSplit, NeedsPictures) {
  auto element = test::make<Transform>("roi_split");
  EXPECT_FALSE(element->configure({}, {}));
  test::Collected out;
  EXPECT_FALSE(element->process(Frame{}, out));
}

TEST(RoiSplit, DoesNotAllocateOnceWarm) {
  struct Ignore final : Output {
    Status allocate(Frame&) override { return {}; }
    Status push(const Frame&) override { return {}; }
    Status gap(const Gap&) override { return {}; }
  } out;
  const Frame frame = with_regions({region(0, px(0, 0, 9, 9)), region(1, px(0, 0, 0, 9))});
  auto element = test::make<Transform>("roi_split", {{"object-class", "person"}, {"max-regions", "1"}});
  ASSERT_TRUE(element->process(frame, out));
  const size_t before = allocation_count();
  ASSERT_TRUE(element->process(frame, out));
  EXPECT_EQ(allocation_count(), before);
}

TEST(RoiSplit, ASelectorChoosesBesideTheOtherFilters) {
  const Frame frame =
      with_regions({region(0, px(0, 0, 60, 60)), region(1, px(0, 0, 40, 40)),
                    region(2, px(0, 0, 60, 60), "car"), region(3, px(0, 0, 60, 60), "person", .9f)});
  EXPECT_EQ(ids(split(frame, {{"select", R"({"box.width": {"ge": 50}, "confidence": {"lt": 0.8}})"}})),
            (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(ids(split(frame, {{"select", R"({"box.width": {"ge": 50}})"}, {"object-class", "car"}})),
            (std::vector<uint32_t>{2}));
}

TEST(RoiSplit, ABadSelectorIsAnErrorAtTheStartAndAWarningLater) {
  EXPECT_THROW(test::make<Transform>("roi_split", {{"select", "person"}}), std::runtime_error);
  const ElementDesc* desc = find_element("roi_split");
  ParamSet params(desc->params);
  ASSERT_TRUE(params.set_text("select", R"({"label": "car"})"));
  auto element = desc->create(params);
  ASSERT_TRUE(params.set_text("select", R"({"label": 1.5})"));
  (*element)->update(params);
  EXPECT_EQ((*element)->take_warnings().size(), 1u);
  const Frame frame = with_regions({region(0, px(0, 0, 60, 60)), region(1, px(0, 0, 40, 40), "car")});
  test::Collected out;
  ASSERT_TRUE(static_cast<Transform&>(**element).process(frame, out));
  EXPECT_EQ(ids(out), (std::vector<uint32_t>{1}));
}

TEST(RoiSplit, FunctionsChangeWhatIsLookedAtAndNotTheFilters) {
  const Frame frame = with_regions({region(0, px(80, 40, 100, 50)), region(1, px(190, 40, 200, 50))});
  const auto out = split(frame, {{"functions", R"([{"crop_expand": {"factor": 2}}])"}, {"min-size", "10"}});
  ASSERT_EQ(out.items.size(), 2u);
  EXPECT_EQ(out.frame(0).crop, (Crop{70, 35, 40, 20}));
  EXPECT_NEAR(out.frame(0).regions[0].box.w, 0.2f, 1e-6);
  EXPECT_EQ(out.frame(1).crop, (Crop{185, 35, 15, 20}));
  EXPECT_EQ(split(frame, {{"functions", "crop_expand"}}).frame(0).crop, (Crop{80, 40, 20, 10}));
  EXPECT_TRUE(
      split(frame, {{"functions", R"([{"crop_expand": {"factor": 2}}])"}, {"min-size", "11"}}).is_gap(0));
  EXPECT_THROW(test::make<Transform>("roi_split", {{"functions", "nms"}}), std::runtime_error);
}

}  // namespace
}  // namespace sightglass
