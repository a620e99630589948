#include "sightglass/module/record_codec.h"

#include <cstring>
#include <limits>
#include <type_traits>

#include "sightglass/module/accounting.h"
#include "sightglass/stream/avro/binary.h"

namespace sightglass::module {
namespace {

// In front of source id, message, results and payload; written and read by one machine, so in its own byte
// order.
struct Header {
  uint32_t magic = 0x32524753;  // "SGR2"
  uint8_t kind = 0, keyframe = 0, is_replay = 0;
  uint32_t source_bytes = 0, message_bytes = 0, results_bytes = 0;
  int64_t epoch = 0, seq = 0, pts = 0;
  stream::Uuid uuid{};
};
static_assert(std::is_trivially_copyable_v<Header>);

// What was taken once is taken again: the record has a checksum, and no stranger has written it.
constexpr stream::Limits own_limits() {
  constexpr size_t any = std::numeric_limits<uint32_t>::max();
  return {.body = any,
          .part = any,
          .message = any,
          .objects = any,
          .attributes = any,
          .all_attributes = any,
          .values = any,
          .items = any,
          .points = any,
          .dimensions = any,
          .transformations = any,
          .tags = any,
          .labels = any,
          .name = any,
          .string = any,
          .tensor = any,
          .structs = any};
}

bool has_more(const stream::Message& message) {
  if (message.frame)
    return !message.frame->objects.empty() || !message.frame->tags.empty() ||
           message.frame->content.index() != 0;
  return message.user_data && message.user_data->content.index() != 0;
}

}  // namespace

void RecordCodec::encode(const adapters::Record& record, std::vector<uint8_t>& bytes) {
  const size_t begin = bytes.size();
  bytes.resize(begin + sizeof(Header));
  const auto append = [&](const void* data, size_t size) {
    const auto* first = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), first, first + size);
    return size;
  };
  Header header{.kind = uint8_t(record.kind),
                .keyframe = record.keyframe,
                .is_replay = record.is_replay,
                .epoch = record.epoch,
                .seq = record.seq,
                .pts = record.pts,
                .uuid = record.uuid};
  header.source_bytes = uint32_t(append(record.source_id.data(), record.source_id.size()));
  const stream::Message* message = record.message.get();
  if (message && has_more(*message)) {
    message_ = *message;
    if (message_.frame) {
      message_.frame->objects.clear();
      message_.frame->tags.clear();
      message_.frame->content = std::monostate{};
    }
    if (message_.user_data) message_.user_data->content = std::monostate{};
    message = &message_;
  }
  const size_t message_at = bytes.size();
  if (message) stream::encode(*message, bytes);
  const size_t results_at = bytes.size();
  results_.write(record.results, bytes);
  const size_t payload_at = bytes.size();
  append(record.payload.bytes.data(), record.payload.bytes.size());
  if (bytes.size() - begin > std::numeric_limits<uint32_t>::max()) return bytes.resize(begin);
  header.message_bytes = uint32_t(results_at - message_at);
  header.results_bytes = uint32_t(payload_at - results_at);
  std::memcpy(bytes.data() + begin, &header, sizeof header);
}

Result<adapters::RecordRef> RecordCodec::decode(std::span<const uint8_t> bytes) {
  static constexpr stream::Limits limits = own_limits();
  const auto damaged = [] { return fail(ErrorCode::corrupt, "a spilled record is damaged"); };
  Header header;
  const uint32_t magic = header.magic;
  if (bytes.size() < sizeof header) return damaged();
  std::memcpy(&header, bytes.data(), sizeof header);
  auto rest = bytes.subspan(sizeof header);
  if (header.magic != magic || header.kind > uint8_t(adapters::RecordKind::user_data) ||
      uint64_t(header.source_bytes) + header.message_bytes + header.results_bytes > rest.size())
    return damaged();
  const auto take = [&](size_t size) {
    const auto taken = rest.first(size);
    rest = rest.subspan(size);
    return taken;
  };
  auto record = std::make_shared<adapters::Record>();
  const auto source = take(header.source_bytes);
  record->source_id.assign(source.begin(), source.end());
  record->kind = adapters::RecordKind(header.kind);
  record->uuid = header.uuid;
  record->epoch = header.epoch;
  record->seq = header.seq;
  record->pts = header.pts;
  record->received_ns = steady_now_ns();
  record->keyframe = header.keyframe;
  record->is_replay = header.is_replay;
  if (const auto body = take(header.message_bytes); !body.empty()) {
    auto message = std::make_shared<stream::Message>();
    stream::BinaryReader in(body, limits);
    stream::decode(in, *message);
    if (!in.ok() || in.left() != 0) return damaged();
    record->message = std::move(message);
  }
  if (!read_results(take(header.results_bytes), record->results)) return damaged();
  if (!rest.empty()) record->payload = stream::own({rest.begin(), rest.end()});
  return record;
}

}  // namespace sightglass::module
