// A record: what has become of one frame, or a note about its stream, as sinks get it. Immutable, shared by
// all sinks of a module.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sightglass/core/frame.h"
#include "sightglass/stream/delivery.h"
#include "sightglass/stream/messages.h"

namespace sightglass::adapters {

enum class RecordKind : uint8_t { frame, frame_update, stream_update, end_of_stream, user_data };

struct Record {
  RecordKind kind = RecordKind::frame;
  std::string source_id;
  stream::Uuid uuid{};  // of the frame; of records without a frame one of their own
  int64_t epoch = 0, seq = 0;
  Time pts = no_time;       // ns, as the first adapter gave it, rescaled; grows within an epoch unless
                            // time went back (then `discontinuity` was announced)
  int64_t received_ns = 0;  // steady clock, when the module got it

  // Results: regions, attributes (tags among them, model "tag"), size and duration. No pixels.
  Frame results;

  // The header and all fields of the body but objects, attributes, tags and content, which are `results` and
  // `payload`. For kinds without a frame the whole body.
  std::shared_ptr<const stream::Message> message;

  // The picture to be stored, as message->frame.codec says, or the content of user data; empty: metadata
  // only.
  stream::Payload payload;
  bool keyframe = false;
  bool is_replay = false;
};
using RecordRef = std::shared_ptr<const Record>;

// The record as one line of JSON without its end: that of elements.md section 6 with uuid, source_id, epoch,
// seq and pts; records without a frame are {"schema":"sightglass.stream/1","kind":…}, user data with
// `content_size` and up to 64 KiB of `content` in base64. Appends; allocates nothing once `text` is large
// enough. A text in `results.json` takes its place.
void write_record_json(const Record& record, std::string& text);

// What another program has sent, as a record; of any kind of body but control messages (null).
RecordRef record_of(const stream::Delivery& delivery);

// Boxes to pixels and back, attribute kinds to wire values and back. What the wire cannot say (tensors over
// the limit) is left out and counted in `left_out`.
void to_message(const Record& record, stream::Message& message, uint64_t* left_out = nullptr);
// Objects, attributes and tags of a frame message into regions and attributes of `frame`, size as well.
void to_frame(const stream::VideoFrame& message, Frame& frame);

}  // namespace sightglass::adapters
