#include "sightglass/elements/detection/candidates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sightglass/core/allocation_count.h"

namespace sightglass {
namespace {

std::vector<Candidate> candidates(std::initializer_list<Candidate> list) {
  std::vector<Candidate> all;
  for (const Candidate& candidate : list) add_candidate(all, candidate);
  return all;
}
std::vector<float> scores(std::span<const Candidate> kept) {
  std::vector<float> all;
  for (const Candidate& candidate : kept) all.push_back(candidate.score);
  return all;
}

TEST(Candidates, WhatIsNoBoxIsNotAdded) {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  auto all = candidates({{0, 0, 0, 5, .9f},  // no width
                         {5, 0, 1, 5, .9f},  // inside out
                         {nan, 0, 1, 1, .9f},
                         {0, 0, inf, 1, .9f},
                         {0, 0, 1, 1, nan},
                         {-3e38f, 0, 3e38f, 1, .9f},  // its width is no float
                         {0, 0, 1, 1, .5f}});
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].score, .5f);
}

TEST(Suppression, DropsTheWeakerOfTwoOfOneClass) {
  auto all = candidates({{0, 0, 10, 10, .5f, 1}, {0, 0, 10, 11, .8f, 1}, {0, 0, 10, 10, .6f, 2}});
  Suppression suppression;
  EXPECT_EQ(scores(suppression.run(all, {.iou_threshold = .5f})), (std::vector{.8f, .6f}));
}

TEST(Suppression, AcrossClassesWhenAskedTo) {
  auto all = candidates({{0, 0, 10, 10, .5f, 1}, {0, 0, 10, 11, .8f, 1}, {0, 0, 10, 10, .6f, 2}});
  Suppression suppression;
  EXPECT_EQ(scores(suppression.run(all, {.iou_threshold = .5f, .per_class = false})), (std::vector{.8f}));
}

TEST(Suppression, AnOverlapEqualToTheThresholdIsKept) {
  auto all = candidates({{0, 0, 2, 1, .9f}, {0, 0, 1, 1, .8f}});  // 1 of 2
  Suppression suppression;
  EXPECT_EQ(suppression.run(all, {.iou_threshold = .5f}).size(), 2u);
  EXPECT_EQ(suppression.run(all, {.iou_threshold = .49f}).size(), 1u);
}

TEST(Suppression, ASuppressedBoxSuppressesNoOther) {
  // The second overlaps the first and the third; the third not the first.
  auto all = candidates({{0, 0, 10, 1, .9f}, {4, 0, 14, 1, .8f}, {8, 0, 18, 1, .7f}});
  Suppression suppression;
  EXPECT_EQ(scores(suppression.run(all, {.iou_threshold = .4f})), (std::vector{.9f, .7f}));
}

TEST(Suppression, EqualScoresKeepTheirOrder) {
  auto all = candidates({{0, 0, 1, 1, .5f, 3}, {5, 0, 6, 1, .5f, 1}, {9, 0, 10, 1, .5f, 2}});
  Suppression suppression;
  auto kept = suppression.run(all, {});
  ASSERT_EQ(kept.size(), 3u);
  EXPECT_EQ(kept[0].class_id, 3);
  EXPECT_EQ(kept[1].class_id, 1);
  EXPECT_EQ(kept[2].class_id, 2);
}

TEST(Suppression, KeepsTheBestOfTooMany) {
  std::vector<Candidate> all;
  for (int i = 0; i < 3000; ++i) add_candidate(all, {float(2 * i), 0, float(2 * i + 1), 1, float(i) / 3000});
  Suppression suppression;
  auto kept = suppression.run(all, {.max_objects = 5000});
  ASSERT_EQ(kept.size(), max_frame_objects);
  EXPECT_EQ(kept[0].score, 2999.0f / 3000);
  EXPECT_EQ(suppression.run(all, {.max_objects = 7}).size(), 7u);
}

TEST(Suppression, AThresholdOfOneKeepsDuplicates) {
  auto all = candidates({{0, 0, 1, 1, .5f}, {0, 0, 1, 1, .5f}});
  Suppression suppression;
  EXPECT_EQ(suppression.run(all, {.iou_threshold = 1}).size(), 2u);
}

