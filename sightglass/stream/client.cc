#include "sightglass/stream/client.h"

#include <algorithm>
#include <mutex>
#include <tuple>
#include <utility>

#include "sightglass/stream/bitstream.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/zeromq/control.h"
#include "sightglass/stream/zeromq/producer_guard.h"

namespace sightglass::stream {
namespace {

// Sources whose last frames are remembered.
constexpr size_t most_sources = 4096;
// "As long as it takes", in steps that do not overflow a clock.
constexpr std::chrono::hours patience{24 * 365};

}  // namespace

struct FrameSender::State {
  struct Source {
    int64_t frames = 0, start_us = 0;
    std::optional<Uuid> last, last_keyframe;
  };

  std::unique_ptr<ZmqWriter> writer;
  SenderOptions options;
  std::mutex mutex;
  RecentMap<Source> sources{most_sources};

  Status send(Message& message, const Payload& payload) const {
    return writer->send(message, payload, options.send_timeout.value_or(patience));
  }

  Result<Message> frame_message(std::string_view source_id, const Payload& payload,
                                const FrameOptions& given) {
    Message message;
    message.source_id = source_id;
    VideoFrame& frame = message.frame.emplace();
    frame.uuid = given.uuid.value_or(make_uuid_v7());
    frame.created_us = now_us();
    frame.captured_us = given.captured_us;
    frame.codec = given.codec;
    frame.framerate = given.framerate;
    frame.dts = given.dts;
    frame.duration = given.duration;
    frame.raw = given.raw;
    frame.encoding = Encoding::original;
    frame.attributes = given.attributes;
    frame.objects = given.objects;
    frame.tags = given.tags;

    frame.width = given.width, frame.height = given.height;
    if (const auto size = picture_size(given.codec, payload.bytes); size && frame.width == 0) {
      frame.width = size->width, frame.height = size->height;
    }
    {
      // Pictures that only follow others do not tell their size.
      std::lock_guard lock(mutex);
      auto& known = sizes[source_id];
      if (frame.width == 0) std::tie(frame.width, frame.height) = known;
      known = {frame.width, frame.height};
    }
    if (frame.width <= 0 || frame.height <= 0) {
      return fail(ErrorCode::invalid_argument,
                  "'{}': width and height: missing, and the {} does not tell them", source_id, given.codec);
    }
    const auto keyframe = given.keyframe ? given.keyframe : is_keyframe(given.codec, payload.bytes);
    if (!keyframe) {
      return fail(ErrorCode::invalid_argument, "'{}': keyframe: missing, and {} is not looked into",
                  source_id, given.codec);
    }
    frame.keyframe = *keyframe;
    set_part(frame, payload.bytes, options.checksum);
    return message;
  }

