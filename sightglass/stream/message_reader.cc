#include "sightglass/stream/message_reader.h"

#include <algorithm>

#include "sightglass/stream/bitstream.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/validate.h"

namespace sightglass::stream {
namespace {

constexpr int32_t protocol_version = 1;
// Of epochs and seqs: far from where counting on would overflow.
constexpr int64_t most_number = int64_t(1) << 62;

std::string_view text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// W-01: what can be said without looking inside.
Rejection check_framing(std::span<const Bytes> parts, const Limits& limits) {
  if (parts.size() < 2 || parts.size() > 2 + limits.payload_parts) return Rejection::framing;
  size_t total = 0;
  for (const Bytes part : parts) {
    if (part.size() > limits.part) return Rejection::oversize;
    total += part.size();
  }
  if (parts[1].size() > limits.body || total > limits.message) return Rejection::oversize;
  const std::string_view topic = text_of(parts[0]);
  return topic == control_topic || is_source_id(topic) ? Rejection::none : Rejection::source_id;
}

// W-04, W-13: what the message says about itself.
Rejection check_envelope(const Message& message, std::string_view topic) {
  if (message.protocol != protocol_version) return Rejection::schema;
  if (message.source_id != topic) return Rejection::source_mismatch;
  if (is_zero(message.producer)) return Rejection::uuid;
  if (message.epoch < 0 || message.seq < 0 || message.attempt < 0) return Rejection::encoding;
  if (message.epoch > most_number || message.seq > most_number) return Rejection::encoding;
  const Kind kind = kind_of(message);
  if (message.kind == Kind::unknown) {
    const bool none = !message.frame && !message.frame_update && !message.stream_update &&
                      !message.end_of_stream && !message.user_data && !message.shutdown && !message.ack &&
                      !message.hello && !message.schema_request && !message.schema_announce;
    return none ? Rejection::kind_unknown : Rejection::body;
  }
  if (kind != message.kind) return Rejection::body;
  return is_control(kind) == (topic == control_topic) ? Rejection::none : Rejection::source_id;
}

// The first fields of our schema are the envelope, and the rest may be what it likes.
bool read_envelope(Bytes datum, const Limits& limits, Message& message) {
  BinaryReader in(datum, limits);
  (void)in.read_long();  // kind
  (void)in.read_long();  // protocol
  in.read_string(message.source_id, limits.name);
  in.read_fixed(message.producer);
  message.epoch = in.read_long();
  message.seq = in.read_long();
  return in.ok();
}

bool is_identified(const Message& message, std::string_view topic) {
  return message.source_id == topic && !is_zero(message.producer) && message.epoch >= 0 &&
         message.epoch <= most_number && message.seq >= 0 && message.seq <= most_number;
}

// The planes of a raw picture lie in its bytes.
bool fits(const RawLayout& layout, size_t size) {
  return std::ranges::all_of(layout.planes, [&](const Plane& plane) {
    return plane.offset >= 0 && plane.stride >= 0 && plane.size >= 0 && uint64_t(plane.offset) <= size &&
           uint64_t(plane.size) <= size - uint64_t(plane.offset);
  });
}

// W-09: the bitstream decides. `frame` is corrected; pictures too large to decode are refused.
Rejection check_bitstream(VideoFrame& frame, Bytes payload, const Limits& limits,
                          RejectionCounters& rejections) {
  if (!frame.codec || payload.empty()) return Rejection::none;
  const std::string_view codec = *frame.codec;
  const bool still = codec == "jpeg" || codec == "mjpeg" || codec == "png";
  bool differs = false;
  if (const auto size = picture_size(codec, payload)) {
    const int64_t pixels = int64_t(size->width) * size->height;
    if (pixels > (still ? limits.image_pixels : limits.pixels)) return Rejection::pixels;
    if (size->width <= 0 || size->height <= 0 || size->width > limits.side || size->height > limits.side) {
      return Rejection::geometry;
    }
    differs = size->width != frame.width || size->height != frame.height;
    frame.width = size->width;
    frame.height = size->height;
  }
  if (const auto keyframe = is_keyframe(codec, payload)) {
    differs = differs || *keyframe != frame.keyframe;
    frame.keyframe = *keyframe;
  }
  if (differs) rejections.count(Rejection::bitstream);
  return Rejection::none;
}

}  // namespace

bool is_source_id(std::string_view id) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (id.empty() || id.size() > 128 || !word(id[0]) || id.contains("..")) return false;
  return std::ranges::all_of(id,
                             [&](char c) { return word(c) || c == '.' || c == '_' || c == ':' || c == '-'; });
}

bool is_control(Kind kind) {
  return kind == Kind::hello || kind == Kind::schema_request || kind == Kind::schema_announce ||
         kind == Kind::shutdown;
}

int64_t latency_us(int64_t since_us, int64_t now_us) {
  if (since_us >= now_us) return 0;
  const uint64_t passed = uint64_t(now_us) - uint64_t(since_us);
  return int64_t(std::min(passed, uint64_t(INT64_MAX)));
}

MessageReader::MessageReader(ReaderOptions options, SchemaRegistry* schemas)
    : options_(std::move(options)), schemas_(schemas) {}

