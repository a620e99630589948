// What reading files and URLs through FFmpeg has in common: how it goes on after a cut connection, how long
// it waits, what it says when it fails.
#pragma once

#include <atomic>
#include <chrono>
#include <ctime>
#include <string>

#include "sightglass/core/result.h"

extern "C" {
#include <libavformat/avio.h>
#include <libavutil/dict.h>
}

namespace sightglass::adapters {

// For http(s): a connection that breaks is opened again where it ended (by range). The caller frees it with
// av_dict_free(). Null for files.
AVDictionary* media_options(const std::string& location);

// `shown` is the location without secrets, `error` FFmpeg's.
std::unexpected<Error> media_error(const std::string& shown, int error);

// Ends FFmpeg's waiting. renew() on the reading thread, cancel() on any. The time begins with FFmpeg's first
// question behind renew(): what is read ahead costs no look at the clock.
class MediaDeadline {
 public:
  explicit MediaDeadline(int timeout_ms) : timeout_(timeout_ms), callback_{&MediaDeadline::is_over, this} {}
  MediaDeadline(const MediaDeadline&) = delete;
  MediaDeadline& operator=(const MediaDeadline&) = delete;

  void renew() { until_ = {}; }
  void cancel() { is_cancelled_ = true; }
  bool is_cancelled() const { return is_cancelled_; }
  const AVIOInterruptCB* callback() const { return &callback_; }

 private:
  static int is_over(void* self) {
    auto& deadline = *static_cast<MediaDeadline*>(self);
    if (deadline.is_cancelled_.load(std::memory_order_relaxed)) return true;
    const auto time = now();
    if (deadline.until_ == std::chrono::nanoseconds{}) deadline.until_ = time + deadline.timeout_;
    return time >= deadline.until_;
  }
  // To some milliseconds, which costs a fifth.
  static std::chrono::nanoseconds now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
  const std::chrono::milliseconds timeout_;
  const AVIOInterruptCB callback_;
  std::atomic<bool> is_cancelled_ = false;
  std::chrono::nanoseconds until_{0};  // 0: has not begun
};

}  // namespace sightglass::adapters
