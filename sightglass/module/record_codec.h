// A record as bytes and back, for queues on disk: the message as it would go over a socket, its payload, and
// the few fields that a message has no place for. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "sightglass/adapters/record.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/message_writer.h"

namespace sightglass::module {

class RecordCodec {
 public:
  RecordCodec();
  // Replaces `bytes`; leaves them empty when the record cannot be said (a message over the limits).
  // Allocates nothing once warm, where the metadata allow it.
  void encode(const adapters::Record& record, std::vector<uint8_t>& bytes);
  Result<adapters::RecordRef> decode(std::span<const uint8_t> bytes);

 private:
  std::mutex mutex_;
  stream::MessageWriter writer_;
  stream::MessageReader reader_;
  stream::Message message_;  // that is being encoded; keeps what it has allocated
  std::vector<uint8_t> body_;
};

}  // namespace sightglass::module
