// What stores write of a record, and by which keys: the same for all of them.
//
//   rows     for tables: the frame, its objects, attributes, events and counters (RecordRows)
//   documents  the same as JSON texts, for stores of documents (Documents)
//
// The keys make writing idempotent: a record that comes again has the same ones.
//
//   frame      UUID
//   object     UUID:ID
//   event      UUID:ELEMENT:NAME:N     N counts events of one element and name in the frame, from 0; of a
//              late update it is late-EPOCH-SEQ-N
//   attribute  of a frame or object: its key, then element, name and a count likewise
//   counter    UUID:ELEMENT:NAME
//   note       a UUID of its own (with `notes`: what is said about streams, user data)
//
// Events are the attributes `enter`, `leave` and `cross` of frames (object_analytics.h; functions of users
// may set them as well); counters are numbers of frames. A late FrameUpdate yields rows and documents of the
// frame that it names, to be merged into what is there.
//
// A frame's document is the record as JSON (write_record_json), its objects inside; an object's or event's
// has the same identity and the fields that it has there. A merge is {"late":{"ELEMENT:NAME":{attribute}}}
// for the frame or an object: what came with a frame stays as it was, what came later is beside it.
//
// Values for one thread; they refer to the record, and are valid until the next one is read.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/adapters/record.h"

namespace sightglass {
struct FrameIdentity;
}

namespace sightglass::adapters {

class RecordRows {
 public:
  struct Object {
    std::string_view key;
    const Region* region = nullptr;
    int64_t id = 0;  // in its key
  };
  struct Attribute {
    std::string_view owner;  // key of the frame or object
    const sightglass::Attribute* attribute = nullptr;
    unsigned n = 0;
  };
  struct Event {
    std::string_view key;
    const sightglass::Attribute* attribute = nullptr;
    unsigned n = 0;
  };

  void read(const Record& record);

  std::string uuid;           // of the frame, also of a late update
  bool is_late = false;       // to be merged
  bool is_frame = false;      // otherwise a note, which has no rows but itself
  bool keeps = false;         // late attributes do not replace those that are there
  int64_t time_us = 0;        // when the frame was captured, or made
  int64_t made_ms = 0;        // the date in the uuid: what partitions and expiry go by
  int width = 1, height = 1;  // pixels per unit of boxes; 1 where boxes are in pixels
  std::vector<Object> objects;
  std::vector<Attribute> attributes, counters;
  std::vector<Event> events;

 private:
  void take(const sightglass::Attribute& attribute, std::string_view owner, bool of_frame);
  unsigned count(std::string_view owner, const sightglass::Attribute& attribute) const;
  // Keys keep their memory from one record to the next.
  std::string& new_key();
  std::string_view object_key(int64_t id);
  std::string late_mark_;  // in keys of events
  std::deque<std::string> keys_;
  size_t keys_used_ = 0;
  std::deque<Region> regions_;
  std::deque<sightglass::Attribute> late_;
};

enum class DocumentKind : uint8_t { frame, object, event, note };
std::string_view plural(DocumentKind kind);  // "frames"

struct Document {
  DocumentKind kind = DocumentKind::frame;
  bool is_merge = false;  // into the document of this key
  std::string_view key;
  std::string_view json;  // an object, without its key as `_id`
};

class Documents {
 public:
  struct Options {
    bool objects = true;  // documents of their own for objects
    bool notes = false;
  };
  explicit Documents(Options options) : options_(options) {}
  // In order: the frame, its objects, its events.
  std::span<const Document> of(const Record& record);
  const RecordRows& rows() const { return rows_; }  // of the last one

 private:
  void add(DocumentKind kind, bool is_merge, std::string_view key, size_t begin);
  void write_late();
  void write_objects(const Record& record, const FrameIdentity& identity, size_t frame_end);

  const Options options_;
  RecordRows rows_;
  std::string text_, identity_;
  std::vector<Document> documents_;
  std::vector<size_t> begins_;
};

}  // namespace sightglass::adapters
