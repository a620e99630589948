#include "sightglass/adapters/sources/frame_messages.h"

#include <gtest/gtest.h>

#include <chrono>

#include "sightglass/stream/test_messages.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

AccessUnit unit(bool keyframe, int64_t pts) {
  AccessUnit made;
  made.payload = stream::own({1, 2, 3});
  made.pts = pts;
  made.keyframe = keyframe;
  return made;
}

TEST(FrameMessages, ReferToPredecessorAndKeyframe) {
  FrameMessages messages("cam", stream::make_uuid_v7());
  const MediaInfo info{.codec = "h264", .width = 64, .height = 48};
  const auto key = messages.frame(info, unit(true, 0)), next = messages.frame(info, unit(false, 1)),
             last = messages.frame(info, unit(false, 2));
  EXPECT_EQ(key.message->frame->previous_frame, std::nullopt);
  EXPECT_EQ(last.message->frame->previous_frame, next.message->frame->uuid);
  EXPECT_EQ(last.message->frame->previous_keyframe, key.message->frame->uuid);
  EXPECT_EQ(last.message->seq, 2);
}

TEST(FrameMessages, AreOfNow) {
  FrameMessages messages("cam", stream::make_uuid_v7());
  using namespace std::chrono;
  const auto wall = [] {
    return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
  };
  const auto steady = [] { return steady_clock::now().time_since_epoch().count(); };
  for (int i = 0; i < 1000; ++i) {
    const int64_t wall_before = wall(), steady_before = steady();
    const auto made = messages.frame({.codec = "h264"}, unit(false, i));
    EXPECT_GE(made.message->sent_us, wall_before - 1);
    EXPECT_LE(made.message->sent_us, wall() + 1);
    EXPECT_EQ(made.message->frame->created_us, made.message->sent_us);
    EXPECT_GE(made.received_ns, steady_before);
    EXPECT_LE(made.received_ns, steady());
  }
}

// The message of a frame is used again: nothing of what it said before is left.
TEST(FrameMessages, HaveNothingOfTheMessageBefore) {
  FrameMessages messages("cam", stream::test::uuid(1));
  AccessUnit full = unit(true, 5);
  full.dts = 4, full.duration = 1, full.captured_us = 7;
  auto first = messages.frame(
      {.codec = "raw", .width = 64, .height = 48, .framerate = {25, 1}, .is_transcoded = true}, full);
  const stream::Message* const place = first.message.get();
  // Who has it alone may add to it, as side files do: here everything that a frame can have.
  *std::const_pointer_cast<stream::Message>(first.message)->frame = *stream::test::full_frame().frame;
  first = {};
  messages.begin_epoch();

  auto again = messages.frame({.codec = "h264", .width = 32, .height = 24}, unit(false, 9));
  EXPECT_EQ(again.message.get(), place);
  stream::Message expected;
  expected.kind = stream::Kind::frame;
  expected.source_id = "cam";
  expected.producer = stream::test::uuid(1);
  expected.epoch = 1;
  expected.sent_us = again.message->sent_us;
  stream::VideoFrame& frame = expected.frame.emplace();
  frame.uuid = again.message->frame->uuid;
  frame.created_us = expected.sent_us;
  frame.width = 32, frame.height = 24;
  frame.pts = 9;
  frame.codec = "h264";
  frame.encoding = stream::Encoding::original;
  frame.content = stream::Part{.index = 0, .size = 3};
  EXPECT_EQ(*again.message, expected);

  again = {};
  const auto end = messages.end(stream::EndReason::end);
  EXPECT_EQ(end.message.get(), place);
  EXPECT_FALSE(end.message->frame);
  EXPECT_TRUE(end.message->end_of_stream);
}

}  // namespace
}  // namespace sightglass::adapters
