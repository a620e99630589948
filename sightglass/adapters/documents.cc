#include "sightglass/adapters/documents.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <format>
#include <map>

#include "sightglass/adapters/wire_metadata.h"
#include "sightglass/core/json_writer.h"
#include "sightglass/elements/metaconvert/frame_json.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

constexpr std::array<std::string_view, 3> event_names = {"enter", "leave", "cross"};

bool is_event(const Attribute& attribute) {
  return std::ranges::contains(event_names, attribute.name.view()) &&
         (attribute.kind == AttributeKind::number || attribute.kind == AttributeKind::text);
}

bool is_same(const Attribute& a, const Attribute& b) { return a.name == b.name && a.model == b.model; }

void append(std::string& text, int64_t number) {
  char digits[24];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

int64_t time_of(const Record& record, int64_t made_ms) {
  if (record.message && record.message->frame) {
    const stream::VideoFrame& frame = *record.message->frame;
    if (frame.captured_us) return *frame.captured_us;
    if (frame.created_us > 0) return frame.created_us;
  }
  return made_ms * 1000;
}

}  // namespace

std::string& RecordRows::new_key() {
  if (keys_used_ == keys_.size()) keys_.emplace_back();
  std::string& key = keys_[keys_used_++];
  key = uuid;
  key += ':';
  return key;
}

std::string_view RecordRows::object_key(int64_t id) {
  std::string& key = new_key();
  append(key, id);
  return key;
}

void RecordRows::read(const Record& record) {
  objects.clear(), attributes.clear(), counters.clear(), events.clear();
  keys_used_ = 0;
  regions_.clear(), late_.clear();
  const stream::FrameUpdate* const update =
      record.kind == RecordKind::frame_update && record.message && record.message->frame_update
          ? &*record.message->frame_update
          : nullptr;
  is_late = update != nullptr;
  is_frame = record.kind == RecordKind::frame;
  keeps = is_late && update->attribute_policy != stream::AttributePolicy::overwrite;
  late_mark_.clear();
  if (is_late) late_mark_ = std::format("late-{}-{}-", record.epoch, record.seq);
  const stream::Uuid& of = is_late ? update->frame : record.uuid;
  const auto text = to_text(of);
  uuid.assign(text.data(), text.size());
  made_ms = stream::unix_ms(of);
  time_us = time_of(record, made_ms);
  width = height = 1;
  if (!is_late && !is_frame) return;
  if (is_frame && record.results.video) {
    width = std::max(record.results.video->width, 1);
    height = std::max(record.results.video->height, 1);
  }
  if (record.results.attributes)
    for (const auto& attribute : record.results.attributes->items()) take(attribute, uuid, true);
  objects.reserve(record.results.regions.size());
  for (size_t i = 0; i < record.results.regions.size(); ++i) {
    const Region& region = record.results.regions[i];
    // Without an id: its place, or another number that is nobody's.
    int64_t id = region.id >= 0 ? region.id : int64_t(i);
    while (region.id < 0 && std::ranges::contains(record.results.regions, id, &Region::id))
      id += int64_t(record.results.regions.size());
    objects.push_back({object_key(id), &region, id});
  }
  if (update) {
    // Boxes and points of an update are pixels: the size of its frame is not in it.
    for (const stream::ObjectInsert& insert : update->objects) {
      Region& region = regions_.emplace_back(to_region(insert.object, 1, 1));
      if (insert.parent_id && *insert.parent_id >= 0 && *insert.parent_id <= INT32_MAX)
        region.parent = int32_t(*insert.parent_id);
      objects.push_back({object_key(insert.object.id), &region, insert.object.id});
    }
  }
  for (const Object& object : objects)
    if (object.region->attributes)
      for (const auto& attribute : object.region->attributes->items()) take(attribute, object.key, false);
  if (update)
    for (const stream::ObjectAttribute& late : update->object_attributes)
      if (auto attribute = to_attribute(late.attribute, 1, 1))
        take(late_.emplace_back(std::move(*attribute)), object_key(late.object_id), false);
}

// Those of one owner stand together, but for late ones.
unsigned RecordRows::count(std::string_view owner, const sightglass::Attribute& attribute) const {
  unsigned n = 0;
  for (auto other = attributes.rbegin(); other != attributes.rend(); ++other) {
    if (other->owner != owner) {
      if (is_late) continue;
      break;
    }
    n += is_same(*other->attribute, attribute);
  }
  return n;
}

void RecordRows::take(const sightglass::Attribute& attribute, std::string_view owner, bool of_frame) {
  if (is_reserved(attribute) && attribute.model.view() != "tag") return;
  if (of_frame && is_event(attribute)) {
    unsigned n = 0;
    for (const Event& other : events) n += is_same(*other.attribute, attribute);
    std::string& key = new_key();
    key += attribute.model.view();
    key += ':';
    key += attribute.name.view();
    key += ':';
    key += late_mark_;
    append(key, n);
    events.push_back({key, &attribute, n});
    return;
  }
  if (of_frame && attribute.kind == AttributeKind::number && attribute.model.view() != "tag") {
    counters.push_back({owner, &attribute, 0});
    return;
  }
  attributes.push_back({owner, &attribute, count(owner, attribute)});
}

