#include "sightglass/stream/client.h"

#include <gmock/gmock.h>

#include <random>
#include <thread>

#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/zeromq/zmq_test_support.h"

namespace sightglass::stream {
namespace {

using testing::HasSubstr;

// The start of a JPEG of 64 × 48, as far as a header goes.
std::vector<uint8_t> jpeg() {
  std::vector<uint8_t> bytes = {0xff, 0xd8, 0xff, 0xc0, 0x00, 0x11, 0x08, 0x00, 0x30, 0x00, 0x40, 0x03,
                                0x01, 0x22, 0x00, 0x02, 0x11, 0x01, 0x03, 0x11, 0x01, 0xff, 0xd9};
  bytes.resize(5000, 0);
  return bytes;
}

class Client : public testing::Test {
 protected:
  TempFolder folder_;

  static std::string other(const Url& url, SocketType type) {
    Url out = url;
    out.type = type;
    out.bind = !out.bind;
    return out.to_string();
  }
  std::string url(std::string_view what) const { return test_url(what, "ipc", folder_.path).to_string(); }

  static std::optional<ResultRecord> next(ResultReceiver& receiver) {
    std::optional<ResultRecord> out;
    soon([&] {
      auto result = receiver.next(20ms);
      EXPECT_TRUE(result);
      if (result && *result) out = std::move(**result);
      return out.has_value();
    });
    return out;
  }
};

TEST_F(Client, SendsFramesAndReceivesThem) {
  auto receiver = ResultReceiver::open(url("router+bind"), {.sources = {"cam-1"}});
  ASSERT_TRUE(receiver) << receiver.error().message;
  auto sender = FrameSender::open(other(receiver->url(), SocketType::dealer), {.name = "test"});
  ASSERT_TRUE(sender) << sender.error().message;
  std::vector<Uuid> sent;
  for (int i = 0; i < 3; ++i) {
    auto uuid =
        sender->send_frame("cam-1", jpeg(), {.attributes = {{"sensor", "lux", {{0.5F, Value(40.0)}}}}});
    ASSERT_TRUE(uuid) << uuid.error().message;
    sent.push_back(*uuid);
  }
  ASSERT_TRUE(sender->end_stream("cam-1"));
  for (int i = 0; i < 3; ++i) {
    const auto record = next(*receiver);
    ASSERT_TRUE(record && record->frame());
    EXPECT_EQ(record->source_id(), "cam-1");
    EXPECT_EQ(record->frame()->uuid, sent[static_cast<size_t>(i)]);
    EXPECT_EQ(record->frame()->width, 64);
    EXPECT_EQ(record->frame()->height, 48);
    EXPECT_TRUE(record->frame()->keyframe);
    EXPECT_EQ(record->payload.bytes.size(), 5000U);
    ASSERT_TRUE(record->attribute("sensor", "lux"));
    EXPECT_EQ(std::get<double>(*record->attribute("sensor", "lux")), 40.0);
    EXPECT_FALSE(record->attribute("sensor", "none"));
    if (i > 0) {
      EXPECT_EQ(record->frame()->previous_frame, sent[static_cast<size_t>(i - 1)]);
    }
  }
  const auto last = next(*receiver);
  ASSERT_TRUE(last && last->end_of_stream());
  EXPECT_EQ(last->message->end_of_stream->frames, 3);
  EXPECT_EQ(last->message->end_of_stream->last_frame, sent.back());
  std::atomic<bool> finished{false};
  std::thread pump([&] {
    while (!finished) (void)receiver->next(5ms);
  });
  EXPECT_TRUE(sender->finish(30s));
  finished = true;
  pump.join();
  EXPECT_EQ(sender->statistics().acknowledged, 4U);
  EXPECT_EQ(receiver->rejected(), 0U);
}

// Whatever the time base: nothing of a frame is changed on its way but what is said.
TEST_F(Client, ForwardsFramesWithTheirTimesAsTheyAre) {
  auto first = ResultReceiver::open(url("router+bind"));
  ASSERT_TRUE(first) << first.error().message;
  auto writer = ZmqWriter::open(*parse_writer_url(other(first->url(), SocketType::dealer)), {});
  ASSERT_TRUE(writer) << writer.error().message;
  auto second = ResultReceiver::open("pull+bind:ipc://" + folder_.path + "/onward");
  ASSERT_TRUE(second) << second.error().message;
  auto sender = FrameSender::open(other(second->url(), SocketType::push));
  ASSERT_TRUE(sender) << sender.error().message;

  std::mt19937_64 random(7);
  constexpr Rational bases[] = {{1, 90'000}, {1001, 30'000}, {1, 1'000'000'000},
                                {1, 1},      {7, 3},         {1001, 60'000}};
  const auto picture = jpeg();
  for (int i = 0; i < 60; ++i) {
    Message message;
    message.source_id = "cam";
    VideoFrame& frame = message.frame.emplace();
    frame.uuid = make_uuid_v7();
    frame.created_us = 1'700'000'000'000'000 + int64_t(random() % 1'000'000);
    if (i % 2) frame.captured_us = frame.created_us - int64_t(random() % 1000);
    frame.codec = "jpeg", frame.keyframe = true;
    frame.width = 64, frame.height = 48;
    frame.time_base = bases[size_t(i) % std::size(bases)];
    frame.framerate = Rational{30'000, 1001};
    frame.pixel_aspect = {12, 11};
    frame.orientation = 90;
    frame.pts = int64_t(random() % 1'000'000) + i * 1'000'003;
    if (i % 3) frame.dts = frame.pts - int64_t(random() % 3);
    if (i % 5) frame.duration = int64_t(random() % 5'000);
    frame.tags = {"old"};
    frame.attributes = {{"a", "kept", {{0.5F, Value(1.0)}}}, {"a", "replaced", {{std::nullopt, Value(1.0)}}}};
    set_part(frame, picture, true);
    const VideoFrame sent = frame;
    ASSERT_TRUE((*writer)->send(message, own(picture), 10s));

    const auto received = next(*first);
    ASSERT_TRUE(received && received->frame());
    const Attribute added[] = {{"a", "replaced", {{std::nullopt, Value(2.0)}}}, {"b", "new", {}}};
    const std::string tags[] = {"old", "forwarded"};
    const auto uuid = sender->forward(*received, added, tags);
    ASSERT_TRUE(uuid) << uuid.error().message;
    EXPECT_EQ(**uuid, sent.uuid);
    const auto onward = next(*second);
    ASSERT_TRUE(onward && onward->frame());
    const VideoFrame& frame_there = *onward->frame();
    EXPECT_EQ(frame_there.uuid, sent.uuid);
    EXPECT_EQ(frame_there.created_us, sent.created_us);
    EXPECT_EQ(frame_there.captured_us, sent.captured_us);
    EXPECT_EQ(frame_there.time_base.num, sent.time_base.num);
    EXPECT_EQ(frame_there.time_base.den, sent.time_base.den);
    EXPECT_EQ(frame_there.pts, sent.pts);
    EXPECT_EQ(frame_there.dts, sent.dts);
    EXPECT_EQ(frame_there.duration, sent.duration);
    EXPECT_EQ(frame_there.orientation, 90);
    EXPECT_EQ(frame_there.pixel_aspect.num, 12);
    EXPECT_EQ(frame_there.tags, (std::vector<std::string>{"old", "forwarded"}));
    ASSERT_EQ(frame_there.attributes.size(), 3U);
    EXPECT_EQ(std::get<double>(*onward->attribute("a", "replaced")), 2.0);
    EXPECT_TRUE(std::ranges::equal(onward->payload.bytes, picture));
  }
}

TEST_F(Client, WaitsForRoomUntilCancelled) {
  auto sender = FrameSender::open(url("push+connect"));
  ASSERT_TRUE(sender);
  std::thread thread([&] {
    Result<Uuid> uuid;
    while (uuid) uuid = sender->send_frame("cam", jpeg());
    EXPECT_EQ(uuid.error().code, ErrorCode::cancelled);
  });
  ASSERT_TRUE(soon([&] { return sender->statistics().blocked; }));
  sender->cancel();
  thread.join();
}

TEST_F(Client, GivesUpAfterItsTimeout) {
  auto sender = FrameSender::open(url("dealer+connect"), {.send_timeout = 10ms});
  ASSERT_TRUE(sender);
  Result<Uuid> uuid;
  while (uuid) uuid = sender->send_frame("cam", jpeg());
  EXPECT_EQ(uuid.error().code, ErrorCode::exhausted);
  EXPECT_FALSE(sender->finish(10ms));
}

TEST_F(Client, SaysWhatAPictureLacks) {
  auto sender = FrameSender::open(url("pub+bind"));
  ASSERT_TRUE(sender) << sender.error().message;
  const std::vector<uint8_t> bytes(100);
  const auto size = sender->send_frame("cam", bytes, {.codec = "av1", .keyframe = true});
  ASSERT_FALSE(size);
  EXPECT_THAT(size.error().message, HasSubstr("width and height: missing"));
  const auto key = sender->send_frame("cam", bytes, {.codec = "av1", .width = 64, .height = 48});
  ASSERT_FALSE(key);
  EXPECT_THAT(key.error().message, HasSubstr("keyframe: missing"));
  EXPECT_TRUE(
      sender->send_frame("cam", bytes, {.codec = "av1", .keyframe = true, .width = 64, .height = 48}));
  // The size is that of the pictures before.
  EXPECT_TRUE(sender->send_frame("cam", bytes, {.codec = "av1", .keyframe = false}));
  EXPECT_FALSE(sender->send_frame("no/id", jpeg()));
}

TEST_F(Client, RefusesUrlsOfTheWrongEnd) {
  EXPECT_FALSE(FrameSender::open("pull+bind:tcp://127.0.0.1:1"));
  EXPECT_FALSE(ResultReceiver::open("push+bind:tcp://127.0.0.1:1"));
}

}  // namespace
}  // namespace sightglass::stream
