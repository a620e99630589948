// Zones and lines in the pipeline of a stream, on objects and tracks that its messages bring: golden
// trajectories with exact counts.
#include <algorithm>

#include "sightglass/module/instance_test_support.h"

namespace sightglass::module {
namespace {

struct At {
  int64_t track;
  double x, y;  // pixels
};
using Path = std::vector<std::vector<At>>;  // by frame

class ZonesTest : public InstanceTest {
 protected:
  // The line goes down the middle; forward is from right to left as it is seen.
  static ModuleSpec counting(const std::string& type, const std::string& properties) {
    ModuleSpec spec = plain();
    spec.pipeline.elements = {{.name = "gate", .type = type, .tag = "event", .properties = json(properties)}};
    return spec;
  }
  static ModuleSpec line(const std::string& more = "") {
    return counting("lines", R"({"lines": {"main": [[160, 20], [160, 220]]}, "hysteresis": 4)" + more + "}");
  }
  void walk(const ModuleSpec& spec, const Path& path, const std::vector<size_t>& tagged = {},
            const std::string& tag = "skip") {
    recorder.results.clear();
    recorder.has_ended = false;
    prepare(spec);
    if (HasFatalFailure()) return;
    start("raw");
    std::vector<TicketRef> tickets;
    const Bytes pixels = picture(width, height, {});
    for (size_t i = 0; i < path.size(); ++i) {
      const Unit unit{pixels, true, Time(i) * 40'000'000};
      tickets.push_back(ticket_of(unit, "raw", width, height, int64_t(i)));
      stream::VideoFrame& frame = frame_of(const_cast<Ticket&>(*tickets.back()));
      frame.raw =
          stream::RawLayout{.format = "RGB", .planes = {{0, int64_t(width) * 3, int64_t(pixels.size())}}};
      for (const At& at : path[i]) {
        stream::Object object;
        object.id = int64_t(frame.objects.size());
        object.namespace_ = "camera", object.label = "person";
        object.detection_box = {.xc = float(at.x), .yc = float(at.y), .width = 20, .height = 20};
        object.track_id = at.track;
        frame.objects.push_back(object);
      }
      if (std::ranges::contains(tagged, i)) frame.tags = {tag};
    }
    run(tickets);
    ASSERT_EQ(recorder.results.size(), path.size());
  }
  // Of the last frame that has it.
  int counter(std::string_view name) const {
    for (size_t i = recorder.results.size(); i-- > 0;) {
      const AttributesRef& list = recorder.results[i].results.attributes;
      if (const Attribute* found = list ? list->find(name) : nullptr) return int(found->number);
    }
    return -1;
  }
  std::pair<int, int> crossings() const { return {counter("main/forward"), counter("main/backward")}; }
  size_t tags() const {
    return size_t(std::ranges::count_if(recorder.results,
                                        [](const auto& result) { return has_tag(result.results, "event"); }));
  }
  // Along x at a height, a step per frame.
  static Path along(double from, double to, double step, int64_t track = 1, double y = 120) {
    Path path;
    for (double x = from; step > 0 ? x <= to : x >= to; x += step) path.push_back({{track, x, y}});
    return path;
  }
  static Path joined(std::initializer_list<Path> parts) {
    Path all;
    for (const Path& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  }
  static Path nobody(size_t frames) { return Path(frames); }
  using Crossings = std::pair<int, int>;
};

TEST_F(ZonesTest, F25WhoGoesAcrossCountsOnce) {
  walk(line(), along(60, 260, 8));
  EXPECT_EQ(crossings(), (Crossings{0, 1}));
  EXPECT_EQ(tags(), 1u);
  walk(line(), along(260, 60, -8));
  EXPECT_EQ(crossings(), (Crossings{1, 0}));
}

// A detector that misses every other frame, and boxes that tremble by less than the band.
TEST_F(ZonesTest, F25FlickerCountsOnce) {
  Path path = along(60, 260, 4);
  for (size_t i = 0; i < path.size(); ++i) {
    path[i][0].x += i % 2 ? 3 : -3;
    if (i % 3 == 1) path[i].clear();
  }
  walk(line(), path);
  EXPECT_EQ(crossings(), (Crossings{0, 1}));
  EXPECT_EQ(tags(), 1u);
}

// Tracks that live for a frame or two are no objects.
TEST_F(ZonesTest, F25TracksThatAreNotConfirmedDoNotCount) {
  Path path;
  for (int64_t track = 1; track <= 40; ++track) {
    path.push_back({{track, 130, 120}});
    path.push_back({{track, 190, 120}});
  }
  walk(line(), path);
  EXPECT_EQ(crossings(), (Crossings{0, 0}));
  EXPECT_EQ(tags(), 0u);
}

// The id of somebody who is gone comes again on the other side: that is nobody who has crossed.
TEST_F(ZonesTest, F25AnIdThatIsUsedAgainIsSomebodyElse) {
  walk(line(), joined({along(60, 120, 4), nobody(60), along(220, 280, 4)}));
  EXPECT_EQ(crossings(), (Crossings{0, 0}));
}

TEST_F(ZonesTest, F25WhoReturnsCountsInBothDirections) {
  walk(line(), joined({along(60, 260, 8), along(260, 60, -8), along(60, 260, 8)}));
  EXPECT_EQ(crossings(), (Crossings{1, 2}));
  EXPECT_EQ(tags(), 3u);
  // Who turns round within the band has not crossed.
  walk(line(), joined({along(60, 162, 2), along(162, 60, -2)}));
  EXPECT_EQ(crossings(), (Crossings{0, 0}));
}

TEST_F(ZonesTest, F25WhoWalksAlongTheLineDoesNotCross) {
  Path path;
  for (int i = 0; i < 90; ++i)
    path.push_back({{1, 152.0 + i % 3, 20.0 + 2 * i},
                    {2, i % 2 ? 163.0 : 159.0, 20.0 + 2 * i},
                    {3, 240.0 - 2 * i, 230}});  // the third goes round its end
  walk(line(), path);
  EXPECT_EQ(crossings(), (Crossings{0, 0}));
}

TEST_F(ZonesTest, F25ASlowStopOnTheLineCountsOnceOrNever) {
  Path waiting;
  for (int i = 0; i < 60; ++i) waiting.push_back({{1, 160 + (i % 4) - 1.5, 120}});
  walk(line(), joined({along(120, 159, 1), waiting, along(160, 220, 1)}));
  EXPECT_EQ(crossings(), (Crossings{0, 1}));
  walk(line(), joined({along(120, 159, 1), waiting, along(159, 100, -1)}));
  EXPECT_EQ(crossings(), (Crossings{0, 0}));
  EXPECT_EQ(tags(), 0u);
}

TEST_F(ZonesTest, F25SeveralAtOnceCountEach) {
  Path path;
  for (int i = 0; i < 26; ++i)
    path.push_back({{1, 60.0 + 8 * i, 60}, {2, 260.0 - 8 * i, 100}, {3, 60.0 + 8 * i, 180}});
  walk(line(), path);
  EXPECT_EQ(crossings(), (Crossings{1, 2}));
}

// ---- when

TEST_F(ZonesTest, FramesForWhichWhenDoesNotHoldPassUntouched) {
  ModuleSpec spec = line();
  spec.pipeline.elements[0].when = json(R"({"not": {"frame": {"tag": "skip"}}})");
  const Path path = along(60, 260, 8);  // across in frame 13
  std::vector<size_t> skipped;
  for (size_t i = 8; i < 18; ++i) skipped.push_back(i);
  walk(spec, path, skipped);
  for (size_t i = 0; i < path.size(); ++i) {
    const AttributesRef& list = recorder.results[i].results.attributes;
    EXPECT_EQ(list && list->find("main/forward"), i < 8 || i >= 18) << i;
    EXPECT_EQ(has_tag(recorder.results[i].results, "event"), i == 18) << i;  // seen on the other side
  }
  EXPECT_EQ(crossings(), (Crossings{0, 1}));
}

TEST_F(ZonesTest, NobodyLeavesForNotHavingBeenLookedAt) {
  ModuleSpec spec =
      counting("zones", R"({"zones": {"box": [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]}})");
  spec.pipeline.elements[0].when = json(R"({"not": {"frame": {"tag": "skip"}}})");
  Path path(150, {{1, 160, 120}, {2, 170, 120}});
  for (size_t i = 20; i < 150; ++i) path[i].pop_back();
  path[120].clear();  // a detector that misses the first frame after it
  std::vector<size_t> skipped;
  for (size_t i = 20; i < 120; ++i) skipped.push_back(i);  // four seconds
  walk(spec, path, skipped);
  EXPECT_EQ(counter("box"), 2);  // the second may come again: two seconds are not over
  EXPECT_EQ(counter("box/entered"), 2);
  EXPECT_EQ(counter("box/left"), 0);
  path.insert(path.end(), 40, {{1, 160, 120}});
  walk(spec, path, skipped);
  EXPECT_EQ(counter("box"), 1);
  EXPECT_EQ(counter("box/left"), 1);
}

TEST_F(ZonesTest, EveryNthFrameWillDo) {
  ModuleSpec spec = line();
  spec.pipeline.elements[0].when = json(R"({"frame": {"every": 3}})");
  walk(spec, along(60, 260, 4));
  EXPECT_EQ(crossings(), (Crossings{0, 1}));
  EXPECT_EQ(tags(), 1u);
}

// ---- shapes, dwell, band

TEST_F(ZonesTest, ShapesMayBeThoseOfAPatternOfSourceIds) {
  const std::string shapes =
      R"({"lines": {"cam-*": {"main": [[0.5, 0], [0.5, 1]]}, "door-*": {"other": [[0, 0.5], [1, 0.5]]},
          "everywhere": [[20, 0], [20, 240]]}})";
  walk(counting("lines", shapes), along(60, 260, 8));
  EXPECT_EQ(crossings(), (Crossings{0, 1}));
  EXPECT_EQ(counter("everywhere/forward"), 0);
  EXPECT_EQ(counter("other/forward"), -1);
}