  RecentMap<std::pair<int32_t, int32_t>> sizes{most_sources};
};

FrameSender::FrameSender(std::unique_ptr<State> state) : state_(std::move(state)) {}
FrameSender::FrameSender(FrameSender&&) noexcept = default;
FrameSender& FrameSender::operator=(FrameSender&&) noexcept = default;
FrameSender::~FrameSender() = default;

Result<FrameSender> FrameSender::open(std::string_view url, SenderOptions options) {
  auto parsed = parse_writer_url(url);
  if (!parsed) return forward_error(parsed);
  auto state = std::make_unique<State>();
  ZmqWriterOptions writing;
  writing.socket.curve = options.curve;
  writing.name = options.name;
  writing.dead_letter = options.dead_letter;
  state->options = std::move(options);
  auto writer = ZmqWriter::open(*parsed, std::move(writing));
  if (!writer) return forward_error(writer);
  state->writer = std::move(*writer);
  return FrameSender(std::move(state));
}

Result<Uuid> FrameSender::send_frame(std::string_view source_id, std::span<const uint8_t> bytes,
                                     const FrameOptions& options) {
  return send_frame(source_id, own({bytes.begin(), bytes.end()}), options);
}

Result<Uuid> FrameSender::send_frame(std::string_view source_id, const Payload& payload,
                                     const FrameOptions& options) {
  auto message = state_->frame_message(source_id, payload, options);
  if (!message) return forward_error(message);
  VideoFrame& frame = *message->frame;
  {
    std::lock_guard lock(state_->mutex);
    auto& source = state_->sources[source_id];
    if (source.frames == 0) source.start_us = frame.created_us;
    frame.pts = options.pts.value_or((frame.created_us - source.start_us) * 1000);
    frame.previous_frame = source.last;
    frame.previous_keyframe = source.last_keyframe;
  }
  if (Status status = state_->send(*message, payload); !status) return forward_error(status);
  std::lock_guard lock(state_->mutex);
  auto& source = state_->sources[source_id];
  ++source.frames;
  source.last = frame.uuid;
  if (frame.keyframe) source.last_keyframe = frame.uuid;
  return frame.uuid;
}

namespace {

void add(std::vector<Attribute>& list, std::span<const Attribute> added) {
  for (const Attribute& one : added) {
    const auto same = std::ranges::find_if(list, [&](const Attribute& other) {
      return other.namespace_ == one.namespace_ && other.name == one.name;
    });
    if (same == list.end())
      list.push_back(one);
    else
      *same = one;
  }
}

}  // namespace

Result<std::optional<Uuid>> FrameSender::forward(const ResultRecord& record,
                                                 std::span<const Attribute> attributes,
                                                 std::span<const std::string> tags) {
  const Message& from = *record.message;
  Message message;
  message.source_id = from.source_id;
  message.labels = from.labels;
  message.trace = from.trace;
  if (from.end_of_stream) {
    if (auto ended = end_stream(from.source_id, from.end_of_stream->reason); !ended)
      return forward_error(ended);
    return std::nullopt;
  }
  if (from.user_data) {
    message.user_data = from.user_data;
    add(message.user_data->attributes, attributes);
    if (auto sent = state_->send(message, record.payload); !sent) return forward_error(sent);
    return std::nullopt;
  }
  if (!from.frame) return std::nullopt;
  VideoFrame& frame = message.frame.emplace(*from.frame);
  add(frame.attributes, attributes);
  for (const std::string& tag : tags)
    if (!std::ranges::contains(frame.tags, tag)) frame.tags.push_back(tag);
  if (!record.payload.bytes.empty()) set_part(frame, record.payload.bytes, state_->options.checksum);
  {
    std::lock_guard lock(state_->mutex);
    const auto& source = state_->sources[from.source_id];
    frame.previous_frame = source.last;  // of those that go on
    frame.previous_keyframe = source.last_keyframe;
  }
  if (auto sent = state_->send(message, record.payload); !sent) return forward_error(sent);
  std::lock_guard lock(state_->mutex);
  auto& source = state_->sources[from.source_id];
  if (++source.frames == 1) source.start_us = frame.created_us;
  source.last = frame.uuid;
  if (frame.keyframe) source.last_keyframe = frame.uuid;
  return frame.uuid;
}

Status FrameSender::send_user_data(std::string_view source_id, std::vector<Attribute> attributes) {
  Message message;
  message.source_id = source_id;
  message.user_data.emplace().attributes = std::move(attributes);
  return state_->send(message, {});
}

Status FrameSender::end_stream(std::string_view source_id, EndReason reason) {
  Message message;
  message.source_id = source_id;
  EndOfStream& end = message.end_of_stream.emplace();
  end.reason = reason;
  {
    std::lock_guard lock(state_->mutex);
    const auto& source = state_->sources[source_id];
    end.frames = source.frames;
    end.last_frame = source.last;
  }
  if (Status status = state_->send(message, {}); !status) return status;
  std::lock_guard lock(state_->mutex);
  state_->sources.erase(source_id);
  state_->sizes.erase(source_id);
  return {};
}

Status FrameSender::finish(std::chrono::milliseconds timeout) { return state_->writer->flush(timeout); }
void FrameSender::cancel() { state_->writer->close(); }
const Url& FrameSender::url() const { return state_->writer->url(); }
const std::vector<std::string>& FrameSender::warnings() const { return state_->writer->warnings(); }
ZmqWriter::Statistics FrameSender::statistics() const { return state_->writer->statistics(); }

std::span<const Object> ResultRecord::objects() const {
  if (!message->frame) return {};
  return message->frame->objects;
}

const Value* ResultRecord::attribute(std::string_view namespace_, std::string_view name) const {
  if (!message->frame) return nullptr;
  for (const Attribute& each : message->frame->attributes) {
    if (each.namespace_ == namespace_ && each.name == name && !each.values.empty())
      return &each.values.front().value;
  }
  return nullptr;
}

Result<ResultReceiver> ResultReceiver::open(std::string_view url, ReceiverOptions options) {
  auto parsed = parse_reader_url(url);
  if (!parsed) return forward_error(parsed);
  ZmqReaderOptions reading;
  reading.socket.curve = std::move(options.curve);
  reading.messages.limits = options.limits;
  reading.sources = std::move(options.sources);
  reading.source_prefix = std::move(options.source_prefix);
  reading.name = std::move(options.name);
  auto reader = ZmqReader::open(*parsed, std::move(reading));
  if (!reader) return forward_error(reader);
  return ResultReceiver(std::move(*reader));
}

void ResultReceiver::close() {
  if (last_) std::exchange(last_, nullptr)->processed();
  reader_.reset();  // sends the acknowledgements that are left
}

Result<std::optional<ResultRecord>> ResultReceiver::next(std::chrono::milliseconds timeout) {
  if (!reader_) return fail(ErrorCode::cancelled, "the receiver has been closed");
  if (last_) std::exchange(last_, nullptr)->processed();
  auto received = reader_->next(timeout);
  if (!received) return forward_error(received);
  if (!*received) return std::nullopt;
  Delivery& delivery = (*received)->delivery;
  last_ = std::move(delivery.settlement);
  ResultRecord record;
  record.message = std::move(delivery.message);
  if (!delivery.payloads.empty()) record.payload = std::move(delivery.payloads.front());
  record.missing = (*received)->missing;
  return record;
}

}  // namespace sightglass::stream
