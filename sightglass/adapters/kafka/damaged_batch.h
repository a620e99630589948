// What is done about a batch that a broker keeps sending with a wrong checksum, since its disk has damaged
// it. librdkafka reports such a batch, and goes on with what stands behind it in the same answer; where the
// answer holds nothing else, it fetches the batch again, for ever and without a pause, and its partition
// stands still.
//
// A batch that was damaged on its way comes whole the next time. So only one that has come `least_attempts`
// times over `patience` is given up. Where it ends is not told: that is found by reading from further on, in
// steps that double and then halve. An answer from the same batch lies within it, any other one behind it.
//
//   batch of offsets 100 to 159   damaged(100, 100, 5000, now) again and again, in the end it says `seek`
//     seek to 101, 103, 107 … 163   damaged(100, …) up to 131, at 163 whole()
//     seek to 147, 155, 159, …      until the last one within and the first one behind are known
//     pass                          reading goes on at end(), 160
//
// Not thread-safe; allocates nothing.
#pragma once

#include <chrono>
#include <cstdint>

namespace sightglass::adapters {

class DamagedBatch {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int least_attempts = 3;
  static constexpr std::chrono::seconds patience{2};

  enum class Action {
    wait,
    seek,  // to probe()
    pass,  // reading goes on at end(); first() and what follows is given up
  };
  // The batch whose first offset is `base` came damaged. `next`: what is wanted of the partition;
  // `log_end`: the offset behind the last record that there is.
  Action damaged(int64_t base, int64_t next, int64_t log_end, Clock::time_point now);
  // A record came that no checksum speaks against, from probe() on; only while is_searched().
  Action whole();
  // What was wanted has come.
  void forget() { base_ = -1, is_searched_ = false; }

  bool is_searched() const { return is_searched_; }
  int64_t probe() const { return probe_; }
  int64_t first() const { return first_; }
  int64_t end() const { return end_; }

 private:
  Action next_probe();

  int64_t base_ = -1, first_ = 0, probe_ = 0;
  int64_t last_ = 0, end_ = 0;  // an offset within the batch, and one behind it
  int64_t step_ = 1;
  bool is_searched_ = false, is_end_seen_ = false;
  int attempts_ = 0;
  Clock::time_point since_;
};

}  // namespace sightglass::adapters
