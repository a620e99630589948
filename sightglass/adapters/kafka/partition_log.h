// Which offset of a partition may be committed: what was read is kept in groups, a keyframe with all that
// depends on it, per source id, until all of a group is done and the next one has begun. Whoever starts at
// the offset that results can decode everything that is not done yet.
//
//   log.add(offset, entry);            // read, in order of offsets
//   log.done(offset);                  // settled, in any order
//   auto [offset, processed] = log.position();   // to be committed
//
//   offsets   40 41 42 43 44 45 46 47            K: keyframes; cam-1 has 40 41 44 45, cam-2 the others
//             K  .  K  .  .  .  K  .             43 is not done: 42 opens its group. Commit 42, processed 43
//
// `processed` is the offset in front of which everything is done; it travels beside the committed one, so
// that the next owner knows which frames it reads only to rebuild the state of decoders (`replay`).
//
// A source that has fallen silent in an open group would hold the position for ever. When the partition has
// gone on for a minute (by the time stamps of its messages, and by our own clock: hosts do not agree on the
// time), its group counts as complete: the module has ended such a stream long ago, and waits for a keyframe.
//
// Not thread-safe. Memory: per message from the first that is not done on, and per source id; ids may come
// without end, and forget() keeps only those that matter.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sightglass::adapters {

struct LogEntry {
  std::string_view source_id;
  bool keyframe = false;      // opens a group
  bool stands_alone = false;  // nothing depends on it, nor it on others: intra codecs, metadata only
  bool ends = false;          // end of stream
  int64_t time_ms = -1;       // of the message; -1: none
  int64_t read_ms = 0;        // when it was read, by our own steady clock
};

struct LogPosition {
  int64_t offset = -1;     // the first one to be read by whoever comes next; -1: nothing was read
  int64_t processed = -1;  // everything in front of it is done
  bool operator==(const LogPosition&) const = default;
};

class PartitionLog {
 public:
  static constexpr int64_t silence_ms = 60'000;

  void add(int64_t offset, const LogEntry& entry);
  // False: not known, or done before.
  bool done(int64_t offset);
  // An offset that holds nothing for us: control records, gaps left by compaction.
  void skip_to(int64_t offset);
  LogPosition position() const;
  size_t unfinished() const { return unfinished_; }

  // Sources of which all is done and no group is open go; if more than `most` are left, those too that have
  // been silent for longest and have nothing unfinished: their open groups count as complete.
  void forget(size_t most);
  // Something of it is unfinished, or its group may go on.
  bool knows(std::string_view source_id) const;

 private:
  struct Group {
    int64_t first = 0;
    size_t open = 0;  // messages that are not done
    bool complete = false;
  };
  struct Source {
    std::deque<Group> groups;
    int64_t first_group = 0;  // number of the front one
    int64_t last_ms = -1, read_ms = 0, last_offset = 0;
    bool is_done() const;  // each of its messages
  };
  struct Message {
    int64_t offset = 0;
    Source* source = nullptr;  // null: done
    int64_t group = 0;
  };
  void trim(Source& source);
  void forget_silent(const LogEntry& latest);

  std::map<std::string, Source, std::less<>> sources_;  // its nodes stay where they are
  std::deque<Message> messages_;                        // from the first that is not done
  int64_t next_ = -1, looked_ms_ = 0;
  size_t unfinished_ = 0;
};

// What is written beside a committed offset: "sightglass 1 processed=43 partitions=12".
struct CommitNote {
  int64_t processed = -1;
  int partitions = 0;  // of the topic when it was written
};
std::string to_string(const CommitNote& note);
std::optional<CommitNote> parse_commit_note(std::string_view text);  // none: somebody else's

}  // namespace sightglass::adapters
