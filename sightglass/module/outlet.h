// Where all results leave: to everybody who has subscribed, then into the queue of every sink.
//
//   size_t next = 0;  // how far this record is; the outlet counts
//   if (!outlet.offer(parcel, stream, next, wake)) …  // a sink is full and its policy is block: offer the
//   same
//                                                      // again, with the same `next`, once `wake` was called
// Thread-safe once the sinks have been added; records of one stream have to be offered in order.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "sightglass/module/listeners.h"
#include "sightglass/module/parcel.h"
#include "sightglass/module/sink_runner.h"

namespace sightglass::module {

class Outlet {
 public:
  ~Outlet();
  void add(std::unique_ptr<SinkRunner> sink) { sinks_.push_back(std::move(sink)); }
  Status start();

  bool offer(const ParcelRef& parcel, uint64_t stream, size_t& next, const std::function<void()>& waiter);

  Listeners<adapters::RecordRef>& subscribers() { return subscribers_; }
  Status act(std::string_view sink, std::string_view action);
  std::vector<SinkStatus> status() const;
  bool is_idle() const;
  const std::vector<std::unique_ptr<SinkRunner>>& sinks() const { return sinks_; }
  // All store what they have until the deadline, a second at least. Lines that say what was left: "sink
  // events: 12 records".
  std::vector<std::string> stop(int64_t deadline_ns);
  void hurry() { is_hurried_ = true; }  // stop() waits no longer than that second

 private:
  std::vector<std::unique_ptr<SinkRunner>> sinks_;  // once started, none comes or goes
  std::atomic<bool> is_hurried_{false};
  Listeners<adapters::RecordRef> subscribers_;
};

}  // namespace sightglass::module
