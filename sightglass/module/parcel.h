// A record on its way to the sinks, and what becomes of it: settled when every sink that is `required` has
// stored it, or a policy that was counted has decided. One parcel is shared by all sinks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "sightglass/adapters/record.h"
#include "sightglass/module/accounting.h"

namespace sightglass::module {

// Frames of one stream that have been settled since its strand last looked.
struct SettledFrames {
  std::atomic<uint64_t> stored{0}, dropped{0};
};

// A frame or other message from its receipt to its end. `receipt` is there for frames; other messages have
// their writer's settlement alone.
struct Job {
  stream::Delivery delivery;
  std::unique_ptr<Receipt> receipt;
};

class Parcel {
 public:
  // `job` may be null (records of the module's own making), `settled` too.
  Parcel(adapters::RecordRef what, std::shared_ptr<Job> job, std::shared_ptr<SettledFrames> settled,
         std::shared_ptr<stream::Settlement> settlement = {}, std::shared_ptr<FrameTrace> followed = {})
      : record(std::move(what)),
        trace(std::move(followed)),
        offered_ns(steady_now_ns()),
        job_(std::move(job)),
        settled_(std::move(settled)),
        settlement_(std::move(settlement)) {}
  ~Parcel() { finish(true); }

  const adapters::RecordRef record;
  const std::shared_ptr<FrameTrace> trace;  // null: its frame is not followed
  const int64_t offered_ns;                 // to the sinks; steady clock

  // False: of the module's own making, or back from disk.
  bool is_of_frame() const { return job_ && job_->receipt; }
  void expect() const { outstanding_.fetch_add(1, std::memory_order_relaxed); }    // one sink more
  void withdraw() const { outstanding_.fetch_sub(1, std::memory_order_relaxed); }  // by who asks, it was full
  // Of each expected one, once; and once when all have been asked.
  void done(bool stored) const {
    if (!stored) is_dropped_.store(true, std::memory_order_relaxed);
    if (outstanding_.fetch_sub(1, std::memory_order_acq_rel) == 1) finish();
  }

 private:
  // `abandoned`: nobody will decide any more (shutdown); writers may send it again.
  void finish(bool abandoned = false) const {
    if (is_finished_.exchange(true)) return;
    const bool stored = !abandoned && !is_dropped_.load();
    if (job_ && job_->receipt) {
      if (abandoned)
        job_->receipt->refuse("unfinished", true);
      else if (stored)
        job_->receipt->store();
      else
        job_->receipt->drop("sink");
    }
    if (settlement_) {
      if (abandoned)
        settlement_->refused("unfinished", true);
      else
        settlement_->processed();
    }
    if (settled_) (stored ? settled_->stored : settled_->dropped).fetch_add(1);
  }

  const std::shared_ptr<Job> job_;
  const std::shared_ptr<SettledFrames> settled_;
  const std::shared_ptr<stream::Settlement> settlement_;
  mutable std::atomic<int> outstanding_{1};
  mutable std::atomic<bool> is_dropped_{false}, is_finished_{false};
};
using ParcelRef = std::shared_ptr<const Parcel>;

}  // namespace sightglass::module
