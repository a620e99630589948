#include "sightglass/adapters/sources/frame_messages.h"

#include <array>
#include <chrono>
#include <mutex>
#include <new>

#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

int64_t wall_clock_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(system_clock::now().time_since_epoch()).count();
}

// Messages are larger than what malloc keeps at hand (1 KiB), and come and go with each frame: the blocks of
// some are kept for the next ones, of whatever stream and thread.
class Blocks {
 public:
  void* take(size_t size) {
    {
      const std::lock_guard lock(mutex_);
      if (size == size_ && count_ > 0) return blocks_[--count_];
    }
    return ::operator new(size);
  }
  void give(void* block, size_t size) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (count_ == 0) size_ = size;
      if (size == size_ && count_ < blocks_.size()) {
        blocks_[count_++] = block;
        return;
      }
    }
    ::operator delete(block);
  }
  static Blocks& shared() {
    static Blocks& one = *new Blocks;  // outlives every message
    return one;
  }

 private:
  std::mutex mutex_;
  size_t size_ = 0, count_ = 0;
  std::array<void*, 128> blocks_;
};

template <class T>
struct Recycled {
  using value_type = T;
  Recycled() = default;
  template <class U>
  Recycled(const Recycled<U>&) {}
  T* allocate(size_t count) { return static_cast<T*>(Blocks::shared().take(count * sizeof(T))); }
  void deallocate(T* block, size_t count) noexcept { Blocks::shared().give(block, count * sizeof(T)); }
  bool operator==(const Recycled&) const = default;
};

int64_t steady_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

void FrameMessages::begin_epoch() {
  ++epoch_;
  seq_ = frames_ = 0;
  previous_frame_.reset();
  previous_keyframe_.reset();
}

std::shared_ptr<stream::Message> FrameMessages::message(stream::Kind kind) {
  auto made = std::allocate_shared<stream::Message>(Recycled<stream::Message>());
  made->kind = kind;
  made->source_id = source_id_;
  made->producer = producer_;
  made->epoch = epoch_;
  made->seq = seq_++;
  made->sent_us = wall_clock_us();
  return made;
}

stream::Delivery FrameMessages::frame(const MediaInfo& info, AccessUnit unit, int64_t shift) {
  auto made = message(stream::Kind::frame);
  stream::VideoFrame& frame = made->frame.emplace();
  frame.uuid = stream::make_uuid_v7();
  frame.created_us = made->sent_us;
  frame.captured_us = unit.captured_us;
  frame.previous_frame = previous_frame_;
  frame.previous_keyframe = previous_keyframe_;
  frame.width = info.width, frame.height = info.height;
  if (info.framerate.num > 0) frame.framerate = stream::Rational{info.framerate.num, info.framerate.den};
  frame.pixel_aspect = {info.pixel_aspect.num, info.pixel_aspect.den};
  frame.time_base = {info.time_base.num, info.time_base.den};
  frame.pts = unit.pts + shift;
  if (unit.dts) frame.dts = *unit.dts + shift;
  if (unit.duration > 0) frame.duration = unit.duration;
  frame.codec = info.codec;
  frame.keyframe = unit.keyframe;
  frame.encoding = info.is_transcoded ? stream::Encoding::transcoded : stream::Encoding::original;
  frame.content = stream::Part{.index = 0, .size = int64_t(unit.payload.bytes.size())};
  if (info.codec == "raw") frame.raw.emplace().format = "I420";
  previous_frame_ = frame.uuid;
  if (frame.keyframe) previous_keyframe_ = frame.uuid;
  ++frames_;
  stream::Delivery delivery{.message = std::move(made), .received_ns = steady_ns()};
  delivery.payloads.push_back(std::move(unit.payload));
  return delivery;
}

stream::Delivery FrameMessages::update(stream::StreamState state, const MediaInfo* info, bool discontinuity,
                                       std::string reason) {
  auto made = message(stream::Kind::stream_update);
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
  return {.message = std::move(made), .received_ns = steady_ns()};
}

stream::Delivery FrameMessages::end(stream::EndReason reason) {
  auto made = message(stream::Kind::end_of_stream);
  stream::EndOfStream& end = made->end_of_stream.emplace();
  end.reason = reason;
  end.frames = frames_;
  end.last_frame = previous_frame_;
  return {.message = std::move(made), .received_ns = steady_ns()};
}

}  // namespace sightglass::adapters
