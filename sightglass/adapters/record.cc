#include "sightglass/adapters/record.h"

#include <algorithm>
#include <array>
#include <climits>
#include <span>
#include <string_view>
#include <utility>

#include "sightglass/adapters/record_names.h"
#include "sightglass/adapters/wire_metadata.h"
#include "sightglass/core/json_writer.h"
#include "sightglass/elements/metaconvert/frame_json.h"
#include "sightglass/stream/content.h"
#include "sightglass/stream/lifecycle/time_base.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

constexpr std::string_view tag_model = "tag";
constexpr size_t most_content = size_t(64) << 10;  // bytes of user data in JSON

void append_base64(std::span<const uint8_t> bytes, std::string& text) {
  static constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t at = 0; at < bytes.size(); at += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - at);
    uint32_t three = 0;
    for (size_t i = 0; i < 3; ++i) three = three << 8 | (i < count ? bytes[at + i] : 0u);
    for (size_t i = 0; i < 4; ++i) text += i <= count ? digits[three >> (18 - 6 * i) & 63] : '=';
  }
}

// A message has one at most.
stream::Payload payload_of(const stream::Content& content, const stream::Delivery& delivery) {
  return delivery.payloads.empty() ? stream::content_of(content, delivery) : delivery.payloads[0];
}

// The attributes of a message without a frame of its own.
AttributesRef core_attributes(const std::vector<stream::Attribute>& from, int width, int height) {
  std::vector<Attribute> attributes;
  for (const stream::Attribute& attribute : from)
    if (auto read = to_attribute(attribute, width, height)) attributes.push_back(std::move(*read));
  return attributes.empty() ? nullptr : make_ref<const AttributeList>(std::move(attributes));
}

void write_note(JsonWriter& json, const Record& record) {
  const stream::Message& message = *record.message;
  if (message.stream_update) {
    const stream::StreamUpdate& update = *message.stream_update;
    json.field("state", name_of(update.state));
    if (update.codec) json.field("codec", *update.codec);
    if (update.width) json.field("width", *update.width);
    if (update.height) json.field("height", *update.height);
    if (update.discontinuity) json.field("discontinuity", true);
    if (!update.reason.empty()) json.field("reason", update.reason);
  }
  if (message.end_of_stream) {
    const stream::EndOfStream& end = *message.end_of_stream;
    json.field("reason", name_of(end.reason));
    if (end.frames >= 0) json.field("frames", end.frames);
    if (end.last_frame) {
      const auto last = to_text(*end.last_frame);
      json.field("last_frame", std::string_view(last.data(), last.size()));
    }
  }
  if (const auto content = record.payload.bytes; message.user_data && !content.empty()) {
    json.field("content_size", content.size());
    if (content.size() <= most_content) {
      thread_local std::string text;
      text.clear();
      append_base64(content, text);
      json.field("content", std::string_view(text));
    }
  }
  if (message.frame_update) {
    const auto frame = to_text(message.frame_update->frame);
    json.field("frame", std::string_view(frame.data(), frame.size()));
  }
}

}  // namespace

std::array<char, 36> to_text(const stream::Uuid& uuid) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::array<char, 36> text;
  size_t at = 0;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text[at++] = '-';
    text[at++] = digits[uuid[i] >> 4];
    text[at++] = digits[uuid[i] & 15];
  }
  return text;
}

RecordRef record_of(const stream::Delivery& delivery) {
  const stream::Message& message = *delivery.message;
  auto record = std::make_shared<Record>();
  record->source_id = message.source_id;
  record->epoch = message.epoch;
  record->seq = message.seq;
  record->received_ns = delivery.received_ns;
  record->message = delivery.message;
  if (message.frame) {
    const stream::VideoFrame& frame = *message.frame;
    record->uuid = frame.uuid;
    record->keyframe = frame.keyframe;
    record->is_replay = frame.replay;
    record->pts = stream::rescale(frame.pts, {frame.time_base.num, frame.time_base.den}).value_or(no_time);
    record->results.video = VideoInfo{.width = frame.width, .height = frame.height};
    to_frame(frame, record->results);
    record->payload = payload_of(frame.content, delivery);
    return record;
  }
  record->uuid = stream::make_uuid_v7();
  if (message.frame_update) {
    record->kind = RecordKind::frame_update;
    record->results.attributes = core_attributes(message.frame_update->attributes, 1, 1);
  } else if (message.stream_update) {
    record->kind = RecordKind::stream_update;
  } else if (message.end_of_stream) {
    record->kind = RecordKind::end_of_stream;
  } else if (message.user_data) {
    record->kind = RecordKind::user_data;
    record->results.attributes = core_attributes(message.user_data->attributes, 1, 1);
    record->payload = payload_of(message.user_data->content, delivery);
  } else {
    return nullptr;
  }
  return record;
}