TEST(Suppression, DoesNotAllocateOnceWarm) {
  std::vector<Candidate> all;
  Suppression suppression;
  size_t before = 0;
  for (int round = 0; round < 3; ++round) {
    if (round == 2) before = allocation_count();
    all.clear();
    for (int i = 0; i < 200; ++i) add_candidate(all, {float(i), 0, float(i + 5), 1, float(i % 17) / 17});
    suppression.run(all, {.iou_threshold = .9f});
  }
  EXPECT_EQ(allocation_count(), before);
}

TEST(AddRegions, AreInUnitsOfTheInputWithLabels) {
  const std::string names[] = {"cat", "dog"};
  Frame frame;
  frame.regions.resize(1);  // one that was there
  auto all = candidates({{10, 20, 60, 40, .5f, 1}, {0, 0, 10, 10, .4f, 7}});
  Suppression suppression;
  add_regions(suppression.run(all, {}), {1 / 100.0f, 1 / 200.0f}, LabelList(names), Label("net"), frame);
  ASSERT_EQ(frame.regions.size(), 3u);
  const Region& region = frame.regions[1];
  EXPECT_EQ(region.id, -1);
  EXPECT_FLOAT_EQ(region.box.x, .1f);
  EXPECT_FLOAT_EQ(region.box.y, .1f);
  EXPECT_FLOAT_EQ(region.box.w, .5f);
  EXPECT_FLOAT_EQ(region.box.h, .1f);
  EXPECT_EQ(region.label.view(), "dog");
  EXPECT_EQ(region.label_id, 1);
  EXPECT_EQ(region.model.view(), "net");
  EXPECT_TRUE(frame.regions[2].label.empty());  // no name for class 7
  EXPECT_EQ(frame.regions[2].label_id, 7);
}

TEST(OrientedOverlap, FollowsPlaceShapeAndAngle) {
  const Candidate bar{0, 40, 100, 60, 1};
  const auto turned = [](Candidate box, float angle) {
    box.angle = angle;
    return box;
  };
  EXPECT_NEAR(oriented_overlap(bar, bar), 1, 1e-3);
  EXPECT_NEAR(oriented_overlap(bar, turned(bar, 3.14159265f)), 1, 1e-3);  // half a turn is the same box
  // A quarter turn is the box with its sides exchanged.
  EXPECT_NEAR(oriented_overlap(turned(bar, 1.57079633f), {40, 0, 60, 100, 1}), 1, 1e-3);
  EXPECT_LT(oriented_overlap(bar, turned(bar, 1.57079633f)), 0.5f);
  EXPECT_LT(oriented_overlap(bar, turned(bar, 0.5f)), oriented_overlap(bar, turned(bar, 0.1f)));
  EXPECT_NEAR(oriented_overlap(bar, {1000, 0, 1100, 20, 1}), 0, 1e-3);
  // By the formula: B = 1/4 · 20² / (2·100²/12) / … for a box moved along its long side by 20.
  const Candidate moved{20, 40, 120, 60, 1};
  const double distance = 20.0 * 20 / (2 * 100.0 * 100 / 12) / 4;
  EXPECT_NEAR(oriented_overlap(bar, moved), 1 - std::sqrt(1 - std::exp(-distance)), 1e-4);
}

TEST(OrientedOverlap, HugeAndTinyBoxesGiveANumber) {
  const Candidate huge{-1e18f, -1e18f, 1e18f, 1e18f, 1}, tiny{0, 0, 1e-20f, 1e-20f, 1};
  for (const auto& [a, b] : {std::pair{huge, huge}, {huge, tiny}, {tiny, tiny}}) {
    const float overlap = oriented_overlap(a, b);
    EXPECT_TRUE(overlap >= 0 && overlap <= 1) << overlap;
  }
}

TEST(Suppression, TurnedBoxesAreComparedAsSuch) {
  std::vector<Candidate> candidates;
  add_candidate(candidates, {.x1 = 0, .y1 = 40, .x2 = 100, .y2 = 60, .score = .9f});
  add_candidate(candidates, {.x1 = 0, .y1 = 40, .x2 = 100, .y2 = 60, .score = .8f, .angle = 1.57f});
  add_candidate(candidates, {.x1 = 0, .y1 = 40, .x2 = 100, .y2 = 60, .score = .7f, .angle = NAN});
  Suppression suppression;
  auto oriented = candidates;
  EXPECT_EQ(suppression.run(oriented, {.oriented = true}).size(), 2u);
  EXPECT_EQ(suppression.run(candidates, {}).size(), 1u);
}

}  // namespace
}  // namespace sightglass
