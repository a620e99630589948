#include <gst/analytics/analytics.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include <cstring>

#include "sightglass/elements/element_test_support.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

constexpr PixelSize size{640, 480};

Attribute score_mask(std::vector<float> place = {}) {
  return {.name = Label("mask"),
          .kind = AttributeKind::mask,
          .values = std::move(place),
          .tensor = test::tensor<float>({2, 3}, {0, .4f, .5f, .9f, 1, 0})};
}

Attribute label_mask() {
  Attribute mask{.name = Label("mask"),
                 .kind = AttributeKind::mask,
                 .tensor = test::tensor<uint8_t>({2, 2}, {0, 2, 255, 2})};
  auto legend = make_ref<Legend>();
  legend->names = {"background", "road", "car"};
  mask.legend = Ref<const Legend>(legend.get());
  return mask;
}

class Masks : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }

  Frame read() const {
    Frame frame;
    read_results(buffer.get(), size, frame);
    return frame;
  }
  void write(Frame frame) { writer.write(buffer.get(), size, {}, nullptr, frame); }
  GstAnalyticsRelationMeta* meta() const { return gst_buffer_get_analytics_relation_meta(buffer.get()); }
  std::vector<GstAnalyticsSegmentationMtd> segmentations() const {
    std::vector<GstAnalyticsSegmentationMtd> found;
    gpointer state = nullptr;
    GstAnalyticsMtd mtd;
    while (gst_analytics_relation_meta_iterate(meta(), &state, gst_analytics_segmentation_mtd_get_mtd_type(),
                                               &mtd))
      found.push_back(mtd);
    return found;
  }

  BufferPtr buffer{gst_buffer_new()};
  ResultWriter writer;
};

struct Picture {
  gint x, y;
  guint w, h, width, height;
  std::vector<uint8_t> pixels;
};

Picture picture_of(const GstAnalyticsSegmentationMtd& mtd) {
  Picture picture{};
  BufferPtr mask(
      gst_analytics_segmentation_mtd_get_mask(&mtd, &picture.x, &picture.y, &picture.w, &picture.h));
  const auto* video = gst_buffer_get_video_meta(mask.get());
  EXPECT_EQ(video->format, GST_VIDEO_FORMAT_GRAY8);
  picture.width = video->width, picture.height = video->height;
  GstMapInfo map;
  EXPECT_TRUE(gst_buffer_map(mask.get(), &map, GST_MAP_READ));
  for (guint y = 0; y < picture.height; ++y)
    for (guint x = 0; x < picture.width; ++x)
      picture.pixels.push_back(map.data[video->offset[0] + y * guint(video->stride[0]) + x]);
  gst_buffer_unmap(mask.get(), &map);
  return picture;
}

GstBuffer* gray(guint width, guint height, const std::vector<uint8_t>& pixels) {
  auto* mask = gst_buffer_new_allocate(nullptr, pixels.size(), nullptr);
  gst_buffer_fill(mask, 0, pixels.data(), pixels.size());
  gst_buffer_add_video_meta(mask, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_GRAY8, width, height);
  return mask;
}

TEST_F(Masks, OfObjectsAreSeenByOthersAsPicturesWithAPlace) {
  Frame frame;
  frame.regions = {{.id = -1, .box = {.25f, .5f, .5f, .25f}}};
  frame.regions[0].attributes = with(nullptr, score_mask({.25f, .5f, .5f, .25f}));
  write(frame);
  const auto found = segmentations();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(gst_analytics_relation_meta_get_relation(meta(), 0, found[0].id) &
              GST_ANALYTICS_REL_TYPE_CONTAIN);
  const Picture picture = picture_of(found[0]);
  EXPECT_EQ((std::array{picture.x, picture.y, int(picture.w), int(picture.h)}),
            (std::array{160, 240, 320, 120}));
  EXPECT_EQ(picture.width, 3u);
  EXPECT_EQ(picture.pixels, (std::vector<uint8_t>{0, 0, 1, 1, 1, 0}));
  EXPECT_EQ(gst_analytics_segmentation_mtd_get_region_count(&found[0]), 2u);
  EXPECT_EQ(gst_analytics_segmentation_mtd_get_region_id(&found[0], 1), 1u);
}

TEST_F(Masks, KeepTheirScoresForUsAndAreImportedOnce) {
  Frame frame;
  frame.regions = {{.id = -1, .box = {.25f, .5f, .5f, .25f}}};
  frame.regions[0].attributes = with(nullptr, score_mask());
  write(frame);
  const Frame back = read();
  ASSERT_EQ(back.regions.at(0).attributes->items().size(), 1u);
  const Attribute& mask = back.regions[0].attributes->items()[0];
  EXPECT_EQ(mask.kind, AttributeKind::mask);
  EXPECT_EQ(test::values_of<float>(mask.tensor)[3], .9f);
}

