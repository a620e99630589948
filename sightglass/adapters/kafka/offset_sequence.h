// Whether the record that comes next of a partition is the one that should: nothing may be passed over that
// the brokers still have. Fetching can jump: librdkafka (2.8) takes bytes of a damaged batch for an offset,
// and where it holds a log for truncated it drops what was fetched in front of the cut.
//
// Offsets that are missing are not always lost records: markers of transactions and what compaction removed
// have offsets too. So what is missing is looked for once more, by a seek to where it should be; when the
// same record comes again, the brokers have nothing in between and reading goes on. Where that is how a log
// is, a gap is looked into once in `pause`, so that such logs are not read at a request per record.
//
//   expected 250, comes 497      missing: seek to 250
//     comes 250                  next: the gap is closed
//     comes 497 again            next, 247 offsets were passed over
//
// What came before comes again after librdkafka has begun anew (`repeated`), unless the log is another one by
// now: brokers that were elected without having all, a topic that was made anew. Such records are newer than
// all that was read, by leader epoch or time stamp (`rewritten`), or the log ends before what was read, which
// who asks here has to find out.
//
// Not thread-safe; allocates nothing.
#pragma once

#include <chrono>
#include <cstdint>

namespace sightglass::adapters {

class OffsetSequence {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds pause{100};

  enum class Verdict { next, missing, repeated, rewritten };
  struct Finding {
    Verdict verdict = Verdict::next;
    int64_t passed_over = 0;  // offsets that the brokers do not have, in front of this one
  };

  // -1: not known; it is where the first record stands.
  explicit OffsetSequence(int64_t next = -1) : next_(next) {}
  int64_t next() const { return next_; }
  void begin(int64_t next) { next_ = next; }

  // `epoch` of its leader and its time stamp, -1: none.
  Finding check(int64_t offset, int32_t epoch, int64_t time_ms, Clock::time_point now);

 private:
  void take(int64_t offset, int32_t epoch, int64_t time_ms);

  int64_t next_, latest_ms_ = -1;
  int32_t epoch_ = -1;
  int64_t behind_ = -1;  // the record behind the gap that is looked into
  Clock::time_point next_look_{};
};

}  // namespace sightglass::adapters
