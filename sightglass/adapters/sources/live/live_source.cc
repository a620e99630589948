#include "sightglass/adapters/sources/live/live_source.h"

#include <algorithm>
#include <chrono>
#include <format>
#include <thread>
#include <utility>

#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

constexpr Time second = 1'000'000'000;
constexpr Time watch_period = second / 10;

Time steady_now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
Time wall_now() {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
}
Time ns(double seconds) { return Time(seconds * 1e9); }

bool stands_alone(std::string_view codec) {
  return codec == "raw" || codec == "mjpeg" || codec == "jpeg" || codec == "png";
}

bool same_picture(const MediaInfo& a, const MediaInfo& b) {
  return a.codec == b.codec && a.width == b.width && a.height == b.height;
}

stream::StreamState wire_state(SourceState state) {
  using stream::StreamState;
  constexpr StreamState states[] = {StreamState::starting, StreamState::running, StreamState::blocked,
                                    StreamState::stalled, StreamState::ended};
  return states[size_t(state)];
}

int64_t to_ns(int64_t time, Fraction base) {
  return int64_t(__int128(time) * base.num * second / std::max(base.den, 1));
}

}  // namespace

// What the delivering thread knows.
struct LiveSource::Outlet {
  Deliver& to;
  std::stop_token stop;
  FrameMessages messages;
  std::shared_ptr<const MediaInfo> info;  // of the last frame
  SourceState told = SourceState::ended;  // by StreamUpdate; none yet
  uint64_t connection = 0;
};

LiveSource::LiveSource(LiveParams params, MakeLiveInput make, bool ends)
    : params_(std::move(params)),
      make_(std::move(make)),
      ends_(ends),
      monitor_({.start_timeout = ns(params_.start_timeout),
                .stall_after = ns(params_.stall_after),
                .block_after = ns(params_.block_after)},
               steady_now()),
      backoff_(ns(params_.retry_initial), ns(std::max(params_.retry_max, params_.retry_initial)),
               std::hash<std::string>()(params_.source_id)),
      began_(steady_now()) {}

LiveSource::~LiveSource() = default;

// --- reading

void LiveSource::read(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const Time begin = steady_now();
    std::shared_ptr<LiveInput> input = make_();
    {
      const std::lock_guard lock(mutex_);
      ++connection_;
      is_new_connection_ = true;
      // What ends goes on exactly where it was broken off.
      if (!ends_) awaits_keyframe_ = true;
      input_ = input;
      monitor_.connection_begins(begin);
    }
    auto ended = read_connection(*input, stop);
    const Time now = steady_now();
    {
      const std::lock_guard lock(mutex_);
      input_.reset();
      if (!stop.stop_requested()) {
        // One that was given up for its silence has its reason already.
        if (!ended && ended.error().code != ErrorCode::cancelled) last_error_ = ended.error().message;
        if (ended && !*ended) last_error_ = "the connection was closed by the other side";
        monitor_.connection_breaks(now);
      }
      is_at_end_ = ended && *ended;
      changed_.notify_all();
    }
    input->close();
    input.reset();
    if (ended && *ended) return;
    // One that has lasted begins the count anew. An attempt that took long needs no further pause.
    const bool has_lasted = !is_new_connection_ && now - begin > 10 * second;
    if (has_lasted) backoff_.reset();
    const Time rest = backoff_.next();
    if (!pause(is_new_connection_ ? std::max(begin + rest, now) : now + rest, stop)) return;
  }
}

bool LiveSource::pause(Time until, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto due = std::chrono::steady_clock::time_point(std::chrono::nanoseconds(until));
  (void)changed_.wait_until(lock, stop, due, [] { return false; });
  return !stop.stop_requested();
}

Result<bool> LiveSource::read_connection(LiveInput& input, const std::stop_token& stop) {
  if (Status opened = input.open(); !opened) return forward_error(opened);
  while (!stop.stop_requested()) {
    auto unit = input.next();
    if (!unit) return forward_error(unit);
    if (!*unit) return ends_;
    if (!put(std::move(**unit), stop)) break;
  }
  return fail(ErrorCode::cancelled, "stopped on request");
}

