#include "sightglass/elements/object_analytics/zone_counter.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sightglass {
namespace {

using Kind = ZoneEvent::Kind;
using Seen = std::vector<ZoneCounter::Seen>;
constexpr Time step = 100'000'000;

// A square in the middle of a picture of 100 by 100, and a line across it from left to right at y = 50.
ZoneOptions square(float hysteresis = 4) {
  return {.zones = {{"box", {{30, 30}, {70, 30}, {70, 70}, {30, 70}}}}, .hysteresis = hysteresis};
}
ZoneOptions line(float hysteresis = 4) {
  return {.lines = {{"gate", {{20, 50}, {80, 50}}}}, .hysteresis = hysteresis};
}

class Walk {
 public:
  explicit Walk(const ZoneOptions& options) : counter(options) { counter.resize(100, 100); }
  // One object goes along these points, a frame each.
  std::vector<Kind> go(std::initializer_list<ZonePoint> points, int64_t track = 1) {
    std::vector<Kind> kinds;
    for (const ZonePoint& point : points) add(Seen{{track, point}}, kinds);
    return kinds;
  }
  std::vector<Kind> wait(int frames) {
    std::vector<Kind> kinds;
    for (int i = 0; i < frames; ++i) add({}, kinds);
    return kinds;
  }
  ZoneCounter counter;
  std::vector<ZoneEvent> last;

