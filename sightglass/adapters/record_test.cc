#include "sightglass/adapters/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "sightglass/adapters/wire_metadata.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

constexpr int width = 640, height = 480;

Attribute round_trip(const Attribute& attribute) {
  stream::Attribute wire;
  EXPECT_TRUE(to_wire(attribute, width, height, wire));
  const auto back = to_attribute(wire, width, height);
  EXPECT_TRUE(back);
  return back.value_or(Attribute());
}

Tensor floats(std::initializer_list<float> values, Shape shape) {
  Tensor tensor = *allocate_tensor({.type = DataType::f32, .shape = shape});
  auto mapping = map(tensor, Access::write);
  std::ranges::copy(values, mapping->as<float>().begin());
  return tensor;
}

std::shared_ptr<stream::Message> frame_message() {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::frame;
  message->source_id = "cam-1";
  message->frame.emplace();
  message->frame->uuid = stream::make_uuid_v7();
  message->frame->width = width, message->frame->height = height;
  return message;
}

TEST(WireMetadata, EveryKindOfAttributeReadsBackAsItWas) {
  const Label model("mood"), name("face");
  const auto made = [&](AttributeKind kind) {
    Attribute attribute;
    attribute.kind = kind, attribute.name = name, attribute.model = model;
    return attribute;
  };
  Attribute attribute = made(AttributeKind::classification);
  attribute.text = "glad", attribute.label_id = 3, attribute.confidence = 0.5f;
  Attribute back = round_trip(attribute);
  EXPECT_EQ(back.kind, AttributeKind::classification);
  EXPECT_EQ(back.text, "glad");
  EXPECT_EQ(back.label_id, 3);
  EXPECT_EQ(back.confidence, 0.5f);
  EXPECT_EQ(back.name, name);
  EXPECT_EQ(back.model, model);

  attribute = made(AttributeKind::multi);
  attribute.text = "a", attribute.confidence = 0.25f, attribute.values = {1, 0.25f, 2, 0.125f};
  back = round_trip(attribute);
  EXPECT_EQ(back.kind, AttributeKind::multi);
  EXPECT_EQ(back.values, attribute.values);

  attribute = made(AttributeKind::number);
  attribute.number = 34.5, attribute.text = "34";
  back = round_trip(attribute);
  EXPECT_EQ(back.number, 34.5);
  EXPECT_EQ(back.text, "34");

  attribute = made(AttributeKind::vector);
  attribute.values = {1, -2, 0.5f};
  back = round_trip(attribute);
  EXPECT_EQ(back.kind, AttributeKind::vector);
  EXPECT_EQ(back.values, attribute.values);

  attribute = made(AttributeKind::keypoints);
  attribute.values = {0.25f, 0.5f, 0.75f, -1, -1, 0};
  back = round_trip(attribute);
  EXPECT_EQ(back.kind, AttributeKind::keypoints);
  EXPECT_THAT(back.values, Pointwise(FloatNear(1e-6f), attribute.values));

  for (const AttributeKind kind : {AttributeKind::contour, AttributeKind::box}) {
    attribute = made(kind);
    attribute.values = {0.25f, 0.5f, 0.125f, 0.25f};
    back = round_trip(attribute);
    EXPECT_EQ(back.kind, kind);
    EXPECT_THAT(back.values, Pointwise(FloatNear(1e-6f), attribute.values));
  }

  attribute = made(AttributeKind::text);
  attribute.text = "B-AB 123";
  EXPECT_EQ(round_trip(attribute).text, "B-AB 123");
}

TEST(WireMetadata, MaskOfScoresBecomesRunsOfWhatIsInside) {
  Attribute mask;
  mask.kind = AttributeKind::mask, mask.name = Label("m");
  mask.tensor = floats({0.1f, 0.9f, 0.5f, 0.4f, 1, 0}, {2, 3});
  mask.values = {0.25f, 0.25f, 0.5f, 0.5f};
  stream::Attribute wire;
  ASSERT_TRUE(to_wire(mask, width, height, wire));
  EXPECT_THAT(std::get<stream::Mask>(wire.values[0].value).rle, ElementsAre(1, 2, 1, 1, 1));
  const Attribute back = round_trip(mask);
  EXPECT_EQ(back.kind, AttributeKind::mask);
  EXPECT_THAT(map(back.tensor, Access::read)->as<const float>(), ElementsAre(0, 1, 1, 0, 1, 0));
  EXPECT_EQ(back.values, mask.values);
}

