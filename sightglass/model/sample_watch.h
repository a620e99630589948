// Who wants to know how long single samples wait for their batch and run in it: traces of frames. A thread
// says so before it sends samples; submit() takes it along with each.
//
//   watch_samples(watch);     // null: nobody does, which costs nothing
//   stream->submit(…);
//
// ran() is called on the thread that has run the batch, before the results are given out, and must not block.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace sightglass {

struct SampleTimes {
  std::string_view model;                                // its file's name
  int64_t submitted_ns = 0, begun_ns = 0, ended_ns = 0;  // steady clock
  size_t batch_size = 0;                                 // samples of the run
  // Drawn for each batch with watched samples in it: a name for what they share.
  std::array<uint64_t, 3> batch_id{};
  bool is_first = false;  // watched sample of the batch
  bool has_failed = false;
};

class SampleWatch {
 public:
  virtual ~SampleWatch() = default;
  virtual void ran(const SampleTimes& times) = 0;
};

// Of this thread, from now on; null: nobody. It is not kept alive.
void watch_samples(const std::shared_ptr<SampleWatch>& watch);
// Null: nobody, or it has gone.
std::shared_ptr<SampleWatch> sample_watch();

// Never 0, and hard to guess.
uint64_t random_id();

}  // namespace sightglass