std::string_view plural(DocumentKind kind) {
  static constexpr std::array<std::string_view, 4> names = {"frames", "objects", "events", "notes"};
  return names[size_t(kind)];
}

void Documents::add(DocumentKind kind, bool is_merge, std::string_view key, size_t begin) {
  begins_.push_back(begin);
  documents_.push_back({.kind = kind, .is_merge = is_merge, .key = key});
}

namespace {

// The end of the JSON object that begins at `at`, in text of our own writing.
size_t end_of_object(std::string_view text, size_t at) {
  int depth = 0;
  for (bool in_string = false; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\')
        ++at;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return at + 1;
    }
  }
  return text.npos;
}

}  // namespace

// An object's fields are taken from its frame's document, where that has them: they are not written twice.
void Documents::write_objects(const Record& record, const FrameIdentity& identity, size_t frame_end) {
  FrameJsonOptions options;
  options.identity = &identity;
  options.add_bounding_box = !rows_.is_late;
  Frame pixels;
  if (rows_.is_late) pixels.video = VideoInfo{.width = 1, .height = 1};
  identity_.clear();
  JsonWriter head(identity_);
  head.begin_object();
  write_identity_fields(head, identity);
  constexpr std::string_view list = R"("objects":[)";
  size_t at = rows_.is_frame && record.results.json.empty() ? text_.find(list) : text_.npos;
  if (at != text_.npos) at += list.size();
  for (size_t i = 0; i < rows_.objects.size(); ++i) {
    const size_t begin = text_.size();
    const size_t end =
        at == text_.npos ? text_.npos : end_of_object(std::string_view(text_).substr(0, frame_end), at);
    add(DocumentKind::object, false, rows_.objects[i].key, begin);
    if (end != text_.npos) {
      text_.reserve(begin + identity_.size() + end - at + 1);
      text_ += identity_;
      text_ += ',';
      text_.append(text_, at + 1, end - at - 1);
      at = end + 1;  // behind the comma
      continue;
    }
    JsonWriter json(text_);
    json.begin_object();
    write_identity_fields(json, identity);
    write_object_fields(json, rows_.is_late ? pixels : record.results, *rows_.objects[i].region, options);
    json.end_object();
  }
}

std::span<const Document> Documents::of(const Record& record) {
  text_.clear();
  documents_.clear();
  begins_.clear();
  rows_.read(record);
  if (rows_.is_late) {
    write_late();
  } else if (rows_.is_frame || options_.notes) {
    write_record_json(record, text_);
    add(rows_.is_frame ? DocumentKind::frame : DocumentKind::note, false, rows_.uuid, 0);
  }
  if (rows_.is_frame || rows_.is_late) {
    const FrameIdentity identity{.uuid = rows_.uuid,
                                 .source_id = record.source_id,
                                 .epoch = record.epoch,
                                 .seq = record.seq,
                                 .pts = record.pts};
    if (options_.objects) write_objects(record, identity, text_.size());
    for (const RecordRows::Event& event : rows_.events) {
      const size_t begin = text_.size();
      JsonWriter json(text_);
      json.begin_object();
      write_identity_fields(json, identity);
      json.field("element", event.attribute->model.view());
      json.field("n", event.n);
      if (event.attribute->kind == AttributeKind::number)
        json.field("track", int64_t(event.attribute->number));
      write_attribute_fields(json, *event.attribute);
      json.end_object();
      add(DocumentKind::event, false, event.key, begin);
    }
  }
  for (size_t i = 0; i < documents_.size(); ++i) {
    const size_t end = i + 1 < begins_.size() ? begins_[i + 1] : text_.size();
    documents_[i].json = std::string_view(text_).substr(begins_[i], end - begins_[i]);
  }
  return documents_;
}

// One document per owner. Names of keys have no characters that mean something in a path.
void Documents::write_late() {
  std::map<std::string_view, std::vector<const sightglass::Attribute*>> by_owner;
  const auto is_new = [&](std::string_view owner) {
    return std::ranges::contains(rows_.objects, owner, &RecordRows::Object::key);
  };
  for (const auto* list : {&rows_.attributes, &rows_.counters})
    for (const RecordRows::Attribute& row : *list)
      if (!is_new(row.owner)) by_owner[row.owner].push_back(row.attribute);
  std::string name;
  for (const auto& [owner, attributes] : by_owner) {
    const DocumentKind kind = owner == rows_.uuid ? DocumentKind::frame : DocumentKind::object;
    if (kind == DocumentKind::object && !options_.objects) continue;
    const size_t begin = text_.size();
    JsonWriter json(text_);
    json.begin_object();
    json.key("late");
    json.begin_object();
    for (const sightglass::Attribute* attribute : attributes) {
      name.assign(attribute->model.view());
      name += ':';
      name += attribute->name.view();
      std::ranges::replace(name, '.', '_');
      std::ranges::replace(name, '$', '_');
      json.key(name);
      json.begin_object();
      write_attribute_fields(json, *attribute);
      json.end_object();
    }
    json.end_object();
    json.end_object();
    add(kind, true, owner, begin);
  }
}

}  // namespace sightglass::adapters
