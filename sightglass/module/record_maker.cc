#include "sightglass/module/record_maker.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "sightglass/adapters/wire_metadata.h"
#include "sightglass/module/accounting.h"
#include "sightglass/module/frame_trace.h"
#include "sightglass/stream/content.h"
#include "sightglass/stream/lifecycle/time_base.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::module {
namespace {

Fraction fraction(const stream::Rational& rational) { return {rational.num, rational.den}; }

// What else than codec and size makes up the caps.
uint32_t layout_of(const stream::VideoFrame& frame) {
  size_t hash = std::hash<int64_t>{}(int64_t(frame.pixel_aspect.num) << 32 | frame.pixel_aspect.den);
  if (frame.raw) {
    hash = hash * 31 + std::hash<std::string>{}(frame.raw->format);
    hash = hash * 31 + std::hash<std::string>{}(frame.raw->colorimetry);
  }
  return uint32_t(hash ^ hash >> 32);
}

std::shared_ptr<adapters::Record> new_record(adapters::RecordKind kind, const RecordPlace& place,
                                             stream::Kind body, std::shared_ptr<stream::Message>& message) {
  auto record = std::make_shared<adapters::Record>();
  record->kind = kind;
  record->source_id = place.source_id;
  record->uuid = stream::make_uuid_v7();
  record->epoch = place.epoch;
  record->seq = place.seq;
  record->pts = place.pts;
  record->received_ns = steady_now_ns();
  message = std::make_shared<stream::Message>();
  message->kind = body;
  message->source_id = place.source_id;
  message->epoch = place.epoch;
  message->seq = place.seq;
  message->sent_us = wall_now_us();
  record->message = message;
  return record;
}

bool stays_inside(const stream::Attribute& attribute) { return attribute.hidden || !attribute.persistent; }

// All of a message but the objects, tags and content of its frame, which the record holds itself.
std::shared_ptr<stream::Message> header_of(const stream::Message& from) {
  auto message = std::make_shared<stream::Message>();
  message->kind = from.kind;
  message->protocol = from.protocol;
  message->source_id = from.source_id;
  message->producer = from.producer;
  message->epoch = from.epoch;
  message->seq = from.seq;
  message->attempt = from.attempt;
  message->sent_us = from.sent_us;
  message->labels = from.labels;
  message->trace = from.trace;
  if (!from.frame) return message;
  const stream::VideoFrame& in = *from.frame;
  stream::VideoFrame& out = message->frame.emplace();
  out.uuid = in.uuid;
  out.created_us = in.created_us;
  out.captured_us = in.captured_us;
  out.previous_frame = in.previous_frame;
  out.previous_keyframe = in.previous_keyframe;
  out.replay = in.replay;
  out.width = in.width;
  out.height = in.height;
  out.framerate = in.framerate;
  out.pixel_aspect = in.pixel_aspect;
  out.orientation = in.orientation;
  out.time_base = in.time_base;
  out.pts = in.pts;
  out.dts = in.dts;
  out.duration = in.duration;
  out.codec = in.codec;
  out.codec_data = in.codec_data;
  out.keyframe = in.keyframe;
  out.encoding = in.encoding;
  out.raw = in.raw;
  out.transformations = in.transformations;
  // What core cannot hold passes as it came; what is hidden or for this module alone does not pass.
  for (const auto& attribute : in.attributes)
    if (!stays_inside(attribute)) out.attributes.push_back(attribute);
  return message;
}

void hide(const std::vector<stream::Attribute>& from, AttributesRef& list) {
  if (!list || std::ranges::none_of(from, stays_inside)) return;
  std::vector<Attribute> kept;
  for (const Attribute& attribute : list->items())
    if (std::ranges::none_of(from, [&](const stream::Attribute& hidden) {
          return stays_inside(hidden) && attribute.name.view() == hidden.name &&
                 attribute.model.view() == hidden.namespace_;
        }))
      kept.push_back(attribute);
  list = kept.empty() ? nullptr : make_ref<const AttributeList>(std::move(kept));
}

// The same without the attributes of updates and user data that are not for sinks.
std::shared_ptr<const stream::Message> shown(const std::shared_ptr<const stream::Message>& from) {
  const auto has_some = [](const auto& body) { return std::ranges::any_of(body.attributes, stays_inside); };
  const auto& update = from->frame_update;
  const auto attribute = &stream::ObjectAttribute::attribute;
  const bool has_any =
      (from->user_data && has_some(*from->user_data)) ||
      (update &&
       (has_some(*update) || std::ranges::any_of(update->object_attributes, stays_inside, attribute) ||
        std::ranges::any_of(update->objects, has_some, &stream::ObjectInsert::object)));
  if (!has_any) return from;
  auto message = std::make_shared<stream::Message>(*from);
  if (message->user_data) std::erase_if(message->user_data->attributes, stays_inside);
  if (message->frame_update) {
    std::erase_if(message->frame_update->attributes, stays_inside);
    std::erase_if(message->frame_update->object_attributes,
                  [](const auto& each) { return stays_inside(each.attribute); });
    for (auto& each : message->frame_update->objects) std::erase_if(each.object.attributes, stays_inside);
  }
  return message;
}

// Attributes that came with the frame and are not for sinks.
void hide(const stream::Message& from, Frame& results) {
  if (!from.frame) return;
  hide(from.frame->attributes, results.attributes);
  for (const auto& object : from.frame->objects)
    if (std::ranges::any_of(object.attributes, stays_inside))
      for (Region& region : results.regions)
        if (region.id == int32_t(object.id)) hide(object.attributes, region.attributes);
}

}  // namespace

