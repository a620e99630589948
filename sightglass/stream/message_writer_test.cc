#include "sightglass/stream/message_writer.h"

#include <gtest/gtest.h>

#include <string>

#include "sightglass/stream/test_messages.h"

namespace sightglass::stream {
namespace {

const std::vector<uint8_t> picture = {1, 2, 3, 4, 5};

// What the writer says, in words; empty when it writes.
std::string complaint(const Message& m, Bytes payload = {}, Limits limits = {}) {
  MessageWriter writer(limits);
  std::vector<uint8_t> body;
  const Status status = writer.write(m, payload, body);
  return status ? "" : status.error().message;
}

TEST(MessageWriter, WritesWhatAReaderTakes) {
  Message m = test::frame();
  m.frame->codec = "av1";
  set_part(*m.frame, picture);
  MessageWriter writer;
  std::vector<uint8_t> body = {1, 2, 3};
  ASSERT_TRUE(writer.write(m, picture, body));
  EXPECT_EQ(body, test::body_of(m));
  MessageReader reader;
  Message got;
  const std::vector<uint8_t> topic(m.source_id.begin(), m.source_id.end());
  const std::vector<Bytes> parts = {topic, body, picture};
  EXPECT_EQ(reader.read(parts, got).verdict, Reading::Verdict::accepted);
  EXPECT_TRUE(got == m);
}

TEST(MessageWriter, RefusesWhatAReaderWouldRefuse) {
  EXPECT_EQ(complaint(test::frame()), "");
  Message m = test::frame();
  m.kind = Kind::ack;
  EXPECT_NE(complaint(m), "");
  m = test::frame();
  m.source_id = "-";
  EXPECT_NE(complaint(m).find("source id"), std::string::npos);
  m = test::frame();
  m.producer = {};
  EXPECT_NE(complaint(m).find("uuid of the producer"), std::string::npos);
  m = test::frame();
  m.frame->uuid = {};
  EXPECT_NE(complaint(m).find("uuid of the frame"), std::string::npos);
  m = test::frame();
  EXPECT_NE(complaint(m, picture), "");  // a payload that nothing names
  set_part(*m.frame, picture);
  EXPECT_EQ(complaint(m, picture), "");
  EXPECT_NE(complaint(m, Bytes(picture).first(4)), "");
}

TEST(MessageWriter, KeepsToTheLimits) {
  Limits limits;
  limits.part = 4;
  Message m = test::frame();
  set_part(*m.frame, picture);
  EXPECT_NE(complaint(m, picture, limits).find("limits.part"), std::string::npos);
  limits = {};
  limits.body = 300;
  EXPECT_NE(complaint(test::frame_with_objects(10), {}, limits).find("limits.body"), std::string::npos);
  m = test::frame_with_objects(1025);
  EXPECT_NE(complaint(m).find("objects"), std::string::npos);
  m = test::frame_with_objects(1);
  m.frame->objects[0].label = std::string(257, 'x');
  EXPECT_NE(complaint(m).find("label"), std::string::npos);
  m.frame->objects[0].label = "x";
  m.frame->objects[0].attributes[0].values[0].value = std::string(65'537, 'x');
  EXPECT_NE(complaint(m), "");
}

TEST(MessageWriter, KnowsTheKindOfABody) {
  for (const auto& [name, m] : test::samples()) EXPECT_EQ(kind_of(m), m.kind) << name;
  EXPECT_EQ(kind_of({}), Kind::unknown);
  Message two = test::frame();
  two.end_of_stream.emplace();
  EXPECT_EQ(kind_of(two), Kind::unknown);
}

TEST(MessageWriter, WritesForReadersOfEarlierReleases) {
  for (const ReleasedSchema& released : released_schemas()) {
    MessageWriter writer;
    ASSERT_TRUE(writer.use_schema(released.fingerprint));
    std::vector<uint8_t> body;
    ASSERT_TRUE(writer.write(test::frame_with_objects(3), {}, body));
    EXPECT_EQ(avro::read_header(body), released.fingerprint);
  }
  MessageWriter writer;
  EXPECT_FALSE(writer.use_schema(1));
  EXPECT_EQ(writer.fingerprint(), schema_fingerprint);
}

TEST(Crc32c, IsCastagnoli) {
  const std::string_view text = "123456789";
  EXPECT_EQ(crc32c({reinterpret_cast<const uint8_t*>(text.data()), text.size()}), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c(std::vector<uint8_t>(32)), 0x8a9136aau);  // RFC 3720
  EXPECT_EQ(crc32c(std::vector<uint8_t>(32, 0xff)), 0x62a8ab43u);
}

}  // namespace
}  // namespace sightglass::stream
