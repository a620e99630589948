// A queue on disk: what a sink cannot take now, kept in segments that survive a crash.
//
//   auto file = SpillFile::open("spill/events", {.most_bytes = 1 << 30});
//   (*file)->append(bytes);
//   while (auto more = (*file)->read(record); more && *more) { deliver(record); (*file)->commit(1); }
//
// A segment is a file NNNNNNNNNNNN.spill: a header, then records of length, CRC-32C and bytes. `position`
// beside them says what is delivered; after a crash records may be read once more: at least once. A torn tail
// (power cut, kill -9 while writing) is cut off when the folder is opened; a damaged record is skipped and
// counted. A full disk is an error of append(), and what was there stays readable.
//
// Not thread-safe; one process at a time (locked). An append is one write(), a read two.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::stream {

// When data is forced to the disk itself; a crash of the process alone loses nothing in any case.
enum class SpillSync : uint8_t { none, per_segment, every_record };

class SpillFile {
 public:
  struct Limits {
    uint64_t most_bytes = uint64_t(1) << 30;  // of all segments; append() then answers `exhausted`
    uint64_t segment_bytes = 16u << 20;       // an eighth of most_bytes at most
    uint32_t most_record = 256u << 20;
    SpillSync sync = SpillSync::per_segment;
  };

  // Makes the folder when it is not there, and takes up what an earlier process has left in it.
  static Result<std::unique_ptr<SpillFile>> open(const std::string& folder, const Limits& limits);
  ~SpillFile();
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  Status append(std::span<const uint8_t> record);
  // The one record that is not read counts as read: who has appended it has it still.
  void skip();
  // The next record into `record`; false: there is none (for now).
  Result<bool> read(std::vector<uint8_t>& record);
  // The oldest `records` that were read are delivered: they will not be read again.
  Status commit(uint64_t records);
  // Deletes the oldest segment to make room. How many records are lost with it.
  Result<uint64_t> drop_oldest();

  uint64_t unread() const { return unread_; }                     // damaged ones too, until they are met
  uint64_t records() const { return unread_ + reading_.size(); }  // not committed
  uint64_t bytes() const { return bytes_; }                       // on disk
  uint64_t damaged() const { return damaged_; }  // records and tails that were given up since open()

 private:
  struct Segment {
    uint64_t number = 0, bytes = 0, unread = 0;
  };
  struct Place {
    uint64_t segment = 0, offset = 0;
  };
  enum class Found : uint8_t { record, damaged, end, torn };
  SpillFile(std::string folder, const Limits& limits);
  std::string path(uint64_t segment) const;
  Status lock();
  Status recover();
  Status start_segment();
  Status finish_segment();
  void sync_names() const;
  Status write_position();
  Result<Found> look(int file, const Segment& segment, uint64_t offset, std::vector<uint8_t>& record) const;
  void remove_front();

  const std::string folder_;
  const Limits limits_;
  int lock_ = -1, write_ = -1, read_ = -1, position_ = -1;
  uint64_t open_for_read_ = 0, last_segment_ = 0;
  std::deque<Segment> segments_;
  Place read_place_, committed_;
  std::deque<Place> reading_;  // ends of the records that were read and not committed
  uint64_t unread_ = 0, bytes_ = 0, damaged_ = 0;
  std::vector<uint8_t> scratch_;
};

}  // namespace sightglass::stream
