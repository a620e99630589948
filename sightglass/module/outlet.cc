#include "sightglass/module/outlet.h"

#include <algorithm>
#include <format>

namespace sightglass::module {

namespace {
constexpr int64_t ms = 1'000'000;
}  // namespace

Outlet::~Outlet() {
  (void)stop(0);
  // Its thread uses it; it ends with the process.
  for (auto& sink : sinks_)
    if (sink->is_abandoned()) (void)sink.release();
}

Status Outlet::start() {
  for (const auto& sink : sinks_)
    if (auto started = sink->start(); !started) return started;
  return {};
}

bool Outlet::offer(const ParcelRef& parcel, uint64_t stream, size_t& next,
                   const std::function<void()>& waiter) {
  if (next == 0) {
    subscribers_.call(parcel->record);
    next = 1;
  }
  for (; next <= sinks_.size(); ++next)
    if (sinks_[next - 1]->offer(parcel, stream, waiter) == SinkRunner::Offer::full) return false;
  parcel->done(true);
  return true;
}

Status Outlet::act(std::string_view name, std::string_view action) {
  for (const auto& sink : sinks_)
    if (sink->status().name == name) return sink->act(action);
  return fail(ErrorCode::not_found, "there is no sink '{}'", name);
}

std::vector<SinkStatus> Outlet::status() const {
  std::vector<SinkStatus> all;
  for (const auto& sink : sinks_) all.push_back(sink->status());
  return all;
}

bool Outlet::is_idle() const {
  return std::ranges::all_of(sinks_, [](const auto& sink) { return sink->is_idle(); });
}

std::vector<std::string> Outlet::stop(int64_t deadline_ns) {
  const int64_t grace_ns = steady_now_ns() + 1000 * ms;
  // At the same time, so that a slow one takes no time from the others.
  for (const auto& sink : sinks_) sink->close();
  for (const auto& sink : sinks_) {
    const auto is_late = [&] {
      const int64_t now = steady_now_ns();
      return now >= grace_ns && (is_hurried_ || now >= deadline_ns);
    };
    while (!sink->wait_ended(steady_now_ns() + 20 * ms))
      if (is_late()) {
        sink->cancel();
        break;
      }
  }
  std::vector<std::string> missing;
  for (const auto& sink : sinks_)
    if (const uint64_t left = sink->stop(0))
      missing.push_back(std::format("sink {}: {} record{}", sink->status().name, left, left == 1 ? "" : "s"));
  return missing;
}

}  // namespace sightglass::module
