// How often something happened lately, exactly: the times of the last `most` + 1 events. Not thread-safe;
// allocates when it is made or reset() only.
#pragma once

#include <cstddef>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass::stream {

class RecentEvents {
 public:
  explicit RecentEvents(size_t most = 0) : times_(most + 1) {}
  // How many there were within `window` up to now, this one included; at most `most` + 1.
  size_t add(Time now, Time window) {
    while (size_ > 0 && (size_ == times_.size() || now - times_[first_] >= window)) {
      first_ = (first_ + 1) % times_.size();
      --size_;
    }
    times_[(first_ + size_++) % times_.size()] = now;
    return size_;
  }
  void clear() { size_ = 0; }
  size_t size() const { return size_; }  // without those that had left the window at the last add()
  size_t most() const { return times_.size() - 1; }

 private:
  std::vector<Time> times_;
  size_t first_ = 0, size_ = 0;
};

}  // namespace sightglass::stream
