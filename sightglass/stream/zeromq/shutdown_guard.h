// Whether a Shutdown record is to be obeyed: only one with the right token, from a socket that strangers
// cannot reach, and none for 60 s after five wrong ones within a minute. Values and times in, verdict out; no
// clock, no lock.
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <string_view>

namespace sightglass::stream {

class ShutdownGuard {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr size_t wrong_to_mute = 5;
  static constexpr std::chrono::seconds window{60}, mute{60};

  // Without a token nothing is ever obeyed.
  explicit ShutdownGuard(std::string token) : token_(std::move(token)) {}

  bool accept(std::string_view token, bool trusted_socket, Time now) {
    if (token_.empty() || !trusted_socket || now < muted_until_) return false;
    if (equal(token)) return true;
    wrong_.push_back(now);
    while (now - wrong_.front() > window) wrong_.pop_front();
    if (wrong_.size() >= wrong_to_mute) muted_until_ = now + mute, wrong_.clear();
    return false;
  }

 private:
  // Takes as long for a nearly right one as for any other.
  bool equal(std::string_view other) const {
    unsigned char difference = other.size() == token_.size() ? 0 : 1;
    for (size_t i = 0; i < token_.size(); ++i) {
      difference |= static_cast<unsigned char>(token_[i] ^ (i < other.size() ? other[i] : 0));
    }
    return difference == 0;
  }

  std::string token_;
  std::deque<Time> wrong_;
  Time muted_until_{};
};

}  // namespace sightglass::stream
