#include "sightglass/adapters/mongodb/frame_updates.h"

#include "sightglass/adapters/mongodb/bson_writer.h"
#include "sightglass/elements/metaconvert/frame_fields.h"

namespace sightglass::adapters {
namespace {

// As in a record's JSON.
bool is_shown(const Attribute& attribute) {
  return attribute.kind != AttributeKind::tensor && attribute.kind != AttributeKind::vector &&
         !fields::is_reserved(attribute);
}

void begin_update(BsonWriter& out, const RecordRows& rows) {
  out.begin_object();
  out.key("$set");
  out.begin_object();
  out.date("time", rows.time_us / 1000);
  out.date("made", rows.made_ms);
}

void end_update(BsonWriter& out) {
  out.end_object();
  out.end_object();
}

}  // namespace

void FrameUpdates::add(DocumentKind kind, std::string_view key, size_t begin) {
  updates_.push_back({.kind = kind, .key = key});
  parts_.push_back({begin, bytes_.size()});
}

bool FrameUpdates::read(const Record& record, bool with_objects) {
  bytes_.clear();
  objects_.clear();
  parts_.clear();
  updates_.clear();
  rows_.read(record);
  const FrameIdentity identity{.uuid = rows_.uuid,
                               .source_id = record.source_id,
                               .epoch = record.epoch,
                               .seq = record.seq,
                               .pts = record.pts};
  const Frame& frame = record.results;
  BsonWriter out(bytes_);
  begin_update(out, rows_);
  fields::schema(out);
  fields::resolution(out, frame);
  fields::tags(out, frame);
  if (frame.pts != no_time) out.field("timestamp", frame.pts);
  const size_t identity_begin = bytes_.size();
  fields::identity(out, identity);
  identity_.assign(bytes_, identity_begin);
  out.key("objects");
  out.begin_array();
  for (const Region& region : frame.regions) {
    out.begin_object();
    const size_t begin = bytes_.size();
    fields::object(out, frame, region, true);
    fields::attributes(out, region.attributes, is_shown);
    objects_.push_back({begin, bytes_.size()});
    out.end_object();
  }
  out.end_array();
  fields::attributes(out, frame.attributes, is_shown);
  end_update(out);
  add(DocumentKind::frame, rows_.uuid, 0);

  // An object's entries are those that it has in its frame.
  for (size_t i = 0; with_objects && i < objects_.size(); ++i) {
    const size_t begin = bytes_.size();
    const auto [from, to] = objects_[i];
    bytes_.reserve(begin + identity_.size() + (to - from) + 64);
    begin_update(out, rows_);
    out.entries(identity_);
    out.entries(std::string_view(bytes_).substr(from, to - from));
    end_update(out);
    add(DocumentKind::object, rows_.objects[i].key, begin);
  }
  for (const RecordRows::Event& event : rows_.events) {
    const size_t begin = bytes_.size();
    begin_update(out, rows_);
    out.entries(identity_);
    out.field("element", event.attribute->model.view());
    out.field("n", event.n);
    if (event.attribute->kind == AttributeKind::number) out.field("track", int64_t(event.attribute->number));
    fields::attribute(out, *event.attribute);
    end_update(out);
    add(DocumentKind::event, event.key, begin);
  }
  const std::string_view all = bytes_;
  for (size_t i = 0; i < updates_.size(); ++i)
    updates_[i].bson = all.substr(parts_[i].begin, parts_[i].end - parts_[i].begin);
  return out.is_good();
}

}  // namespace sightglass::adapters
