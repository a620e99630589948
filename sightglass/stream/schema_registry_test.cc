// W-02: schemas that producers announce, and messages written in them.
#include "sightglass/stream/schema_registry.h"

#include <gtest/gtest.h>

#include <format>
#include <string>
#include <nlohmann/json.hpp>

#include "sightglass/stream/test_messages.h"

namespace sightglass::stream {
namespace {

using Json = nlohmann::ordered_json;
using namespace std::chrono_literals;

const SchemaRegistry::Time start{};

// Our schema with a change, as text.
std::string changed(auto&& change) {
  Json schema = Json::parse(schema_text());
  change(schema);
  return schema.dump();
}

Json& field(Json& record, std::string_view name) {
  for (Json& f : record["fields"]) {
    if (f["name"] == name) return f;
  }
  throw std::runtime_error("no such field");
}

std::string with_extra_field(std::string name) {
  return changed([&](Json& schema) {
    schema["fields"].push_back({{"name", name}, {"type", "string"}, {"default", "x"}});
  });
}

uint64_t fingerprint_of(const std::string& text) {
  return avro::fingerprint(avro::Schema::parse(text, avro::Defaults::leave_out)->canonical_form());
}

TEST(W02, RefusesTextsThatAreNoSchemaOfMessages) {
  SchemaRegistry registry;
  for (const std::string text :
       {"", "{", "null", "\"string\"", R"({"type":"record","name":"Other","fields":[]})",
        R"({"type":"enum","name":"Message","symbols":["A"]})", R"({"type":"record","name":"Message"})",
        R"({"type":"record","name":"Message","fields":[{"name":"a","type":"nothing"}]})"}) {
    EXPECT_EQ(registry.announce(test::uuid(1), text, start), Rejection::schema_bad) << text;
  }
  const std::string large =
      "{\"doc\":\"" + std::string(256 * 1024, 'x') + "\"," + std::string(schema_text().substr(1));
  EXPECT_EQ(registry.announce(test::uuid(1), large, start), Rejection::schema_bad);
}

TEST(W02, RefusesTextsMadeToCostMuch) {
  SchemaRegistry registry;
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += R"({"type":"array","items":)";
  EXPECT_EQ(registry.announce(test::uuid(1), deep, start), Rejection::schema_bad);
  for (int i = 0; i < 20'000; ++i) deep += '[';
  EXPECT_EQ(registry.announce(test::uuid(1), std::string(250'000, '['), start), Rejection::schema_bad);
  // Each type holds the one before twice: 2^200 fields when written out.
  std::string types =
      R"({"type":"record","name":"Message","fields":[{"name":"a","type":{"type":"record","name":"T0","fields":[]}})";
  for (int i = 1; i < 200; ++i) {
    types += std::format(
        R"(,{{"name":"f{0}","default":{{}},"type":{{"type":"record","name":"T{0}","fields":[)"
        R"({{"name":"a","type":"T{1}","default":{{}}}},{{"name":"b","type":"T{1}","default":{{}}}}]}}}})",
        i, i - 1);
  }
  types += "]}";
  EXPECT_EQ(registry.announce(test::uuid(1), types, start), Rejection::schema_incompatible);
}

TEST(W02, RefusesToReplaceWhatIsCompiledIn) {
  SchemaRegistry registry;
  EXPECT_EQ(registry.announce(test::uuid(1), schema_text(), start), Rejection::none);
  // What differs only in what is no part of the canonical form has the same fingerprint, and changes nothing.
  const std::string other = changed([](Json& schema) { schema["doc"] = "mine"; });
  uint64_t fingerprint = 0;
  EXPECT_EQ(registry.announce(test::uuid(1), other, start, &fingerprint), Rejection::none);
  EXPECT_EQ(fingerprint, schema_fingerprint);
}

TEST(W02, RemembersForAMinuteWhatCannotBeRead) {
  SchemaRegistry registry;
  const std::string text = changed([](Json& schema) { field(schema, "seq")["type"] = "string"; });
  uint64_t fingerprint = 0;
  EXPECT_EQ(registry.announce(test::uuid(1), text, start, &fingerprint), Rejection::schema_incompatible);
  EXPECT_TRUE(registry.find(fingerprint, start + 59s).incompatible);
  EXPECT_FALSE(registry.find(fingerprint, start + 61s).incompatible);
  EXPECT_EQ(registry.find(fingerprint, start + 61s).resolution, nullptr);

  MessageReader reader({}, &registry);
  test::Parts parts = test::parts_of(test::frame());
  std::memcpy(parts.bytes[1].data() + 2, &fingerprint, sizeof fingerprint);
  Message message;
  EXPECT_EQ(reader.read(parts.views(), message, start + 59s).reason, Rejection::schema_incompatible);
  EXPECT_EQ(reader.read(parts.views(), message, start + 61s).verdict, Reading::Verdict::needs_schema);
}

TEST(W02, AProducerAnnouncesABoundedNumber) {
  SchemaRegistry registry;
  for (size_t i = 0; i < SchemaRegistry::schemas_per_producer; ++i) {
    EXPECT_EQ(registry.announce(test::uuid(1), with_extra_field(std::format("extra{}", i)), start),
              Rejection::none);
  }
  const std::string more = with_extra_field("more");
  EXPECT_EQ(registry.announce(test::uuid(1), more, start), Rejection::schema_bad);
  EXPECT_EQ(registry.announce(test::uuid(1), with_extra_field("extra0"), start),
            Rejection::none);  // again is no other
  EXPECT_EQ(registry.announce(test::uuid(2), more, start), Rejection::none);
  EXPECT_NE(registry.find(fingerprint_of(more), start).resolution, nullptr);
  registry.forget(test::uuid(2));
  EXPECT_EQ(registry.find(fingerprint_of(more), start).resolution, nullptr);
  registry.forget(test::uuid(1));
  EXPECT_EQ(registry.announce(test::uuid(1), more, start), Rejection::none);
}

// F-22: whoever announces may invent both.
TEST(W02, InventedProducersAndSchemasDoNotPushOutThoseInUse) {
  SchemaRegistry schemas;
  const auto text_with = [](int n) {
    std::string text(schema_text());
    const size_t kinds = text.find("\"FRAME\"");
    return text.insert(text.find(']', kinds), std::format(", \"LATER{}\"", n));
  };
  uint64_t ours = 0, last = 0;
  ASSERT_EQ(schemas.announce(test::uuid(1), text_with(0), start, &ours), Rejection::none);
  ASSERT_TRUE(schemas.find(ours, start).resolution);
  // Cheap ones that cannot be read as ours.
  for (int i = 0; i < 2 * int(SchemaRegistry::most_schemas); ++i) {
    Uuid invented = test::uuid(2);
    invented[0] = uint8_t(i >> 8), invented[1] = uint8_t(i);
    const std::string text = std::format(
        R"({{"type":"record","name":"Message","namespace":"sightglass.v1","fields":[{{"name":"x{}","type":"int"}}]}})",
        i);
    EXPECT_EQ(schemas.announce(invented, text, start, &last), Rejection::schema_incompatible) << i;
  }
  EXPECT_TRUE(schemas.find(last, start).incompatible);
  EXPECT_TRUE(schemas.find(ours, start).resolution);
  uint64_t another = 0;
  EXPECT_EQ(schemas.announce(test::uuid(1), text_with(1), start, &another), Rejection::none);
  EXPECT_TRUE(schemas.find(another, start).resolution);
}

TEST(SchemaRegistry, ReadsAllReleases) {
  SchemaRegistry registry;
  for (const ReleasedSchema& released : released_schemas()) {
    EXPECT_EQ(fingerprint_of(std::string(released.text)), released.fingerprint);
    EXPECT_NE(registry.find(released.fingerprint, start).resolution, nullptr);
  }
}

// Evolution rule 4: the schema of this version and each released one read each other.
TEST(SchemaRegistry, OursAndEachReleaseResolveBothWays) {
  ASSERT_FALSE(released_schemas().empty());
  for (const ReleasedSchema& released : released_schemas()) {
    const auto parse = [](std::string_view text) {
      return std::move(*avro::Schema::parse(text, avro::Defaults::keep));
    };
    const auto forward = avro::Resolution::make(parse(released.text), parse(schema_text()));
    const auto backward = avro::Resolution::make(parse(schema_text()), parse(released.text));
    EXPECT_TRUE(forward) << forward.error().message;
    EXPECT_TRUE(backward) << backward.error().message;
    if (!backward || !forward) continue;
    for (const auto& [name, m] : test::samples()) {
      std::vector<uint8_t> ours, theirs, again;
      encode(m, ours);
      ASSERT_TRUE(backward->convert(ours, {}, theirs)) << name;
      ASSERT_TRUE(forward->convert(theirs, {}, again)) << name;
    }
  }
}

// Writes messages in a changed schema with our own codec: the bytes of ours, turned by the plan ours →
// theirs.
struct Foreign {
  explicit Foreign(const std::string& text) : fingerprint(fingerprint_of(text)), registry() {
    auto theirs = avro::Schema::parse(text, avro::Defaults::keep);
    auto ours = avro::Schema::parse(schema_text(), avro::Defaults::leave_out);
    auto plan = avro::Resolution::make(std::move(*ours), *theirs);
    EXPECT_TRUE(plan) << plan.error().message;
    to_theirs = std::make_unique<avro::Resolution>(std::move(*plan));
    EXPECT_EQ(registry.announce(test::uuid(1), text, start), Rejection::none);
  }
  test::Parts parts_of(const Message& m) const {
    std::vector<uint8_t> ours, theirs;
    encode(m, ours);
    EXPECT_TRUE(to_theirs->convert(ours, {}, theirs));
    test::Parts parts = test::parts_of(m);
    parts.bytes[1].clear();
    avro::write_header(fingerprint, parts.bytes[1]);
    parts.bytes[1].insert(parts.bytes[1].end(), theirs.begin(), theirs.end());
    return parts;
  }
  uint64_t fingerprint;
  SchemaRegistry registry;
  std::unique_ptr<avro::Resolution> to_theirs;
};

TEST(SchemaRegistry, ReadsASchemaWithMoreFieldsInAnotherOrder) {
  Foreign foreign(changed([](Json& schema) {
    Json& fields = schema["fields"];
    const Json extra = {
        {"name", "extra"}, {"type", {{"type", "map"}, {"values", "long"}}}, {"default", {{"a", 1}}}};
    fields.insert(fields.begin() + 3, extra);
    // Those of the frame that define no type: from the front to the end, and from the end to the front.
    Json& frame = field(schema, "frame")["type"][1]["fields"];
    std::rotate(frame.begin(), frame.begin() + 9, frame.end());
    std::rotate(frame.begin(), frame.end() - 10, frame.end() - 9);
  }));
  MessageReader reader({}, &foreign.registry);
  Message got;
  const Message m = test::full_frame();
  const test::Parts parts = foreign.parts_of(m);
  const Reading reading = reader.read(parts.views(), got, start);
  EXPECT_EQ(reading.verdict, Reading::Verdict::accepted) << to_string(reading.reason);
  EXPECT_TRUE(got == m);
}

TEST(SchemaRegistry, AKindOfALaterVersionIsUnknown) {
  const std::string text = changed([](Json& schema) {
    field(schema, "kind")["type"]["symbols"].push_back("PING");
    schema["fields"].push_back(
        {{"name", "ping"},
         {"default", {{"text", "hello"}}},
         {"type",
          {{"type", "record"}, {"name", "Ping"}, {"fields", {{{"name", "text"}, {"type", "string"}}}}}}});
  });
  Foreign foreign(text);
  Message m = test::frame();
  m.frame.reset();
  m.kind = Kind::unknown;
  test::Parts parts = foreign.parts_of(m);
  // kind is the first field: make it the new symbol.
  parts.bytes[1][avro::header_size] = 2 * 11;
  MessageReader reader({}, &foreign.registry);
  Message got;
  const Reading reading = reader.read(parts.views(), got, start);
  EXPECT_EQ(reading.verdict, Reading::Verdict::ignored);
  EXPECT_EQ(got.seq, 41);
}

TEST(SchemaRegistry, RefusesAKindOfValueThatItDoesNotKnow) {
  const std::string text = changed([](Json& schema) {
    Json& content = field(field(schema, "user_data")["type"][1], "content");
    content["type"].push_back({{"type", "record"}, {"name", "Hologram"}, {"fields", Json::array()}});
  });
  Foreign foreign(text);
  Message m = test::message(Kind::user_data);
  m.user_data.emplace();
  test::Parts parts = foreign.parts_of(m);
  // Behind the content are the five bodies that are not set: null becomes the new branch.
  parts.bytes[1][parts.bytes[1].size() - 6] = 2 * 7;
  MessageReader reader({}, &foreign.registry);
  Message got;
  EXPECT_EQ(reader.read(parts.views(), got, start).reason, Rejection::encoding);
}

}  // namespace
}  // namespace sightglass::stream