// Whether decoding can begin, or go on, with this one.
bool LiveSource::is_wanted(const LiveUnit& frame) {
  if (frame.gap && !is_new_connection_ && !stands_alone(frame.info->codec)) {
    awaits_keyframe_ = true;
    gap_reason_ = "frames were lost on their way";
  }
  if (awaits_keyframe_ && !frame.unit.keyframe) {
    ++without_keyframe_;
    return false;
  }
  if (params_.max_fps > 0 && stands_alone(frame.info->codec)) {
    const Time now = steady_now();
    if (now < next_due_) {
      ++surplus_;
      return false;
    }
    next_due_ = std::max(next_due_ + ns(1 / params_.max_fps), now - ns(1 / params_.max_fps));
  }
  return true;
}

// To ns, and on from where the last connection ended.
void LiveSource::set_times(LiveUnit& frame) {
  AccessUnit& unit = frame.unit;
  const Fraction base = frame.info->time_base;
  unit.pts = to_ns(unit.pts, base);
  if (unit.dts) unit.dts = to_ns(*unit.dts, base);
  unit.duration = to_ns(unit.duration, base);
  if (params_.timestamps == LiveParams::Timestamps::wall) {
    unit.pts = wall_now();
    unit.dts.reset();
    return;
  }
  if (is_new_connection_ && (!ends_ || last_pts_ == no_time))
    shift_ = std::max(steady_now() - began_, last_pts_ == no_time ? 0 : last_pts_ + 1) - unit.pts;
  unit.pts += shift_;
  if (unit.dts) *unit.dts += shift_;
  last_pts_ = std::max(last_pts_, unit.pts);
}

bool LiveSource::put(LiveUnit frame, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  monitor_.arrives(steady_now());
  if (!is_wanted(frame)) {
    if (awaits_keyframe_ && without_keyframe_ % 8 == 1 && input_) {
      const auto input = input_;
      lock.unlock();
      input->request_keyframe();
    }
    return true;
  }
  if (queue_.size() >= params_.queue) {
    if (params_.queue_policy == LiveParams::Policy::block) {
      changed_.wait(lock, stop, [&] { return queue_.size() < params_.queue; });
      if (stop.stop_requested()) return false;
    } else if (frame.unit.keyframe) {
      // Nothing in the queue is needed any more.
      overflow_ += queue_.size();
      queue_.clear();
      gap_reason_ = "downstream was too slow";
    } else {
      ++overflow_;
      awaits_keyframe_ = true;
      gap_reason_ = "downstream was too slow";
      return true;
    }
  }
  set_times(frame);
  Entry entry{.frame = std::move(frame), .connection = connection_};
  entry.discontinuity = (is_new_connection_ && connection_ > 1 && !ends_) || !gap_reason_.empty();
  entry.reason = std::exchange(gap_reason_, {});
  is_new_connection_ = awaits_keyframe_ = false;
  queue_.push_back(std::move(entry));
  changed_.notify_all();
  return true;
}

// --- delivering

Status LiveSource::run(Deliver& out, std::stop_token stop) {
  Outlet outlet{.to = out, .stop = stop, .messages = {params_.source_id, stream::make_uuid_v7()}};
  std::jthread reader([this](const std::stop_token& reader_stop) { read(reader_stop); });
  const std::stop_callback wake(stop, [&] { changed_.notify_all(); });
  bool goes_on = true;
  while (goes_on && !stop.stop_requested()) {
    std::optional<Entry> entry;
    bool is_at_end = false;
    {
      std::unique_lock lock(mutex_);
      (void)changed_.wait_for(lock, stop, std::chrono::nanoseconds(watch_period),
                              [&] { return !queue_.empty() || is_at_end_; });
      if (!queue_.empty()) {
        entry = std::move(queue_.front());
        queue_.pop_front();
        changed_.notify_all();
      } else {
        is_at_end = is_at_end_;
      }
    }
    goes_on = watch(outlet);
    if (goes_on && entry) goes_on = deliver(outlet, std::move(*entry));
    if (goes_on && is_at_end) {
      (void)send(outlet, outlet.messages.end(stream::EndReason::end));
      break;
    }
  }
  reader.request_stop();
  std::shared_ptr<LiveInput> input;
  {
    const std::lock_guard lock(mutex_);
    input = input_;
  }
  // It may just be connecting, and take up its input only afterwards.
  while (input) {
    input->cancel();
    input.reset();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(50), [&] { return !input_; });
    input = input_;
  }
  reader.join();
  const std::lock_guard lock(mutex_);
  monitor_.ends(steady_now());
  queue_.clear();
  return {};
}

