// Lines for people about a running module, on standard error, as `telemetry.log` says: at least of its level,
// as text or as a JSON object a line.
//
//   log.warning("element faces", "a buffer without a timestamp");
//   // 2026-03-01T09:12:44.120Z warning gate: element faces: a buffer without a timestamp
//
// Thread-safe. Nothing is logged per frame: who might say the same again and again counts it, and says it
// once a minute (LogLimit). URLs are shown without secrets.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sightglass/module/spec.h"

namespace sightglass::module {

enum class LogLevel : uint8_t { trace, debug, info, warning, error, off };

class Log {
 public:
  // `write` gets each line without its end; empty: standard error.
  Log(std::string module, const TelemetrySpec& telemetry, std::function<void(std::string_view)> write = {});

  void info(std::string_view about, std::string_view text) const { line(LogLevel::info, about, text); }
  void warning(std::string_view about, std::string_view text) const { line(LogLevel::warning, about, text); }
  void line(LogLevel level, std::string_view about, std::string_view text) const;

 private:
  const std::string module_;
  const LogLevel least_;
  const bool is_json_;
  const std::function<void(std::string_view)> write_;
};

// True at most once a minute, and the first time.
class LogLimit {
 public:
  bool is_due(int64_t now_ns) {
    int64_t last = last_ns_.load(std::memory_order_relaxed);
    if (last != 0 && now_ns - last < pause_ns) return false;
    return last_ns_.compare_exchange_strong(last, now_ns, std::memory_order_relaxed);
  }

 private:
  static constexpr int64_t pause_ns = 60'000'000'000;
  std::atomic<int64_t> last_ns_{0};
};

}  // namespace sightglass::module
