#include "sightglass/module/record_codec.h"

#include <array>
#include <cstring>

#include "sightglass/module/accounting.h"

namespace sightglass::module {
namespace {

// In front of body and payload; written and read by one machine, so in its own byte order.
struct Header {
  uint32_t magic = 0x31524753;  // "SGR1"
  uint8_t kind = 0, keyframe = 0, is_replay = 0, source_bytes = 0;
  uint64_t body_bytes = 0;
  int64_t epoch = 0, seq = 0, pts = 0;
  stream::Uuid uuid{};
};
static_assert(std::is_trivially_copyable_v<Header>);

void append(std::vector<uint8_t>& bytes, const void* data, size_t size) {
  const auto* first = static_cast<const uint8_t*>(data);
  bytes.insert(bytes.end(), first, first + size);
}

stream::ReaderOptions trusting() {
  stream::ReaderOptions options;
  options.allow_location = [](const stream::Location&) { return true; };
  options.verify_payload = false;  // the queue on disk has checksums of its own
  return options;
}

}  // namespace

RecordCodec::RecordCodec() : reader_(trusting()) {}

void RecordCodec::encode(const adapters::Record& record, std::vector<uint8_t>& bytes) {
  const std::scoped_lock lock(mutex_);
  bytes.clear();
  adapters::to_message(record, message_);
  stream::Message& message = message_;
  const stream::Bytes payload = record.payload.bytes;
  if (message.frame && !payload.empty()) stream::set_part(*message.frame, payload, false);
  if (message.user_data && !payload.empty()) message.user_data->content = stream::part_content(payload);
  if (auto written = writer_.write(message, payload, body_); !written) return;
  Header header{.kind = uint8_t(record.kind),
                .keyframe = record.keyframe,
                .is_replay = record.is_replay,
                .source_bytes = uint8_t(record.source_id.size()),
                .body_bytes = body_.size(),
                .epoch = record.epoch,
                .seq = record.seq,
                .pts = record.pts,
                .uuid = record.uuid};
  append(bytes, &header, sizeof header);
  append(bytes, record.source_id.data(), record.source_id.size());
  append(bytes, body_.data(), body_.size());
  append(bytes, payload.data(), payload.size());
}

Result<adapters::RecordRef> RecordCodec::decode(std::span<const uint8_t> bytes) {
  Header header;
  const uint32_t magic = header.magic;
  if (bytes.size() < sizeof header) return fail(ErrorCode::corrupt, "a spilled record is too short");
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto rest = bytes.subspan(sizeof header);
  if (header.magic != magic || header.kind > uint8_t(adapters::RecordKind::user_data) ||
      rest.size() < header.source_bytes || rest.size() - header.source_bytes < header.body_bytes)
    return fail(ErrorCode::corrupt, "a spilled record is damaged");
  const auto source = rest.first(header.source_bytes);
  const auto body = rest.subspan(header.source_bytes, header.body_bytes);
  const auto payload = rest.subspan(header.source_bytes + header.body_bytes);

  auto message = std::make_shared<stream::Message>();
  std::vector<stream::Bytes> parts = {source, body};
  if (!payload.empty()) parts.push_back(payload);
  {
    const std::scoped_lock lock(mutex_);
    const auto reading = reader_.read(parts, *message);
    if (reading.verdict != stream::Reading::Verdict::accepted)
      return fail(ErrorCode::corrupt, "a spilled record cannot be read");
  }
  auto record = std::make_shared<adapters::Record>();
  record->kind = adapters::RecordKind(header.kind);
  record->source_id.assign(reinterpret_cast<const char*>(source.data()), source.size());
  record->uuid = header.uuid;
  record->epoch = header.epoch;
  record->seq = header.seq;
  record->pts = header.pts;
  record->received_ns = steady_now_ns();
  record->keyframe = header.keyframe;
  record->is_replay = header.is_replay;
  if (message->frame) {
    record->results.video = VideoInfo{.width = message->frame->width, .height = message->frame->height};
    adapters::to_frame(*message->frame, record->results);
    message->frame->objects.clear();
    message->frame->tags.clear();
    message->frame->content = std::monostate{};
  }
  if (message->user_data) message->user_data->content = std::monostate{};
  record->message = std::move(message);
  if (!payload.empty()) record->payload = stream::own({payload.begin(), payload.end()});
  return record;
}

}  // namespace sightglass::module
