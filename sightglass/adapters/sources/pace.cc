#include "sightglass/adapters/sources/pace.h"

#include <charconv>

namespace sightglass::adapters {

Result<Pace> Pace::parse(std::string_view text) {
  if (text == "asap") return Pace();
  if (text == "realtime") return Pace(1);
  double speed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), speed);
  if (error != std::errc{} || end != text.data() + text.size() || !(speed >= 0.001 && speed <= 1000))
    return fail(ErrorCode::invalid_argument,
                "pace: '{}' is neither asap, realtime nor a factor of 0.001 to 1000", text);
  return Pace(speed);
}

bool Pace::wait(Time pts, const std::stop_token& stop) {
  if (speed_ <= 0) return !stop.stop_requested();
  const auto now = std::chrono::steady_clock::now();
  if (!has_begun_) has_begun_ = true, first_ = pts, begin_ = now;
  const auto due = begin_ + std::chrono::nanoseconds(int64_t(double(pts - first_) / speed_));
  if (due <= now) {
    // Late by a second: what was missed is not made up for.
    if (now - due > std::chrono::seconds(1)) begin_ += now - due;
    return !stop.stop_requested();
  }
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_until(lock, stop, due, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace sightglass::adapters
