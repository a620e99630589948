// What all nodes of a running flow share: its ledger, its first error, and whether it is to stop.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/memory/copy_ledger.h"

namespace sightglass::flow {

class RunState {
 public:
  bool strict_zero_copy = false;
  uint64_t frame_limit = 0;  // per source; 0: none
  CopyLedger ledger;
  std::function<Status(const Frame&)> on_frame;
  std::mutex callback_mutex;  // the graph may have several ends
  // Changes whenever an element is configured anew: pools asked for before may be others now.
  std::atomic<uint64_t> configured{1};
  std::atomic<bool> finishing{false};  // sources end as if their input had

  bool stopping() const { return stopping_.load(std::memory_order_acquire); }
  // Keeps the error if it is the first, and stops everything. What is returned travels up instead, and says
  // nothing new.
  std::unexpected<Error> stop(Error error);
  std::unexpected<Error> stop(std::string_view element, Error error, uint64_t stream = 0);
  Status first_error() const;

  void warn(std::string_view element, const std::vector<std::string>& lines);
  std::vector<std::string> take_warnings();

  // Makes everything that waits give up; set by the graph. Any thread, any number of times.
  std::function<void()> wake;

 private:
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  Status status_;                      // guarded
  std::vector<std::string> warnings_;  // guarded
};

}  // namespace sightglass::flow
