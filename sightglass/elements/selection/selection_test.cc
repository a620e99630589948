#include "sightglass/elements/selection/selection.h"

#include <gtest/gtest.h>

#include "sightglass/core/allocation_count.h"

namespace sightglass {
namespace {

Frame frame_with_tracks(std::initializer_list<int64_t> tracks) {
  Frame frame;
  for (const int64_t track : tracks)
    frame.regions.push_back({.id = int32_t(frame.regions.size()), .box = {0, 0, 1, 1}, .track = track});
  return frame;
}

TEST(Selection, EverythingWhileThePropertyIsEmpty) {
  Selection selection("select");
  ASSERT_TRUE(selection.set(""));
  EXPECT_TRUE(selection.everything());
  Frame frame = frame_with_tracks({0});
  selection.begin(frame);
  EXPECT_TRUE(selection.matches(frame, frame.regions[0]));
}

TEST(Selection, ATextThatDoesNotHoldChangesNothing) {
  Selection selection("select");
  ASSERT_TRUE(selection.set(R"({"label": "face"})"));
  auto status = selection.set(R"({"labell": "face"})");
  ASSERT_FALSE(status);
  EXPECT_TRUE(
      kept_as_it_was(status.error()).starts_with("select.labell: there is no such key; did you mean"));
  EXPECT_TRUE(kept_as_it_was(status.error()).ends_with("; what was set before goes on"));
  Frame frame = frame_with_tracks({0});
  EXPECT_FALSE(selection.matches(frame, frame.regions[0]));
}

TEST(Selection, CountsTheFramesOfATrackAndOfTheStream) {
  Selection age("select"), every("when", Selector::Scope::frame);
  ASSERT_TRUE(age.set(R"({"track": {"age": {"ge": 2}}})"));
  ASSERT_TRUE(every.set(R"({"frame": {"every": 3}})"));
  std::string old, third;
  for (int i = 0; i < 6; ++i) {
    Frame frame = frame_with_tracks({0, 5});
    age.begin(frame);
    every.begin(frame);
    EXPECT_FALSE(age.matches(frame, frame.regions[0]));  // no track, no age
    old += age.matches(frame, frame.regions[1]) ? 'x' : '.';
    third += every.matches(frame) ? 'x' : '.';
  }
  EXPECT_EQ(old, "..xxxx");
  EXPECT_EQ(third, "x..x..");
  age.reset();
  Frame frame = frame_with_tracks({5});
  age.begin(frame);
  EXPECT_FALSE(age.matches(frame, frame.regions[0]));
}

TEST(Selection, DoesNotAllocateOnceWarm) {
  Selection selection("select");
  ASSERT_TRUE(selection.set(
      R"({"any": [{"track": {"age": {"gt": 3}}}, {"label": {"matches": "p*n"}},
          {"attribute": {"name": "mood", "value": "glad"}}, {"region": {"zone": [0,0, 1,0, 1,1], "anchor": "any"}}]})"));
  Frame frame = frame_with_tracks({1, 2, 3});
  for (Region& region : frame.regions)
    region.attributes = with(nullptr, {.name = Label("mood"), .text = "glad"});
  const auto look = [&] {
    selection.begin(frame);
    int count = 0;
    for (const Region& region : frame.regions) count += selection.matches(frame, region);
    return count;
  };
  EXPECT_EQ(look(), 3);
  const size_t before = allocation_count();
  for (int i = 0; i < 100; ++i) look();
  EXPECT_EQ(allocation_count(), before);
}

TEST(TrackAges, TracksThatAreGoneAreForgotten) {
  TrackAges ages;
  for (int64_t i = 1; i < 2000; ++i) ages.see(frame_with_tracks({i}));
  EXPECT_LE(ages.size(), TrackAges::frames_until_forgotten + 64);
  EXPECT_FALSE(ages.age(1));
  EXPECT_EQ(ages.age(1999), 0);
}

TEST(TrackState, TheTrackersWordCountsMoreThanTheNumber) {
  Region region;
  EXPECT_EQ(track_state(region), TrackState::none);
  region.track = 3;
  EXPECT_EQ(track_state(region), TrackState::confirmed);
  region.attributes =
      with(nullptr, {.name = Label(track_state_name), .text = "lost", .model = Label(track_model)});
  EXPECT_EQ(track_state(region), TrackState::lost);
  region.track = 0;
  region.attributes =
      with(nullptr, {.name = Label(track_state_name), .text = "tentative", .model = Label(track_model)});
  EXPECT_EQ(track_state(region), TrackState::tentative);
}

}  // namespace
}  // namespace sightglass
