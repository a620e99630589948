#include "sightglass/gst/results.h"

#include <gst/analytics/analytics.h>
#include <gst/video/video.h>
#include <gtest/gtest.h>

#include "sightglass/gst/attributes_mtd.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

constexpr PixelSize size{640, 480};

Region person(float x) {
  Region region;
  region.box = {x, 0.25f, 0.1f, 0.2001f};
  region.confidence = 0.75f;
  region.label = Label("person");
  region.label_id = 3;
  region.model = Label("detector");
  return region;
}

class Results : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }

  Frame read() const {
    Frame frame;
    read_results(buffer.get(), size, frame);
    return frame;
  }
  void write(const Frame& before, Frame& after) {
    writer.write(buffer.get(), size, before.regions, before.attributes, after);
  }
  void write(Frame after) { write({}, after); }

  BufferPtr buffer{gst_buffer_new()};
  ResultWriter writer;
};

TEST_F(Results, ComeBackExactlyAsTheyWereWritten) {
  Frame frame;
  frame.regions = {person(0.123456f), person(0.5f)};
  frame.regions[1].track = 7;
  frame.regions[1].attributes =
      with(nullptr, {.name = Label("age"), .kind = AttributeKind::number, .text = "34", .number = 34});
  frame.attributes = with(nullptr, {.name = Label("scene"), .kind = AttributeKind::text, .text = "street"});
  write({}, frame);
  EXPECT_EQ(frame.regions[0].id, 0);

  const Frame back = read();
  ASSERT_EQ(back.regions.size(), 2u);
  EXPECT_EQ(back.regions, frame.regions);
  EXPECT_EQ(back.attributes, frame.attributes);
}

TEST_F(Results, AreSeenByOtherElementsInPixels) {
  Frame frame;
  frame.regions = {person(0.5f)};
  frame.regions[0].track = 5;
  frame.regions[0].attributes =
      with(nullptr,
           {.name = Label("mood"), .kind = AttributeKind::classification, .text = "glad", .confidence = .5f});
  write({}, frame);

  auto* meta = gst_buffer_get_analytics_relation_meta(buffer.get());
  GstAnalyticsODMtd od;
  ASSERT_TRUE(gst_analytics_relation_meta_get_od_mtd(meta, 0, &od));
  int x, y, w, h;
  float confidence;
  gst_analytics_od_mtd_get_location(&od, &x, &y, &w, &h, &confidence);
  EXPECT_EQ((std::array{x, y, w, h}), (std::array{320, 120, 64, 96}));
  EXPECT_STREQ(g_quark_to_string(gst_analytics_od_mtd_get_obj_type(&od)), "person");
  GstAnalyticsMtd related;
  gpointer state = nullptr;
  ASSERT_TRUE(gst_analytics_relation_meta_get_direct_related(meta, 0, GST_ANALYTICS_REL_TYPE_RELATE_TO,
                                                             gst_analytics_tracking_mtd_get_mtd_type(),
                                                             &state, &related));
  state = nullptr;
  ASSERT_TRUE(gst_analytics_relation_meta_get_direct_related(
      meta, 0, GST_ANALYTICS_REL_TYPE_CONTAIN, gst_analytics_cls_mtd_get_mtd_type(), &state, &related));
  EXPECT_STREQ(
      g_quark_to_string(gst_analytics_cls_mtd_get_quark(reinterpret_cast<GstAnalyticsClsMtd*>(&related), 0)),
      "glad");
  EXPECT_EQ(read().regions[0].attributes->items().size(), 1u) << "the class is not imported a second time";
}

