// A queue on disk: what a sink cannot take now, kept in segments that survive a crash.
//
//   auto file = SpillFile::open("spill/events", {.most_bytes = 1 << 30});
//   (*file)->append(bytes);
//   while (auto more = (*file)->read(record); more && *more) { deliver(record); (*file)->commit(1); }
//
// Records that come fast are added to a batch, and are on disk once write() has said so: one system call for
// all of them. append() is a batch of one.
//
// A segment is a file NNNNNNNNNNNN.spill: a header, then records of size, CRC-32C of the bytes, a check of
// these two (bound to the segment and the place in it) and bytes; nothing but zeros follows the last one.
// `position` beside them says what is delivered; after a crash records may be read once more: at least once.
// A torn tail (power cut, kill -9 while writing) is cut off when the folder is opened: what was being written
// then has never counted as stored, so that it is noticed and not counted. A damaged record is skipped and
// counted (where its header is damaged too, all up to the next whole one as one), and so is what the disk
// cannot read, or a segment that somebody has removed; one of another version becomes
// NNNNNNNNNNNN.spill.unreadable when the folder is opened. The last segment that was delivered becomes the
// next one to be written, under the name `spare` meanwhile: a file that the system has in memory costs a
// fraction of a new one. What it still holds of its earlier life has another segment's checks.
//
// On a disk that gets full segments become smaller, an eighth of what there is, so that the oldest can make
// room without everything going. A full disk is an error of write(), and what was there stays readable.
//
// Not thread-safe; one process at a time (locked).
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
    uint64_t most_bytes = uint64_t(1) << 30;  // of all segments; end_record() then answers `exhausted`
    uint64_t segment_bytes = 16u << 20;       // an eighth of most_bytes at most, or of what the disk has
    uint32_t most_record = 256u << 20;
    SpillSync sync = SpillSync::per_segment;
  };

  // Makes the folder when it is not there, and takes up what an earlier process has left in it.
  static Result<std::unique_ptr<SpillFile>> open(const std::string& folder, const Limits& limits);
  ~SpillFile();  // what is in the batch is lost: it has never counted as written
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  // The record's bytes are appended to what this answers, and end_record() takes them into the batch. Until
  // it does it may be asked again; otherwise the next begin_record() forgets them. invalid_argument: it is
  // larger than all that may be there.
  std::vector<uint8_t>& begin_record();
  // `is_kept`: who has added it has it still; it counts as read, and there must be none that is not.
  Status end_record(bool is_kept = false);
  // To disk, and forced there if it is to be. How many of the batch's first records are done; on an error
  // the rest stays in the batch.
  Status write(size_t& written);
  void forget(size_t records);                        // the batch's first ones
  size_t batched() const { return batched_.size(); }  // records
  size_t batch_bytes() const { return batch_end_; }

  Status append(std::span<const uint8_t> record);  // and on an error it is not in the batch
  // The next record into `record`; false: there is none (for now).
  Result<bool> read(std::vector<uint8_t>& record);
  // The oldest `records` that were read are delivered: they will not be read again.
  Status commit(uint64_t records);
  // Deletes the oldest segment to make room. How many records are lost with it.
  Result<uint64_t> drop_oldest();

  uint64_t unread() const { return unread_; }                     // damaged ones too, until they are met
  uint64_t records() const { return unread_ + reading_.size(); }  // not committed
  uint64_t bytes() const { return bytes_; }                       // of segments, but for the spare one
  uint64_t damaged() const { return damaged_; }                   // records that were given up since open()
  // Which file open() could not take up whole, the first one: set aside, or its end cut off; empty: none.
  const std::string& notice() const { return notice_; }

 private:
  struct Segment {
    uint64_t number = 0, bytes = 0, unread = 0;
  };
  struct Place {
    uint64_t segment = 0, offset = 0;
  };
  struct Batched {
    size_t bytes = 0;  // with its header
    bool is_kept = false;
  };
  enum class Found : uint8_t { record, damaged, end, torn, unreadable };
  SpillFile(std::string folder, const Limits& limits);
  std::string path(uint64_t segment) const;
  std::string spare_path() const { return folder_ + "/spare"; }
  Status lock();
  Status recover();
  Status recover_segment(uint64_t number);
  uint64_t segment_limit() const;
  Status start_segment();
  Status finish_segment();
  Status sync_names() const;
  Status write_run(size_t& first, size_t& from);
  Status write_position();
  Found look(int file, const Segment& segment, uint64_t offset, std::vector<uint8_t>& record) const;
  uint64_t to_next_record(int file, const Segment& segment, uint64_t offset) const;
  void set_aside(const std::string& name);
  void note(std::string notice);
  void remove_front(bool reuses);
  void drop_spare();

  const std::string folder_;
  const Limits limits_;
  int lock_ = -1, write_ = -1, read_ = -1, position_ = -1, spare_ = -1;
  uint64_t open_for_read_ = 0, last_segment_ = 0;
  uint64_t segment_limit_ = 0, look_at_ = 0;  // of the one being written; when the disk is asked again
  std::deque<Segment> segments_;
  Place read_place_, committed_;
  std::deque<Place> reading_;  // ends of the records that were read and not committed
  uint64_t unread_ = 0, bytes_ = 0, damaged_ = 0;
  std::vector<uint8_t> batch_;  // as in a segment, but for the checks; behind batch_end_ the open record
  size_t batch_end_ = 0;
  std::vector<Batched> batched_;
  std::vector<uint8_t> scratch_;
  std::string notice_;
};

}  // namespace sightglass::stream