 private:
  void add(const Seen& seen, std::vector<Kind>& kinds) {
    for (const ZoneEvent& event : counter.update(seen, now_ += step)) {
      kinds.push_back(event.kind);
      last.push_back(event);
    }
  }
  Time now_ = 0;
};

const std::vector<Kind> nothing;

TEST(ZoneCounter, EntersAndLeavesWithItsTime) {
  Walk walk(square());
  EXPECT_EQ(walk.go({{10, 50}, {15, 50}, {20, 50}, {25, 50}}), nothing);
  EXPECT_EQ(walk.go({{40, 50}}), std::vector{Kind::enter});
  EXPECT_EQ(walk.counter.zone(0).present, 1u);
  EXPECT_EQ(walk.go({{50, 50}, {60, 50}}), nothing);
  EXPECT_EQ(walk.counter.dwell(1, 0), 2 * step);
  EXPECT_EQ(walk.go({{80, 50}}), std::vector{Kind::leave});
  EXPECT_EQ(walk.last.back().dwell, 3 * step);
  EXPECT_EQ(walk.last.back().track, 1);
  EXPECT_EQ(walk.counter.zone(0), (ZoneCounter::ZoneCount{0, 1, 1}));
  EXPECT_EQ(walk.counter.dwell(1, 0), -1);
}

TEST(ZoneCounter, TremblingOnTheBorderCountsOnce) {
  Walk walk(square(4));
  walk.go({{10, 50}, {20, 50}, {29, 50}});
  EXPECT_EQ(walk.go({{31, 50}, {29, 50}, {32, 50}, {28, 50}, {33, 50}}), nothing);
  EXPECT_EQ(walk.go({{35, 50}}), std::vector{Kind::enter});
  EXPECT_EQ(walk.go({{31, 50}, {28, 50}, {31, 50}, {27, 50}}), nothing);
  EXPECT_EQ(walk.go({{25, 50}}), std::vector{Kind::leave});
}

TEST(ZoneCounter, CountsFromTheThirdFrameOn) {
  Walk walk(square());
  EXPECT_EQ(walk.go({{50, 50}, {50, 50}}), nothing);
  EXPECT_EQ(walk.counter.zone(0).present, 0u);
  EXPECT_EQ(walk.go({{50, 50}}), std::vector{Kind::enter});
  EXPECT_EQ(walk.counter.dwell(1, 0), 2 * step);  // what was before counts as well
  ZoneOptions at_once = square();
  at_once.confirmed_only = false;
  Walk fast(at_once);
  EXPECT_EQ(fast.go({{50, 50}}), std::vector{Kind::enter});
}

TEST(ZoneCounter, UntrackedObjectsArePresentWhereUnconfirmedOnesCount) {
  ZoneOptions options = square();
  options.confirmed_only = false;
  Walk walk(options);
  (void)walk.counter.update(Seen{{0, {50, 50}}, {0, {40, 40}}, {0, {5, 5}}}, 1);
  EXPECT_EQ(walk.counter.zone(0), (ZoneCounter::ZoneCount{2, 0, 0}));
  (void)walk.counter.update({}, 2);
  EXPECT_EQ(walk.counter.zone(0).present, 0u);
  Walk strict(square());
  (void)strict.counter.update(Seen{{0, {50, 50}}}, 1);
  EXPECT_EQ(strict.counter.zone(0).present, 0u);
}

TEST(ZoneCounter, CountsAfterTheLeastTimeInside) {
  ZoneOptions options = square();
  options.min_dwell = 5 * step;
  Walk walk(options);
  EXPECT_EQ(walk.go({{10, 50}, {10, 50}, {10, 50}, {50, 50}, {50, 50}, {50, 50}, {50, 50}, {50, 50}}),
            nothing);
  EXPECT_EQ(walk.go({{50, 50}}), std::vector{Kind::enter});
  EXPECT_EQ(walk.last.back().dwell, 5 * step);
  Walk brief(options);
  EXPECT_EQ(brief.go({{10, 50}, {10, 50}, {10, 50}, {50, 50}, {50, 50}, {90, 50}, {90, 50}}), nothing);
}

TEST(ZoneCounter, ATrackThatIsGoneHasLeftAndIsForgotten) {
  Walk walk(square());
  walk.go({{50, 50}, {50, 50}, {50, 50}});
  EXPECT_EQ(walk.wait(20), nothing);  // it may come back
  EXPECT_EQ(walk.counter.zone(0).present, 1u);
  EXPECT_EQ(walk.wait(1), std::vector{Kind::leave});
  EXPECT_EQ(walk.last.back().dwell, 2 * step);  // it is not known where it was afterwards
  EXPECT_EQ(walk.counter.tracks(), 0u);
  EXPECT_EQ(walk.counter.zone(0), (ZoneCounter::ZoneCount{0, 1, 1}));
}

TEST(ZoneCounter, CrossesForwardFromTheLeftToTheRight) {
  Walk walk(line());  // looking along x, what is below is on the right
  EXPECT_EQ(walk.go({{50, 20}, {50, 30}, {50, 40}, {50, 48}}), nothing);
  EXPECT_EQ(walk.go({{50, 52}}), nothing);  // within the band
  EXPECT_EQ(walk.go({{50, 60}}), std::vector{Kind::cross_forward});
  EXPECT_EQ(walk.go({{50, 70}, {50, 55}}), nothing);
  EXPECT_EQ(walk.go({{50, 30}}), std::vector{Kind::cross_backward});
  EXPECT_EQ(walk.counter.line(0), (ZoneCounter::LineCount{1, 1}));
}

TEST(ZoneCounter, TremblingOnTheLineCountsOnceOrNever) {
  Walk walk(line(4));
  walk.go({{50, 20}, {50, 30}, {50, 40}});
  EXPECT_EQ(walk.go({{50, 51}, {50, 49}, {50, 52}, {50, 48}, {50, 53}, {50, 47}, {50, 40}}), nothing);
  EXPECT_EQ(walk.go({{50, 51}, {50, 49}, {50, 52}}), nothing);
  EXPECT_EQ(walk.go({{50, 56}}), std::vector{Kind::cross_forward});
}

TEST(ZoneCounter, GoingRoundTheEndIsNoCrossing) {
  Walk walk(line());
  EXPECT_EQ(walk.go({{50, 20}, {50, 30}, {90, 40}, {90, 60}, {50, 70}}), nothing);
  EXPECT_EQ(walk.go({{50, 30}}), std::vector{Kind::cross_backward});  // it was on the other side by then
}

TEST(ZoneCounter, AYoungTracksCrossingCountsWhenItIsConfirmed) {
  Walk walk(line());
  EXPECT_EQ(walk.go({{50, 40}, {50, 60}}), nothing);
  EXPECT_EQ(walk.go({{50, 61}}), std::vector{Kind::cross_forward});
  Walk near(line());  // begins within the band
  EXPECT_EQ(near.go({{50, 49}, {50, 51}, {50, 53}}), nothing);
  EXPECT_EQ(near.go({{50, 60}}), std::vector{Kind::cross_forward});
}

TEST(ZoneCounter, ShapesMayBePartsOfThePicture) {
  ZoneCounter counter(
      {.zones = {{"right", {{0.5f, 0}, {1, 0}, {1, 1}, {0.5f, 1}}}}, .confirmed_only = false});
  counter.resize(200, 100);
  (void)counter.update(Seen{{1, {150, 50}}, {2, {50, 50}}}, 1);
  EXPECT_EQ(counter.zone(0).present, 1u);
  EXPECT_FLOAT_EQ(counter.zone_outline(0)[0].x, 0.5f);
  ZoneCounter pixels({.lines = {{"gate", {{0, 50}, {200, 50}}}}});
  pixels.resize(200, 100);
  EXPECT_FLOAT_EQ(pixels.line_outline(0)[1].x, 1);
  EXPECT_FLOAT_EQ(pixels.line_outline(0)[0].y, 0.5f);
}

TEST(ZoneCounter, AChangeKeepsWhatStays) {
  Walk walk(square());
  walk.go({{50, 50}, {50, 50}, {50, 50}});
  ZoneOptions more = square();
  more.zones.insert(more.zones.begin(), {"left", {{0, 0}, {20, 0}, {20, 99}, {0, 99}}});
  more.lines = line().lines;
  walk.counter.change(more);
  EXPECT_EQ(walk.counter.zone(0), ZoneCounter::ZoneCount{});
  EXPECT_EQ(walk.counter.zone(1), (ZoneCounter::ZoneCount{1, 1, 0}));
  EXPECT_EQ(walk.go({{10, 60}}), (std::vector{Kind::enter, Kind::leave}));
  walk.counter.change({});
  EXPECT_EQ(walk.go({{10, 60}}), nothing);
}

TEST(ZoneCounter, SurvivesNonsense) {
  ZoneOptions options = square();
  options.lines = {{"none", {{5, 5}, {5, 5}}}, {"far", {{-1e6f, 0}, {1e6f, 1}}}};
  Walk walk(options);
  walk.go({{NAN, 1}, {INFINITY, -INFINITY}, {1e30f, -1e30f}, {-1e30f, 1e30f}, {50, 50}});
  EXPECT_LE(walk.counter.zone(0).present, 1u);
  (void)walk.counter.update(Seen{{1, {50, 50}}, {1, {50, 50}}},
                            0);  // a number that comes twice; an earlier time
  walk.counter.reset();
  EXPECT_EQ(walk.counter.zone(0).present, 0u);
}

}  // namespace
}  // namespace sightglass
