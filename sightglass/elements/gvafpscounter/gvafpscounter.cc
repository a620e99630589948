#include "sightglass/elements/gvafpscounter/gvafpscounter.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <tuple>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Result<std::vector<double>> parse_intervals(std::string_view text) {
  std::vector<double> intervals;
  const char *at = text.data(), *end = at + text.size();
  for (;;) {
    double seconds = 0;
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, seconds);
    if (error != std::errc{} || !(seconds >= 0.001 && seconds <= 1e6) || (next != end && *next != ','))
      return fail(ErrorCode::invalid_argument,
                  "interval: '{}' is no number of seconds, such as 1, nor a list of them, such as 1,10",
                  text);
    intervals.push_back(seconds);
    if (next == end) return intervals;
    at = next + 1;
  }
}

// One meter for all elements of the process with the same options, as long as there are any.
std::shared_ptr<FpsMeter> shared_meter(const FpsMeter::Options& options) {
  using Key = std::tuple<double, bool, bool>;
  static std::mutex& mutex = *new std::mutex;
  static auto& meters = *new std::map<Key, std::weak_ptr<FpsMeter>>;
  std::lock_guard lock(mutex);
  std::weak_ptr<FpsMeter>& known = meters[{options.interval, options.print_overall, options.print_std_dev}];
  if (auto meter = known.lock()) return meter;
  auto meter = std::make_shared<FpsMeter>(options, [](std::string_view lines) {
    std::fwrite(lines.data(), 1, lines.size(), stdout);
    std::fflush(stdout);
  });
  known = meter;
  return meter;
}

}  // namespace

FpsCounter::FpsCounter(const Params& params, std::vector<double> intervals)
    : params_(params), intervals_(std::move(intervals)), memberships_(intervals_.size()) {}

Result<std::unique_ptr<Element>> FpsCounter::create(const Params& params) {
  auto intervals = parse_intervals(params.interval);
  if (!intervals) return forward_error(intervals);
  return std::unique_ptr<Element>(new FpsCounter(params, std::move(*intervals)));
}

Status FpsCounter::start() {
  reader_.reset();
  writer_.reset();
  if (!params_.read_pipe.empty()) {
    auto reader = FramePipeReader::open(params_.read_pipe);
    if (!reader) return forward_error(reader);
    reader_ = std::move(*reader);
  }
  if (!params_.write_pipe.empty()) writer_ = std::make_unique<FramePipeWriter>(params_.write_pipe);
  if (params_.print_latency) warnings_.push_back("print-latency has no effect: frames carry no time code");
  skipped_ = 0;
  // The meters are held from the start, so that all elements of a pipeline find the same ones. A stream
  // counts from its first frame on.
  for (size_t i = 0; i < intervals_.size(); ++i)
    memberships_[i].meter = shared_meter(
        {.interval = intervals_[i], .print_overall = i == 0, .print_std_dev = params_.print_std_dev});
  return {};
}

void FpsCounter::join() {
  joined_ = true;
  for (Membership& membership : memberships_)
    if (membership.meter) membership.stream = membership.meter->join();
}

// What the pipe has brought since the last frame.
void FpsCounter::count_others(int64_t time) {
  reader_->read([&](uint64_t stream, uint32_t frames, bool ended) {
    auto& places = others_[stream];
    if (places.empty())
      for (const Membership& membership : memberships_) places.push_back(membership.meter->join());
    for (size_t i = 0; i < places.size(); ++i) {
      for (uint32_t k = 0; k < frames; ++k) memberships_[i].meter->count(*places[i], time);
      if (ended) memberships_[i].meter->leave(places[i], time);
    }
    if (ended) others_.erase(stream);
  });
}

void FpsCounter::leave() {
  if (!joined_) return;
  joined_ = false;
  const int64_t time = now();
  if (writer_) writer_->end();
  if (reader_) count_others(time);
  for (const auto& [stream, places] : std::exchange(others_, {}))
    for (size_t i = 0; i < places.size(); ++i) memberships_[i].meter->leave(places[i], time);
  last_average_ = float(memberships_[0].meter->average(time));
  for (Membership& membership : memberships_)
    if (FpsMeter::Stream* stream = std::exchange(membership.stream, nullptr))
      membership.meter->leave(stream, time);
}

Result<Verdict> FpsCounter::process(Frame&) {
  if (skipped_ < params_.starting_frame) {
    ++skipped_;
    return Verdict::pass;
  }
  if (!joined_) join();
  const int64_t time = now();
  if (writer_) writer_->count();
  if (reader_) count_others(time);
  for (const Membership& membership : memberships_)
    if (membership.stream) membership.meter->count(*membership.stream, time);
  return Verdict::pass;
}

Result<ParamValue> FpsCounter::value(std::string_view name) const {
  if (name != "avg-fps") return fail(ErrorCode::not_found, "no value {} to read", name);
  const double average = memberships_[0].meter ? memberships_[0].meter->average(now()) : 0;
  return ParamValue(average > 0 ? average : double(last_average_.load()));
}

namespace {

using Params = FpsCounter::Params;

ParamDesc read_only(ParamDesc desc) {
  desc.is_readable_only = true;
  return desc;
}

const Registration registration({
    .name = "gvafpscounter",
    .title = "Frame rate counter",
    .klass = "Filter/Analyzer",
    .doc = "Prints the frames per second of all elements of this kind in the process: in the last interval, "
           "on average, and at the end overall.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .reads_results = false,
    .serves_all_streams = true,
    .params = ParamTable::of<Params>({
        param("interval", &Params::interval, "seconds between two lines; several as a comma list"),
        param("starting-frame", &Params::starting_frame, "frames that are passed uncounted at first"),
        param("read-pipe", &Params::read_pipe,
              "named pipe, made here, by which the frames of other processes come to be counted too"),
        param("write-pipe", &Params::write_pipe, "named pipe of the process that counts; its read-pipe"),
        param("print-std-dev", &Params::print_std_dev,
              "print the standard deviation of the times between frames too"),
        param("print-latency", &Params::print_latency, "print the latency too (frames with a time code)"),
        read_only(param("avg-fps", &Params::avg_fps, "frames per second of all streams on average")),
    }),
    .create = [](const ParamSet& params) { return FpsCounter::create(params.as<Params>()); },
});

}  // namespace
}  // namespace sightglass
