#include "sightglass/telemetry/span_queue.h"

#include <algorithm>
#include <chrono>

#include "sightglass/module/accounting.h"

namespace sightglass::telemetry {
namespace {

using namespace std::chrono_literals;

constexpr size_t most_in_request = 512;  // spans
constexpr auto gather_time = 500ms;      // that a trace waits for others

size_t spans_in(const std::vector<module::FinishedTrace>& traces) {
  size_t sum = 0;
  for (const auto& trace : traces) sum += trace.spans.size();
  return sum;
}

}  // namespace

SpanQueue::SpanQueue(const module::TelemetryOptions& options, Sender sender)
    : options_(options), sender_(std::move(sender)), client_(options.traces_url) {
  thread_ = std::jthread([this] { run(); });
}

SpanQueue::~SpanQueue() { stop(0); }

void SpanQueue::take(module::FinishedTrace trace) {
  const size_t size = trace.spans.size();
  const std::scoped_lock lock(mutex_);
  if (is_ending_ || spans_ + size > options_.most_spans) {
    dropped_ += size;
    return;
  }
  spans_ += size;
  waiting_.push_back(std::move(trace));
  if (spans_ >= most_in_request || waiting_.size() == 1) changed_.notify_all();
}

void SpanQueue::run() {
  while (gather()) {
    const size_t spans = spans_in(batch_);
    const std::string body = traces_request(sender_, batch_);
    for (int64_t wait = options_.retry_ms;; wait = std::min(wait * 2, options_.retry_max_ms)) {
      const Sent sent = client_.send(body);
      if (sent.kind != Sent::Kind::again) {
        note(sent, spans);
        break;
      }
      note_error(sent.error);
      if (!pause(std::max(wait, sent.retry_after_ms))) {
        note({.kind = Sent::Kind::refused, .error = sent.error}, spans);
        break;
      }
    }
    batch_.clear();
  }
  const std::scoped_lock lock(mutex_);
  for (const auto& trace : waiting_) dropped_ += trace.spans.size();
  waiting_.clear();
  is_ended_ = true;
  changed_.notify_all();
}

// Some traces into batch_. False: the end.
bool SpanQueue::gather() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !waiting_.empty() || is_ending_; });
  changed_.wait_for(lock, gather_time, [&] { return spans_ >= most_in_request || is_ending_; });
  if (waiting_.empty() || is_cancelled_) return false;
  size_t spans = 0;
  while (!waiting_.empty() && (batch_.empty() || spans + waiting_.front().spans.size() <= most_in_request)) {
    spans += waiting_.front().spans.size();
    batch_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return true;
}

void SpanQueue::note(const Sent& sent, size_t spans) {
  const bool is_taken = sent.kind == Sent::Kind::taken;
  const uint64_t rejected = is_taken ? std::min<uint64_t>(sent.rejected, spans) : spans;
  if (!sent.error.empty()) note_error(sent.error);
  const std::scoped_lock lock(mutex_);
  spans_ -= spans;
  dropped_ += rejected;
  sent_ += spans - rejected;
}

void SpanQueue::note_error(const std::string& error) {
  {
    const std::scoped_lock lock(mutex_);
    last_error_ = error;
    if (is_cancelled_) return;
  }
  if (options_.log && limit_.is_due(module::steady_now_ns())) options_.log->warning("traces", error);
}

// False: there is no more time.
bool SpanQueue::pause(int64_t milliseconds) {
  std::unique_lock lock(mutex_);
  // Who wants us to end gets another try at once, and then one every 100 ms.
  if (is_ending_) milliseconds = std::min<int64_t>(milliseconds, 100);
  const bool was_ending = is_ending_;
  changed_.wait_for(lock, std::chrono::milliseconds(milliseconds),
                    [&] { return is_cancelled_ || is_ending_ != was_ending; });
  return !is_cancelled_;
}

void SpanQueue::add_to(module::TelemetryStatus& status) const {
  const std::scoped_lock lock(mutex_);
  status.is_tracing = true;
  status.spans_sent = sent_;
  status.spans_dropped = dropped_;
  if (!last_error_.empty()) status.last_error = last_error_;
}

void SpanQueue::stop(int64_t wait_ms) {
  {
    std::unique_lock lock(mutex_);
    is_ending_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return is_ended_; });
    is_cancelled_ = true;
    changed_.notify_all();
  }
  client_.cancel();
  if (thread_.joinable()) thread_.join();
}

}  // namespace sightglass::telemetry