bool facts_of(const stream::Delivery& delivery, stream::FrameFacts& facts) {
  const stream::Message& message = *delivery.message;
  facts = {};
  facts.producer = message.producer;
  facts.epoch = message.epoch;
  facts.seq = message.seq;
  switch (message.kind) {
    case stream::Kind::frame:
      break;
    case stream::Kind::frame_update:
      facts.kind = stream::MessageKind::frame_update;
      return true;
    case stream::Kind::stream_update:
      facts.kind = stream::MessageKind::stream_update;
      facts.discontinuity = message.stream_update && message.stream_update->discontinuity;
      return true;
    case stream::Kind::user_data:
      facts.kind = stream::MessageKind::user_data;
      return true;
    case stream::Kind::end_of_stream:
      facts.kind = stream::MessageKind::end_of_stream;
      if (message.end_of_stream && message.end_of_stream->reason != stream::EndReason::unknown)
        facts.eos_reason = stream::EosReason(message.end_of_stream->reason);
      return true;
    default:
      return false;
  }
  if (!message.frame) return false;
  const stream::VideoFrame& frame = *message.frame;
  facts.keyframe = frame.keyframe;
  facts.replay = frame.replay;
  facts.uuid = frame.uuid;
  facts.codec = stream::codec_of(frame.codec.value_or(""));
  facts.width = frame.width;
  facts.height = frame.height;
  facts.layout = layout_of(frame);
  if (frame.framerate) facts.frame_rate = fraction(*frame.framerate);
  facts.time_base = fraction(frame.time_base);
  facts.pts = frame.pts;
  facts.dts = frame.dts;
  facts.bytes = picture_of(delivery).bytes.size();
  return true;
}

StreamFormat format_of(const stream::VideoFrame& frame) {
  StreamFormat format;
  format.codec = frame.codec.value_or("");
  format.width = frame.width;
  format.height = frame.height;
  if (frame.framerate) format.framerate = fraction(*frame.framerate);
  format.pixel_aspect = fraction(frame.pixel_aspect);
  if (frame.raw) {
    format.raw_format = frame.raw->format;
    format.colorimetry = frame.raw->colorimetry;
  }
  if (frame.codec_data) format.codec_data = *frame.codec_data;
  return format;
}

Time original_pts(const stream::VideoFrame& frame) {
  return stream::rescale(frame.pts, fraction(frame.time_base)).value_or(no_time);
}

std::shared_ptr<adapters::Record> frame_record(InstanceResult& result, int64_t epoch) {
  const Ticket& ticket = *result.ticket;
  const stream::Message& from = *ticket.delivery.message;
  auto message = header_of(from);
  stream::VideoFrame& frame = *message->frame;
  frame.param_revision = int64_t(ticket.param_revision);
  if (ticket.trace) message->trace = ticket.trace->context();
  if (result.payload.bytes.empty()) {
    frame.codec.reset();
    frame.codec_data.reset();
    frame.raw.reset();
  } else if (result.codec != frame.codec.value_or("")) {
    frame.codec = result.codec;
    frame.encoding = stream::Encoding::transcoded;
    frame.raw.reset();
    frame.codec_data.reset();
  }
  if (result.raw) frame.raw = std::move(result.raw);
  if (result.width > 0) {
    frame.width = result.width;
    frame.height = result.height;
  }
  if (!result.codec_data.empty()) frame.codec_data = std::move(result.codec_data);
  frame.keyframe = result.keyframe;

  auto record = std::make_shared<adapters::Record>();
  record->kind = adapters::RecordKind::frame;
  record->source_id = from.source_id;
  record->uuid = frame.uuid;
  record->epoch = epoch;
  record->seq = from.seq;
  record->pts = ticket.original_pts;
  record->received_ns = ticket.delivery.received_ns;
  record->results = std::move(result.results);
  hide(from, record->results);
  record->message = std::move(message);
  record->payload = std::move(result.payload);
  record->keyframe = result.keyframe;
  record->is_replay = ticket.replay;
  return record;
}

