// Stops instances, away from the strands: reaching NULL joins GStreamer's threads and may take long or for
// ever. All that are to be stopped get a little time in turn, so one that hangs holds up no other; one that
// is not there by its deadline is reported late, set aside, and tried again now and then.
//
// Memory that decoders have given back is returned to the system once a second at most (glibc keeps it
// otherwise, and 64 ended streams look like a leak).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "sightglass/module/stream_instance.h"

namespace sightglass::module {

class Reaper {
 public:
  // `on_stuck`: +1 for each that is set aside, -1 when one of them stops after all; on the reaper's thread.
  explicit Reaper(std::function<void(int)> on_stuck = {});
  // Waits for those within their deadlines. What is stuck stays in memory, with its events, for its threads
  // still use them.
  ~Reaper();

  // `keep` is what the instance's threads refer to; it goes after the instance. `stopped` is called on the
  // reaper's thread once it is at NULL and gone.
  void reap(std::shared_ptr<StreamInstance> instance, std::shared_ptr<void> keep, Time deadline_ns,
            std::function<void()> stopped);
  size_t pending() const;
  size_t stuck() const;

 private:
  struct Item {
    std::shared_ptr<StreamInstance> instance;
    std::shared_ptr<void> keep;
    int64_t deadline_ns = 0, next_try_ns = 0;
    bool is_stuck = false;
    std::function<void()> stopped;
  };
  void run();

  const std::function<void(int)> on_stuck_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Item> items_;
  size_t stuck_ = 0, busy_ = 0;
  bool is_ending_ = false;
  std::jthread thread_;
};

}  // namespace sightglass::module
