// From the parts that a socket delivered to a Message that the rest can trust. What is wrong with the message
// as a whole drops it, what is wrong with one object or one time drops or mends just that; both are counted
// by reason.
//
//   MessageReader reader({}, schemas);
//   Message message;  // used again and again, so that its memory is
//   const Reading reading = reader.read(parts, message);
//   if (reading.verdict == Reading::Verdict::accepted) ingress.take(message, reading.payload);
//
// After acceptance these hold, for whoever comes behind:
//   * exactly the body that `kind` names is set, and the source id is valid and that of part 0;
//   * sizes, rates and the time base are positive and within the limits, pts in nanoseconds fits 64 bits, dts
//   ≤ pts;
//   * object ids are unique, parents exist, there is no cycle; boxes are finite, not negative, and touch the
//   picture;
//   * confidences are 0..1; the payload has the size and the checksum that the body says;
//   * keyframe, width and height are those of the bitstream, where its codec is one that bitstream.h reads.
//
// One object per thread; the schemas may be shared. Does not allocate once warm. Knows nothing of streams:
// whether a source id is new, muted or fenced is the business of its caller.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "sightglass/stream/avro/binary.h"
#include "sightglass/stream/limits.h"
#include "sightglass/stream/messages.h"
#include "sightglass/stream/rejection.h"

namespace sightglass::stream {

class SchemaRegistry;

inline constexpr std::string_view control_topic = "$ctl";

// 1–128 characters: a letter or digit, then letters, digits, `.` `_` `:` `-`; no `..`.
bool is_source_id(std::string_view id);

// Hello, SchemaRequest, SchemaAnnounce and Shutdown, which travel under `$ctl`; all else under a source id.
bool is_control(Kind kind);

// How long ago a time on the wire was; 0 where the other clock is ahead of ours.
int64_t latency_us(int64_t since_us, int64_t now_us);

struct Reading {
  enum class Verdict : uint8_t {
    accepted,
    ignored,       // a kind that this version does not know: acknowledge it, then forget it
    rejected,      // `reason` says why
    needs_schema,  // no schema for `fingerprint` yet: park the parts, ask for it, read again
  };
  Verdict verdict = Verdict::rejected;
  Rejection reason = Rejection::none;
  // The producer, epoch and seq of the message could be read, whatever became of the rest.
  bool identified = false;
  uint64_t fingerprint = 0;
  // The bytes of the frame or user data, whether they came inline or as a part; they lie in the message or in
  // the parts. Empty where there are none, or where they are a Location.
  Bytes payload;
};

struct ReaderOptions {
  Limits limits;
  // Which locations may be read; none when empty.
  std::function<bool(const Location&)> allow_location = {};
  // Compare checksums and look into the bitstream. Only for a reader that trusts its one writer.
  bool verify_payload = true;
};

class MessageReader {
 public:
  explicit MessageReader(ReaderOptions options = {}, SchemaRegistry* schemas = nullptr);

  // `message` holds something usable only when accepted, or its first fields when identified.
  Reading read(std::span<const Bytes> parts, Message& message,
               std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now());

  const Limits& limits() const { return options_.limits; }
  // Messages that were dropped, and objects and times that were.
  const RejectionCounters& rejections() const { return rejections_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  Rejection check(std::span<const Bytes> parts, Message& message, Reading& reading, Time now);
  Rejection decode_body(Bytes body, Message& message, Reading& reading, Time now);
  bool identify(Bytes body, Message& message) const;
  Rejection find_payload(const Content& content, std::span<const Bytes> parts, Reading& reading) const;

  ReaderOptions options_;
  SchemaRegistry* schemas_;
  RejectionCounters rejections_;
  std::vector<uint8_t> resolved_;  // a body of another schema, as one of ours
  std::vector<uint32_t> scratch_;  // of the object graph
};

// Of a payload that came later than its message, as from a Location: what read() would have said of it. Mends
// the message as read() does.
Rejection check_payload(Message& message, Bytes payload, const Limits& limits, RejectionCounters& rejections);

}  // namespace sightglass::stream
