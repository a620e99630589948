#include "sightglass/elements/object_analytics/object_analytics.h"

#include <cmath>
#include <optional>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

constexpr Time step = 100'000'000;
constexpr const char* box_zone = "box: [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]]";

class ObjectAnalyticsTest : public testing::Test {
 protected:
  void make(const test::Settings& settings) {
    params_.emplace(find_element("object_analytics")->params);
    for (const auto& [name, text] : settings) ASSERT_TRUE(params_->set_text(name, text)) << name;
    auto made = find_element("object_analytics")->create(*params_);
    ASSERT_TRUE(made) << made.error().message;
    element_ = std::move(*made);
    ASSERT_TRUE(element_->configure({.media = VideoInfo{.width = 1000, .height = 500}}, {}));
  }
  // Objects of 100 by 50 pixels around these places.
  Frame& frame(std::initializer_list<std::pair<int64_t, ZonePoint>> objects) {
    frame_.clear();
    frame_.pts = pts_ += step;
    for (const auto& [track, at] : objects) {
      Region& region = frame_.regions.emplace_back();
      region.box = {at.x - 0.05f, at.y - 0.05f, 0.1f, 0.1f};
      region.track = track;
    }
    return process();
  }
  Frame& process() {
    const auto verdict = static_cast<TransformInplace&>(*element_).process(frame_);
    EXPECT_TRUE(verdict && *verdict == Verdict::pass);
    return frame_;
  }
  double number(std::string_view name) const {
    const Attribute* found = frame_.attributes ? frame_.attributes->find(name) : nullptr;
    return found ? found->number : -1;
  }
  std::vector<std::string> events() const {
    std::vector<std::string> list;
    if (frame_.attributes)
      for (const Attribute& a : frame_.attributes->items())
        if (a.name.view() == "enter" || a.name.view() == "leave" || a.name.view() == "cross")
          list.push_back(std::format("{} {} {}", a.name.view(), a.number, a.text));
    return list;
  }
  using Events = std::vector<std::string>;

  std::optional<ParamSet> params_;
  std::unique_ptr<Element> element_;
  Frame frame_;
  Time pts_ = 0;
};

TEST_F(ObjectAnalyticsTest, ObjectsSayInWhichZonesTheyAreAndForHowLong) {
  make({{"zones", std::string(box_zone) + "\nleft: [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]"}});
  for (int i = 0; i < 3; ++i) frame({{7, {0.4f, 0.5f}}, {8, {0.9f, 0.9f}}});
  const AttributesRef& list = frame({{7, {0.4f, 0.5f}}, {8, {0.9f, 0.9f}}}).regions[0].attributes;
  ASSERT_TRUE(list);
  EXPECT_EQ(list->find("zones")->text, "box, left");
  EXPECT_EQ(list->find("zones")->kind, AttributeKind::multi);
  EXPECT_NEAR(list->find("dwell/box")->number, 0.3, 1e-6);
  EXPECT_EQ(list->find("dwell/box")->model, Label("object_analytics"));
  EXPECT_FALSE(frame_.regions[1].attributes);
}

TEST_F(ObjectAnalyticsTest, TheFrameCountsAndTellsWhatHappens) {
  make({{"zones", box_zone}, {"lines", "gate: [[200, 0], [200, 500]]"}});
  frame({{1, {0.1f, 0.5f}}});
  frame({{1, {0.12f, 0.5f}}});
  frame({{1, {0.15f, 0.5f}}});
  EXPECT_EQ(number("box"), 0);
  EXPECT_EQ(number("gate/forward"), 0);
  EXPECT_EQ(events(), Events{});
  frame({{1, {0.25f, 0.5f}}});
  EXPECT_EQ(events(), Events{"cross 1 gate backward"});  // looking down, the right side is at the left
  frame({{1, {0.5f, 0.5f}}});
  EXPECT_EQ(events(), Events{"enter 1 box"});
  EXPECT_EQ(number("box"), 1);
  EXPECT_EQ(number("box/entered"), 1);
  EXPECT_EQ(number("gate/backward"), 1);
  frame({{1, {0.9f, 0.5f}}});
  EXPECT_EQ(events(), Events{"leave 1 box"});
  EXPECT_EQ(number("box"), 0);
  EXPECT_EQ(number("box/left"), 1);
}