TEST_F(ZonesTest, WhoStaysTooShortAWhileHasNotEntered) {
  const auto zones = [](int dwell) {
    return counting("zones", R"({"zones": {"box": [[120, 80], [200, 80], [200, 160], [120, 160]]},
                                 "min_dwell": )" +
                                 std::to_string(dwell) + "}");
  };
  const Path path = along(60, 260, 4);  // about 20 frames inside, 0.8 s
  walk(zones(2000), path);
  EXPECT_EQ(counter("box/entered"), 0);
  EXPECT_EQ(tags(), 0u);
  walk(zones(400), path);
  EXPECT_EQ(counter("box/entered"), 1);
  EXPECT_EQ(counter("box/left"), 1);
  EXPECT_EQ(tags(), 2u);
}

TEST_F(ZonesTest, TheBandMayBeWider) {
  const Path path = joined({along(60, 172, 4), along(172, 60, -4)});
  walk(line(), path);
  EXPECT_EQ(crossings(), (Crossings{1, 1}));
  ModuleSpec wide = counting("lines", R"({"lines": {"main": [[160, 20], [160, 220]]}, "hysteresis": 20})");
  walk(wide, path);
  EXPECT_EQ(crossings(), (Crossings{0, 0}));
}

}  // namespace
}  // namespace sightglass::module
