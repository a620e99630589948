#include "sightglass/elements/gvafpscounter/fps_meter.h"

#include <algorithm>
#include <cmath>
#include <format>
#include <iterator>

namespace sightglass {
namespace {

// A process that runs for months with streams that come and go forgets the oldest that have ended.
constexpr size_t max_ended_streams = 256;
// Below that, a rate says nothing.
constexpr double min_seconds = 0.1;

double seconds(int64_t nanoseconds) { return double(nanoseconds) / 1e9; }

}  // namespace

// Written by its own thread, read by the one that prints.
class FpsMeter::Stream {
 public:
  void count(int64_t now) {
    frames_.store(frames_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (last_ != 0) {
      const double step = double(now - last_) / 1e6;
      sum_.store(sum_.load(std::memory_order_relaxed) + step, std::memory_order_relaxed);
      squares_.store(squares_.load(std::memory_order_relaxed) + step * step, std::memory_order_relaxed);
    }
    last_ = now;
  }
  uint64_t frames() const { return frames_.load(std::memory_order_relaxed); }
  // Of the times between frames, in ms.
  double deviation() const {
    const double steps = double(frames()) - 1;
    if (steps < 2) return 0;
    const double mean = sum_.load(std::memory_order_relaxed) / steps;
    return std::sqrt(std::max(squares_.load(std::memory_order_relaxed) / steps - mean * mean, 0.0));
  }

  uint64_t printed_frames = 0;  // guarded by the meter's mutex, as is the next
  bool ended = false;

 private:
  std::atomic<uint64_t> frames_{0};
  std::atomic<double> sum_{0}, squares_{0};
  int64_t last_ = 0;
};

FpsMeter::FpsMeter(const Options& options, Print print) : options_(options), print_(std::move(print)) {}
FpsMeter::~FpsMeter() = default;

FpsMeter::Stream* FpsMeter::join() {
  std::lock_guard lock(mutex_);
  return streams_.emplace_back(std::make_unique<Stream>()).get();
}

void FpsMeter::count(Stream& stream, int64_t now) {
  int64_t none = 0;
  if (first_.load(std::memory_order_relaxed) == 0 && first_.compare_exchange_strong(none, now))
    next_.store(now + int64_t(options_.interval * 1e9), std::memory_order_relaxed);
  stream.count(now);
  const int64_t next = next_.load(std::memory_order_relaxed);
  if (next != 0 && now >= next) print_interval(now);
}

void FpsMeter::print_interval(int64_t now) {
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock || now < next_.load(std::memory_order_relaxed)) return;  // another thread prints
  text_.clear();
  append(Span::last, now);
  append(Span::average, now);
  for (const auto& stream : streams_) stream->printed_frames = stream->frames();
  printed_ = now;
  next_.store(now + int64_t(options_.interval * 1e9), std::memory_order_relaxed);
  print_(text_);
}

void FpsMeter::append(Span span, int64_t now) {
  const int64_t first = first_.load(std::memory_order_relaxed);
  const double time = seconds(now - (span == Span::last && printed_ ? printed_ : first));
  rates_.clear();
  double total = 0, deviation = 0;
  for (const auto& stream : streams_) {
    const uint64_t frames = stream->frames() - (span == Span::last ? stream->printed_frames : 0);
    if (stream->frames() == 0 || (span == Span::last && stream->ended && frames == 0)) continue;
    rates_.push_back(time > 0 ? double(frames) / time : 0);
    total += rates_.back();
    deviation += stream->deviation();
  }
  if (rates_.empty()) return;
  if (time < min_seconds) {
    std::format_to(std::back_inserter(text_),
                   "FpsCounter: not enough data, the time of {:.4f} sec is too short\n", time);
    return;
  }
  constexpr std::string_view names[] = {"last", "average", "overall"};
  auto out = std::back_inserter(text_);
  std::format_to(out, "FpsCounter({} {:.2f}sec): total={:.2f} fps, number-streams={}, per-stream={:.2f} fps",
                 names[size_t(span)], time, total, rates_.size(), total / double(rates_.size()));
  if (rates_.size() > 1) {
    for (size_t i = 0; i < rates_.size(); ++i) std::format_to(out, "{}{:.2f}", i ? ", " : " (", rates_[i]);
    text_ += ')';
  }
  text_ += '\n';
  if (options_.print_std_dev && span != Span::last)
    std::format_to(out, "std dev interval: {:.2f}ms\n", deviation / double(rates_.size()));
}

void FpsMeter::leave(Stream* stream, int64_t now) {
  std::lock_guard lock(mutex_);
  stream->ended = true;
  if (std::ranges::all_of(streams_, [](const auto& other) { return other->ended; })) {
    text_.clear();
    if (options_.print_overall && first_.load() != 0) append(Span::overall, now);
    if (!text_.empty()) print_(text_);
    streams_.clear();
    first_ = next_ = printed_ = 0;
  } else if (size_t(std::ranges::count_if(streams_, [](const auto& other) { return other->ended; })) >
             max_ended_streams) {
    streams_.erase(std::ranges::find_if(streams_, [](const auto& other) { return other->ended; }));
  }
}

bool FpsMeter::deserted() const {
  std::lock_guard lock(mutex_);
  return streams_.empty();
}

double FpsMeter::average(int64_t now) const {
  std::lock_guard lock(mutex_);
  const int64_t first = first_.load();
  if (first == 0 || now <= first) return 0;
  uint64_t frames = 0;
  for (const auto& stream : streams_) frames += stream->frames();
  return double(frames) / seconds(now - first);
}

}  // namespace sightglass
