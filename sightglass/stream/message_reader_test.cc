// Row by row what streams.md 1.6 says of malformed messages (W-01 to W-04), and that good ones come through
// unchanged. What they say is in message_content_test.cc.
#include "sightglass/stream/message_reader.h"

#include <gtest/gtest.h>

#include "sightglass/core/allocation_count.h"
#include "sightglass/stream/reading_test_support.h"
#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/test_messages.h"

namespace sightglass::stream {
namespace {

using test::frame;
using test::frame_with_objects;
using test::parts_of;
using test::Read;
using test::reason_of;
using test::Verdict;

// A body of bytes written by hand behind our header.
test::Parts raw_parts(std::vector<uint8_t> datum) {
  std::vector<uint8_t> body;
  avro::write_header(schema_fingerprint, body);
  body.insert(body.end(), datum.begin(), datum.end());
  return {{{'c', 'a', 'm', '-', '1'}, body}};
}

// The bytes of a message up to its labels, with which bad arrays can begin.
std::vector<uint8_t> up_to_labels() {
  std::vector<uint8_t> bytes;
  BinaryWriter out(bytes);
  out.write_long(int64_t(Kind::frame));
  out.write_long(1);
  out.write_string("cam-1");
  out.write(test::uuid(1));
  for (int i = 0; i < 4; ++i) out.write_long(0);  // epoch, seq, attempt, sent_us
  return bytes;
}

test::Parts with_labels(auto&& write) {
  std::vector<uint8_t> bytes = up_to_labels();
  BinaryWriter out(bytes);
  write(out);
  return raw_parts(bytes);
}

TEST(MessageReader, TakesEveryKindAsItWasWritten) {
  for (const auto& [name, m] : test::samples()) {
    if (name == "frame_shared_memory" || name == "frame_cuda_ipc") continue;
    ReaderOptions options;
    options.allow_location = [](const Location&) { return true; };
    const Read read(name == "frame_part" ? parts_of(m, {1, 2, 3, 4}) : parts_of(m), options);
    EXPECT_TRUE(read.accepted()) << name << ": " << to_string(read.reading.reason);
    EXPECT_TRUE(read.message == m) << name;
    EXPECT_EQ(read.reader.rejections().total(), 0u) << name;
  }
}

TEST(MessageReader, GivesThePayloadWhereverItIs) {
  Message m = frame();
  m.frame->codec = "av1";
  const std::vector<uint8_t> picture = {1, 2, 3, 4};
  m.frame->content = Part{0, 4};
  const Read part(parts_of(m, picture));
  EXPECT_TRUE(std::ranges::equal(part.reading.payload, picture));
  EXPECT_EQ(part.reading.payload.data(), part.sent.bytes[2].data());
  m.frame->content = Inline{picture};
  const Read in_body(m);
  EXPECT_TRUE(std::ranges::equal(in_body.reading.payload, picture));
  EXPECT_TRUE(Read(frame()).reading.payload.empty());
}

TEST(MessageReader, DoesNotAllocateOnceWarm) {
  const test::Parts parts = parts_of(test::full_frame());
  const auto views = parts.views();
  MessageReader reader;
  Message message;
  for (int i = 0; i < 3; ++i) reader.read(views, message);
  const size_t before = allocation_count();
  const Reading reading = reader.read(views, message);
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(reading.verdict, Verdict::accepted);
}

TEST(MessageReader, LeavesNothingOfTheMessageBefore) {
  MessageReader reader;
  Message message;
  const test::Parts full = parts_of(test::full_frame()), bare = parts_of(frame());
  reader.read(full.views(), message);
  ASSERT_EQ(reader.read(bare.views(), message).verdict, Verdict::accepted);
  EXPECT_TRUE(message == frame());
}

TEST(W01, WantsTwoToEighteenParts) {
  EXPECT_EQ(reason_of(test::Parts{}), Rejection::framing);
  EXPECT_EQ(reason_of(test::Parts{{{'c', 'a', 'm'}}}), Rejection::framing);
  test::Parts many = parts_of(frame());
  many.bytes.resize(19);
  EXPECT_EQ(reason_of(many), Rejection::framing);
  many.bytes.resize(18);
  EXPECT_EQ(reason_of(many), Rejection::payload);
}

TEST(W01, RefusesBadSourceIds) {
  for (const std::string id : {"", "-cam", ".cam", "cam 1", "cam/1", "a..b", "cäm", "$other", "cam\n"}) {
    EXPECT_FALSE(is_source_id(id)) << id;
    Message m = frame();
    m.source_id = id;
    EXPECT_EQ(reason_of(m), Rejection::source_id) << id;
  }
  EXPECT_FALSE(is_source_id(std::string(129, 'a')));
  EXPECT_TRUE(is_source_id(std::string(128, 'a')));
  EXPECT_TRUE(is_source_id("1.b_c:d-e"));
}

TEST(W01, KeepsControlAndStreamsApart) {
  Message m = test::message(Kind::hello);
  m.hello.emplace();
  EXPECT_TRUE(Read(m).accepted());
  m.source_id = "cam-1";
  EXPECT_EQ(reason_of(m), Rejection::source_id);
  m = frame();
  m.source_id = control_topic;
  EXPECT_EQ(reason_of(m), Rejection::source_id);
}

TEST(W01, RefusesWhatIsNotAvro) {
  test::Parts parts = parts_of(frame());
  for (const std::vector<uint8_t>& body :
       {std::vector<uint8_t>{}, std::vector<uint8_t>(9, 0xc3), std::vector<uint8_t>(200, 0),
        std::vector<uint8_t>{0xc3, 0x01, 0, 0, 0}}) {
    parts.bytes[1] = body;
    EXPECT_EQ(reason_of(parts), Rejection::not_avro);
  }
}

TEST(W01, RefusesWhatIsTooLarge) {
  ReaderOptions options;
  options.limits.body = 100;
  EXPECT_EQ(reason_of(frame_with_objects(5), options), Rejection::oversize);
  options = {};
  options.limits.part = 1000;
  EXPECT_EQ(reason_of(parts_of(frame(), std::vector<uint8_t>(1001)), options), Rejection::oversize);
  options = {};
  options.limits.message = 1000;
  EXPECT_EQ(reason_of(parts_of(frame(), std::vector<uint8_t>(950)), options), Rejection::oversize);
}

TEST(W02, AsksForTheSchemaThatItLacks) {
  test::Parts parts = parts_of(frame());
  parts.bytes[1][2] ^= 1;
  const Read read(parts);
  EXPECT_EQ(read.reading.verdict, Verdict::needs_schema);
  EXPECT_EQ(read.reading.fingerprint, schema_fingerprint ^ 1);
  EXPECT_EQ(read.reader.rejections().total(), 0u);
}

TEST(W03, RefusesTruncationAnywhere) {
  const test::Parts whole = parts_of(test::full_frame());
  for (size_t size = avro::header_size; size < whole.bytes[1].size(); ++size) {
    test::Parts parts = whole;
    parts.bytes[1].resize(size);
    ASSERT_EQ(reason_of(parts), Rejection::encoding) << size;
  }
}

TEST(W03, RefusesBytesLeftOver) {
  test::Parts parts = parts_of(frame());
  parts.bytes[1].push_back(0);
  EXPECT_EQ(reason_of(parts), Rejection::encoding);
}

TEST(W03, RefusesOverlongVarint) {
  const Limits limits;
  for (const std::vector<uint8_t>& number :
       {std::vector<uint8_t>(11, 0x80), std::vector<uint8_t>{0x82, 0x00},
        std::vector<uint8_t>{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}}) {
    BinaryReader in(number, limits);
    in.read_long();
    EXPECT_FALSE(in.ok());
  }
  const std::vector<uint8_t> lowest = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
  BinaryReader in(lowest, limits);
  EXPECT_EQ(in.read_long(), INT64_MIN);
  EXPECT_TRUE(in.ok());
  BinaryReader as_int(lowest, limits);
  as_int.read_int();
  EXPECT_FALSE(as_int.ok());
}

TEST(W03, RefusesImpossibleLengthsWithoutAllocating) {
  for (const int64_t length : {int64_t(-1), int64_t(1) << 33, INT64_MAX, INT64_MIN, int64_t(200)}) {
    const test::Parts parts = with_labels([&](BinaryWriter& out) {
      out.write_long(1);
      out.write_long(length);
    });
    const auto views = parts.views();
    MessageReader reader;
    Message message;
    reader.read(views, message);
    const size_t before = allocation_count();
    EXPECT_EQ(reader.read(views, message).reason, Rejection::encoding) << length;
    EXPECT_EQ(allocation_count(), before) << length;
  }
}

TEST(W03, RefusesBlockCountsBeyondTheBytesLeft) {
  for (const int64_t count : {int64_t(65), int64_t(40), int64_t(1) << 40, INT64_MAX}) {
    EXPECT_EQ(reason_of(with_labels([&](BinaryWriter& out) { out.write_long(count); })), Rejection::encoding)
        << count;
  }
  // With a size of the block in front, as a negative count has.
  for (const int64_t count : {int64_t(-65), INT64_MIN}) {
    EXPECT_EQ(reason_of(with_labels([&](BinaryWriter& out) {
                out.write_long(count);
                out.write_long(1);
                out.write_string("x");
              })),
              Rejection::encoding);
  }
  EXPECT_EQ(reason_of(with_labels([&](BinaryWriter& out) {
              out.write_long(-1);
              out.write_long(-7);
            })),
            Rejection::encoding);
}

TEST(W03, TakesBlocksWithASize) {
  std::vector<uint8_t> bytes = up_to_labels();
  BinaryWriter out(bytes);
  out.write_long(-2);
  out.write_long(4);
  out.write_string("a");
  out.write_string("b");
  out.write_long(1);
  out.write_string("c");
  out.write_long(0);
  const std::vector<uint8_t> rest(11, 0);  // no trace, no body
  out.write(rest);
  const Read read(raw_parts(bytes));
  EXPECT_EQ(read.reading.reason, Rejection::body);
  EXPECT_EQ(read.message.labels, (std::vector<std::string>{"a", "b", "c"}));
}

TEST(W03, RefusesBlocksOfNothingBeyondTheLimit) {
  Limits limits;
  std::vector<uint8_t> bytes;
  BinaryWriter(bytes).write_long(int64_t(limits.items) + 1);
  BinaryReader in(bytes, limits);
  in.read_block(0, limits.items, 0);
  EXPECT_FALSE(in.ok());
}

TEST(W03, RefusesInvalidUtf8) {
  for (const std::string text :
       {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "abcdefgh\xe2\x82", "\xf0\x8f\xbf\xbf"}) {
    Message m = frame_with_objects(1);
    m.frame->objects[0].label = text;
    EXPECT_EQ(reason_of(m), Rejection::encoding);
  }
  Message m = frame_with_objects(1);
  m.frame->objects[0].label = "\uFFFD 漢字 🎥 more than eight";
  EXPECT_TRUE(Read(m).accepted());
}

TEST(W03, RefusesUnknownBranchesAndSymbols) {
  std::vector<uint8_t> bytes;
  BinaryWriter(bytes).write_long(11);
  EXPECT_EQ(reason_of(raw_parts(bytes)), Rejection::encoding);
  bytes = up_to_labels();
  BinaryWriter out(bytes);
  out.write_long(0);
  out.write_long(2);
  EXPECT_EQ(reason_of(raw_parts(bytes)), Rejection::encoding);
}

TEST(W03, KeepsTheLimitsOfCountsAndSizes) {
  const Limits limits;
  EXPECT_TRUE(Read(frame_with_objects(int64_t(limits.objects))).accepted());
  EXPECT_EQ(reason_of(frame_with_objects(int64_t(limits.objects) + 1)), Rejection::encoding);
  const auto refused = [](auto&& change) {
    Message m = frame_with_objects(1);
    change(*m.frame);
    return reason_of(m) == Rejection::encoding;
  };
  const Attribute attribute = test::object(1).attributes[0];
  EXPECT_TRUE(
      refused([&](VideoFrame& f) { f.objects[0].attributes.assign(limits.attributes + 1, attribute); }));
  EXPECT_FALSE(refused([&](VideoFrame& f) { f.objects[0].attributes.assign(limits.attributes, attribute); }));
  EXPECT_TRUE(refused([&](VideoFrame& f) { f.objects[0].label = std::string(limits.name + 1, 'x'); }));
  EXPECT_TRUE(refused([&](VideoFrame& f) { f.tags.assign(limits.tags + 1, "x"); }));
  EXPECT_TRUE(refused([&](VideoFrame& f) { f.tags = {std::string(limits.name + 1, 'x')}; }));
  EXPECT_TRUE(refused([&](VideoFrame& f) { f.transformations.resize(limits.transformations + 1); }));
  EXPECT_TRUE(refused([&](VideoFrame& f) { f.codec_data = std::vector<uint8_t>(limits.string + 1); }));
  const auto refused_value = [&](Value value) {
    return refused([&](VideoFrame& f) { f.objects[0].attributes[0].values[0].value = std::move(value); });
  };
  EXPECT_TRUE(refused_value(std::string(limits.string + 1, 'x')));
  EXPECT_FALSE(refused_value(std::string(limits.string, 'x')));
  EXPECT_TRUE(refused_value(Longs{std::vector<int64_t>(limits.items + 1)}));
  EXPECT_FALSE(refused_value(Longs{std::vector<int64_t>(limits.items)}));
  EXPECT_TRUE(refused_value(Points{std::vector<Point>(limits.points + 1)}));
  EXPECT_TRUE(refused_value(Tensor{"u8", {}, std::vector<uint8_t>(limits.tensor + 1)}));
  EXPECT_TRUE(refused([&](VideoFrame& f) { f.objects[0].attributes[0].values.resize(limits.values + 1); }));
  Message m = frame();
  m.labels.assign(limits.labels + 1, "x");
  EXPECT_EQ(reason_of(m), Rejection::encoding);
}

TEST(W03, CountsAttributesOfTheWholeMessage) {
  const Limits limits;
  Message m = frame_with_objects(65);
  const Attribute attribute{.namespace_ = "a", .name = "b"};
  for (Object& o : m.frame->objects) o.attributes.assign(limits.attributes, attribute);
  EXPECT_EQ(reason_of(m), Rejection::encoding);
  m.frame->objects.pop_back();
  EXPECT_TRUE(Read(m).accepted());
}

TEST(W03, RefusesSmallBodiesThatBecomeLarge) {
  // 8,192 attributes of 256 empty values: 4 MiB of zeros that would be 200 MiB of structs.
  Message m = frame_with_objects(64);
  Attribute attribute{.namespace_ = "a", .name = "b"};
  attribute.values.resize(256);
  for (Object& o : m.frame->objects) o.attributes.assign(128, attribute);
  EXPECT_EQ(reason_of(m), Rejection::encoding);
}

TEST(W04, WantsExactlyTheBodyOfItsKind) {
  Message m = frame();
  m.frame.reset();
  EXPECT_EQ(reason_of(m), Rejection::body);
  m = frame();
  m.end_of_stream.emplace();
  EXPECT_EQ(reason_of(m), Rejection::body);
  m = frame();
  m.kind = Kind::end_of_stream;
  EXPECT_EQ(reason_of(m), Rejection::body);
  m.kind = Kind::unknown;
  EXPECT_EQ(reason_of(m), Rejection::body);
}

TEST(W04, RefusesAnotherSourceId) {
  test::Parts parts = parts_of(frame());
  parts.bytes[0].push_back('0');
  EXPECT_EQ(reason_of(parts), Rejection::source_mismatch);
}

TEST(W04, IgnoresKindsThatItDoesNotKnow) {
  Message m = frame();
  m.kind = Kind::unknown;
  m.frame.reset();
  const Read read(m);
  EXPECT_EQ(read.reading.verdict, Verdict::ignored);
  EXPECT_EQ(read.reading.reason, Rejection::kind_unknown);
  EXPECT_TRUE(read.reading.identified);  // so that it can be acknowledged
  EXPECT_EQ(read.message.seq, 41);
}

TEST(W04, RefusesAnotherProtocol) {
  Message m = frame();
  m.protocol = 2;
  EXPECT_EQ(reason_of(m), Rejection::schema);
}

TEST(W03, TellsWhichMessageItWasThatCannotBeRead) {
  // Whoever has sent it can be told so, and does not send it for ever.
  const auto expect_known = [](const Read& read, Rejection reason) {
    EXPECT_EQ(read.reading.reason, reason);
    EXPECT_TRUE(read.reading.identified);
    EXPECT_EQ(read.message.source_id, "cam-1");
    EXPECT_EQ(read.message.producer, test::uuid(1));
    EXPECT_EQ(read.message.seq, 41);
  };
  test::Parts parts = parts_of(frame());
  parts.bytes[1].push_back(0);
  expect_known(Read(parts), Rejection::encoding);
  Message m = frame();
  m.labels.resize(65, "x");
  expect_known(Read(m), Rejection::encoding);
  m = frame();
  m.protocol = 2;
  expect_known(Read(m), Rejection::schema);
  ReaderOptions small;
  small.limits.body = 64;
  expect_known(Read(frame(), small), Rejection::oversize);
  // Cut off within these fields it is nobody's.
  parts = parts_of(frame());
  parts.bytes[1].resize(avro::header_size + 12);
  EXPECT_FALSE(Read(parts).reading.identified);
  parts = parts_of(frame());
  parts.bytes[0] = {'c', 'a', 'm', '-', '2'};
  EXPECT_FALSE(Read(parts).reading.identified);
}

TEST(W04, RefusesNumbersThatCannotBeCountedOn) {
  Message m = frame();
  m.seq = INT64_MAX;
  EXPECT_EQ(reason_of(m), Rejection::encoding);
  m.seq = 0, m.epoch = (int64_t(1) << 62) + 1;
  EXPECT_EQ(reason_of(m), Rejection::encoding);
  m.epoch = int64_t(1) << 62;
  EXPECT_EQ(reason_of(m), Rejection::none);
}

TEST(Rejection, HasALabelForEachReason) {
  EXPECT_EQ(to_string(Rejection::none), "none");
  EXPECT_EQ(to_string(Rejection::kind_unknown), "kind_unknown");
  EXPECT_EQ(to_string(Rejection::cuda_ipc), "cuda_ipc");
  EXPECT_EQ(to_string(Rejection::token), "token");
}

}  // namespace
}  // namespace sightglass::stream