TEST_F(ObjectAnalyticsTest, TheAnchorIsTheMiddleOrTheFoot) {
  for (const bool foot : {false, true}) {
    make({{"zones", "low: [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]"}, {"anchor", foot ? "bottom" : "center"}});
    for (int i = 0; i < 3; ++i) frame({{1, {0.5f, 0.47f}}});
    EXPECT_EQ(number("low"), foot ? 1 : 0);
  }
}

TEST_F(ObjectAnalyticsTest, OutlinesAndCountsAreThereToBeDrawn) {
  make({{"zones", box_zone}, {"lines", "gate: [[200, 0], [200, 500]]"}});
  frame({});
  int contours = 0;
  for (const Attribute& a : frame_.attributes->items()) {
    if (a.kind != AttributeKind::contour) continue;
    ++contours;
    EXPECT_TRUE(a.name.view() == "box" || a.name.view() == "gate");
    EXPECT_EQ(a.text, a.name.view() == "box" ? "box: 0" : "gate: +0 -0");
    EXPECT_EQ(a.values.size(), a.name.view() == "box" ? 8u : 4u);
    if (a.name.view() == "gate") {
      EXPECT_FLOAT_EQ(a.values[0], 0.2f);
    }
  }
  EXPECT_EQ(contours, 2);
  ASSERT_TRUE(params_->set_text("draw", "false"));
  element_->update(*params_);
  frame({});
  for (const Attribute& a : frame_.attributes->items()) EXPECT_NE(a.kind, AttributeKind::contour);
}

TEST_F(ObjectAnalyticsTest, OtherResultsStayWhereTheyAre) {
  make({{"zones", box_zone}});
  for (int i = 0; i < 3; ++i) frame({{1, {0.5f, 0.5f}}});
  frame_.attributes = with({}, {.name = Label("scene"), .kind = AttributeKind::text, .text = "street"});
  frame_.regions[0].attributes =
      with({}, {.name = Label("mood"), .kind = AttributeKind::text, .text = "glad"});
  frame_.pts = pts_ += step;
  process();
  EXPECT_EQ(frame_.attributes->find("scene")->text, "street");
  EXPECT_EQ(number("box"), 1);
  EXPECT_EQ(frame_.regions[0].attributes->find("mood")->text, "glad");
  EXPECT_EQ(frame_.regions[0].attributes->find("zones")->text, "box");
}

TEST_F(ObjectAnalyticsTest, ABadChangeIsRefusedAndWhatWasGoesOn) {
  make({{"zones", box_zone}});
  for (int i = 0; i < 3; ++i) frame({{1, {0.5f, 0.5f}}});
  ASSERT_TRUE(params_->set_text("zones", "box: [[1, 2]]"));
  element_->update(*params_);
  const auto warnings = element_->take_warnings();
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("zones:1:6: box: a zone needs 3 points"), std::string::npos);
  frame({{1, {0.5f, 0.5f}}});
  EXPECT_EQ(number("box"), 1);
  ASSERT_TRUE(params_->set_text("zones", "all: [[0, 0], [1, 0], [1, 1], [0, 1]]"));
  element_->update(*params_);
  frame({{1, {0.5f, 0.5f}}});
  EXPECT_EQ(events(), Events{"enter 1 all"});
  EXPECT_EQ(number("box"), -1);
}

TEST_F(ObjectAnalyticsTest, ABadConfigIsAnErrorAtTheStart) {
  ParamSet params(find_element("object_analytics")->params);
  ASSERT_TRUE(params.set_text("lines", "gate: [[0, 0]]"));
  auto made = find_element("object_analytics")->create(params);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, "lines:1:7: gate: a line needs 2 points, it has 1");
}

TEST_F(ObjectAnalyticsTest, WithoutShapesNothingIsAdded) {
  make({});
  EXPECT_FALSE(frame({{1, {0.5f, 0.5f}}}).attributes);
  EXPECT_FALSE(frame_.regions[0].attributes);
}

TEST_F(ObjectAnalyticsTest, TimesThatJumpOrLackDoNoHarm) {
  make({{"zones", box_zone}});
  for (const Time pts : {5 * step, no_time, Time(0), 3 * step, Time(1) << 62, no_time, Time(0)}) {
    frame_.clear();
    frame_.pts = pts;
    Region& region = frame_.regions.emplace_back();
    region.box = {0.45f, 0.45f, 0.1f, 0.1f};
    region.track = 1;
    process();
  }
  EXPECT_EQ(number("box"), 1);
}

