// The tracker on a real sequence (PETS 2009 S2.L1) by the rules of MOTChallenge, and the scores themselves:
// against ground truth, and against what SORT is known to reach with the same detections.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "sightglass/elements/opencv_object_association/mot_scores.h"
#include "sightglass/elements/opencv_object_association/plain_sort.h"
#include "sightglass/elements/opencv_object_association/tracker.h"

namespace sightglass {
namespace {

class TrackerAccuracy : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("SIGHTGLASS_TEST_DATA");
    if (!folder || !*folder) GTEST_SKIP() << "SIGHTGLASS_TEST_DATA is not set";
    folder_ = folder;
    auto truth = mot::read(folder_ / "media/PETS09-S2L1/gt.txt");
    if (!truth) GTEST_SKIP() << "no PETS09-S2L1 in " << folder_;
    truth_ = std::move(*truth);
    for (auto& [frame, entries] : truth_)
      std::erase_if(entries, [](const mot::Entry& entry) { return entry.score == 0; });
  }

  mot::Sequence detections(const char* file, float threshold) {
    auto found = mot::read(folder_ / file);
    EXPECT_TRUE(found) << folder_ / file;
    if (!found) return {};
    for (auto& [frame, entries] : *found)
      std::erase_if(entries, [&](const mot::Entry& entry) { return entry.score < threshold; });
    return *found;
  }
  mot::Sequence public_ones() { return detections("media/PETS09-S2L1/det_sort_frcnn.txt", -1e9f); }
  mot::Sequence of_centernet() { return detections("expected/vtest_centernet_det.txt", 0.4f); }

  mot::Scores judge(const mot::Sequence& result) {
    const mot::Scores scores = mot::judge(truth_, result);
    std::cout << std::format("MOTA {:.3f}  IDF1 {:.3f}  switches {}  recall {:.3f}  precision {:.3f}\n",
                             scores.mota, scores.idf1, scores.switches, scores.recall, scores.precision);
    return scores;
  }

  // `fills_in`: what is not detected counts as well, as with generate-objects.
  mot::Scores follow(mot::Sequence found, const TrackerParams& params, bool fills_in = false) {
    Tracker tracker(params);
    mot::Sequence result;
    for (int frame = 1; frame <= truth_.rbegin()->first; ++frame) {
      std::vector<Detection> detections;
      for (const mot::Entry& entry : found[frame]) detections.push_back({entry.box, entry.score, {}, {}});
      for (const Track& track : tracker.update(detections, 0.1f, {0, 0, 768, 576}))
        if (track.detection >= 0 || fills_in) result[frame].push_back({track.id, track.box, 1});
    }
    return judge(result);
  }
  mot::Scores follow_by_plain_sort(mot::Sequence found, unsigned max_age) {
    mot::PlainSort sort(max_age);
    mot::Sequence result;
    for (int frame = 1; frame <= truth_.rbegin()->first; ++frame) result[frame] = sort.update(found[frame]);
    return judge(result);
  }

  std::filesystem::path folder_;
  mot::Sequence truth_;
};

TEST_F(TrackerAccuracy, GroundTruthJudgedByItselfIsPerfect) {
  const mot::Scores scores = judge(truth_);
  EXPECT_DOUBLE_EQ(scores.mota, 1);
  EXPECT_DOUBLE_EQ(scores.idf1, 1);
  EXPECT_EQ(scores.objects, 4476);
  EXPECT_EQ(scores.switches + scores.misses + scores.false_positives, 0);
}

// The published algorithm has to reach what is known of it, so that the scores mean what others mean by them.
TEST_F(TrackerAccuracy, SortAsPublishedReachesItsKnownFigures) {
  struct Known {
    mot::Sequence detections;
    unsigned max_age;
    double mota, idf1, recall, precision;
    int switches;
  };
  for (const Known& known : {Known{public_ones(), 1, .619, .351, .750, .874, 103},
                             Known{public_ones(), 20, .629, .429, .751, .877, 74},
                             Known{of_centernet(), 1, .668, .393, .776, .894, 72},
                             Known{of_centernet(), 20, .680, .568, .783, .892, 38}}) {
    const mot::Scores scores = follow_by_plain_sort(known.detections, known.max_age);
    EXPECT_NEAR(scores.mota, known.mota, 0.0011);
    EXPECT_NEAR(scores.idf1, known.idf1, 0.0011);
    EXPECT_NEAR(scores.recall, known.recall, 0.0011);
    EXPECT_NEAR(scores.precision, known.precision, 0.0011);
    EXPECT_NEAR(scores.switches, known.switches, 4);  // equal costs may be paired in other ways
  }
}

// What the element takes by default: missed objects are filled in.
const TrackerParams filling_in{.max_age = 20, .min_hits = 1};

TEST_F(TrackerAccuracy, FasterRcnnDetections) {
  const mot::Scores scores = follow(public_ones(), {});
  EXPECT_GE(scores.mota, 0.67);
  EXPECT_GE(scores.idf1, 0.60);
  EXPECT_LE(scores.switches, 60);
  const mot::Scores filled = follow(public_ones(), filling_in, true);
  EXPECT_GE(filled.mota, 0.63);
  EXPECT_GE(filled.idf1, 0.50);
}

TEST_F(TrackerAccuracy, CenterNetDetections) {
  const mot::Scores scores = follow(of_centernet(), {});
  EXPECT_GE(scores.mota, 0.73);
  EXPECT_GE(scores.idf1, 0.74);
  EXPECT_LE(scores.switches, 26);
  const mot::Scores filled = follow(of_centernet(), filling_in, true);
  EXPECT_GE(filled.mota, 0.76);
  EXPECT_GE(filled.idf1, 0.77);
  EXPECT_LE(filled.switches, 20);
}

TEST_F(TrackerAccuracy, TheAlgorithmNamedSortIsNotWorseThanSort) {
  const TrackerParams sort{.algorithm = TrackAlgorithm::sort, .max_age = 20};
  const mot::Scores rcnn = follow(public_ones(), sort);
  EXPECT_GE(rcnn.mota, 0.629);
  EXPECT_GE(rcnn.idf1, 0.429);
  const mot::Scores centernet = follow(of_centernet(), sort);
  EXPECT_GE(centernet.mota, 0.680);
  EXPECT_GE(centernet.idf1, 0.568);
}

TEST(MotScores, CountMissesAlarmsAndSwitches) {
  const Box here{0, 0, 10, 10}, there{50, 50, 10, 10};
  const mot::Sequence truth{{1, {{1, here}}}, {2, {{1, here}}}, {3, {{1, here}}}, {4, {{1, here}}}};
  const mot::Sequence result{{1, {{7, here}}}, {2, {{7, here}, {8, there}}}, {3, {{9, here}}}};
  const mot::Scores scores = mot::judge(truth, result);
  EXPECT_EQ(scores.misses, 1);
  EXPECT_EQ(scores.false_positives, 1);
  EXPECT_EQ(scores.switches, 1);
  EXPECT_DOUBLE_EQ(scores.mota, 1 - 3.0 / 4);
  EXPECT_DOUBLE_EQ(scores.idf1, 2 * 2.0 / (4 + 4));
}

}  // namespace
}  // namespace sightglass
