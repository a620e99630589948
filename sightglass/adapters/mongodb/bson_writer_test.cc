#include "sightglass/adapters/mongodb/bson_writer.h"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>

#include "sightglass/adapters/mongodb/frame_updates.h"
#include "sightglass/adapters/mongodb/json_to_bson.h"
#include "sightglass/adapters/test_records.h"
#include "sightglass/core/allocation_count.h"
#include "sightglass/core/json_writer.h"

namespace sightglass::adapters {
namespace {

std::string bytes_of(const bson_t& document) {
  return {reinterpret_cast<const char*>(bson_get_data(&document)), document.len};
}

// As text for people; of the same bytes.
std::string shown(const std::string& bytes) {
  bson_t document;
  if (!bson_init_static(&document, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()))
    return "(no BSON)";
  char* const text = bson_as_canonical_extended_json(&document, nullptr);
  std::string made = text ? text : "(no text)";
  bson_free(text);
  return made;
}

// Written by the same code as BSON and as JSON, which is read.
void expect_same(auto&& write) {
  std::string text, bytes;
  JsonWriter json(text);
  BsonWriter bson(bytes);
  write(json);
  write(bson);
  bson_t read;
  bson_init(&read);
  JsonToBson reader;
  ASSERT_TRUE(reader.append(text, read)) << text;
  EXPECT_TRUE(bson.is_good());
  EXPECT_EQ(bytes, bytes_of(read)) << text << "\n" << shown(bytes) << "\n" << shown(bytes_of(read));
  bson_destroy(&read);
}

TEST(BsonWriter, WritesEveryValueAsItsJsonIsRead) {
  expect_same([](auto& out) {
    out.begin_object();
    out.field("yes", true);
    out.field("no", false);
    out.field("nothing", nullptr);
    out.key("whole");
    out.begin_array();
    for (const int64_t number : {int64_t(0), int64_t(-1), int64_t(INT32_MAX), int64_t(INT32_MIN),
                                 int64_t(INT32_MAX) + 1, int64_t(INT32_MIN) - 1, INT64_MAX, INT64_MIN})
      out.value(number);
    out.value(UINT64_MAX);
    out.value(uint64_t(INT64_MAX) + 1);
    out.value(uint8_t(7));
    out.end_array();
    out.key("real");
    out.begin_array();
    for (const double number :
         {0.0, -0.0, 0.1, -2.5, 1e-7, 1e5, 99999.0, 100000.0, 123456.0, 1e10, 1e15, 123456789012345678.0,
          1e22, 1e300, -1e300, 5e-324, std::numeric_limits<double>::quiet_NaN(), HUGE_VAL, -HUGE_VAL})
      out.value(number);
    out.end_array();
    out.key("float");
    out.begin_array();
    for (const float number : {0.0f, -0.0f, 0.1f, 0.91f, 1.0f, -3.0f, 16777216.0f, 100000.0f, 123456.0f,
                               1e10f, 3.4e38f, 1e-45f, 1e-5f, 1234567.5f, 0.001f, std::nanf(""), HUGE_VALF})
      out.value(number);
    out.end_array();
    out.end_object();
  });
}

TEST(BsonWriter, WritesTextsAsTheirJsonIsRead) {
  for (const std::string& text :
       {std::string(), std::string("plain"), std::string("a \"quoted\" \\ text\n\t\r\b\f/"),
        std::string("\x01\x1f\x7f"), std::string("ends in NUL\0and goes on", 23), std::string("żółć 画 🎥"),
        std::string("\xff\xc0\x80 bad \xed\xa0\x80 and cut \xe2\x82"), std::string(3000, 'x'),
        std::string(70, 'y') + "\xc3\xa9"})
    expect_same([&](auto& out) {
      out.begin_object();
      out.field("text", text);
      out.key("list");
      out.begin_array();
      out.value(text);
      out.end_array();
      out.end_object();
    });
}

TEST(BsonWriter, NestsAndNamesAsItsJsonIsRead) {
  expect_same([](auto& out) {
    out.begin_object();
    out.key("empty");
    out.begin_object();
    out.end_object();
    out.key("list");
    out.begin_array();
    for (int i = 0; i < 120; ++i) out.value(i);
    out.end_array();
    out.key("lists");
    out.begin_array();
    for (int i = 0; i < 3; ++i) {
      out.begin_array();
      out.begin_object();
      out.field("in", i);
      out.end_object();
      out.end_array();
    }
    out.end_array();
    out.key("names");
    out.begin_object();
    for (const char* name : {"", "with.dot", "$with", "żółć", "bad \xff", "\"quoted\""}) out.field(name, 1);
    out.field(std::string(200, 'n'), 1);
    out.end_object();
    out.end_object();
  });
}

TEST(BsonWriter, WritesDatesAsTheLibraryDoes) {
  for (const int64_t ms : {int64_t(0), int64_t(1'795'000'000'123), int64_t(-5), INT64_MAX}) {
    bson_t document;
    bson_init(&document);
    bson_append_date_time(&document, "time", 4, ms);
    std::string bytes;
    BsonWriter out(bytes);
    out.begin_object();
    out.date("time", ms);
    out.end_object();
    EXPECT_EQ(bytes, bytes_of(document));
    bson_destroy(&document);
  }
}

TEST(BsonWriter, NameWithANulIsRefused) {
  for (const std::string& name : {std::string("a\0b", 3), std::string("long enough, with\0it", 20)}) {
    std::string bytes;
    BsonWriter out(bytes);
    out.begin_object();
    out.field(name, 1);
    out.end_object();
    EXPECT_FALSE(out.is_good());
  }
}

TEST(BsonWriter, FloatsAreTheirShortestDecimals) {
  const auto expect_shortest = [](float number) {
    if (!std::isfinite(number)) return;
    char digits[32];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
    double read = 0;
    (void)std::from_chars(digits, end, read);
    ASSERT_EQ(std::bit_cast<uint64_t>(decimal_double(number)), std::bit_cast<uint64_t>(read))
        << std::string(digits, end);
  };
  std::mt19937 random(7);  // NOLINT: the same ones every time
  std::uniform_real_distribution<float> part(0, 1), large(-1e6f, 1e6f);
  for (int i = 0; i < 300'000; ++i) {
    expect_shortest(std::bit_cast<float>(uint32_t(random())));
    expect_shortest(part(random));
    expect_shortest(large(random));
  }
  for (float decade = 1e-6f; decade < 1e8f; decade *= 10)
    for (float up = decade, down = decade; up < decade * 1.0005f;
         up = std::nextafter(up, HUGE_VALF), down = std::nextafter(down, 0.0f)) {
      expect_shortest(up);
      expect_shortest(-down);
    }
}

// --- the documents of a frame

void expect_same_documents(const Record& record, bool with_objects = true) {
  ASSERT_TRUE(FrameUpdates::takes(record));
  Documents documents({.objects = with_objects});
  FrameUpdates updates;
  const auto expected = documents.of(record);
  ASSERT_TRUE(updates.read(record, with_objects));
  ASSERT_EQ(updates.all().size(), expected.size());
  JsonToBson json;
  for (size_t i = 0; i < expected.size(); ++i) {
    const FrameUpdates::Update& update = updates.all()[i];
    EXPECT_EQ(update.kind, expected[i].kind);
    EXPECT_EQ(update.key, expected[i].key);
    bson_t made, set;
    bson_init(&made);
    bson_append_document_begin(&made, "$set", 4, &set);
    bson_append_date_time(&set, "time", 4, documents.rows().time_us / 1000);
    bson_append_date_time(&set, "made", 4, documents.rows().made_ms);
    ASSERT_TRUE(json.append(expected[i].json, set));
    bson_append_document_end(&made, &set);
    EXPECT_EQ(update.bson, bytes_of(made)) << shown(std::string(update.bson)) << "\n"
                                           << shown(bytes_of(made));
    bson_destroy(&made);
  }
}

TEST(FrameUpdates, AreTheDocumentsThatOtherStoresGet) {
  expect_same_documents(*testing::frame_record({.seq = 3, .objects = 10, .events = 3}));
  expect_same_documents(*testing::frame_record({.objects = 0}));
  expect_same_documents(*testing::frame_record({.objects = 2, .events = 1}), false);
}

TEST(FrameUpdates, SayEveryKindOfAttributeAndWhatIsOddAsTheOthersDo) {
  auto record = std::make_shared<Record>(*testing::frame_record({.objects = 4, .events = 1}));
  record->seq = int64_t(1) << 40;
  record->results.regions[0].id = -1;
  record->results.regions[1].parent = 0;
  record->results.regions[1].angle = 0.3f;
  record->results.regions[2].label = Label("bad \xff label \"quoted\"");
  record->results.regions[2].box = {std::nanf(""), HUGE_VALF, -1e30f, 2};
  record->results.regions[3].label = {};
  record->results.regions[3].track = int64_t(1) << 50;
  std::vector<Attribute> list;
  for (const AttributeKind kind :
       {AttributeKind::classification, AttributeKind::multi, AttributeKind::text, AttributeKind::number,
        AttributeKind::box, AttributeKind::vector, AttributeKind::mask, AttributeKind::keypoints,
        AttributeKind::contour, AttributeKind::tensor}) {
    Attribute attribute;
    attribute.name = Label("odd.name");
    attribute.kind = kind;
    attribute.text = "text \x01 \xc3";
    attribute.number = 1e17;
    attribute.label_id = 5;
    attribute.confidence = 1;
    attribute.values = {0.1f, 2, std::nanf(""), 100000, 0.33333f, -0.0f};
    attribute.age = 3;
    attribute.model = Label("model");
    list.push_back(attribute);
    attribute.values.clear(), attribute.text.clear(), attribute.confidence = 0;
    attribute.number = std::numeric_limits<double>::infinity();
    list.push_back(attribute);
  }
  record->results.regions[0].attributes = make_ref<const AttributeList>(list);
  for (const char* model : {"tag", "stream", "draw"}) {
    Attribute reserved;
    reserved.name = Label("cross.ing $now");
    reserved.kind = AttributeKind::number;
    reserved.number = 1;
    reserved.model = Label(model);
    list.push_back(reserved);
  }
  record->results.attributes = make_ref<const AttributeList>(list);
  expect_same_documents(*record);
  record->results.video.reset();
  record->pts = no_time, record->results.pts = no_time;
  expect_same_documents(*record);
}

TEST(FrameUpdates, AllocateNothingOnceWarm) {
  const RecordRef record = testing::frame_record({.objects = 10, .events = 2});
  FrameUpdates updates;
  ASSERT_TRUE(updates.read(*record, true));
  const size_t before = allocation_count();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(updates.read(*record, true));
  EXPECT_EQ(allocation_count(), before);
}

}  // namespace
}  // namespace sightglass::adapters