std::shared_ptr<adapters::Record> passed_record(const stream::Delivery& delivery, int64_t epoch) {
  const stream::Message& from = *delivery.message;
  auto record = std::make_shared<adapters::Record>();
  record->source_id = from.source_id;
  record->epoch = epoch;
  record->seq = from.seq;
  record->received_ns = delivery.received_ns;
  record->message = shown(delivery.message);
  switch (from.kind) {
    case stream::Kind::frame_update:
      record->kind = adapters::RecordKind::frame_update;
      record->uuid = from.frame_update->frame;
      return record;
    case stream::Kind::user_data:
      record->kind = adapters::RecordKind::user_data;
      if (from.user_data) record->payload = stream::content_of(from.user_data->content, delivery);
      break;
    case stream::Kind::end_of_stream:
      record->kind = adapters::RecordKind::end_of_stream;
      break;
    default:
      record->kind = adapters::RecordKind::stream_update;
  }
  record->uuid = stream::make_uuid_v7();
  return record;
}

std::shared_ptr<adapters::Record> stream_record(const RecordPlace& place,
                                                const stream::StreamUpdate& update) {
  std::shared_ptr<stream::Message> message;
  auto record = new_record(adapters::RecordKind::stream_update, place, stream::Kind::stream_update, message);
  message->stream_update = update;
  return record;
}

std::shared_ptr<adapters::Record> end_record(const RecordPlace& place, stream::EosReason reason,
                                             int64_t frames, const stream::Uuid& last_frame) {
  std::shared_ptr<stream::Message> message;
  auto record = new_record(adapters::RecordKind::end_of_stream, place, stream::Kind::end_of_stream, message);
  auto& end = message->end_of_stream.emplace();
  end.reason = stream::EndReason(reason);
  end.frames = frames;
  if (frames > 0) end.last_frame = last_frame;
  return record;
}

namespace {

bool has(const AttributesRef& list, const Attribute& attribute) {
  return list && std::ranges::any_of(list->items(), [&](const Attribute& known) {
           return known.name == attribute.name && known.model == attribute.model;
         });
}

// False: it is there and may not be.
bool merge_attribute(const stream::Attribute& from, int width, int height, stream::AttributePolicy policy,
                     AttributesRef& list) {
  if (stays_inside(from)) return true;
  auto attribute = adapters::to_attribute(from, width, height);
  if (!attribute) return true;
  if (policy != stream::AttributePolicy::overwrite && has(list, *attribute))
    return policy == stream::AttributePolicy::keep;
  list = with(list, std::move(*attribute));
  return true;
}

bool merge_object(const stream::ObjectInsert& insert, stream::ObjectPolicy policy, int width, int height,
                  std::vector<Region>& regions) {
  Region region = adapters::to_region(insert.object, width, height);
  hide(insert.object.attributes, region.attributes);
  const auto is_same = [&](const Region& known) {
    return known.model == region.model && known.label == region.label;
  };
  if (policy == stream::ObjectPolicy::reject_same_label && std::ranges::any_of(regions, is_same))
    return false;
  if (policy == stream::ObjectPolicy::replace_same_label) std::erase_if(regions, is_same);
  if (insert.parent_id) region.parent = int32_t(*insert.parent_id);
  // The id of the update may be taken: a new one then.
  const auto taken = [&](int32_t id) { return std::ranges::contains(regions, id, &Region::id); };
  if (region.id < 0 || taken(region.id)) {
    region.id = 0;
    for (const Region& known : regions) region.id = std::max(region.id, known.id + 1);
  }
  regions.push_back(std::move(region));
  return true;
}

}  // namespace

bool merge(const stream::FrameUpdate& update, int width, int height, Frame& results) {
  // On a copy: an update that is refused changes nothing.
  AttributesRef attributes = results.attributes;
  std::vector<Region> regions = results.regions;
  for (const auto& attribute : update.attributes)
    if (!merge_attribute(attribute, width, height, update.attribute_policy, attributes)) return false;
  for (const auto& [object_id, attribute] : update.object_attributes) {
    const auto region = std::ranges::find(regions, int32_t(object_id), &Region::id);
    if (region == regions.end()) continue;
    if (!merge_attribute(attribute, width, height, update.attribute_policy, region->attributes)) return false;
  }
  for (const auto& object : update.objects)
    if (!merge_object(object, update.object_policy, width, height, regions)) return false;
  results.attributes = std::move(attributes);
  results.regions = std::move(regions);
  return true;
}

}  // namespace sightglass::module