TEST_F(ObjectAnalyticsTest, TimeThatNobodyLookedAtCountsTenSecondsAtMost) {
  make({{"zones", box_zone}, {"when", R"({"frame": {"tag": "look"}})"}});
  const AttributesRef look = with(
      nullptr, {.name = Label("look"), .kind = AttributeKind::number, .number = 1, .model = Label("tag")});
  const auto next = [&](const AttributesRef& attributes) {
    frame_.clear();
    frame_.pts = pts_ += step;
    frame_.attributes = attributes;
    Region& region = frame_.regions.emplace_back();
    region.box = {0.45f, 0.45f, 0.1f, 0.1f};
    region.track = 1;
    process();
  };
  for (int i = 0; i < 10; ++i) next(look);
  const auto dwell = [&] { return frame_.regions[0].attributes->find("dwell/box")->number; };
  const double before = dwell();
  for (Time skipped = 0; skipped < 60'000'000'000; skipped += step) next(nullptr);
  next(look);
  EXPECT_GT(dwell(), before);
  EXPECT_LE(dwell(), before + 10.1);
}

TEST_F(ObjectAnalyticsTest, SurvivesBoxesThatAreNone) {
  make({{"zones", box_zone}, {"lines", "gate: [[0, 0.5], [1, 0.5]]"}});
  for (int i = 0; i < 3; ++i) {
    frame_.clear();
    frame_.pts = pts_ += step;
    for (const float x : {NAN, INFINITY, -1e30f, 1e30f, 0.5f})
      for (int k = 0; k < 250; ++k) {
        Region& region = frame_.regions.emplace_back();
        region.box = {x, 0.2f, 0.1f, x};
        region.track = 1 + k + int64_t(frame_.regions.size());
      }
    process();
  }
  EXPECT_GT(number("box"), 0);
}

TEST_F(ObjectAnalyticsTest, AFrameWithoutChangesDoesNotAllocate) {
  make({{"zones", box_zone}, {"lines", "gate: [[0, 0.5], [1, 0.5]]"}});
  for (int i = 0; i < 30; ++i) frame({{1, {0.1f, 0.1f}}, {2, {0.5f, 0.5f}}});
  Frame next = frame_;
  for (Region& region : next.regions) region.attributes = nullptr;
  next.attributes = nullptr;
  next.pts = pts_ + 1'000'000;  // within the same tenth of a second
  const size_t before = allocation_count();
  const auto verdict = static_cast<TransformInplace&>(*element_).process(next);
  EXPECT_EQ(allocation_count(), before);
  EXPECT_TRUE(verdict);
  EXPECT_EQ(next.regions[1].attributes->find("zones")->text, "box");
}

TEST_F(ObjectAnalyticsTest, OnlySelectedObjectsCount) {
  make({{"zones", box_zone}, {"select", R"({"track": {"id": {"ne": 2}}})"}});
  for (int i = 0; i < 4; ++i) frame({{1, {0.5f, 0.5f}}, {2, {0.5f, 0.5f}}});
  EXPECT_EQ(number("box"), 1);
  EXPECT_TRUE(frame_.regions[0].attributes);
  EXPECT_FALSE(frame_.regions[1].attributes);
  ASSERT_TRUE(params_->set_text("select", R"({"label": "nobody"})"));
  element_->update(*params_);
  ASSERT_TRUE(params_->set_text("select", "nobody"));
  element_->update(*params_);
  EXPECT_EQ(element_->take_warnings().size(), 1u);
  for (int i = 0; i < 30; ++i) frame({{1, {0.5f, 0.5f}}});
  EXPECT_EQ(number("box"), 0);  // two seconds later it has left
}

TEST(ZoneCounter, DoesNotAllocateOnceWarm) {
  // A square in the middle, and a line across it.
  ZoneCounter counter({.zones = {{"box", {{30, 30}, {70, 30}, {70, 70}, {30, 70}}}},
                       .lines = {{"gate", {{20, 50}, {80, 50}}}}});
  counter.resize(100, 100);
  std::vector<ZoneCounter::Seen> seen;
  Time now = 0;
  const auto run = [&](int frames) {
    for (int i = 0; i < frames; ++i) {
      seen.clear();
      for (int64_t k = 0; k < 20; ++k)  // some go, others come
        seen.push_back(
            {1 + k + now / (30 * step), {float((i * 3 + int(k) * 7) % 100), float((i * 5) % 100)}});
      (void)counter.update(seen, now += step);
    }
  };
  run(1000);
  const size_t before = allocation_count();
  run(200);
  EXPECT_EQ(allocation_count(), before);
}

}  // namespace
}  // namespace sightglass
