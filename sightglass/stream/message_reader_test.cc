// Row by row what streams.md 1.6 says of malformed and hostile messages, and that good ones come through
// unchanged.
#include "sightglass/stream/message_reader.h"

#include <gtest/gtest.h>

#include <limits>

#include "sightglass/core/allocation_count.h"
#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/test_messages.h"

namespace sightglass::stream {
namespace {

using test::frame;
using test::frame_with_objects;
using test::parts_of;
using Verdict = Reading::Verdict;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

// Reads a message that was changed in some way; keeps what came out.
struct Read {
  explicit Read(const test::Parts& parts, ReaderOptions options = {})
      : reader(std::move(options)), sent(parts) {
    reading = reader.read(sent.views(), message);
  }
  explicit Read(const Message& m, ReaderOptions options = {}) : Read(parts_of(m), std::move(options)) {}
  bool accepted() const { return reading.verdict == Verdict::accepted; }
  uint64_t count(Rejection reason) const { return reader.rejections().of(reason); }
  const VideoFrame& frame() const { return *message.frame; }

  MessageReader reader;
  test::Parts sent;
  Message message;
  Reading reading;
};

Rejection reason_of(const test::Parts& parts, ReaderOptions options = {}) {
  const Read read(parts, std::move(options));
  EXPECT_EQ(read.reading.verdict == Verdict::rejected, read.reading.reason != Rejection::none);
  EXPECT_EQ(read.count(read.reading.reason), read.reading.reason == Rejection::none ? 0u : 1u);
  return read.reading.reason;
}
Rejection reason_of(const Message& m, ReaderOptions options = {}) {
  return reason_of(parts_of(m), std::move(options));
}

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

// F-22: twenty bytes must not become 64 MiB, again and again.
TEST(W03, MasksAreCoveredByTheirRunsAndShareABudget) {
  const auto left = [](std::vector<Mask> masks) {
    Message m = frame();
    Attribute& attribute = m.frame->attributes.emplace_back();
    attribute.name = "m";
    for (Mask& mask : masks) attribute.values.push_back({std::nullopt, std::move(mask)});
    const Read read(m);
    EXPECT_TRUE(read.accepted());
    size_t count = 0;
    for (const auto& value : read.frame().attributes.at(0).values)
      count += std::holds_alternative<Mask>(value.value);
    EXPECT_EQ(read.count(Rejection::geometry), masks.size() - count);
    return count;
  };
  EXPECT_EQ(left({{4, 2, {8}}, {4, 2, {0, 3, 5}}}), 2u);
  EXPECT_EQ(left({{4, 2, {7}}, {4, 2, {9}}, {4, 2, {}}, {4, 2, {-1, 9}}, {0, 0, {}}, {-4, -2, {8}}}), 0u);
  EXPECT_EQ(left({{INT32_MAX, INT32_MAX, {INT32_MAX}}, {4096, 4096, {4096 * 4096}}}), 0u);
  EXPECT_EQ(left(std::vector<Mask>(100, {1000, 1000, {1'000'000}})), 16u);
}

TEST(W05, RefusesImpossibleGeometry) {
  const auto reason = [](auto&& change) {
    Message m = frame();
    change(*m.frame);
    return reason_of(m);
  };
  for (const int32_t side : {0, -1, 16'385, INT32_MIN, INT32_MAX}) {
    EXPECT_EQ(reason([&](VideoFrame& f) { f.width = side; }), Rejection::geometry);
    EXPECT_EQ(reason([&](VideoFrame& f) { f.height = side; }), Rejection::geometry);
  }
  EXPECT_EQ(reason([](VideoFrame& f) { f.width = f.height = 16'384; }),
            Rejection::geometry);  // 268 million pixels
  EXPECT_EQ(reason([](VideoFrame& f) { f.width = 16'384, f.height = 8192; }), Rejection::none);
  for (const Rational rate :
       {Rational{0, 1}, {1, 0}, {-25, 1}, {25, -1}, {1001, 1}, {INT32_MAX, 1}, {INT32_MIN, -1}}) {
    EXPECT_EQ(reason([&](VideoFrame& f) { f.framerate = rate; }), Rejection::geometry)
        << rate.num << "/" << rate.den;
  }
  EXPECT_EQ(reason([](VideoFrame& f) { f.framerate = Rational{1000, 1}; }), Rejection::none);
  EXPECT_EQ(reason([](VideoFrame& f) { f.pixel_aspect = {0, 1}; }), Rejection::geometry);
  EXPECT_EQ(reason([](VideoFrame& f) { f.orientation = 45; }), Rejection::geometry);
  Message update = test::message(Kind::stream_update);
  update.stream_update.emplace().width = 0;
  EXPECT_EQ(reason_of(update), Rejection::geometry);
}

TEST(W05, RefusesImpossibleTimes) {
  const auto reason = [](auto&& change) {
    Message m = frame();
    change(*m.frame);
    return reason_of(m);
  };
  for (const Rational base :
       {Rational{0, 1}, {1, 0}, {-1, 1000}, {1, -1000}, {1'000'000'001, 1}, {1, 1'000'000'001}}) {
    EXPECT_EQ(reason([&](VideoFrame& f) { f.time_base = base; }), Rejection::timestamp)
        << base.num << "/" << base.den;
  }
  EXPECT_EQ(reason([](VideoFrame& f) { f.time_base = {1, 1}, f.pts = 9'300'000'000; }), Rejection::timestamp);
  EXPECT_EQ(reason([](VideoFrame& f) { f.time_base = {1'000'000'000, 1}, f.pts = INT64_MAX; }),
            Rejection::timestamp);
  EXPECT_EQ(reason([](VideoFrame& f) { f.pts = INT64_MAX; }), Rejection::none);
}

TEST(W05, TreatsBrokenSmallThingsAsAbsent) {
  Message m = frame();
  m.frame->dts = m.frame->pts + 1;
  m.frame->duration = -1;
  m.trace = TraceContext{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""};
  const Read read(m);
  ASSERT_TRUE(read.accepted());
  EXPECT_FALSE(read.frame().dts);
  EXPECT_FALSE(read.frame().duration);
  EXPECT_FALSE(read.message.trace);
  for (const std::string text : {"", "00", "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                 "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                 "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                 "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                 "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"}) {
    m.trace = TraceContext{text, ""};
    EXPECT_FALSE(Read(m).message.trace) << text;
  }
}

TEST(W05, ALatencyIsNeverNegative) {
  EXPECT_EQ(latency_us(1000, 5000), 4000);
  EXPECT_EQ(latency_us(5000, 1000), 0);
  EXPECT_EQ(latency_us(INT64_MAX, INT64_MIN), 0);
  EXPECT_EQ(latency_us(INT64_MIN, INT64_MAX), INT64_MAX);
}

TEST(W06, DropsObjectsWithImpossibleBoxes) {
  for (const Box& box :
       {Box{nan, 1, 1, 1, {}}, Box{1, infinity, 1, 1, {}}, Box{1, 1, -1, 1, {}}, Box{1, 1, 1, nan, {}},
        Box{1, 1, 1, 1, nan}, Box{-10, 100, 10, 10, {}}, Box{100, 2000, 10, 10, {}},
        Box{1e38f, 1, 1e38f, 1, {}}, Box{100, 1200, 10, 200, 1.5707963f}}) {
    Message m = frame_with_objects(3);
    m.frame->objects[1].detection_box = box;
    const Read read(m);
    ASSERT_TRUE(read.accepted());
    ASSERT_EQ(read.frame().objects.size(), 2u);
    EXPECT_EQ(read.frame().objects[0].id, 1);
    EXPECT_EQ(read.frame().objects[1].id, 3);
    EXPECT_EQ(read.count(Rejection::box), 1u);
  }
}

TEST(W06, KeepsBoxesThatReachBeyondTheEdge) {
  Message m = frame_with_objects(2);
  m.frame->objects[0].detection_box = Box{-4, 100, 10, 10, {}};
  m.frame->objects[1].detection_box = Box{100, 1120, 200, 10, 1.5707963f};
  EXPECT_EQ(Read(m).frame().objects.size(), 2u);
}

TEST(W06, LiftsTheChildrenOfADroppedObject) {
  Message m = frame_with_objects(4);  // 1 ← 2 ← 3 ← 4
  for (size_t i = 1; i < 4; ++i) m.frame->objects[i].parent_id = int64_t(i);
  m.frame->objects[1].detection_box.width = nan;
  m.frame->objects[2].detection_box.width = -1;
  const Read read(m);
  ASSERT_EQ(read.frame().objects.size(), 2u);
  EXPECT_EQ(read.frame().objects[1].id, 4);
  EXPECT_EQ(read.frame().objects[1].parent_id, 1);
  m.frame->objects[0].detection_box.width = nan;
  const Read none_left(m);
  ASSERT_EQ(none_left.frame().objects.size(), 1u);
  EXPECT_FALSE(none_left.frame().objects[0].parent_id);
}

TEST(W06, ClampsConfidences) {
  Message m = frame_with_objects(4);
  auto& objects = m.frame->objects;
  objects[0].confidence = 1.5f;
  objects[1].confidence = -1.f;
  objects[2].confidence = nan;
  objects[3].attributes[0].values[0].confidence = infinity;
  const Read read(m);
  EXPECT_EQ(read.frame().objects[0].confidence, 1.f);
  EXPECT_EQ(read.frame().objects[1].confidence, 0.f);
  EXPECT_FALSE(read.frame().objects[2].confidence);
  EXPECT_EQ(read.frame().objects[3].attributes[0].values[0].confidence, 1.f);
}

TEST(W06, MendsBoxesThatAreNotTheObjectItself) {
  Message m = frame_with_objects(1);
  m.frame->objects[0].track_box->xc = nan;
  m.frame->objects[0].attributes[0].values = {
      {{}, Box{1, 1, nan, 1, {}}}, {{}, Boxes{{Box{1, 1, -1, 1, {}}}}}, {{}, 1.0}};
  const Read read(m);
  ASSERT_EQ(read.frame().objects.size(), 1u);
  EXPECT_FALSE(read.frame().objects[0].track_box);
  const auto& values = read.frame().objects[0].attributes[0].values;
  EXPECT_TRUE(std::holds_alternative<std::monostate>(values[0].value));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(values[1].value));
  EXPECT_EQ(std::get<double>(values[2].value), 1.0);
  EXPECT_EQ(read.count(Rejection::box), 3u);
}

TEST(W07, DropsTheSecondOfOneId) {
  Message m = frame_with_objects(3);
  m.frame->objects[2].id = 1;
  m.frame->objects[2].label = "second";
  const Read read(m);
  ASSERT_TRUE(read.accepted());
  ASSERT_EQ(read.frame().objects.size(), 2u);
  EXPECT_EQ(read.frame().objects[0].label, "person");
  EXPECT_EQ(read.count(Rejection::object_graph), 1u);
}

TEST(W07, ClearsAMissingParent) {
  Message m = frame_with_objects(2);
  m.frame->objects[1].parent_id = 99;
  const Read read(m);
  EXPECT_FALSE(read.frame().objects[1].parent_id);
  EXPECT_EQ(read.count(Rejection::object_graph), 1u);
}

TEST(W07, ClearsAllParentsOfACycle) {
  Message m = frame_with_objects(5);  // 1 → 2 → 3 → 1, 4 → 1 leads in, 5 → 5
  auto& objects = m.frame->objects;
  objects[0].parent_id = 2;
  objects[1].parent_id = 3;
  objects[2].parent_id = 1;
  objects[3].parent_id = 1;
  objects[4].parent_id = 5;
  const Read read(m);
  ASSERT_TRUE(read.accepted());
  const auto& got = read.frame().objects;
  ASSERT_EQ(got.size(), 5u);
  for (const size_t i : {0, 1, 2, 4}) EXPECT_FALSE(got[i].parent_id) << i;
  EXPECT_EQ(got[3].parent_id, 1);
  EXPECT_EQ(read.count(Rejection::object_graph), 2u);
}

TEST(W07, RefusesChainsOverTheLimit) {
  const Limits limits;
  Message m = frame_with_objects(int64_t(limits.parent_chain) + 1);
  auto& objects = m.frame->objects;
  for (size_t i = 1; i < objects.size(); ++i) objects[i].parent_id = objects[i - 1].id;
  EXPECT_EQ(reason_of(m), Rejection::object_graph);
  objects.pop_back();
  EXPECT_TRUE(Read(m).accepted());
}

TEST(W07, AnUpdateMayNameObjectsOfTheFrame) {
  Message m = test::message(Kind::frame_update);
  FrameUpdate& update = m.frame_update.emplace();
  update.frame = test::uuid(2);
  update.objects = {{test::object(7), 99}, {test::object(8), {}}, {test::object(7), {}}};
  update.objects[1].object.parent_id = 98;
  const Read read(m);
  ASSERT_TRUE(read.accepted());
  ASSERT_EQ(read.message.frame_update->objects.size(), 2u);
  EXPECT_EQ(read.message.frame_update->objects[1].object.parent_id, 98);
}

TEST(W08, WantsPartsAndBodyToFit) {
  Message m = frame();
  m.frame->codec = "av1";
  EXPECT_EQ(reason_of(parts_of(m, {1, 2, 3})), Rejection::payload);  // unreferenced
  m.frame->content = Part{0, 3};
  EXPECT_EQ(reason_of(m), Rejection::payload);  // missing
  EXPECT_EQ(reason_of(parts_of(m, {1, 2, 3})), Rejection::none);
  EXPECT_EQ(reason_of(parts_of(m, {1, 2, 3, 4})), Rejection::payload);  // size
  test::Parts two = parts_of(m, {1, 2, 3});
  two.bytes.push_back({1, 2, 3});
  EXPECT_EQ(reason_of(two), Rejection::payload);
  for (const int32_t index : {1, -1, INT32_MAX, INT32_MIN}) {
    m.frame->content = Part{index, 3};
    EXPECT_EQ(reason_of(parts_of(m, {1, 2, 3})), Rejection::payload) << index;
  }
  m.frame->content = Part{0, -1};
  EXPECT_EQ(reason_of(parts_of(m, {1, 2, 3})), Rejection::payload);
  Message eos = test::message(Kind::end_of_stream);
  eos.end_of_stream.emplace();
  EXPECT_EQ(reason_of(parts_of(eos, {1})), Rejection::payload);
  Message data = test::message(Kind::user_data);
  data.user_data.emplace().content = Part{0, 1};
  EXPECT_EQ(reason_of(parts_of(data, {1})), Rejection::none);
}

TEST(W08, ComparesTheChecksum) {
  const std::vector<uint8_t> payload = {1, 2, 3};
  Message m = frame();
  m.frame->codec = "av1";
  set_part(*m.frame, payload);
  EXPECT_EQ(reason_of(parts_of(m, payload)), Rejection::none);
  EXPECT_EQ(reason_of(parts_of(m, {1, 2, 4})), Rejection::payload);
  m.frame->content = Inline{{1, 2, 4}};
  EXPECT_EQ(reason_of(m), Rejection::payload);
}

TEST(W08, WantsThePlanesInsideThePayload) {
  Message m = test::full_frame();
  EXPECT_TRUE(Read(m).accepted());
  m.frame->raw->planes[1].size = 3;
  EXPECT_EQ(reason_of(m), Rejection::payload);
  m.frame->raw->planes[1] = {-1, 1, 1};
  EXPECT_EQ(reason_of(m), Rejection::payload);
  m.frame->raw->planes[1] = {INT64_MAX, 1, INT64_MAX};
  EXPECT_EQ(reason_of(m), Rejection::payload);
}

std::vector<uint8_t> png(uint32_t width, uint32_t height) {
  std::vector<uint8_t> data = {0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R'};
  for (const uint32_t side : {width, height}) {
    for (int shift = 24; shift >= 0; shift -= 8) data.push_back(uint8_t(side >> shift));
  }
  return data;
}

TEST(W09, RefusesASmallPictureThatDeclaresAGiant) {
  Message m = frame();
  m.frame->codec = "png";
  m.frame->content = Inline{png(10'000, 10'000)};
  EXPECT_EQ(reason_of(m), Rejection::pixels);
  m.frame->content = Inline{png(0x7fffffff, 0x7fffffff)};
  EXPECT_EQ(reason_of(m), Rejection::pixels);
  m.frame->content = Inline{png(40'000, 100)};
  EXPECT_EQ(reason_of(m), Rejection::geometry);
  m.frame->codec = "jpeg";
  m.frame->content = Inline{{0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0xff, 0xff, 0xff, 0xff, 3}};
  EXPECT_EQ(reason_of(m), Rejection::pixels);
}

TEST(W09, TheBitstreamDecidesOnSizeAndKeyframe) {
  Message m = frame();
  m.frame->codec = "png";
  m.frame->keyframe = false;
  m.frame->content = Inline{png(640, 480)};
  const Read read(m);
  ASSERT_TRUE(read.accepted());
  EXPECT_EQ(read.frame().width, 640);
  EXPECT_EQ(read.frame().height, 480);
  EXPECT_TRUE(read.frame().keyframe);
  EXPECT_EQ(read.count(Rejection::bitstream), 1u);
}

TEST(W09, AFalseKeyframeIsNone) {
  Message m = frame();
  m.frame->content = Inline{{0, 0, 0, 1, 0x41, 0x9a, 0x21, 0x6c}};  // a P slice
  const Read read(m);
  ASSERT_TRUE(read.accepted());
  EXPECT_FALSE(read.frame().keyframe);
  EXPECT_EQ(read.count(Rejection::bitstream), 1u);
}

TEST(W10, RefusesLocationsThatAreNotAllowed) {
  Message m = frame();
  m.frame->content = Location{"file:///etc/passwd", 0, {}, {}};
  EXPECT_EQ(reason_of(m), Rejection::location);
  ReaderOptions options;
  options.allow_location = [](const Location& location) {
    return location.uri.starts_with("file:///videos/");
  };
  EXPECT_EQ(reason_of(m, options), Rejection::location);
  m.frame->content = Location{"file:///videos/a.jpg", 0, {}, {}};
  EXPECT_EQ(reason_of(m, options), Rejection::none);
  m.frame->content = Location{"file:///videos/a.jpg", -1, {}, {}};
  EXPECT_EQ(reason_of(m, options), Rejection::location);
}

TEST(W11, SharedMemoryIsNotTakenYet) {
  Message m = frame();
  m.frame->content = SharedMemory{};
  EXPECT_EQ(reason_of(m), Rejection::unsupported);
}

TEST(W12, CudaIpcIsNotTakenYet) {
  Message m = frame();
  m.frame->content = CudaIpc{};
  EXPECT_EQ(reason_of(m), Rejection::unsupported);
}

TEST(W13, RefusesZeroUuids) {
  Message m = frame();
  m.producer = {};
  EXPECT_EQ(reason_of(m), Rejection::uuid);
  m = frame();
  m.frame->uuid = {};
  EXPECT_EQ(reason_of(m), Rejection::uuid);
  m = test::message(Kind::frame_update);
  m.frame_update.emplace();
  EXPECT_EQ(reason_of(m), Rejection::uuid);
  m = test::message(Kind::ack);
  m.ack.emplace();
  EXPECT_EQ(reason_of(m), Rejection::uuid);
}

TEST(Rejection, HasALabelForEachReason) {
  EXPECT_EQ(to_string(Rejection::none), "none");
  EXPECT_EQ(to_string(Rejection::kind_unknown), "kind_unknown");
  EXPECT_EQ(to_string(Rejection::cuda_ipc), "cuda_ipc");
  EXPECT_EQ(to_string(Rejection::token), "token");
}

}  // namespace
}  // namespace sightglass::stream