TEST(WireMetadata, TensorKeepsTypeShapeAndBytes) {
  Attribute tensor;
  tensor.kind = AttributeKind::tensor, tensor.name = Label("t"), tensor.text = "raw";
  tensor.tensor = floats({1, 2, 3, 4}, {1, 4});
  const Attribute back = round_trip(tensor);
  EXPECT_EQ(back.tensor.shape, tensor.tensor.shape);
  EXPECT_EQ(back.text, "raw");
  EXPECT_THAT(map(back.tensor, Access::read)->as<const float>(), ElementsAre(1, 2, 3, 4));
}

TEST(WireMetadata, LyingTensorsAndMasksAreLeftOut) {
  stream::Attribute wire;
  wire.name = "t";
  wire.values.resize(1);
  wire.values[0].value = stream::Tensor{.dtype = "f32", .shape = {1000, 1000}, .data = {1, 2, 3}};
  EXPECT_FALSE(to_attribute(wire, width, height));
  wire.values[0].value = stream::Tensor{.dtype = "f99", .shape = {1}, .data = {1}};
  EXPECT_FALSE(to_attribute(wire, width, height));
  wire.values[0].value = stream::Mask{.width = 2, .height = 2, .rle = {1, 9}};
  EXPECT_FALSE(to_attribute(wire, width, height));
  wire.values[0].value = stream::Mask{.width = 4096, .height = 4096, .rle = {4096}};
  EXPECT_FALSE(to_attribute(wire, width, height));
  wire.values[0].value = stream::Mask{.width = 1 << 20, .height = 1 << 20, .rle = {}};
  EXPECT_FALSE(to_attribute(wire, width, height));
  wire.values[0].value = stream::Tensor{.dtype = "f32", .shape = std::vector<int64_t>(20, 1), .data = {}};
  EXPECT_FALSE(to_attribute(wire, width, height));
  wire.values.clear();
  EXPECT_FALSE(to_attribute(wire, width, height));
}

TEST(WireMetadata, AttributesOfOthersAreReadByTheTypeOfTheirValue) {
  const auto read = [](auto value, std::optional<float> confidence = {}) {
    stream::Attribute wire;
    wire.namespace_ = "sensor", wire.name = "lux";
    wire.values.resize(1);
    wire.values[0].value = std::move(value);
    wire.values[0].confidence = confidence;
    return to_attribute(wire, width, height).value_or(Attribute());
  };
  EXPECT_EQ(read(int64_t(12)).number, 12);
  EXPECT_EQ(read(true).number, 1);
  EXPECT_EQ(read(0.5).kind, AttributeKind::number);
  EXPECT_EQ(read(std::string("dim")).kind, AttributeKind::text);
  EXPECT_EQ(read(std::string("dim"), 0.5f).kind, AttributeKind::classification);
  EXPECT_EQ(read(stream::Strings{{"a", "b"}}).text, "a, b");
  EXPECT_THAT(read(stream::Longs{{1, 2}}).values, ElementsAre(1, 2));
  EXPECT_EQ(read(stream::Crossing{"gate", "in"}).text, "gate in");
}

TEST(WireMetadata, ObjectsKeepBoxAngleTrackAndParent) {
  Region region;
  region.id = 4, region.parent = 2, region.box = {0.25f, 0.5f, 0.125f, 0.25f}, region.angle = 0.5f;
  region.confidence = 0.75f, region.label = Label("car"), region.model = Label("cars"), region.track = 17;
  Attribute lost;
  lost.name = Label("state"), lost.model = Label("track"), lost.text = "lost";
  Attribute shown;
  shown.name = Label("label"), shown.model = Label("draw"), shown.text = "my car";
  region.attributes = with(with(nullptr, lost), shown);
  stream::Object wire;
  uint64_t left_out = 0;
  to_wire(region, width, height, wire, left_out);
  EXPECT_FLOAT_EQ(wire.detection_box.xc, 200);
  EXPECT_FLOAT_EQ(wire.detection_box.yc, 300);
  EXPECT_FLOAT_EQ(wire.detection_box.width, 80);
  EXPECT_EQ(wire.track_state, stream::TrackState::lost);
  EXPECT_EQ(wire.draw_label, "my car");
  EXPECT_TRUE(wire.attributes.empty());
  const Region back = to_region(wire, width, height);
  EXPECT_EQ(back.id, 4);
  EXPECT_EQ(back.parent, 2);
  EXPECT_FLOAT_EQ(back.box.x, region.box.x);
  EXPECT_FLOAT_EQ(back.box.h, region.box.h);
  EXPECT_EQ(back.angle, 0.5f);
  EXPECT_EQ(back.track, 17);
  ASSERT_TRUE(back.attributes);
  EXPECT_EQ(back.attributes->find("state")->text, "lost");
  EXPECT_EQ(back.attributes->find("label")->text, "my car");
  EXPECT_EQ(back.label, region.label);
  EXPECT_EQ(back.model, region.model);
  EXPECT_EQ(left_out, 0u);
  // Ids of others may be larger than ours.
  for (const int64_t id : {int64_t(-5), int64_t(1) << 32, (int64_t(1) << 32) + 2}) {
    wire.parent_id = id;
    EXPECT_EQ(to_region(wire, width, height).parent, -1);
  }
}

