// Makes the messages of one virtual stream: counts, names each frame (uuid version 7) and refers each to its
// predecessor and keyframe. One thread; one object per stream.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/stream/delivery.h"
#include "sightglass/stream/recycler.h"

namespace sightglass::adapters {

class FrameMessages {
 public:
  // `producer` is drawn once per process, see stream/uuid.h.
  FrameMessages(std::string source_id, const stream::Uuid& producer)
      : source_id_(std::move(source_id)), producer_(producer) {}

  // The frame travels as payload part 0. Times are moved by `shift` (of the media's time base).
  stream::Delivery frame(const MediaInfo& info, AccessUnit unit, int64_t shift = 0);
  // What is said of the stream between its frames; `info` may be null.
  stream::Delivery update(stream::StreamState state, const MediaInfo* info, bool discontinuity,
                          std::string reason);
  stream::Delivery end(stream::EndReason reason);
  int64_t frames() const { return frames_; }
  void begin_epoch();          // behind end()
  void skip_seq() { ++seq_; }  // as if a message had been lost on its way

 private:
  // With what all have in common; `message` is its message, to be filled.
  stream::Delivery delivery(stream::Kind kind, stream::Message*& message);

  // Filling a frame from nothing and taking it apart again would be a third of what a message costs: it stays
  // in its message, without what this class does not set anew each time.
  static void empty(stream::Message& message);

  stream::Recycler<stream::Message> messages_{32, &empty};
  std::string source_id_;
  stream::Uuid producer_;
  int64_t epoch_ = 0, seq_ = 0, frames_ = 0;
  std::optional<stream::Uuid> previous_frame_, previous_keyframe_;
  int64_t clocks_apart_ns_ = 0, compare_at_ns_ = 0;  // wall - steady; on the steady clock, when to look again
};

}  // namespace sightglass::adapters
