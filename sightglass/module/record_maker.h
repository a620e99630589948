// Between messages, instances and records: what the life cycle has to know of a message, what an instance has
// to know of a stream, and the records that sinks and subscribers get. Free functions without state.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sightglass/adapters/record.h"
#include "sightglass/module/picture_payload.h"
#include "sightglass/module/stream_instance.h"
#include "sightglass/stream/lifecycle/stream_machine.h"

namespace sightglass::module {

// False: a kind that no stream takes (control messages).
bool facts_of(const stream::Delivery& delivery, stream::FrameFacts& facts);
StreamFormat format_of(const stream::VideoFrame& frame);
// pts in ns as its source gave it; no_time when it cannot be said.
Time original_pts(const stream::VideoFrame& frame);

// Where a record of the module's own making belongs.
struct RecordPlace {
  std::string_view source_id;
  int64_t epoch = 0, seq = 0;
  Time pts = no_time;
};

std::shared_ptr<adapters::Record> frame_record(InstanceResult& result, int64_t epoch);
// A message that goes to the sinks as it came: user data, stream updates and frame updates of others.
std::shared_ptr<adapters::Record> passed_record(const stream::Delivery& delivery, int64_t epoch);
std::shared_ptr<adapters::Record> stream_record(const RecordPlace& place, const stream::StreamUpdate& update);
std::shared_ptr<adapters::Record> end_record(const RecordPlace& place, stream::EosReason reason,
                                             int64_t frames, const stream::Uuid& last_frame);

// Merges an update into the results of its frame, by its policies. False: refused (REJECT).
bool merge(const stream::FrameUpdate& update, int width, int height, Frame& results);

}  // namespace sightglass::module
