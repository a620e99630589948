// From a Message to the parts that go into a socket:
//
//   MessageWriter writer;
//   set_part(*message.frame, picture);  // Part{0, size}, and the checksum
//   std::vector<uint8_t> body;          // used again and again
//   if (Status s = writer.write(message, picture, body); !s) …  // nobody would take it: says why
//   socket.send(message.source_id, body, picture);
//
// What a reader would refuse is refused here. One object per thread; does not allocate once warm.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/stream/avro/binary.h"
#include "sightglass/stream/limits.h"
#include "sightglass/stream/messages.h"

namespace sightglass::stream {

namespace avro {
class Resolution;
}

// CRC-32C (Castagnoli) of the bytes, as crc32c in a frame is.
uint32_t crc32c(Bytes data);

// The one further part of a message, for content of a frame or of user data.
Part part_content(Bytes payload);
// Sets the content of a frame to such a part, with its checksum; without one when `checksum` is false.
void set_part(VideoFrame& frame, Bytes payload, bool checksum = true);

// The kind that belongs to the one body that is set; UNKNOWN when none is, or several are.
Kind kind_of(const Message& message);

class MessageWriter {
 public:
  explicit MessageWriter(Limits limits = {});
  MessageWriter(MessageWriter&&) noexcept;
  MessageWriter& operator=(MessageWriter&&) noexcept;
  ~MessageWriter();

  // Writes with the schema of an earlier release from now on, for a reader that knows no newer one. Fields
  // that it lacks are left out.
  Status use_schema(uint64_t fingerprint);
  uint64_t fingerprint() const { return fingerprint_; }

  // Replaces `body` by part 1 of the message: marker, fingerprint, Avro. Part 0 is message.source_id, part 2
  // the payload.
  Status write(const Message& message, Bytes payload, std::vector<uint8_t>& body);

 private:
  Limits limits_;
  uint64_t fingerprint_ = schema_fingerprint;
  std::unique_ptr<const avro::Resolution> resolution_;  // into another schema; null for our own
  std::vector<uint8_t> ours_, theirs_;
};

}  // namespace sightglass::stream
