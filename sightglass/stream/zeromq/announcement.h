// When a writer announces its schema: at once, every second for ten seconds, then every ten seconds.
#pragma once

#include <chrono>
#include <optional>

namespace sightglass::stream {

class AnnouncementTimer {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Whether it is time; if so the next one is set.
  bool due(Time now) {
    if (!start_) start_ = next_ = now;
    if (now < next_) return false;
    next_ =
        now + (now - *start_ < std::chrono::seconds(10) ? std::chrono::seconds(1) : std::chrono::seconds(10));
    return true;
  }
  // Somebody new has come.
  void again(Time now) { start_ = next_ = now; }
  Time next() const { return next_; }

 private:
  std::optional<Time> start_;
  Time next_{};
};

}  // namespace sightglass::stream