// Finds dead connections, and tells of what has changed. False: nothing more is taken.
bool LiveSource::watch(Outlet& outlet) {
  SourceState state;
  std::string reason;
  {
    const std::lock_guard lock(mutex_);
    if (monitor_.poll(steady_now(), is_pacing())) give_up();
    state = monitor_.state();
    reason = last_error_;
  }
  // Running is told with the first frame.
  if (state == outlet.told || (state != SourceState::starting && state != SourceState::stalled)) return true;
  outlet.told = state;
  return send(outlet, outlet.messages.update(wire_state(state), nullptr, false,
                                             state == SourceState::stalled ? reason : ""));
}

// Under the lock, as the next one.
bool LiveSource::is_pacing() const { return input_ && input_->is_pacing(); }

void LiveSource::give_up() {
  last_error_ = silence();
  if (input_) input_->cancel();
}

// Why a connection was given up.
std::string LiveSource::silence() const {
  return is_new_connection_
             ? "no frame came over the connection"
             : std::format("nothing has come for {:.1f} s", double(monitor_.stall_limit()) * 1e-9);
}

bool LiveSource::deliver(Outlet& outlet, Entry entry) {
  const MediaInfo& info = *entry.frame.info;
  const bool is_new = outlet.connection != 0 && entry.connection != outlet.connection;
  outlet.connection = entry.connection;
  bool discontinuity = entry.discontinuity;
  if (is_new && params_.eos_on_reconnect && !ends_) {
    if (!send(outlet, outlet.messages.end(stream::EndReason::error))) return false;
    outlet.messages.begin_epoch();
    discontinuity = false;
  }
  const bool is_other = outlet.info && !same_picture(*outlet.info, info);
  if (discontinuity || is_other || outlet.told != SourceState::running) {
    std::string reason = entry.reason;
    if (reason.empty() && is_new) reason = "connected again";
    if (is_other)
      reason +=
          std::format("{}{} {}x{} instead of {} {}x{}", reason.empty() ? "" : "; ", info.codec, info.width,
                      info.height, outlet.info->codec, outlet.info->width, outlet.info->height);
    if (!send(outlet, outlet.messages.update(stream::StreamState::running, &info, discontinuity, reason)))
      return false;
    outlet.told = SourceState::running;
  }
  outlet.info = entry.frame.info;
  MediaInfo on_wire = info;
  on_wire.time_base = {1, int(second)};
  if (!send(outlet, outlet.messages.frame(on_wire, entry.frame.unit))) return false;
  const std::lock_guard lock(mutex_);
  ++frames_;
  return true;
}

bool LiveSource::send(Outlet& outlet, stream::Delivery delivery) {
  if (outlet.stop.stop_requested()) return false;
  {
    const std::lock_guard lock(mutex_);
    monitor_.send_begins(steady_now());
  }
  const bool taken = outlet.to.deliver(std::move(delivery));
  const std::lock_guard lock(mutex_);
  const Time now = steady_now();
  // A wait that nobody has looked at counts as well. That a connection is dead is said only once.
  if (monitor_.poll(now, is_pacing())) give_up();
  monitor_.send_ends(now);
  return taken;
}

// --- from any thread

void LiveSource::request_keyframe(const stream::Uuid&, std::string_view source_id, int64_t) {
  std::shared_ptr<LiveInput> input;
  {
    const std::lock_guard lock(mutex_);
    if (source_id == params_.source_id) input = input_;
  }
  if (input) input->request_keyframe();
}

std::map<std::string, uint64_t> LiveSource::rejected() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, uint64_t> counts;
  if (without_keyframe_) counts["source_no_keyframe"] = without_keyframe_;
  if (overflow_) counts["source_queue_full"] = overflow_;
  if (surplus_) counts["source_max_fps"] = surplus_;
  return counts;
}

std::vector<SourceStatus> LiveSource::status() const {
  const std::lock_guard lock(mutex_);
  const Time now = steady_now();
  // Only the delivering thread acts on what is found, but it may be the one that is blocked.
  LiveMonitor monitor = monitor_;
  const bool is_silent = monitor.poll(now, is_pacing());
  return {{.source_id = params_.source_id,
           .state = monitor.state(),
           .since = monitor.seconds_in_state(now),
           .fps = monitor.fps(now),
           .frames = frames_,
           .reconnects = monitor.reconnects(),
           .blocked_seconds = monitor.blocked_seconds(now),
           .last_error = is_silent ? silence() : last_error_}};
}

}  // namespace sightglass::adapters
