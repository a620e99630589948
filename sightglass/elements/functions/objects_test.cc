#include "sightglass/elements/functions/objects.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "sightglass/elements/functions/rotated_overlap.h"

namespace sightglass {
namespace {

Region object(Box box, float confidence, const char* label = "a", float angle = 0) {
  Region made;
  made.box = box;
  made.confidence = confidence;
  made.label = Label(label);
  made.angle = angle;
  return made;
}
Chosen all(const std::vector<Region>& regions) {
  Chosen chosen;
  for (uint32_t i = 0; i < regions.size(); ++i) chosen.push_back(i);
  return chosen;
}

// Three boxes of one row, each shifted by a tenth of its width: overlaps of 9/11 and 8/12.
std::vector<Region> row() {
  return {object({0.1f, 0.1f, 0.2f, 0.2f}, 0.7f), object({0.12f, 0.1f, 0.2f, 0.2f}, 0.9f),
          object({0.14f, 0.1f, 0.2f, 0.2f}, 0.8f), object({0.6f, 0.6f, 0.2f, 0.2f}, 0.1f)};
}

TEST(Nms, TheBestOfThoseThatOverlapStays) {
  const auto regions = row();
  Chosen chosen = all(regions);
  nms(regions, chosen, {.iou_threshold = 0.5f});
  EXPECT_EQ(chosen, (Chosen{1, 3}));
  chosen = all(regions);
  nms(regions, chosen, {.iou_threshold = 9.0f / 11 + 0.001f});  // an overlap has to be greater
  EXPECT_EQ(chosen, (Chosen{0, 1, 2, 3}));
  chosen = all(regions);
  nms(regions, chosen, {.iou_threshold = 1});
  EXPECT_EQ(chosen.size(), 4u);
  chosen = {0, 2};
  nms(regions, chosen, {});  // 1 does not take part
  EXPECT_EQ(chosen, (Chosen{2}));
}

TEST(Nms, LabelsKeepToThemselvesUnlessTold) {
  auto regions = row();
  regions[0].label = Label("b");
  Chosen chosen = all(regions);
  nms(regions, chosen, {});
  EXPECT_EQ(chosen, (Chosen{0, 1, 3}));
  chosen = all(regions);
  nms(regions, chosen, {.per_class = false});
  EXPECT_EQ(chosen, (Chosen{1, 3}));
}

TEST(Nms, OfEqualScoresTheFirstStays) {
  auto regions = row();
  for (Region& region : regions) region.confidence = 0.5f;
  Chosen chosen = all(regions);
  nms(regions, chosen, {});
  EXPECT_EQ(chosen, (Chosen{0, 3}));
}

TEST(Nms, NothingAndNoBoxes) {
  Chosen none;
  nms({}, none, {});
  EXPECT_TRUE(none.empty());
  std::vector<Region> broken = {object({NAN, 0, 1, 1}, 0.9f),      object({0, 0, 0, 1}, 0.9f),
                                object({0, 0, 1, 1}, NAN),         object({0, 0, 1, 1}, 0.5f),
                                object({0, 0, INFINITY, 1}, 0.9f), object({0, 0, -1, 1}, 0.9f)};
  Chosen chosen = all(broken);
  chosen.push_back(77);  // a place that there is not
  nms(broken, chosen, {});
  EXPECT_EQ(chosen, (Chosen{3}));
}

TEST(NmsRotated, BoxesAcrossEachOtherAreTwo) {
  // Two long bars about one centre: as upright boxes they are the same, turned they share little.
  std::vector<Region> regions = {object({0.1f, 0.45f, 0.8f, 0.1f}, 0.9f, "a", 0.3f),
                                 object({0.1f, 0.45f, 0.8f, 0.1f}, 0.8f, "a", -0.3f),
                                 object({0.1f, 0.45f, 0.8f, 0.1f}, 0.7f, "a", 0.32f)};
  Chosen chosen = all(regions);
  nms_rotated(regions, chosen, {.iou_threshold = 0.5f}, {1000, 1000});
  EXPECT_EQ(chosen, (Chosen{0, 1}));
  chosen = all(regions);
  nms(regions, chosen, {.iou_threshold = 0.5f});
  EXPECT_EQ(chosen, (Chosen{0}));
}

// Against the definition, by brute force.
TEST(NmsRotated, KeepsExactlyWhatTheDefinitionKeeps) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> place(0, 0.8f), size(0.05f, 0.3f), angle(-3, 3);
  std::vector<Region> regions;
  for (int i = 0; i < 200; ++i)
    regions.push_back(object({place(random), place(random), size(random), size(random)}, float(i % 50) / 50,
                             i % 3 ? "a" : "b", angle(random)));
  Chosen chosen = all(regions);
  nms_rotated(regions, chosen, {.iou_threshold = 0.3f}, {640, 480});
  const auto better = [&](uint32_t a, uint32_t b) {
    return regions[a].confidence != regions[b].confidence ? regions[a].confidence > regions[b].confidence
                                                          : a < b;
  };
  const auto overlap = [&](uint32_t a, uint32_t b) {
    return rotated_iou(regions[a].box, regions[a].angle, regions[b].box, regions[b].angle, 640, 480);
  };
  for (uint32_t i = 0; i < regions.size(); ++i) {
    bool dropped = false;
    for (const uint32_t kept : chosen)
      dropped |=
          kept != i && better(kept, i) && regions[kept].label == regions[i].label && overlap(kept, i) > 0.3f;
    EXPECT_EQ(std::ranges::binary_search(chosen, i), !dropped) << i;
  }
}

TEST(SoftNms, LowersScoresByTheFormulas) {
  auto regions = row();
  Chosen chosen = all(regions);
  soft_nms(regions, chosen, {.method = SoftNmsOptions::Method::linear, .iou_threshold = 0.5f});
  // 1 is best: 0 and 2 lose 9/11 each. Then 2 (0.145) is better than 0 (0.127) and takes 8/12 of it.
  EXPECT_EQ(chosen, (Chosen{0, 1, 2, 3}));
  EXPECT_FLOAT_EQ(regions[1].confidence, 0.9f);
  EXPECT_NEAR(regions[2].confidence, 0.8 * 2 / 11, 1e-5);
  EXPECT_NEAR(regions[0].confidence, 0.7 * 2 / 11 * 4 / 12, 1e-5);
  EXPECT_FLOAT_EQ(regions[3].confidence, 0.1f);

  regions = row();
  chosen = all(regions);
  soft_nms(regions, chosen, {.sigma = 0.5f, .threshold = 0.12f});
  const double near = std::exp(-std::pow(9.0 / 11, 2) / 0.5), far = std::exp(-std::pow(8.0 / 12, 2) / 0.5);
  EXPECT_NEAR(regions[2].confidence, 0.8 * near, 1e-5);
  EXPECT_NEAR(regions[0].confidence, 0.7 * near * far, 1e-5);
  EXPECT_EQ(chosen, (Chosen{1, 2}));  // the rest falls below the threshold
}

TEST(SoftNms, OtherLabelsAndBrokenBoxes) {
  auto regions = row();
  regions[1].label = Label("b");
  regions[2].confidence = NAN;
  Chosen chosen = all(regions);
  soft_nms(regions, chosen, {});
  EXPECT_EQ(chosen, (Chosen{0, 1, 3}));
  EXPECT_FLOAT_EQ(regions[0].confidence, 0.7f);
  Chosen none;
  soft_nms({}, none, {});
  EXPECT_TRUE(none.empty());
}

TEST(TopK, OfAllOrOfEachLabelTiesByPlace) {
  std::vector<Region> regions = {object({}, 0.5f), object({}, 0.5f, "b"), object({}, 0.9f),
                                 object({}, 0.5f), object({}, NAN),       object({}, 0.4f, "b")};
  Chosen chosen = all(regions);
  top_k(regions, chosen, 2, false);
  EXPECT_EQ(chosen, (Chosen{0, 2}));
  chosen = all(regions);
  top_k(regions, chosen, 1, true);
  EXPECT_EQ(chosen, (Chosen{1, 2}));
  chosen = all(regions);
  top_k(regions, chosen, 5, false);
  EXPECT_EQ(chosen, (Chosen{0, 1, 2, 3, 5}));  // the one without a score is the last
  chosen = all(regions);
  top_k(regions, chosen, 100, false);
  EXPECT_EQ(chosen.size(), 6u);
}

TEST(FilterSize, PixelsPartsAndAspect) {
  // Of 1000 x 500: 100 x 100, 20 x 200, 500 x 10.
  const std::vector<Region> regions = {object({0, 0, 0.1f, 0.2f}, 1), object({0, 0, 0.02f, 0.4f}, 1),
                                       object({0, 0, 0.5f, 0.02f}, 1), object({0, 0, NAN, 1}, 1)};
  const auto kept = [&](SizeLimits limits, PictureExtent extent = {1000, 500}) {
    Chosen chosen = all(regions);
    filter_size(regions, chosen, limits, extent);
    return chosen;
  };
  EXPECT_EQ(kept({}), (Chosen{0, 1, 2}));
  EXPECT_EQ(kept({.min_side = 20}), (Chosen{0, 1}));
  EXPECT_EQ(kept({.min_side = 0.02f}), (Chosen{0, 1, 2}));
  EXPECT_EQ(kept({.max_side = 200}), (Chosen{0, 1}));
  EXPECT_EQ(kept({.max_side = 0.3f}), (Chosen{0}));
  EXPECT_EQ(kept({.min_area = 5000}), (Chosen{0, 2}));
  EXPECT_EQ(kept({.min_area = 0.02f}), (Chosen{0}));
  EXPECT_EQ(kept({.max_area = 5000}), (Chosen{1, 2}));
  EXPECT_EQ(kept({.min_aspect = 0.5f, .max_aspect = 2}), (Chosen{0}));
  EXPECT_EQ(kept({.min_side = 20, .min_aspect = 1}, {}), (Chosen{0, 1, 2}));  // the size is not known
}

Region in_tile(Box box, float confidence, int32_t tile, const char* label = "a") {
  Region made = object(box, confidence, label);
  made.parent = tile;
  return made;
}

TEST(MergeTiles, UnitesWhatABorderCut) {
  // Tiles 0…0.6 and 0.4…1; an object from 0.3 to 0.8 is seen as 0.3…0.6 and as 0.4…0.8.
  std::vector<Region> regions = {
      in_tile({0.3f, 0.1f, 0.3f, 0.2f}, 0.8f, 10), in_tile({0.4f, 0.1f, 0.4f, 0.2f}, 0.9f, 11),
      in_tile({0.45f, 0.5f, 0.1f, 0.1f}, 0.6f, 10), in_tile({0.45f, 0.5f, 0.1f, 0.1f}, 0.7f, 11)};
  Chosen chosen = all(regions);
  TileMerger merger;
  merger.run(regions, chosen, {});
  EXPECT_EQ(chosen, (Chosen{1, 3}));
  EXPECT_NEAR(regions[1].box.x, 0.3f, 1e-6);
  EXPECT_NEAR(regions[1].box.w, 0.5f, 1e-6);
  EXPECT_FLOAT_EQ(regions[1].confidence, 0.9f);
  EXPECT_EQ(regions[1].parent, -1);
  EXPECT_FLOAT_EQ(regions[3].box.w, 0.1f);  // seen twice as a whole
}

TEST(MergeTiles, OneTileShowsAnObjectOnce) {
  std::vector<Region> regions = {in_tile({0.3f, 0.1f, 0.3f, 0.2f}, 0.8f, 10),
                                 in_tile({0.35f, 0.1f, 0.2f, 0.2f}, 0.9f, 10),
                                 in_tile({0.3f, 0.1f, 0.3f, 0.2f}, 0.5f, 11, "b")};
  Chosen chosen = all(regions);
  TileMerger merger;
  merger.run(regions, chosen, {});
  EXPECT_EQ(chosen, (Chosen{0, 1, 2}));
  chosen = all(regions);
  merger.run(regions, chosen, {.per_class = false});
  EXPECT_EQ(chosen.size(), 2u);
}

TEST(MergeTiles, AnObjectAcrossFourTilesIsOne) {
  // 0.3…0.7 in both directions, of tiles that end at 0.55 and begin at 0.45.
  const auto part = [](bool right, bool below, int32_t tile) {
    const float x = right ? 0.45f : 0.3f, y = below ? 0.45f : 0.3f;
    return in_tile({x, y, 0.25f, 0.25f}, 0.5f + 0.1f * float(tile), tile);
  };
  std::vector<Region> regions = {part(false, false, 0), part(true, false, 1), part(false, true, 2),
                                 part(true, true, 3)};
  Chosen chosen = all(regions);
  TileMerger merger;
  merger.run(regions, chosen, {.threshold = 0.3f});
  ASSERT_EQ(chosen, (Chosen{3}));
  EXPECT_NEAR(regions[3].box.x, 0.3f, 1e-6);
  EXPECT_NEAR(regions[3].box.w, 0.4f, 1e-6);
  EXPECT_NEAR(regions[3].box.h, 0.4f, 1e-6);
  Chosen none;
  merger.run({}, none, {});
  EXPECT_TRUE(none.empty());
}

}  // namespace
}  // namespace sightglass