TEST_F(Masks, OfLabelsGoOutWithoutACopyAndWithTheNamesOfTheirRegions) {
  Frame frame;
  frame.attributes = with(nullptr, label_mask());
  const auto* bytes = map(frame.attributes->find("mask")->tensor, Access::read)->data();
  write(frame);
  const auto found = segmentations();
  ASSERT_EQ(found.size(), 1u);
  ASSERT_EQ(gst_analytics_segmentation_mtd_get_region_count(&found[0]), 2u);
  EXPECT_EQ(gst_analytics_segmentation_mtd_get_region_id(&found[0], 0), 0u);
  EXPECT_EQ(gst_analytics_segmentation_mtd_get_region_id(&found[0], 1), 2u);
  GstAnalyticsMtd related;
  gpointer state = nullptr;
  ASSERT_TRUE(
      gst_analytics_relation_meta_get_direct_related(meta(), found[0].id, GST_ANALYTICS_REL_TYPE_RELATE_TO,
                                                     gst_analytics_cls_mtd_get_mtd_type(), &state, &related));
  EXPECT_STREQ(
      g_quark_to_string(gst_analytics_cls_mtd_get_quark(reinterpret_cast<GstAnalyticsClsMtd*>(&related), 1)),
      "car");
  BufferPtr mask(gst_analytics_segmentation_mtd_get_mask(&found[0], nullptr, nullptr, nullptr, nullptr));
  GstMapInfo map_info;
  ASSERT_TRUE(gst_buffer_map(mask.get(), &map_info, GST_MAP_READ));
  EXPECT_EQ(reinterpret_cast<const std::byte*>(map_info.data), bytes);
  gst_buffer_unmap(mask.get(), &map_info);
  const Frame back = read();
  ASSERT_EQ(back.attributes->items().size(), 1u) << "neither the mask nor the names come a second time";
}

TEST_F(Masks, OfOtherElementsAreReadWithTheirClasses) {
  auto* relations = gst_buffer_add_analytics_relation_meta(buffer.get());
  guint ids[] = {0, 12, 31};
  GstAnalyticsSegmentationMtd mtd;
  ASSERT_TRUE(gst_analytics_relation_meta_add_segmentation_mtd(
      relations, gray(2, 2, {0, 12, 0, 0, 31, 99, 0, 0}), GST_SEGMENTATION_TYPE_SEMANTIC, 3, ids, 64, 48, 320,
      240, &mtd));
  gfloat levels[] = {-1, -1, -1};
  GQuark names[] = {g_quark_from_string("background"), g_quark_from_string("berry"),
                    g_quark_from_string("leaf")};
  GstAnalyticsClsMtd classes;
  gst_analytics_relation_meta_add_cls_mtd(relations, 3, levels, names, &classes);
  gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_RELATE_TO, mtd.id, classes.id);
  const Frame frame = read();
  ASSERT_TRUE(frame.attributes);
  ASSERT_EQ(frame.attributes->items().size(), 1u);
  const Attribute& mask = frame.attributes->items()[0];
  EXPECT_EQ(mask.kind, AttributeKind::mask);
  EXPECT_EQ(mask.values, (std::vector<float>{.1f, .1f, .5f, .5f}));
  EXPECT_EQ(test::values_of<uint8_t>(mask.tensor), (std::vector<uint8_t>{0, 1, 2, 255}));
  EXPECT_EQ(mask.legend->names.at(2), "leaf");
}

TEST_F(Masks, OfOtherElementsInAnObjectBecomeItsScores) {
  auto* relations = gst_buffer_add_analytics_relation_meta(buffer.get());
  GstAnalyticsODMtd od;
  gst_analytics_relation_meta_add_od_mtd(relations, g_quark_from_string("cup"), 64, 48, 64, 48, .5f, &od);
  guint ids[] = {0, 7};
  GstAnalyticsSegmentationMtd mtd;
  ASSERT_TRUE(gst_analytics_relation_meta_add_segmentation_mtd(
      relations, gray(2, 2, {0, 7, 0, 0, 7, 0, 0, 0}), GST_SEGMENTATION_TYPE_INSTANCE, 2, ids, 64, 48, 64, 48,
      &mtd));
  gst_analytics_relation_meta_set_relation(relations, GST_ANALYTICS_REL_TYPE_CONTAIN, od.id, mtd.id);
  const Frame frame = read();
  const Attribute* mask = frame.regions.at(0).attributes->find("mask");
  ASSERT_TRUE(mask);
  EXPECT_EQ(test::values_of<float>(mask->tensor), (std::vector<float>{0, 1, 1, 0}));
  EXPECT_FALSE(frame.attributes);
}

TEST_F(Masks, OfOtherElementsThatLieAboutTheirSizeAreLeftOut) {
  auto* relations = gst_buffer_add_analytics_relation_meta(buffer.get());
  guint ids[] = {0};
  auto* mask = gst_buffer_new_allocate(nullptr, 4, nullptr);
  gst_buffer_add_video_meta(mask, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_GRAY8, 100, 100);
  GstAnalyticsSegmentationMtd mtd;
  gst_analytics_relation_meta_add_segmentation_mtd(relations, mask, GST_SEGMENTATION_TYPE_SEMANTIC, 1, ids, 0,
                                                   0, 640, 480, &mtd);
  EXPECT_FALSE(read().attributes);
}

TEST_F(Masks, SurviveCopiesOfTheBuffer) {
  Frame frame;
  frame.regions = {{.id = -1, .box = {.25f, .5f, .5f, .25f}}};
  frame.regions[0].attributes = with(nullptr, score_mask());
  frame.attributes = with(nullptr, label_mask());
  write(frame);
  BufferPtr copy(gst_buffer_copy(buffer.get()));
  buffer = std::move(copy);
  EXPECT_EQ(segmentations().size(), 2u);
  const Frame back = read();
  EXPECT_TRUE(back.regions.at(0).attributes->find("mask"));
  EXPECT_TRUE(back.attributes->find("mask"));
}

TEST_F(Masks, WithoutAShapeAreNotWritten) {
  Frame frame;
  Attribute none{.name = Label("mask"), .kind = AttributeKind::mask};
  Attribute wrong = score_mask({0, 0, 0, 0});
  wrong.name = Label("other");
  frame.attributes = with(with(nullptr, none), wrong);
  write(frame);
  EXPECT_TRUE(segmentations().empty());
}

}  // namespace
}  // namespace sightglass::gst
