#include "sightglass/adapters/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/test_records.h"

namespace sightglass::adapters {
namespace {

using ::testing::ElementsAre;
using Json = nlohmann::json;

std::vector<std::string> keys(std::span<const Document> documents) {
  std::vector<std::string> all;
  for (const Document& document : documents) all.emplace_back(document.key);
  return all;
}

TEST(RecordRows, KeysAreMadeOfTheUuid) {
  const RecordRef record = testing::frame_record({.seq = 7, .objects = 2, .events = 2});
  RecordRows rows;
  rows.read(*record);
  EXPECT_TRUE(rows.is_frame);
  ASSERT_EQ(rows.objects.size(), 2u);
  EXPECT_EQ(rows.objects[1].key, rows.uuid + ":1");
  ASSERT_EQ(rows.events.size(), 2u);
  EXPECT_EQ(rows.events[0].key, rows.uuid + ":gate:cross:0");
  EXPECT_EQ(rows.events[1].key, rows.uuid + ":gate:cross:1") << "two events in one frame";
  ASSERT_EQ(rows.counters.size(), 1u);
  EXPECT_EQ(rows.counters[0].attribute->name.view(), "door");
  ASSERT_EQ(rows.attributes.size(), 2u) << "one of each object";
  EXPECT_EQ(rows.attributes[1].owner, rows.objects[1].key);
}

TEST(RecordRows, ObjectWithoutAnIdHasNobodyElsesKey) {
  auto record = std::make_shared<Record>(*testing::frame_record({.objects = 2}));
  record->results.regions[0].id = 1;
  record->results.regions[1].id = -1;
  RecordRows rows;
  rows.read(*record);
  ASSERT_EQ(rows.objects.size(), 2u);
  EXPECT_NE(rows.objects[0].key, rows.objects[1].key);
}

TEST(RecordRows, TimeIsThatOfTheCaptureElseOfTheUuid) {
  auto record = std::make_shared<Record>(*testing::frame_record({}));
  RecordRows rows;
  rows.read(*record);
  EXPECT_EQ(rows.time_us, rows.made_ms * 1000);
  auto message = std::make_shared<stream::Message>(*record->message);
  message->frame->captured_us = 1'700'000'000'000'000;
  record->message = message;
  rows.read(*record);
  EXPECT_EQ(rows.time_us, 1'700'000'000'000'000);
}

TEST(Documents, FrameIsTheRecordAsItIsEverywhere) {
  const RecordRef record = testing::frame_record({.objects = 1});
  Documents documents({});
  const auto all = documents.of(*record);
  std::string json;
  write_record_json(*record, json);
  EXPECT_EQ(all[0].json, json);
  EXPECT_EQ(all[0].kind, DocumentKind::frame);
}

TEST(Documents, ObjectsAndEventsHaveTheIdentityOfTheirFrame) {
  const RecordRef record =
      testing::frame_record({.source_id = "dock-2", .seq = 9, .objects = 2, .events = 1});
  Documents documents({});
  const auto all = documents.of(*record);
  const std::string uuid = documents.rows().uuid;
  EXPECT_THAT(keys(all), ElementsAre(uuid, uuid + ":0", uuid + ":1", uuid + ":gate:cross:0"));
  const Json frame = Json::parse(all[0].json), object = Json::parse(all[2].json),
             event = Json::parse(all[3].json);
  EXPECT_EQ(object["uuid"], uuid);
  EXPECT_EQ(object["source_id"], "dock-2");
  EXPECT_EQ(object["seq"], 9);
  EXPECT_EQ(object["region_id"], 1);
  EXPECT_EQ(object["x"], frame["objects"][1]["x"]);
  EXPECT_EQ(object["attributes"], frame["objects"][1]["attributes"]);
  EXPECT_EQ(event["element"], "gate");
  EXPECT_EQ(event["name"], "cross");
  EXPECT_EQ(event["track"], 1);
  EXPECT_EQ(event["label"], "main forward");
}

TEST(Documents, ObjectsAreTheSameWhetherTakenFromTheirFrameOrWrittenAnew) {
  auto record = std::make_shared<Record>(*testing::frame_record({.objects = 3}));
  record->results.regions[1].label = Label("a \"quoted\" {label} \\ [");
  Documents documents({});
  const auto all = documents.of(*record);
  std::vector<Json> taken;
  for (size_t i = 1; i < all.size(); ++i) taken.push_back(Json::parse(all[i].json));
  EXPECT_EQ(taken[1]["roi_type"], "a \"quoted\" {label} \\ [");
  record->results.json = "{}";  // what a function of the user has made of the record
  const auto anew = documents.of(*record);
  ASSERT_EQ(anew.size(), all.size());
  for (size_t i = 1; i < anew.size(); ++i) EXPECT_EQ(Json::parse(anew[i].json), taken[i - 1]);
}

TEST(Documents, LateUpdateMergesIntoFrameAndObjectsAndAddsNewOnes) {
  const RecordRef record = testing::frame_record({.objects = 1});
  const RecordRef update = testing::update_record(*record);
  Documents documents({});
  const auto all = documents.of(*update);
  const std::string uuid = stream::to_string(record->uuid);
  EXPECT_THAT(keys(all), ElementsAre(uuid, uuid + ":0", uuid + ":5"));
  EXPECT_TRUE(all[0].is_merge);
  EXPECT_TRUE(all[1].is_merge);
  EXPECT_FALSE(all[2].is_merge);
  EXPECT_EQ(Json::parse(all[0].json)["late"]["report:verdict"]["label"], "checked");
  EXPECT_EQ(Json::parse(all[1].json)["late"]["mood:age"]["value"], 34);
  const Json object = Json::parse(all[2].json);
  EXPECT_EQ(object["x"], 90) << "in pixels, though the size of the frame is not known";
  EXPECT_FALSE(object["detection"].contains("bounding_box"));
}

TEST(Documents, NotesComeWhenTheyAreAskedFor) {
  auto record = std::make_shared<Record>();
  record->kind = RecordKind::end_of_stream;
  record->uuid = stream::make_uuid_v7();
  record->source_id = "cam";
  auto message = std::make_shared<stream::Message>();
  message->end_of_stream.emplace();
  record->message = message;
  EXPECT_TRUE(Documents({}).of(*record).empty());
  Documents with_notes({.notes = true});
  const auto all = with_notes.of(*record);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].kind, DocumentKind::note);
  EXPECT_EQ(Json::parse(all[0].json)["kind"], "end_of_stream");
}

TEST(Documents, ObjectsMayBeLeftOut) {
  Documents documents({.objects = false});
  EXPECT_EQ(documents.of(*testing::frame_record({.objects = 3})).size(), 1u);
}

}  // namespace
}  // namespace sightglass::adapters
