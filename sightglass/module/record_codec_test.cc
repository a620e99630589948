#include "sightglass/module/record_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "sightglass/adapters/test_records.h"
#include "sightglass/core/allocation_count.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::module {
namespace {

using adapters::Record;
using adapters::RecordRef;
using adapters::testing::frame_record;

std::vector<uint8_t> encoded(const Record& record) {
  RecordCodec codec;
  std::vector<uint8_t> bytes;
  codec.encode(record, bytes);
  return bytes;
}

std::string json_of(const Record& record) {
  std::string text;
  adapters::write_record_json(record, text);
  return text;
}

Tensor tensor_of(DataType type, std::initializer_list<int64_t> shape) {
  auto tensor = allocate_tensor({.type = type, .shape = shape});
  const auto mapping = map(*tensor, Access::write);
  for (size_t i = 0; i < mapping->bytes(); ++i) mapping->data()[i] = std::byte(i % 4 == 3 ? 0 : i);
  return *tensor;
}

// Of every kind, with all that there is to say.
std::vector<Attribute> all_attributes() {
  auto legend = make_ref<Legend>();
  legend->names = {"nose", "", "left eye"};
  legend->links = {{0, 2}, {1, 65535}};
  return {
      {.name = Label("hat"),
       .kind = AttributeKind::classification,
       .text = "fedora",
       .label_id = 3,
       .confidence = 0.75f,
       .model = Label("hats")},
      {.name = Label("mood"),
       .kind = AttributeKind::multi,
       .text = "glad, calm",
       .values = {1, 0.5f, 4, 0.25f}},
      {.name = Label("plate"), .kind = AttributeKind::text, .text = "B-XY \xc3\xa4 12", .age = 7},
      {.name = Label("age"), .kind = AttributeKind::number, .number = -1.5e300, .model = Label("ages")},
      {.name = Label("face"), .kind = AttributeKind::vector, .values = {1.5f, -2, 1e-30f}},
      {.name = Label("map"), .kind = AttributeKind::tensor, .tensor = tensor_of(DataType::i16, {2, 3, 4})},
      {.name = Label("none"), .kind = AttributeKind::tensor, .tensor = tensor_of(DataType::u8, {0, 4})},
      {.name = Label("pose"),
       .kind = AttributeKind::keypoints,
       .values = {0, 1, 0.5f, -1, -1, 0},
       .legend = legend},
      {.name = Label("outline"), .kind = AttributeKind::contour, .values = {0, 0, 1, 0, 1, 1}},
      {.name = Label("part"), .kind = AttributeKind::box, .values = {0, 0.25f, 0.5f, 1}},
      {.name = Label("shape"),
       .kind = AttributeKind::mask,
       .values = {0, 0, 1, 1},
       .tensor = tensor_of(DataType::f32, {3, 5})}};
}

std::shared_ptr<Record> rich_record() {
  auto record = std::make_shared<Record>(*frame_record({.seq = 5, .objects = 3, .events = 2}));
  Frame& results = record->results;
  results.duration = 40'000'000;
  results.video = VideoInfo{.format = PixelFormat::nv12,
                            .width = 641,
                            .height = 479,
                            .matrix = ColorMatrix::bt709,
                            .full_range = true,
                            .pixel_aspect = {4, 3},
                            .frame_rate = {30000, 1001}};
  results.regions[1].parent = 0;
  results.regions[1].angle = -0.5f;
  results.regions[1].attributes = make_ref<const AttributeList>(all_attributes());
  results.regions[2].attributes = make_ref<const AttributeList>(std::vector<Attribute>());
  record->payload = stream::own(std::vector<uint8_t>(5000, 7));
  record->keyframe = true, record->is_replay = true;
  return record;
}

void expect_same(const AttributesRef& a, const AttributesRef& b) {
  ASSERT_EQ(bool(a), bool(b));
  if (!a) return;
  ASSERT_EQ(a->items().size(), b->items().size());
  for (size_t i = 0; i < a->items().size(); ++i) {
    const Attribute &was = a->items()[i], &is = b->items()[i];
    EXPECT_EQ(was.name, is.name);
    EXPECT_EQ(was.model, is.model);
    EXPECT_EQ(was.kind, is.kind);
    EXPECT_EQ(was.text, is.text);
    EXPECT_EQ(was.label_id, is.label_id);
    EXPECT_EQ(was.confidence, is.confidence);
    EXPECT_EQ(was.number, is.number);
    EXPECT_EQ(was.values, is.values);
    EXPECT_EQ(was.age, is.age);
    ASSERT_EQ(bool(was.legend), bool(is.legend));
    if (was.legend) {
      EXPECT_EQ(was.legend->names, is.legend->names);
      EXPECT_EQ(was.legend->links, is.legend->links);
    }
    ASSERT_EQ(bool(was.tensor), bool(is.tensor));
    if (!was.tensor) continue;
    EXPECT_EQ(was.tensor.type, is.tensor.type);
    ASSERT_EQ(was.tensor.shape, is.tensor.shape);
    const auto before = map(was.tensor, Access::read), after = map(is.tensor, Access::read);
    ASSERT_TRUE(before && after);
    EXPECT_TRUE(std::equal(before->data(), before->data() + before->bytes(), after->data()));
  }
}

// What stands in the record's lines in pixels, which need the size of the picture.
TEST(RecordCodec, KeepsTheSizeOfThePicture) {
  const auto record = frame_record({.seq = 3, .objects = 2, .events = 1});
  const auto again = RecordCodec().decode(encoded(*record));
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_TRUE((*again)->results.video);
  EXPECT_THAT(json_of(**again), testing::HasSubstr(R"("x":64,"y":96,"w":79,"h":113)"));
}

TEST(RecordCodec, KeepsAllThatARecordSays) {
  const auto record = rich_record();
  const auto read = RecordCodec().decode(encoded(*record));
  ASSERT_TRUE(read) << read.error().message;
  const Record& again = **read;
  EXPECT_EQ(again.kind, record->kind);
  EXPECT_EQ(again.source_id, record->source_id);
  EXPECT_EQ(again.uuid, record->uuid);
  EXPECT_EQ(again.epoch, record->epoch);
  EXPECT_EQ(again.seq, record->seq);
  EXPECT_EQ(again.pts, record->pts);
  EXPECT_TRUE(again.keyframe && again.is_replay);
  EXPECT_TRUE(std::ranges::equal(again.payload.bytes, record->payload.bytes));
  EXPECT_EQ(*again.message->frame, *record->message->frame);
  EXPECT_EQ(again.results.video, record->results.video);
  EXPECT_EQ(again.results.pts, record->results.pts);
  EXPECT_EQ(again.results.duration, record->results.duration);
  expect_same(record->results.attributes, again.results.attributes);
  ASSERT_EQ(again.results.regions.size(), record->results.regions.size());
  for (size_t i = 0; i < again.results.regions.size(); ++i) {
    Region was = record->results.regions[i], is = again.results.regions[i];
    expect_same(was.attributes, is.attributes);
    was.attributes = {}, is.attributes = {};
    EXPECT_EQ(was, is);
  }
  EXPECT_EQ(json_of(again), json_of(*record));
}

TEST(RecordCodec, KeepsWhatAFunctionHasWritten) {
  auto record = std::make_shared<Record>(*frame_record({}));
  record->results.json = R"({"mine":1})";
  const auto again = RecordCodec().decode(encoded(*record));
  ASSERT_TRUE(again);
  EXPECT_EQ(json_of(**again), R"({"mine":1})");
}

TEST(RecordCodec, KeepsUpdatesAndRecordsOfOtherPrograms) {
  const auto frame = frame_record({.objects = 2});
  const auto update = adapters::testing::update_record(*frame);
  const auto again = RecordCodec().decode(encoded(*update));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ((*again)->kind, adapters::RecordKind::frame_update);
  EXPECT_EQ(*(*again)->message, *update->message);
  EXPECT_EQ(json_of(**again), json_of(*update));
  // Its message still has the objects and the content that the record holds itself.
  stream::Message message = *frame->message;
  adapters::to_message(*frame, message);
  message.frame->content = stream::Inline{{1, 2, 3}};
  const auto foreign = adapters::record_of({.message = std::make_shared<stream::Message>(message)});
  const auto bytes = encoded(*foreign);
  const auto read = RecordCodec().decode(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(json_of(**read), json_of(*foreign));
  EXPECT_TRUE((*read)->message->frame->objects.empty()) << "not twice";
  EXPECT_TRUE(std::ranges::equal((*read)->payload.bytes, std::vector<uint8_t>{1, 2, 3}));
}

TEST(RecordCodec, WritesMoreLabelsThanItNumbers) {
  auto record = std::make_shared<Record>(*frame_record({.objects = 100}));
  for (size_t i = 0; i < 100; ++i) record->results.regions[i].label = Label("label" + std::to_string(i));
  const auto again = RecordCodec().decode(encoded(*record));
  ASSERT_TRUE(again);
  EXPECT_EQ(json_of(**again), json_of(*record));
}

TEST(RecordCodec, AppendsAndAllocatesNothingOnceWarm) {
  const auto record = frame_record({.objects = 10});
  RecordCodec codec;
  std::vector<uint8_t> bytes = {1, 2, 3};
  codec.encode(*record, bytes);
  EXPECT_EQ(bytes[2], 3);
  ASSERT_TRUE(codec.decode(std::span(bytes).subspan(3)));
  const size_t before = allocation_count();
  for (int i = 0; i < 10; ++i) {
    bytes.clear();
    codec.encode(*record, bytes);
  }
  EXPECT_EQ(allocation_count(), before);
}

TEST(RecordCodec, DamagedBytesAreAnError) {
  const auto bytes = encoded(*rich_record());
  const size_t payload = 5000;
  for (size_t size = 0; size < bytes.size() - payload; ++size)
    EXPECT_FALSE(RecordCodec().decode(std::span(bytes).first(size))) << size;
  // Whatever stands there: read or refused.
  std::mt19937 random(7);
  RecordCodec codec;
  for (int round = 0; round < 20'000; ++round) {
    auto changed = bytes;
    for (int i = 0; i < 3; ++i) changed[random() % (bytes.size() - payload)] = uint8_t(random());
    (void)codec.decode(changed);
  }
}

}  // namespace
}  // namespace sightglass::module
