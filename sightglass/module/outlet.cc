#include "sightglass/module/outlet.h"

#include <algorithm>
#include <format>

namespace sightglass::module {

Outlet::~Outlet() { (void)stop(0); }

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
  std::vector<std::string> missing;
  for (auto& sink : sinks_) {
    if (!sink) continue;
    const std::string name = sink->status().name;
    if (const uint64_t left = sink->stop(deadline_ns))
      missing.push_back(std::format("sink {}: {} record{}", name, left, left == 1 ? "" : "s"));
    // Its thread uses it; it ends with the process.
    if (sink->is_abandoned()) (void)sink.release();
  }
  std::erase(sinks_, nullptr);
  return missing;
}

}  // namespace sightglass::module