TEST(WireMetadata, WhoInventsLabelsDoesNotTakeThoseOfTheModule) {
  for (int i = 0; i < 20'000; ++i) (void)wire_label("invented-" + std::to_string(i));
  EXPECT_EQ(wire_label("invented-19999"), Label("other"));
  EXPECT_EQ(wire_label("invented-1"), Label("invented-1"));
  const Label own("a class of the module's own model");
  EXPECT_EQ(wire_label("a class of the module's own model"), own);
}

TEST(Record, MessageOfAFrameIsThatWhichCameWithNewResults) {
  const auto original = frame_message();
  original->frame->pts = 1234;
  original->frame->attributes.push_back(
      {.namespace_ = "a", .name = "opaque", .values = {{.value = stream::Opaque{"x", {1}}}}});
  original->frame->attributes.push_back(
      {.namespace_ = "a", .name = "old", .values = {{.value = int64_t(1)}}});
  Record record{.source_id = "cam-1", .uuid = original->frame->uuid, .message = original};
  Attribute tag;
  tag.name = Label("crossing"), tag.model = Label("tag"), tag.kind = AttributeKind::number, tag.number = 1;
  Attribute lux;
  lux.name = Label("lux"), lux.model = Label("sensor"), lux.kind = AttributeKind::number, lux.number = 3;
  record.results.attributes = with(with(nullptr, tag), lux);
  record.results.regions.push_back({.id = 0, .box = {0, 0, 0.5f, 0.5f}});
  stream::Message message;
  to_message(record, message);
  EXPECT_EQ(message.frame->uuid, original->frame->uuid);
  EXPECT_EQ(message.frame->pts, 1234);
  EXPECT_THAT(message.frame->tags, ElementsAre("crossing"));
  // What core cannot hold has passed; what it can is as the results say.
  ASSERT_EQ(message.frame->attributes.size(), 2u);
  EXPECT_EQ(message.frame->attributes[0].name, "opaque");
  EXPECT_EQ(message.frame->attributes[1].name, "lux");
  ASSERT_EQ(message.frame->objects.size(), 1u);

  Frame frame;
  to_frame(*message.frame, frame);
  EXPECT_EQ(frame.regions.size(), 1u);
  ASSERT_TRUE(frame.attributes);
  EXPECT_NE(frame.attributes->find("lux"), nullptr);
  EXPECT_NE(frame.attributes->find("crossing"), nullptr);
}

TEST(Record, JsonNamesTheFrameAndItsTags) {
  const auto message = frame_message();
  Record record{.source_id = "cam-1",
                .uuid = message->frame->uuid,
                .epoch = 2,
                .seq = 9,
                .pts = 40'000'000,
                .message = message};
  record.results.video = VideoInfo{.width = width, .height = height};
  Attribute tag;
  tag.name = Label("crossing"), tag.model = Label("tag"), tag.kind = AttributeKind::number, tag.number = 1;
  record.results.attributes = with(nullptr, tag);
  std::string text;
  write_record_json(record, text);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["schema"], "sightglass.frame/1");
  EXPECT_EQ(json["uuid"], stream::to_string(record.uuid));
  EXPECT_EQ(json["source_id"], "cam-1");
  EXPECT_EQ(json["epoch"], 2);
  EXPECT_EQ(json["seq"], 9);
  EXPECT_EQ(json["pts"], 40'000'000);
  EXPECT_EQ(json["tags"]["crossing"], true);
  EXPECT_FALSE(json.contains("attributes"));
  EXPECT_TRUE(json["objects"].empty());
}

TEST(Record, JsonOfNotesSaysWhatHappened) {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::end_of_stream;
  message->end_of_stream.emplace();
  message->end_of_stream->reason = stream::EndReason::idle;
  message->end_of_stream->frames = 12;
  const Record record{.kind = RecordKind::end_of_stream, .source_id = "cam-1", .message = message};
  std::string text;
  write_record_json(record, text);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["kind"], "end_of_stream");
  EXPECT_EQ(json["reason"], "idle");
  EXPECT_EQ(json["frames"], 12);
}

}  // namespace
}  // namespace sightglass::adapters
