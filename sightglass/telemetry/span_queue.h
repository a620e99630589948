// Sends finished traces: a thread with a bounded queue. What a collector does not take now (429, 503, nobody
// there) stays in front and is sent again after a pause; when the queue is full, newer traces are left out
// and counted. Frames never wait: take() holds a lock for as long as it takes to append.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "sightglass/module/telemetry.h"
#include "sightglass/telemetry/otlp_message.h"
#include "sightglass/telemetry/sender.h"

namespace sightglass::telemetry {

class SpanQueue final : public module::TraceExporter {
 public:
  SpanQueue(const module::TelemetryOptions& options, Sender sender);
  ~SpanQueue() override;

  void take(module::FinishedTrace trace) override;
  void add_to(module::TelemetryStatus& status) const;
  // Sends what waits, for so long at most; the rest is dropped, and all that comes afterwards.
  void stop(int64_t wait_ms);

 private:
  void run();
  bool gather();
  void note(const Sent& sent, size_t spans);
  void note_error(const std::string& error);
  bool pause(int64_t milliseconds);

  const module::TelemetryOptions options_;
  const Sender sender_;
  CollectorClient client_;
  module::LogLimit limit_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<module::FinishedTrace> waiting_;
  size_t spans_ = 0;  // in waiting_ and batch_
  uint64_t sent_ = 0, dropped_ = 0;
  std::string last_error_;
  bool is_ending_ = false, is_cancelled_ = false, is_ended_ = false;
  std::vector<module::FinishedTrace> batch_;  // of the thread
  std::jthread thread_;
};

}  // namespace sightglass::telemetry
