#include "sightglass/stream/message_writer.h"

#include "sightglass/stream/avro/resolution.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::stream {

Part part_content(Bytes payload) { return {0, int64_t(payload.size())}; }

void set_part(VideoFrame& frame, Bytes payload, bool checksum) {
  frame.content = part_content(payload);
  frame.crc32c.reset();
  if (checksum) frame.crc32c = int32_t(crc32c(payload));
}

Kind kind_of(const Message& message) {
  // In the order of the enum.
  const bool set[] = {message.frame.has_value(),
                      message.frame_update.has_value(),
                      message.stream_update.has_value(),
                      message.end_of_stream.has_value(),
                      message.user_data.has_value(),
                      message.shutdown.has_value(),
                      message.ack.has_value(),
                      message.hello.has_value(),
                      message.schema_request.has_value(),
                      message.schema_announce.has_value()};
  static_assert(std::size(set) == size_t(Kind::schema_announce));
  if (std::ranges::count(set, true) != 1) return Kind::unknown;
  return Kind(std::ranges::find(set, true) - set + 1);
}

MessageWriter::MessageWriter(Limits limits) : limits_(limits) {}
MessageWriter::MessageWriter(MessageWriter&&) noexcept = default;
MessageWriter& MessageWriter::operator=(MessageWriter&&) noexcept = default;
MessageWriter::~MessageWriter() = default;

Status MessageWriter::use_schema(uint64_t fingerprint) {
  if (fingerprint == schema_fingerprint) {
    resolution_.reset();
  } else {
    const auto released = std::ranges::find(released_schemas(), fingerprint, &ReleasedSchema::fingerprint);
    if (released == released_schemas().end()) {
      return fail(ErrorCode::not_found, "no release wrote messages in schema {:016x}", fingerprint);
    }
    auto ours = avro::Schema::parse(schema_text(), avro::Defaults::leave_out);
    auto theirs = avro::Schema::parse(released->text, avro::Defaults::keep);
    if (!ours) return forward_error(ours);
    if (!theirs) return forward_error(theirs);
    auto made = avro::Resolution::make(std::move(*ours), *theirs);
    if (!made) return forward_error(made);
    resolution_ = std::make_unique<const avro::Resolution>(std::move(*made));
  }
  fingerprint_ = fingerprint;
  return {};
}

namespace {

// What the reader would call wrong with the parts, as a sentence.
Status check(const Message& message, Bytes payload, const Limits& limits) {
  if (kind_of(message) != message.kind || message.kind == Kind::unknown) {
    return fail(ErrorCode::invalid_argument, "message: kind is {}, and another body or several are set",
                to_string(message.kind));
  }
  if (is_control(message.kind) ? message.source_id != control_topic : !is_source_id(message.source_id)) {
    return fail(
        ErrorCode::invalid_argument,
        "message: '{}' is no source id; one has 1 to 128 letters, digits, . _ : - and begins with a letter "
        "or digit; {} is for control messages",
        message.source_id.substr(0, 128), control_topic);
  }
  if (is_zero(message.producer) || (message.frame && is_zero(message.frame->uuid))) {
    return fail(ErrorCode::invalid_argument, "message: the uuid of the {} is zero; make_uuid_v7() makes one",
                is_zero(message.producer) ? "producer" : "frame");
  }
  const Content* content = message.frame       ? &message.frame->content
                           : message.user_data ? &message.user_data->content
                                               : nullptr;
  const Part* part = content ? std::get_if<Part>(content) : nullptr;
  if (part ? part->index != 0 || part->size != int64_t(payload.size()) : !payload.empty()) {
    return fail(ErrorCode::invalid_argument, "message: there is a payload of {} bytes, and the content {}",
                payload.size(), part ? "names another part or size" : "is no part");
  }
  if (payload.size() > limits.part) {
    return fail(ErrorCode::invalid_argument,
                "message: a payload of {} bytes is over the limit of {} (limits.part)", payload.size(),
                limits.part);
  }
  if (const char* field = over_limit(message, limits)) {
    return fail(ErrorCode::invalid_argument, "message: {} is longer than the limits of messages allow",
                field);
  }
  return {};
}

}  // namespace

Status MessageWriter::write(const Message& message, Bytes payload, std::vector<uint8_t>& body) {
  if (Status status = check(message, payload, limits_); !status) return status;
  body.clear();
  avro::write_header(fingerprint_, body);
  if (resolution_) {
    ours_.clear();
    encode(message, ours_);
    if (!resolution_->convert(ours_, limits_, theirs_)) {
      return fail(ErrorCode::unsupported, "message: has a value that schema {:016x} has no kind for",
                  fingerprint_);
    }
    body.insert(body.end(), theirs_.begin(), theirs_.end());
  } else {
    encode(message, body);
  }
  if (body.size() > limits_.body ||
      body.size() + payload.size() + message.source_id.size() > limits_.message) {
    return fail(ErrorCode::invalid_argument,
                "message: a body of {} bytes is over the limit of {} (limits.body)", body.size(),
                limits_.body);
  }
  return {};
}

}  // namespace sightglass::stream