Rejection MessageReader::decode_body(Bytes body, Message& message, Reading& reading, Time now) {
  const auto fingerprint = avro::read_header(body);
  if (!fingerprint) return Rejection::not_avro;
  reading.fingerprint = *fingerprint;
  Bytes datum = body.subspan(avro::header_size);
  if (*fingerprint != schema_fingerprint) {
    const auto found = schemas_ ? schemas_->find(*fingerprint, now) : SchemaRegistry::Found();
    if (found.incompatible) return Rejection::schema_incompatible;
    if (!found.resolution) return Rejection::schema_unknown;
    if (!found.resolution->convert(datum, options_.limits, resolved_)) return Rejection::encoding;
    datum = resolved_;
  }
  BinaryReader in(datum, options_.limits);
  decode(in, message);
  if (in.ok() && in.left() == 0) return Rejection::none;
  // Which message it was can often be told nevertheless, so that it can be refused.
  reading.identified = read_envelope(datum, options_.limits, message);
  return Rejection::encoding;
}

// Of a message that is too large for the rest to be looked at.
bool MessageReader::identify(Bytes body, Message& message) const {
  const auto fingerprint = avro::read_header(body);
  return fingerprint == schema_fingerprint &&
         read_envelope(body.subspan(avro::header_size), options_.limits, message);
}

Reading MessageReader::read(std::span<const Bytes> parts, Message& message,
                            std::chrono::steady_clock::time_point now) {
  Reading reading;
  reading.reason = check(parts, message, reading, now);
  switch (reading.reason) {
    case Rejection::none:
      reading.verdict = Reading::Verdict::accepted;
      break;
    case Rejection::kind_unknown:
      reading.verdict = Reading::Verdict::ignored;
      break;
    case Rejection::schema_unknown:
      // Whether it stays unknown, and counts, its caller will see.
      reading.verdict = Reading::Verdict::needs_schema;
      return reading;
    default:
      reading.verdict = Reading::Verdict::rejected;
  }
  if (reading.reason != Rejection::none) rejections_.count(reading.reason);
  return reading;
}

Rejection MessageReader::check(std::span<const Bytes> parts, Message& message, Reading& reading, Time now) {
  if (const Rejection r = check_framing(parts, options_.limits); r != Rejection::none) {
    reading.identified =
        r == Rejection::oversize && identify(parts[1], message) && is_identified(message, text_of(parts[0]));
    return r;
  }
  const std::string_view topic = text_of(parts[0]);
  if (const Rejection r = decode_body(parts[1], message, reading, now); r != Rejection::none) {
    reading.identified = reading.identified && is_identified(message, topic);
    return r;
  }
  if (const Rejection r = check_envelope(message, topic); r != Rejection::none) {
    reading.identified = is_identified(message, topic);
    return r;
  }
  reading.identified = true;
  Validator validator(options_.limits, rejections_, scratch_);
  if (message.frame) {
    // The size that boxes are compared with has to be the right one.
    VideoFrame& frame = *message.frame;
    if (const Rejection r = find_payload(frame.content, parts, reading); r != Rejection::none) return r;
    const Bytes payload = reading.payload;
    if (frame.raw && !payload.empty() && !fits(*frame.raw, payload.size())) return Rejection::payload;
    if (options_.verify_payload) {
      if (frame.crc32c && !payload.empty() && uint32_t(*frame.crc32c) != crc32c(payload))
        return Rejection::payload;
      const Rejection r = check_bitstream(frame, payload, options_.limits, rejections_);
      if (r != Rejection::none) return r;
    }
  } else if (message.user_data) {
    if (const Rejection r = find_payload(message.user_data->content, parts, reading); r != Rejection::none)
      return r;
  } else if (parts.size() > 2) {
    return Rejection::payload;
  }
  return validator.check(message);
}

Rejection check_payload(Message& message, Bytes payload, const Limits& limits,
                        RejectionCounters& rejections) {
  if (payload.size() > limits.part) return Rejection::oversize;
  if (!message.frame) return Rejection::none;
  VideoFrame& frame = *message.frame;
  if (frame.raw && !fits(*frame.raw, payload.size())) return Rejection::payload;
  if (frame.crc32c && uint32_t(*frame.crc32c) != crc32c(payload)) return Rejection::payload;
  if (const Rejection r = check_bitstream(frame, payload, limits, rejections); r != Rejection::none) return r;
  // The size that boxes are compared with may be another one now.
  std::vector<uint32_t> scratch;
  return Validator(limits, rejections, scratch).check(message);
}

// W-08, W-10 to W-12.
Rejection MessageReader::find_payload(const Content& content, std::span<const Bytes> parts,
                                      Reading& reading) const {
  if (std::holds_alternative<SharedMemory>(content) || std::holds_alternative<CudaIpc>(content)) {
    return Rejection::unsupported;
  }
  if (const auto* location = std::get_if<Location>(&content)) {
    if (!options_.allow_location || !options_.allow_location(*location)) return Rejection::location;
    if (location->offset < 0 || location->size.value_or(0) < 0) return Rejection::location;
  }
  const auto* part = std::get_if<Part>(&content);
  // One content names one part, so there is exactly one or none.
  if (parts.size() - 2 != (part ? 1 : 0)) return Rejection::payload;
  if (part) {
    if (part->index != 0 || part->size != int64_t(parts[2].size())) return Rejection::payload;
    reading.payload = parts[2];
  } else if (const auto* data = std::get_if<Inline>(&content)) {
    reading.payload = data->data;
  } else if (const auto* opaque = std::get_if<Opaque>(&content)) {
    reading.payload = opaque->data;
  }
  return Rejection::none;
}

}  // namespace sightglass::stream
