// What a frame is in MongoDB: an update for its own document, one for each object and event, as BSON that is
// written without JSON in between. The same documents as those of `Documents`.
//
//   FrameUpdates updates;
//   updates.read(*record, true);
//   for (const FrameUpdates::Update& update : updates.all()) bulk.add(update.key, update.bson);
//
// Valid until the next read(); one thread. No allocation once warm.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/adapters/documents.h"

namespace sightglass::adapters {

class FrameUpdates {
 public:
  struct Update {
    DocumentKind kind = DocumentKind::frame;
    std::string_view key;
    std::string_view bson;  // {"$set":{"time":…,"made":…,…}}
  };

  // Whether that is what can be read: a frame that no function has written its own JSON for.
  static bool takes(const Record& record) {
    return record.kind == RecordKind::frame && record.results.json.empty();
  }
  // False: a name in it has a NUL, which BSON cannot say.
  bool read(const Record& record, bool with_objects);
  std::span<const Update> all() const { return updates_; }

 private:
  void add(DocumentKind kind, std::string_view key, size_t begin);

  RecordRows rows_;
  std::string bytes_, identity_;
  struct Part {
    size_t begin, end;
  };
  std::vector<Part> objects_;  // their entries in the frame's document
  std::vector<Part> parts_;    // of the updates in bytes_
  std::vector<Update> updates_;
};

}  // namespace sightglass::adapters
