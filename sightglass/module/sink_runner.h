// One sink of a module at work: a thread and a bounded queue of its own, so that it holds up nobody but,
// under the policy `block`, those who write to it. Gathers batches, repeats what is not stored now with
// growing pauses, files what is refused for good as a dead letter.
//
//   auto sink = SinkRunner::open(options);     // checks, makes the sink; start() opens it
//   if (!sink->offer(parcel, waiter)) …         // full: the waiter is called when there is room
//
// offer() is thread-safe; records of one stream have to be offered in order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/core/histogram.h"
#include "sightglass/elements/selection/selector.h"
#include "sightglass/module/function.h"
#include "sightglass/module/module.h"
#include "sightglass/module/parcel.h"
#include "sightglass/module/sink_settings.h"
#include "sightglass/stream/lifecycle/sink_queue.h"

namespace sightglass::module {

class SinkRunner {
 public:
  static Result<std::unique_ptr<SinkRunner>> open(const SinkSettings& settings);
  ~SinkRunner();  // stop(now) if it has not been

  Status start();
  enum class Offer : uint8_t { taken, full };
  // `stream` is any number per source id. Not taken: `waiter` is called once there is room, on any thread.
  Offer offer(const ParcelRef& parcel, uint64_t stream, const std::function<void()>& waiter);

  Status act(std::string_view action);  // flush, pause, resume
  SinkStatus status() const;
  bool is_required() const { return settings_.required; }
  bool is_idle() const;  // everything offered is settled
  // Since when it has had work without storing any; 0: it has not.
  int64_t blocked_since_ns() const;
  // Takes nothing more, and ends when all that waits is stored.
  void close();
  bool wait_ended(int64_t deadline_ns);  // False: not in time
  void cancel();                         // gives up what it is writing
  // All three: what is not stored by the deadline is given up; what is on disk is there at the next start.
  // How many records these are.
  uint64_t stop(int64_t deadline_ns);
  // A write that does not even come back when it is cancelled: this object has to stay, its thread uses it.
  bool is_abandoned() const { return is_abandoned_; }

 private:
  using Items = std::vector<stream::SinkItem>;
  explicit SinkRunner(const SinkSettings& settings);
  void run();
  bool gather(Items& items);
  size_t store(const Items& items);
  uint64_t let_go();
  Status write(Items& items, std::vector<adapters::Stored>& outcome);
  void is_stored_already(size_t record);
  std::optional<adapters::RecordRef> mapped(const adapters::RecordRef& record);
  void bury(const stream::SinkItem& item, std::string_view reason);
  void settle(const stream::SinkItem& item, bool stored);
  void settle_spilled(const Parcel& parcel);
  void note_end(const Parcel& parcel, std::string_view error);
  bool pause_for(Time time);
  void note_error(const Error& error);
  void wake_waiters();
  void flush_if_asked();

  const SinkSettings settings_;
  std::unique_ptr<adapters::Sink> sink_;
  std::unique_ptr<MapFunction> map_;
  Selector when_;
  std::unique_ptr<stream::SinkQueue> queue_;
  std::vector<adapters::RecordRef> batch_;
  std::vector<size_t> places_of_batch_;  // of its records among the items, where there is a map
  const Items* writing_ = nullptr;       // of the write() under way
  std::vector<bool> settled_;            // those of its items of which the sink has said so before its end

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::function<void()>> waiters_;
  bool is_up_ = false, is_paused_ = false, flush_asked_ = false, is_ended_ = false, is_cancelled_ = false;
  bool is_abandoned_ = false;
  size_t stored_behind_ = 0;  // of the last batch, behind the first that was given up
  int64_t blocked_since_ = 0;
  uint64_t retries_ = 0, dead_letters_ = 0;
  std::string last_error_;
  std::atomic<uint64_t> delivered_{0}, dropped_{0};
  Histogram latencies_{time_bounds};  // of frames, from receipt until they were stored
  std::atomic<bool> is_closing_{false};
  std::jthread thread_;
};

}  // namespace sightglass::module
