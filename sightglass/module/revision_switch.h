// Which revision of the parameters a frame is processed with. A new set takes effect with the next picture
// that comes out of the decoder, and every element goes over to it with that very picture: so all results of
// a frame are made with one revision, which its ticket names.
//
//   switch.set_next(set);                            // strand
//   ticket.param_revision = switch.begin(pts);       // decoder's output
//   if (auto* set = switch.changed(pts, current)) …  // each element, in front of the frame
//
// Thread-safe. Where nothing has changed it is one atomic read.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

#include "sightglass/module/element_plan.h"

namespace sightglass::module {

class RevisionSwitch {
 public:
  explicit RevisionSwitch(std::shared_ptr<const ResolvedSet> first) {
    newest_ = first.get();
    sets_.push_back({no_time, std::move(first)});
  }

  void set_next(std::shared_ptr<const ResolvedSet> set) {
    std::lock_guard lock(mutex_);
    next_ = std::move(set);
    has_next_ = true;
  }
  // The revision of the picture that comes next.
  uint64_t begin(Time pts) {
    if (has_next_) {
      std::lock_guard lock(mutex_);
      sets_.push_back({pts, std::move(next_)});
      if (sets_.size() > most_sets) sets_.pop_front();
      newest_ = sets_.back().set.get();
      has_next_ = false;
    }
    return newest_.load()->revision;
  }
  // The set for this frame when it is another one than `current`, else null.
  std::shared_ptr<const ResolvedSet> changed(Time pts, const ResolvedSet* current) const {
    if (newest_ == current) return nullptr;
    auto set = at(pts);
    return set.get() == current ? nullptr : set;
  }
  std::shared_ptr<const ResolvedSet> at(Time pts) const {
    std::lock_guard lock(mutex_);
    for (auto one = sets_.rbegin(); one != sets_.rend(); ++one)
      if (one->from <= pts) return one->set;
    return sets_.front().set;
  }
  // Also of a set that no picture has begun yet.
  std::shared_ptr<const ResolvedSet> latest() const {
    std::lock_guard lock(mutex_);
    return next_ ? next_ : sets_.back().set;
  }

 private:
  // More than there can be frames between decoder and end.
  static constexpr size_t most_sets = 1024;
  struct Set {
    Time from;
    std::shared_ptr<const ResolvedSet> set;
  };
  mutable std::mutex mutex_;
  std::deque<Set> sets_;  // by `from`
  std::shared_ptr<const ResolvedSet> next_;
  std::atomic<bool> has_next_ = false;
  std::atomic<const ResolvedSet*> newest_ = nullptr;
};

}  // namespace sightglass::module
