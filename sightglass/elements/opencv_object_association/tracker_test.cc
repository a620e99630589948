#include "sightglass/elements/opencv_object_association/tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sightglass/core/allocation_count.h"

namespace sightglass {
namespace {

using Detections = std::vector<Detection>;

Detection at(float x, float y, float score = 0.9f, Label label = {}) {
  return {{x, y, 40, 80}, score, label, {}};
}

std::vector<int64_t> ids(std::span<const Track> tracks) {
  std::vector<int64_t> ids;
  for (const Track& track : tracks)
    if (track.detection >= 0) ids.push_back(track.id);
  return ids;
}

const std::vector<int64_t> none, first{1}, second{2}, both{1, 2};

TEST(Tracker, ConfirmsAfterMinHits) {
  Tracker tracker({.min_hits = 3});
  EXPECT_EQ(ids(tracker.update(Detections{at(100, 100)}, 0.1f)), none);
  EXPECT_EQ(ids(tracker.update(Detections{at(102, 100)}, 0.1f)), none);
  EXPECT_EQ(ids(tracker.update(Detections{at(104, 100)}, 0.1f)), first);
}

TEST(Tracker, AFalseAlarmTakesNoId) {
  Tracker tracker({.min_hits = 2});
  (void)tracker.update(Detections{at(100, 100)}, 0.1f);
  (void)tracker.update(Detections{at(500, 100)}, 0.1f);
  EXPECT_EQ(ids(tracker.update(Detections{at(500, 100)}, 0.1f)), first);
}

TEST(Tracker, KeepsYoungTracksOverFramesWithoutAnyDetection) {
  Tracker tracker({.min_hits = 2});
  (void)tracker.update(Detections{at(100, 100)}, 0.1f);
  (void)tracker.update({}, 0.1f);
  EXPECT_EQ(ids(tracker.update(Detections{at(100, 100)}, 0.1f)), first);
}

TEST(Tracker, FollowsAnObjectThatIsHiddenForAWhile) {
  Tracker tracker({.max_age = 10, .min_hits = 1});
  for (int i = 0; i < 10; ++i) (void)tracker.update(Detections{at(100 + 20 * i, 100)}, 0.1f);
  for (int i = 10; i < 15; ++i) {
    const auto tracks = tracker.update({}, 0.1f);
    ASSERT_EQ(tracks.size(), 1u);
    EXPECT_EQ(tracks[0].detection, -1);
    EXPECT_NEAR(tracks[0].box.x, 100 + 20 * i, 12);
  }
  EXPECT_EQ(ids(tracker.update(Detections{at(100 + 20 * 15, 100)}, 0.1f)), first);
}

TEST(Tracker, PredictsByTimeAndNotByFrames) {
  Tracker tracker({.min_hits = 1});
  for (int i = 0; i < 10; ++i) (void)tracker.update(Detections{at(100 + 20 * i, 100)}, 0.1f);
  // Three frames were dropped.
  EXPECT_NEAR(tracker.update({}, 0.4f)[0].box.x, 100 + 20 * 13, 12);
}

TEST(Tracker, EndsAfterMaxAgeAndNeverReusesAnId) {
  Tracker tracker({.max_age = 2, .min_hits = 1});
  (void)tracker.update(Detections{at(100, 100)}, 0.1f);
  EXPECT_EQ(tracker.update({}, 0.1f).size(), 1u);
  EXPECT_EQ(tracker.update({}, 0.1f).size(), 1u);
  EXPECT_EQ(tracker.update({}, 0.1f).size(), 0u);
  EXPECT_EQ(ids(tracker.update(Detections{at(100, 100)}, 0.1f)), second);
  tracker.reset();
  EXPECT_EQ(ids(tracker.update(Detections{at(100, 100)}, 0.1f)), std::vector<int64_t>{3});
}

TEST(Tracker, EveryTrackAgesAlsoWhenOthersAreFound) {
  Tracker tracker({.max_age = 3, .min_hits = 1});
  for (int i = 0; i < 15; ++i) (void)tracker.update(Detections{at(100, 100), at(400, 100)}, 0.1f);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tracker.update(Detections{at(400, 100)}, 0.1f).size(), 2u);
  EXPECT_EQ(tracker.update(Detections{at(400, 100)}, 0.1f).size(), 1u);
}

TEST(Tracker, IsPredictedForAFifthOfTheFramesInWhichItWasSeen) {
  Tracker tracker({.max_age = 20, .min_hits = 1});
  (void)tracker.update(Detections{at(100, 100), at(400, 100)}, 0.1f);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(tracker.update({}, 0.1f).size(), 2u);  // the detector did not look
  EXPECT_EQ(tracker.update(Detections{at(400, 100)}, 0.1f).size(), 1u);
  EXPECT_EQ(ids(tracker.update(Detections{at(100, 100)}, 0.1f)), first);  // not forgotten
  for (int i = 0; i < 13; ++i) (void)tracker.update(Detections{at(100, 100), at(400, 100)}, 0.1f);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(tracker.update(Detections{at(400, 100)}, 0.1f).size(), 2u);
  EXPECT_EQ(tracker.update(Detections{at(400, 100)}, 0.1f).size(), 1u);
}

TEST(Tracker, IsPredictedForHalfASecondAtMostWhateverTheFrameRate) {
  for (const int rate : {10, 60}) {
    Tracker tracker({.max_age = 200, .min_hits = 1});
    const float step = 1 / float(rate);
    for (int i = 0; i < 400; ++i) (void)tracker.update(Detections{at(100, 100), at(400, 100)}, step);
    int predicted = 0;
    while (predicted < 400 && tracker.update(Detections{at(400, 100)}, step).size() == 2) ++predicted;
    EXPECT_NEAR(predicted, rate / 2, 1);
  }
}

TEST(Tracker, ATrackEndsWhenItsPredictionLeavesThePicture) {
  Tracker tracker({.min_hits = 1});
  const Box picture{0, 0, 768, 576};
  for (int i = 0; i < 8; ++i) (void)tracker.update(Detections{at(580 + 20 * i, 100)}, 0.1f, picture);
  for (int i = 0; i < 2; ++i) (void)tracker.update({}, 0.1f, picture);
  EXPECT_TRUE(tracker.update({}, 0.1f, picture).empty());
}

TEST(Tracker, DoubtfulDetectionsGoOnButDoNotBegin) {
  Tracker tracker({.min_hits = 1, .sure_score = 0.5f});
  EXPECT_EQ(ids(tracker.update(Detections{at(100, 100), at(400, 100, 0.3f)}, 0.1f)), first);
  EXPECT_EQ(ids(tracker.update(Detections{at(101, 100, 0.2f)}, 0.1f)), first);
}

TEST(Tracker, PerClassMatchesEqualLabelsOnly) {
  const Label cat("cat"), dog("dog");
  Tracker mixed({.min_hits = 1}), separate({.per_class = true, .min_hits = 1});
  (void)mixed.update(Detections{at(100, 100, 0.9f, cat)}, 0.1f);
  (void)separate.update(Detections{at(100, 100, 0.9f, cat)}, 0.1f);
  EXPECT_EQ(ids(mixed.update(Detections{at(100, 100, 0.9f, dog)}, 0.1f)), first);
  EXPECT_EQ(ids(separate.update(Detections{at(100, 100, 0.9f, dog)}, 0.1f)), second);
}

TEST(Tracker, MaxObjectsTakesTheSurest) {
  Tracker tracker({.min_hits = 1, .max_objects = 2});
  const auto tracks = tracker.update(Detections{at(0, 0, 0.5f), at(200, 0, 0.9f), at(400, 0, 0.8f)}, 0.1f);
  ASSERT_EQ(tracks.size(), 2u);
  EXPECT_EQ(tracks[0].detection, 1);
  EXPECT_EQ(tracks[1].detection, 2);
}

TEST(Tracker, MaxObjectsGivesTheRoomOfLostOnesToNewOnes) {
  Tracker tracker({.min_hits = 1, .max_objects = 1});
  (void)tracker.update(Detections{at(0, 0)}, 0.1f);
  EXPECT_EQ(ids(tracker.update(Detections{at(400, 0)}, 0.1f)), second);
}

TEST(Tracker, FeaturesForbidAMatch) {
  const std::vector<float> red{1, 0}, blue{0, 1};
  for (const FeatureDistance distance :
       {FeatureDistance::cosine, FeatureDistance::bhattacharyya, FeatureDistance::none}) {
    Tracker tracker({.min_hits = 1, .feature_distance = distance});
    Detection detection = at(100, 100);
    detection.feature = red;
    (void)tracker.update(Detections{detection}, 0.1f);
    detection.feature = blue;
    EXPECT_EQ(ids(tracker.update(Detections{detection}, 0.1f)),
              distance == FeatureDistance::none ? first : second);
  }
}

TEST(Tracker, FindsALostObjectAgainByItsFeature) {
  const std::vector<float> look{0.6f, 0.8f};
  Tracker tracker(
      {.max_age = 2, .min_hits = 1, .feature_distance = FeatureDistance::cosine, .reid_max_age = 50});
  Detection detection = at(100, 100);
  detection.feature = look;
  (void)tracker.update(Detections{detection}, 0.1f);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(tracker.update({}, 0.1f).size(), i < 2 ? 1u : 0u);
  detection.box.x = 600;
  const auto tracks = tracker.update(Detections{detection}, 0.1f);
  ASSERT_EQ(ids(tracks), first);
  EXPECT_FLOAT_EQ(tracks[0].box.x, 600);
}

TEST(Tracker, AssociationPrefersEqualShape) {
  Tracker tracker({.algorithm = TrackAlgorithm::association, .min_hits = 1});
  (void)tracker.update(Detections{at(100, 100)}, 0.1f);
  const auto tracks = tracker.update(
      Detections{{{110, 100, 80, 40}, 0.9f, {}, {}}, {{112, 104, 40, 80}, 0.9f, {}, {}}}, 0.1f);
  ASSERT_FALSE(tracks.empty());
  EXPECT_EQ(tracks[0].id, 1);
  EXPECT_EQ(tracks[0].detection, 1);
}

TEST(Tracker, EveryAlgorithmFollowsTwoThatPassEachOther) {
  for (const auto algorithm :
       {TrackAlgorithm::byte, TrackAlgorithm::sort, TrackAlgorithm::iou, TrackAlgorithm::association}) {
    Tracker tracker({.algorithm = algorithm, .min_hits = 1});
    for (int i = 0; i <= 40; ++i) {
      const Detections detections{at(100 + 5 * i, 100), at(300 - 5 * i, 150)};
      const auto tracks = tracker.update(detections, 0.1f);
      ASSERT_EQ(tracks.size(), 2u) << int(algorithm) << ' ' << i;
      EXPECT_EQ(tracks[0].detection, 0);
      EXPECT_EQ(tracks[1].detection, 1);
      EXPECT_EQ(ids(tracks), both);
    }
  }
}

TEST(Tracker, SurvivesNonsense) {
  Tracker tracker({.min_hits = 1});
  const float inf = INFINITY;
  const Detections nonsense{
      {{NAN, 0, 1, 1}}, {{0, 0, -5, 5}}, {{0, 0, 0, 0}}, {{0, inf, 1, 1}}, {{-1e30f, 0, 1e30f, 1e30f}}};
  for (const float seconds : {0.1f, -1.0f, 1e9f, NAN, 0.0f})
    for (const Track& track : tracker.update(nonsense, seconds, {0, 0, 100, 100}))
      EXPECT_LT(track.detection, 5);
  EXPECT_EQ(ids(tracker.update(Detections{at(10, 10, NAN)}, 0.1f)), none);
}

TEST(Tracker, DoesNotAllocateOnceWarm) {
  Tracker tracker({.max_age = 5, .min_hits = 2});
  const std::vector<float> feature(64, 1.0f);
  Detections detections;
  const auto run = [&](int frames) {
    for (int i = 0; i < frames; ++i) {
      detections.clear();
      // Some go, others come.
      for (int k = 0; k < 20; ++k)
        if ((i / 10 + k) % 5 != 0)
          detections.push_back({{60.0f * k, float(i % 10), 40, 80}, 0.9f, {}, feature});
      (void)tracker.update(detections, 0.1f);
    }
  };
  run(200);
  const size_t before = allocation_count();
  run(100);
  EXPECT_EQ(allocation_count(), before);
}

}  // namespace
}  // namespace sightglass
