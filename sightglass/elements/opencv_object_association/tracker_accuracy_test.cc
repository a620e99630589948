// The tracker on a real sequence (PETS 2009 S2.L1), at least as good as SORT with the same detections.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "sightglass/elements/opencv_object_association/mot_scores.h"
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

  mot::Scores follow(const char* file, float threshold, const TrackerParams& params) {
    auto found = mot::read(folder_ / file);
    EXPECT_TRUE(found) << folder_ / file;
    if (!found) return {};
    Tracker tracker(params);
    mot::Sequence result;
    for (int frame = 1; frame <= truth_.rbegin()->first; ++frame) {
      std::vector<Detection> detections;
      for (const mot::Entry& entry : (*found)[frame])
        if (entry.score >= threshold) detections.push_back({entry.box, entry.score, {}, {}});
      for (const Track& track : tracker.update(detections, 0.1f, {0, 0, 768, 576}))
        if (track.detection >= 0) result[frame].push_back({track.id, track.box, 1});
    }
    const mot::Scores scores = mot::judge(truth_, result);
    std::cout << std::format("MOTA {:.3f}  IDF1 {:.3f}  switches {}  recall {:.3f}  precision {:.3f}\n",
                             scores.mota, scores.idf1, scores.switches, scores.recall, scores.precision);
    return scores;
  }

  std::filesystem::path folder_;
  mot::Sequence truth_;
};

// The figures of SORT with max_age 20: .629 / .429 and .680 / .568. The floors are a little below what was
// reached.

TEST_F(TrackerAccuracy, FasterRcnnDetections) {
  const mot::Scores scores = follow("media/PETS09-S2L1/det_sort_frcnn.txt", 0, {});
  EXPECT_GE(scores.mota, 0.67);
  EXPECT_GE(scores.idf1, 0.60);
  EXPECT_LE(scores.switches, 60);
}

TEST_F(TrackerAccuracy, CenterNetDetections) {
  const mot::Scores scores = follow("expected/vtest_centernet_det.txt", 0.4f, {});
  EXPECT_GE(scores.mota, 0.72);
  EXPECT_GE(scores.idf1, 0.72);
  EXPECT_LE(scores.switches, 26);
}

TEST_F(TrackerAccuracy, TheAlgorithmNamedSortIsNotWorseThanSort) {
  const TrackerParams sort{.algorithm = TrackAlgorithm::sort, .max_age = 20};
  const mot::Scores rcnn = follow("media/PETS09-S2L1/det_sort_frcnn.txt", 0, sort);
  EXPECT_GE(rcnn.mota, 0.629);
  EXPECT_GE(rcnn.idf1, 0.429);
  const mot::Scores centernet = follow("expected/vtest_centernet_det.txt", 0.4f, sort);
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
