// Row by row what streams.md 1.6 says of what well-formed messages say: geometry, times, objects, payloads
// and names (W-05 to W-13).
#include <gtest/gtest.h>

#include <limits>

#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/reading_test_support.h"
#include "sightglass/stream/test_messages.h"

namespace sightglass::stream {
namespace {

using test::frame;
using test::frame_with_objects;
using test::parts_of;
using test::Read;
using test::reason_of;
using test::Verdict;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

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

}  // namespace
}  // namespace sightglass::stream