void write_record_json(const Record& record, std::string& text) {
  // What a user's function has made of it.
  if (!record.results.json.empty()) {
    text += record.results.json;
    return;
  }
  const auto uuid = to_text(record.uuid);
  const FrameIdentity identity{.uuid = {uuid.data(), uuid.size()},
                               .source_id = record.source_id,
                               .epoch = record.epoch,
                               .seq = record.seq,
                               .pts = record.pts};
  FrameJsonOptions options;
  options.identity = &identity;
  if (record.kind == RecordKind::frame) return write_frame_json(record.results, options, text);
  JsonWriter json(text);
  json.begin_object();
  json.field("schema", "sightglass.stream/1");
  json.field("kind", name_of(record.kind));
  json.field("uuid", identity.uuid);
  json.field("source_id", record.source_id);
  json.field("epoch", record.epoch);
  json.field("seq", record.seq);
  if (record.message) write_note(json, record);
  // What comes with it, in the form of a frame.
  if (!record.results.regions.empty() || record.results.attributes) {
    json.key("results");
    thread_local std::string results;
    results.clear();
    write_frame_json(record.results, options, results);
    json.raw(results);
  }
  json.end_object();
}

void to_message(const Record& record, stream::Message& message, uint64_t* left_out) {
  // Objects that are there are written over: what they have allocated is used again.
  std::vector<stream::Object> objects;
  if (message.frame && record.message->frame && record.message->frame->objects.empty())
    objects.swap(message.frame->objects);
  message = *record.message;
  if (!message.frame) return;
  stream::VideoFrame& frame = *message.frame;
  if (frame.objects.empty()) {
    for (stream::Object& object : objects) object.track_box.reset();
    frame.objects.swap(objects);
  }
  uint64_t unsaid = 0;
  // What core cannot hold is passed on as it came.
  std::erase_if(frame.attributes, [&](const stream::Attribute& attribute) {
    return bool(to_attribute(attribute, frame.width, frame.height));
  });
  frame.tags.clear();
  if (record.results.attributes)
    for (const Attribute& attribute : record.results.attributes->items()) {
      if (attribute.model.view() == tag_model) {
        frame.tags.emplace_back(attribute.name.view());
        continue;
      }
      if (is_reserved(attribute)) continue;
      stream::Attribute wire;
      if (to_wire(attribute, frame.width, frame.height, wire))
        frame.attributes.push_back(std::move(wire));
      else
        ++unsaid;
    }
  frame.objects.resize(record.results.regions.size());
  for (size_t i = 0; i < frame.objects.size(); ++i)
    to_wire(record.results.regions[i], frame.width, frame.height, frame.objects[i], unsaid);
  if (left_out) *left_out += unsaid;
}

void to_frame(const stream::VideoFrame& message, Frame& frame) {
  frame.regions.clear();
  frame.regions.reserve(message.objects.size());
  for (const stream::Object& object : message.objects)
    frame.regions.push_back(to_region(object, message.width, message.height));
  frame.attributes = core_attributes(message.attributes, message.width, message.height);
  if (message.tags.empty()) return;
  static const Label tag(tag_model);
  std::vector<Attribute> attributes;
  if (frame.attributes) attributes = frame.attributes->items();
  for (const std::string& name : message.tags)
    attributes.push_back(
        {.name = wire_label(name), .kind = AttributeKind::number, .number = 1, .model = tag});
  frame.attributes = make_ref<const AttributeList>(std::move(attributes));
}

}  // namespace sightglass::adapters
