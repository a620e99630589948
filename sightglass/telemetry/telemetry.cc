// The module `telemetry`: spans and metrics to a collector of OpenTelemetry.
#include "sightglass/module/telemetry.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "sightglass/module/accounting.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/telemetry/otlp_message.h"
#include "sightglass/telemetry/sender.h"
#include "sightglass/telemetry/span_queue.h"

namespace sightglass::telemetry {
namespace {

// Pushes the metrics every so often. What does not arrive is not sent again: the next push says it all.
class MetricsPush {
 public:
  MetricsPush(const module::TelemetryOptions& options, Sender sender)
      : options_(options), sender_(std::move(sender)), client_(options.metrics_url) {
    thread_ = std::jthread([this] { run(); });
  }
  ~MetricsPush() { stop(0); }

  void add_to(module::TelemetryStatus& status) const {
    const std::scoped_lock lock(mutex_);
    status.is_pushing = true;
    status.pushes = pushes_;
    status.pushes_failed = failed_;
    if (!last_error_.empty()) status.last_error = last_error_;
  }

  void stop(int64_t wait_ms) {
    {
      std::unique_lock lock(mutex_);
      is_ending_ = true;
      changed_.notify_all();
      changed_.wait_for(lock, std::chrono::milliseconds(wait_ms), [&] { return is_ended_; });
    }
    client_.cancel();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    for (bool is_last = false; !is_last;) {
      {
        std::unique_lock lock(mutex_);
        is_last = changed_.wait_for(lock, std::chrono::milliseconds(options_.push_interval_ms),
                                    [&] { return is_ending_; });
      }
      push();
    }
    const std::scoped_lock lock(mutex_);
    is_ended_ = true;
    changed_.notify_all();
  }

  void push() {
    const auto families = options_.metrics();
    const Sent sent =
        client_.send(metrics_request(sender_, families, start_us_ * 1000, module::wall_now_us() * 1000));
    const bool is_taken = sent.kind == Sent::Kind::taken;
    {
      const std::scoped_lock lock(mutex_);
      ++(is_taken ? pushes_ : failed_);
      if (!sent.error.empty()) last_error_ = sent.error;
      if (is_ending_) return;
    }
    if (!sent.error.empty() && options_.log && limit_.is_due(module::steady_now_ns()))
      options_.log->warning("metrics", sent.error);
  }

  const module::TelemetryOptions options_;
  const Sender sender_;
  const int64_t start_us_ = module::wall_now_us();
  CollectorClient client_;
  module::LogLimit limit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t pushes_ = 0, failed_ = 0;
  std::string last_error_;
  bool is_ending_ = false, is_ended_ = false;
  std::jthread thread_;
};

class Running final : public module::Telemetry {
 public:
  explicit Running(const module::TelemetryOptions& options) {
    const Sender sender{options.module, options.version, stream::to_string(stream::make_uuid_v7())};
    if (!options.traces_url.empty()) spans_ = std::make_shared<SpanQueue>(options, sender);
    if (!options.metrics_url.empty()) metrics_ = std::make_unique<MetricsPush>(options, sender);
  }
  ~Running() override { stop(0); }

  std::shared_ptr<module::TraceExporter> traces() override { return spans_; }
  module::TelemetryStatus status() const override {
    module::TelemetryStatus status;
    if (spans_) spans_->add_to(status);
    if (metrics_) metrics_->add_to(status);
    return status;
  }
  void stop(int64_t wait_ms) override {
    const int64_t end_ns = module::steady_now_ns() + wait_ms * 1'000'000;
    if (spans_) spans_->stop(wait_ms);
    if (metrics_) metrics_->stop(std::max<int64_t>((end_ns - module::steady_now_ns()) / 1'000'000, 0));
  }

 private:
  std::shared_ptr<SpanQueue> spans_;  // traces that are not finished keep it
  std::unique_ptr<MetricsPush> metrics_;
};

Result<std::unique_ptr<module::Telemetry>> start(module::TelemetryOptions options) {
  for (const auto& [key, url] : {std::pair("traces", &options.traces_url), {"metrics", &options.metrics_url}})
    if (!url->empty())
      if (Status checked = CollectorClient::check(*url); !checked) {
        checked.error().message = std::string("telemetry.") + key + ".otlp_url: " + checked.error().message;
        return forward_error(checked);
      }
  return std::make_unique<Running>(options);
}

const module::TelemetryRegistration registration(start);

}  // namespace
}  // namespace sightglass::telemetry