TEST_F(Results, ShareTheirAttributesWithCopiesOfTheBuffer) {
  Frame frame;
  frame.regions = {person(0.5f)};
  frame.regions[0].attributes =
      with(nullptr, {.name = Label("plate"), .kind = AttributeKind::text, .text = "AB 123"});
  write({}, frame);
  const auto* list = frame.regions[0].attributes.get();
  frame.clear();
  EXPECT_TRUE(list->unique());
  BufferPtr copy(gst_buffer_copy(buffer.get()));
  EXPECT_FALSE(list->unique());
  buffer.reset();
  EXPECT_TRUE(list->unique());
  Frame back;
  read_results(copy.get(), size, back);
  EXPECT_EQ(back.regions.at(0).attributes->find("plate")->text, "AB 123");
}

TEST_F(Results, OfAnElementAreAddedToThoseThatAreThere) {
  write(Frame{.regions = {person(0.1f)}});
  const Frame before = read();
  Frame after = before;
  after.regions[0].track = 9;
  after.regions[0].attributes =
      with(after.regions[0].attributes, {.name = Label("age"), .kind = AttributeKind::number, .number = 3});
  after.regions.push_back(person(0.6f));
  after.regions[1].parent = 0;
  write(before, after);

  const Frame back = read();
  ASSERT_EQ(back.regions.size(), 2u);
  EXPECT_EQ(back.regions[0], after.regions[0]);
  EXPECT_EQ(back.regions[1].parent, 0);
  EXPECT_EQ(back.regions[1].box, after.regions[1].box);
}

TEST_F(Results, FollowAMovedBoxAndKeepEverythingElse) {
  Frame frame;
  frame.regions = {person(0.1f), person(0.5f)};
  frame.regions[0].track = 4;
  frame.attributes = with(nullptr, {.name = Label("scene"), .kind = AttributeKind::text, .text = "street"});
  write({}, frame);
  const Frame before = read();
  Frame after = before;
  after.regions[0].box.x = 0.3f;
  write(before, after);

  const Frame back = read();
  EXPECT_EQ(back.regions, after.regions);
  EXPECT_EQ(back.attributes, before.attributes);
  GstAnalyticsODMtd od;
  int x, y, w, h;
  float confidence;
  ASSERT_TRUE(
      gst_analytics_relation_meta_get_od_mtd(gst_buffer_get_analytics_relation_meta(buffer.get()), 0, &od));
  gst_analytics_od_mtd_get_location(&od, &x, &y, &w, &h, &confidence);
  EXPECT_EQ(x, 192);
}

TEST_F(Results, ForgetARemovedObjectAndWhatBelongsToIt) {
  Frame frame;
  frame.regions = {person(0.1f), person(0.3f), person(0.6f)};
  frame.regions[0].track = 4;
  frame.regions[2].track = 5;
  frame.regions[2].attributes =
      with(nullptr,
           {.name = Label("mood"), .kind = AttributeKind::classification, .text = "glad", .confidence = .5f});
  frame.attributes = with(nullptr, {.name = Label("scene"), .kind = AttributeKind::text, .text = "street"});
  write({}, frame);
  const Frame before = read();
  Frame after = before;
  after.regions.erase(after.regions.begin());
  write(before, after);

  const Frame back = read();
  ASSERT_EQ(back.regions.size(), 2u);
  EXPECT_EQ(back.regions, after.regions);
  EXPECT_EQ(back.regions[1].track, 5);
  EXPECT_EQ(back.regions[1].attributes->find("mood")->text, "glad");
  EXPECT_EQ(back.attributes, before.attributes);
}

TEST_F(Results, FollowANewLabel) {
  write(Frame{.regions = {person(0.1f)}});
  const Frame before = read();
  Frame after = before;
  after.regions[0].label = Label("cyclist");
  write(before, after);
  EXPECT_EQ(read().regions.at(0).label.view(), "cyclist");
}

