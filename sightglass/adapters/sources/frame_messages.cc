#include "sightglass/adapters/sources/frame_messages.h"

#include <chrono>
#include <ctime>
#include <utility>

#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

int64_t coarse_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

// What the wall clock is ahead of the steady one. Two coarse clocks that stand at the same tick of the kernel
// tell it exactly.
int64_t clocks_apart_ns() {
  int64_t tick = coarse_ns(CLOCK_MONOTONIC_COARSE), apart = 0;
  for (int64_t before = tick - 1; before != tick;) {
    before = tick;
    apart = coarse_ns(CLOCK_REALTIME_COARSE) - before;
    tick = coarse_ns(CLOCK_MONOTONIC_COARSE);
  }
  return apart;
}

constexpr int64_t compare_every_ns = 4'000'000;  // a tick

}  // namespace

void FrameMessages::empty(stream::Message& message) {
  message.stream_update.reset();
  message.end_of_stream.reset();
  if (message.kind != stream::Kind::frame || !message.frame) return message.frame.reset();
  stream::VideoFrame& frame = *message.frame;
  frame.param_revision.reset();
  frame.replay = false;
  frame.orientation = 0;
  frame.codec_data.reset();
  frame.raw.reset();
  frame.crc32c.reset();
  frame.transformations.clear();
  frame.attributes.clear();
  frame.objects.clear();
  frame.tags.clear();
}

void FrameMessages::begin_epoch() {
  ++epoch_;
  seq_ = frames_ = 0;
  previous_frame_.reset();
  previous_keyframe_.reset();
}

stream::Delivery FrameMessages::delivery(stream::Kind kind, stream::Message*& message) {
  // Both clocks for the price of one.
  const int64_t steady_ns = std::chrono::steady_clock::now().time_since_epoch().count();
  if (steady_ns >= compare_at_ns_) {
    clocks_apart_ns_ = clocks_apart_ns();
    compare_at_ns_ = steady_ns + compare_every_ns;
  }
  auto made = messages_.get();
  made->kind = kind;
  if (kind != stream::Kind::frame) made->frame.reset();
  made->source_id = source_id_;
  made->producer = producer_;
  made->epoch = epoch_;
  made->seq = seq_++;
  made->sent_us = (steady_ns + clocks_apart_ns_) / 1000;
  message = made.get();
  return {.message = std::move(made), .received_ns = steady_ns};
}

stream::Delivery FrameMessages::frame(const MediaInfo& info, AccessUnit unit, int64_t shift) {
  stream::Message* made = nullptr;
  stream::Delivery delivery = this->delivery(stream::Kind::frame, made);
  stream::VideoFrame& frame = made->frame ? *made->frame : made->frame.emplace();
  frame.uuid = stream::make_uuid_v7(made->sent_us);
  frame.created_us = made->sent_us;
  frame.captured_us = unit.captured_us;
  frame.previous_frame = previous_frame_;
  frame.previous_keyframe = previous_keyframe_;
  frame.width = info.width, frame.height = info.height;
  frame.framerate.reset();
  if (info.framerate.num > 0) frame.framerate = stream::Rational{info.framerate.num, info.framerate.den};
  frame.pixel_aspect = {info.pixel_aspect.num, info.pixel_aspect.den};
  frame.time_base = {info.time_base.num, info.time_base.den};
  frame.pts = unit.pts + shift;
  frame.dts.reset();
  if (unit.dts) frame.dts = *unit.dts + shift;
  frame.duration.reset();
  if (unit.duration > 0) frame.duration = unit.duration;
  frame.codec = info.codec;
  frame.keyframe = unit.keyframe;
  frame.encoding = info.is_transcoded ? stream::Encoding::transcoded : stream::Encoding::original;
  frame.content = stream::Part{.index = 0, .size = int64_t(unit.payload.bytes.size())};
  if (info.codec == "raw") frame.raw.emplace().format = "I420";
  previous_frame_ = frame.uuid;
  if (frame.keyframe) previous_keyframe_ = frame.uuid;
  ++frames_;
  delivery.payloads.push_back(std::move(unit.payload));
  return delivery;
}

stream::Delivery FrameMessages::update(stream::StreamState state, const MediaInfo* info, bool discontinuity,
                                       std::string reason) {
  stream::Message* made = nullptr;
  stream::Delivery delivery = this->delivery(stream::Kind::stream_update, made);
  stream::StreamUpdate& update = made->stream_update.emplace();
  update.state = state;
  update.discontinuity = discontinuity;
  update.reason = std::move(reason);
  if (info) {
    update.codec = info->codec;
    update.width = info->width, update.height = info->height;
    if (info->framerate.num > 0)
      update.framerate = stream::Rational{info->framerate.num, info->framerate.den};
  }
  return delivery;
}

stream::Delivery FrameMessages::end(stream::EndReason reason) {
  stream::Message* made = nullptr;
  stream::Delivery delivery = this->delivery(stream::Kind::end_of_stream, made);
  stream::EndOfStream& end = made->end_of_stream.emplace();
  end.reason = reason;
  end.frames = frames_;
  end.last_frame = previous_frame_;
  return delivery;
}

}  // namespace sightglass::adapters