TEST_F(Results, TakeTheBoxOfAnElementThatMovedTheObject) {
  auto* meta = gst_buffer_add_analytics_relation_meta(buffer.get());
  GstAnalyticsODMtd od;
  gst_analytics_relation_meta_add_od_mtd(meta, g_quark_from_string("car"), 64, 48, 64, 48, 0.5f, &od);
  GstAnalyticsMtd mtd;
  ASSERT_TRUE(add_attributes_mtd(meta, &mtd));
  gst_analytics_relation_meta_set_relation(meta, GST_ANALYTICS_REL_TYPE_CONTAIN, od.id, mtd.id);
  *attributes_entry(mtd) = {nullptr, "", {0.5f, 0.5f, 0.1f, 0.1f}, 2, -1, true};
  const Frame frame = read();
  EXPECT_EQ(frame.regions.at(0).box, (Box{0.1f, 0.1f, 0.1f, 0.1f}));
  EXPECT_EQ(frame.regions[0].label_id, 2);
}

TEST_F(Results, OfOlderElementsAreImportedOnce) {
  write(Frame{.regions = {person(0.5f)}});
  gst_buffer_add_video_region_of_interest_meta(buffer.get(), "person", 320, 120, 64, 96);  // the same object
  auto* roi = gst_buffer_add_video_region_of_interest_meta(buffer.get(), "face", 64, 48, 32, 24);
  gst_video_region_of_interest_meta_add_param(
      roi,
      gst_structure_new("detection", "confidence", G_TYPE_DOUBLE, 0.5, "label_id", G_TYPE_INT, 8, nullptr));
  const Frame frame = read();
  ASSERT_EQ(frame.regions.size(), 2u);
  EXPECT_EQ(frame.regions[1].label.view(), "face");
  EXPECT_EQ(frame.regions[1].label_id, 8);
  EXPECT_EQ(frame.regions[1].confidence, 0.5f);
  EXPECT_FLOAT_EQ(frame.regions[1].box.w, 0.05f);
}

TEST_F(Results, OfOlderElementsGetAnIdentityWhenWritten) {
  gst_buffer_add_video_region_of_interest_meta(buffer.get(), "face", 64, 48, 32, 24);
  const Frame before = read();
  Frame after = before;
  after.regions[0].track = 2;
  write(before, after);
  const Frame back = read();
  ASSERT_EQ(back.regions.size(), 1u);
  EXPECT_EQ(back.regions[0].id, 0);
  EXPECT_EQ(back.regions[0].track, 2);
}

TEST_F(Results, OfOlderElementsAreFoundByTheirOwnIds) {
  write(Frame{.regions = {person(0.1f)}});
  gst_buffer_add_video_region_of_interest_meta(buffer.get(), "face", 64, 48, 32, 24);
  gst_buffer_add_video_region_of_interest_meta(buffer.get(), "plate", 320, 240, 64, 24);
  const Frame before = read();
  ASSERT_EQ(before.regions.size(), 3u);
  EXPECT_LE(before.regions[1].id, first_foreign_id);
  EXPECT_LT(before.regions[2].id, before.regions[1].id);
  // Something is found in the second of them.
  Frame after = before;
  after.regions.push_back(person(0.5f));
  after.regions.back().parent = before.regions[2].id;
  write(before, after);
  const Frame back = read();
  ASSERT_EQ(back.regions.size(), 4u);
  EXPECT_EQ(back.regions[3].parent, back.regions[2].id);
  EXPECT_EQ(back.regions[2].label.view(), "plate");
}

TEST_F(Results, OfOlderElementsBringWhatModelsHaveSaid) {
  auto* roi = gst_buffer_add_video_region_of_interest_meta(buffer.get(), "face", 64, 48, 32, 24);
  gst_video_region_of_interest_meta_add_param(
      roi, gst_structure_new("layer-7", "label", G_TYPE_STRING, "glad", "label_id", G_TYPE_INT, 2,
                             "confidence", G_TYPE_DOUBLE, 0.5, "attribute_name", G_TYPE_STRING, "mood",
                             "model_name", G_TYPE_STRING, "moods", nullptr));
  const Frame frame = read();
  const Attribute* mood =
      frame.regions.at(0).attributes ? frame.regions[0].attributes->find("mood") : nullptr;
  ASSERT_TRUE(mood);
  EXPECT_EQ(mood->text, "glad");
  EXPECT_EQ(mood->label_id, 2);
  EXPECT_EQ(mood->confidence, 0.5f);
  EXPECT_EQ(mood->model.view(), "moods");
}

TEST_F(Results, InTheOlderFormSayWhatModelsHaveSaidAndAreThereOnce) {
  Frame frame;
  frame.regions = {person(0.5f)};
  frame.regions[0].attributes = with(nullptr, {.name = Label("mood of it"),
                                               .kind = AttributeKind::classification,
                                               .text = "glad",
                                               .confidence = .5f});
  write({}, frame);
  writer.write_roi(buffer.get(), size, frame.regions);
  writer.write_roi(buffer.get(), size, frame.regions);
  gpointer state = nullptr;
  int count = 0;
  while (gst_buffer_iterate_meta_filtered(buffer.get(), &state, GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE))
    ++count;
  EXPECT_EQ(count, 1);
  auto* roi = gst_buffer_get_video_region_of_interest_meta_id(buffer.get(), 0);
  const auto* param = gst_video_region_of_interest_meta_get_param(roi, "mood_of_it");
  ASSERT_TRUE(param);
  EXPECT_STREQ(gst_structure_get_string(param, "label"), "glad");
  EXPECT_STREQ(gst_structure_get_string(param, "attribute_name"), "mood of it");
}

TEST_F(Results, OfManyObjectsAreReadAndWrittenInALineOfTheirNumber) {
  Frame frame;
  for (size_t i = 0; i < max_objects; ++i) {
    frame.regions.push_back(person(float(i) / 2000));
    frame.regions.back().track = int64_t(i) + 1;
    frame.regions.back().attributes =
        with(nullptr, {.name = Label("n"), .kind = AttributeKind::number, .number = double(i)});
  }
  write({}, frame);
  const Frame before = read();
  ASSERT_EQ(before.regions, frame.regions);
  Frame after = before;
  for (Region& region : after.regions) region.box.y += 0.1f;  // all move, as with a tracker
  write(before, after);
  EXPECT_EQ(read().regions, after.regions);
}

TEST_F(Results, BeyondTheLimitKeepTheMostConfident) {
  Frame frame;
  for (int i = 0; i < 1500; ++i) {
    frame.regions.push_back(person(0.1f));
    frame.regions.back().confidence = float(i) / 1500;
  }
  write({}, frame);
  const Frame back = read();
  EXPECT_EQ(back.regions.size(), max_objects);
  EXPECT_EQ(writer.dropped_objects(), 1500 - max_objects);
  EXPECT_TRUE(writer.take_first_drop());
  EXPECT_FALSE(writer.take_first_drop()) << "one warning is enough";
  for (const auto& region : back.regions) EXPECT_GE(region.confidence, float(1500 - int(max_objects)) / 1500);
}

TEST_F(Results, ThatDidNotChangeLeaveTheBufferAlone) {
  Frame none;
  write({}, none);
  EXPECT_EQ(gst_buffer_get_analytics_relation_meta(buffer.get()), nullptr);
}

TEST_F(Results, CanBeWrittenInTheOlderForm) {
  Frame frame;
  frame.regions = {person(0.5f)};
  frame.regions[0].track = 5;
  write({}, frame);
  writer.write_roi(buffer.get(), size, frame.regions);
  auto* roi = gst_buffer_get_video_region_of_interest_meta_id(buffer.get(), 0);
  ASSERT_NE(roi, nullptr);
  EXPECT_EQ(roi->w, 64u);
  EXPECT_NE(gst_video_region_of_interest_meta_get_param(roi, "detection"), nullptr);
  EXPECT_NE(gst_video_region_of_interest_meta_get_param(roi, "object_id"), nullptr);
}

}  // namespace
}  // namespace sightglass::gst
