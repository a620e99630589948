// For tests of the running module: messages, an instance without a pipeline that does what the pictures tell
// it to, and a sink that is told what to do.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "sightglass/module/module_runner.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::module::testing {

using namespace std::chrono_literals;
using adapters::Record;
using adapters::RecordKind;
using adapters::RecordRef;

inline constexpr Time ms = 1'000'000;
// A machine under load may take long; what is waited for is always a condition.
inline constexpr auto patience = 30s;

template <class Condition>
::testing::AssertionResult eventually(Condition&& condition, std::chrono::nanoseconds limit = patience) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return ::testing::AssertionFailure() << "not in time";
    std::this_thread::sleep_for(1ms);
  }
  return ::testing::AssertionSuccess();
}

// ── messages ──

class CountedSettlement final : public stream::Settlement {
 public:
  void accepted() override { ++accepts; }
  void processed() override { ++processes; }
  void refused(std::string_view code, bool retry) override {
    const std::scoped_lock lock(mutex);
    ++refusals;
    last_code = code;
    last_retry = retry;
  }
  std::atomic<int> accepts{0}, processes{0}, refusals{0};
  std::mutex mutex;
  std::string last_code;
  bool last_retry = false;
};

// Writes one stream as a source would.
class Writer {
 public:
  explicit Writer(std::string source_id, std::string codec = "h264", int width = 64, int height = 48)
      : source_id_(std::move(source_id)), codec_(std::move(codec)), width_(width), height_(height) {}

  // `picture` tells the fake instance what to do; with a real one it is the picture.
  stream::Delivery frame(bool keyframe, std::string_view picture = "ok") {
    auto message = header(stream::Kind::frame);
    auto& frame = message->frame.emplace();
    frame.uuid = stream::make_uuid_v7();
    frame.created_us = wall_now_us();
    frame.width = width_;
    frame.height = height_;
    frame.framerate = stream::Rational{25, 1};
    frame.pts = pts_;
    pts_ += 40 * ms;
    frame.codec = codec_;
    frame.keyframe = keyframe;
    frame.content = stream::Part{0, int64_t(picture.size())};
    last_ = frame.uuid;
    stream::Delivery delivery{.message = std::move(message)};
    delivery.payloads.push_back(stream::own({picture.begin(), picture.end()}));
    delivery.settlement = settlement;
    delivery.received_ns = steady_now_ns();
    return delivery;
  }
  stream::Delivery end() {
    auto message = header(stream::Kind::end_of_stream);
    message->end_of_stream.emplace().reason = stream::EndReason::end;
    ++epoch_;
    seq_ = 0;
    return {.message = std::move(message), .payloads = {}, .settlement = settlement};
  }
  stream::Delivery user_data() {
    auto message = header(stream::Kind::user_data);
    message->user_data.emplace();
    return {.message = std::move(message), .payloads = {}, .settlement = settlement};
  }
  stream::Delivery update(const stream::Uuid& frame) {
    auto message = header(stream::Kind::frame_update);
    message->frame_update.emplace().frame = frame;
    return {.message = std::move(message), .payloads = {}, .settlement = settlement};
  }
  void set_size(int width, int height) { width_ = width, height_ = height; }
  void set_codec(std::string codec) { codec_ = std::move(codec); }
  void lose(int messages) { seq_ += messages; }
  void set_pts(Time pts) { pts_ = pts; }
  const stream::Uuid& last() const { return last_; }

  std::shared_ptr<stream::Settlement> settlement;
  stream::Uuid producer = stream::make_uuid_v7();

 private:
  std::shared_ptr<stream::Message> header(stream::Kind kind) {
    auto message = std::make_shared<stream::Message>();
    message->kind = kind;
    message->source_id = source_id_;
    message->producer = producer;
    message->epoch = epoch_;
    message->seq = seq_++;
    return message;
  }
  std::string source_id_, codec_;
  int width_, height_;
  int64_t epoch_ = 1, seq_ = 0;
  Time pts_ = 0;
  stream::Uuid last_{};
};

// ── instances ──

// What the pictures say:
//   ok      a result, at once           none    no picture
//   hold    a result once it is let go  drop    dropped by an element
//   bad     the decoder fails           mute    taken, and nothing comes of it
//   bad once  the first decoder fails, the second gives a result
struct FakeWorld {
  std::mutex mutex;
  std::condition_variable changed;
  std::atomic<bool> holds_back{true};  // "hold" pictures
  std::atomic<bool> is_stuck{false};   // stop() never succeeds
  std::atomic<bool> refuses_parameters{false};
  std::atomic<size_t> capacity{8};    // frames in an instance
  std::atomic<unsigned> decoders{1};  // choices that work; more fail
  std::atomic<int> built{0}, alive{0}, stopped{0}, parameters_set{0}, flushed{0};
  std::atomic<double> hang_seconds{0};   // of the one element, a function
  std::atomic<uint64_t> failed_runs{0};  // of the one model, in a row
  std::atomic<int64_t> failed_ns{0};     // when the last of them was
  std::atomic<double> fullest{0};        // queue_fill of the tickets
  std::vector<InstanceOptions> builds;
  std::set<class FakeInstance*> instances;

  void let_go();
  size_t waiting();  // frames in all instances
};

class FakeInstance final : public StreamInstance {
 public:
  FakeInstance(FakeWorld& world, const InstanceOptions& options, InstanceEvents& events)
      : world_(world), options_(options), events_(events) {
    const std::scoped_lock lock(world_.mutex);
    world_.builds.push_back(options);
    world_.instances.insert(this);
    ++world_.built;
    ++world_.alive;
  }
  ~FakeInstance() override {
    const std::scoped_lock lock(world_.mutex);
    world_.instances.erase(this);
    --world_.alive;
  }

  Push push(TicketRef ticket) override {
    const auto picture = picture_of(ticket->delivery);
    const std::string what(picture.bytes.begin(), picture.bytes.end());
    world_.fullest = std::max(world_.fullest.load(), ticket->queue_fill);
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= world_.capacity) {
      was_full_ = true;
      return Push::full;
    }
    if (what == "bad" || (what == "bad once" && options_.decoder_choice == 0)) {
      events_.failed(FailureKind::decoder, "the picture is broken", "decoder");
      waiting_.push_back(std::move(ticket));
      return Push::ok;
    }
    waiting_.push_back(std::move(ticket));
    release_locked();
    return Push::ok;
  }
  Status set_format(const StreamFormat& format) override {
    options_.format = format;
    return {};
  }
  void end() override {
    const std::scoped_lock lock(mutex_);
    is_ending_ = true;
    release_locked();
  }
  Status set_parameters(std::shared_ptr<const ParameterSet>) override {
    if (world_.refuses_parameters) return fail(ErrorCode::invalid_argument, "element faces: no");
    ++world_.parameters_set;
    return {};
  }
  void flush_batches() override { ++world_.flushed; }
  unsigned in_flight() const override {
    const std::scoped_lock lock(mutex_);
    return unsigned(waiting_.size());
  }
  bool stop(Time) override {
    if (world_.is_stuck) return false;
    ++world_.stopped;
    return true;
  }
  void release() {
    const std::scoped_lock lock(mutex_);
    release_locked();
  }

 private:
  void release_locked() {
    while (!waiting_.empty()) {
      const auto picture = picture_of(waiting_.front()->delivery);
      const std::string_view what(reinterpret_cast<const char*>(picture.bytes.data()), picture.bytes.size());
      if (what == "mute" || what == "bad" || (what == "hold" && world_.holds_back)) break;
      InstanceResult result{.ticket = std::move(waiting_.front())};
      waiting_.erase(waiting_.begin());
      if (what == "none") {
        result.outcome = FrameOutcome::no_picture;
      } else if (what == "drop") {
        result.outcome = FrameOutcome::dropped;
        result.reason = "element";
      } else if (!is_decoded_) {
        is_decoded_ = true;
        events_.first_frame();
      }
      result.results.regions.resize(1);
      events_.result(std::move(result));
      if (std::exchange(was_full_, false)) events_.room();
    }
    if (is_ending_ && waiting_.empty() && !std::exchange(has_ended_, true)) events_.ended();
  }

  FakeWorld& world_;
  InstanceOptions options_;
  InstanceEvents& events_;
  mutable std::mutex mutex_;
  std::vector<TicketRef> waiting_;
  bool is_decoded_ = false, is_ending_ = false, has_ended_ = false, was_full_ = false;
};

inline void FakeWorld::let_go() {
  const std::scoped_lock lock(mutex);
  holds_back = false;
  for (FakeInstance* instance : instances) instance->release();
}

inline size_t FakeWorld::waiting() {
  const std::scoped_lock lock(mutex);
  size_t sum = 0;
  for (const FakeInstance* instance : instances) sum += instance->in_flight();
  return sum;
}

class FakeTemplate final : public PipelineTemplate {
 public:
  FakeTemplate(ModuleSpec spec, const FakeWorld& world) : spec_(std::move(spec)), world_(world) {}
  const ModuleSpec& spec() const override { return spec_; }
  std::vector<ElementState> elements() const override {
    return {{.name = "code", .type = "function", .hang_seconds = world_.hang_seconds}};
  }
  std::vector<ModelState> models() const override {
    return {{.name = "faces",
             .failed = world_.failed_runs,
             .failed_in_a_row = world_.failed_runs,
             .last_failure = "the device is gone",
             .last_failed_ns = world_.failed_ns}};
  }
  std::string encoder() const override { return {}; }
  std::vector<std::string> warnings() const override { return {}; }
  ParameterEffect effect_of(std::string_view) const override { return ParameterEffect::live; }
  std::vector<ParameterError> check(std::shared_ptr<const ParameterSet>, std::string_view) const override {
    return {};
  }

 private:
  ModuleSpec spec_;
  const FakeWorld& world_;
};

inline ModuleHooks fake_hooks(FakeWorld& world) {
  ModuleHooks hooks;
  hooks.checks = false;
  hooks.prepare = [&world](const ModuleSpec& spec,
                           const PrepareOptions&) -> Result<std::shared_ptr<PipelineTemplate>> {
    return std::make_shared<FakeTemplate>(spec, world);
  };
  hooks.start_instance = [&world](const PipelineTemplate&, const InstanceOptions& options,
                                  InstanceEvents& events) -> Result<std::unique_ptr<StreamInstance>> {
    if (options.decoder_choice >= world.decoders)
      return fail(ErrorCode::unavailable, "there is no decoder for {}", options.format.codec);
    return std::make_unique<FakeInstance>(world, options, events);
  };
  return hooks;
}

// ── sinks ──

struct SinkControl {
  std::mutex mutex;
  std::condition_variable changed;
  enum class Mode { store, fail, refuse, hang } mode = Mode::store;
  std::vector<RecordRef> records;
  std::atomic<uint64_t> frames{0};
  void set(Mode next) {
    const std::scoped_lock lock(mutex);
    mode = next;
    changed.notify_all();
  }
};
SinkControl& sink_control(const std::string& name);  // of the sink by this name; made when it is new
void forget_sink_controls();
SinkSpec test_sink(std::string name, QueuePolicy policy = QueuePolicy::block, bool required = true);

// ── the whole ──

// Everything that has come out, in order.
class Recorder {
 public:
  explicit Recorder(Module& module)
      : records_subscription_(module.subscribe([this](const RecordRef& record) {
          const std::scoped_lock lock(mutex_);
          records_.push_back(record);
        })),
        events_subscription_(module.subscribe_events([this](const StreamEvent& event) {
          const std::scoped_lock lock(mutex_);
          events_.push_back(event);
        })) {}

  std::vector<RecordRef> records(std::string_view source = {}) const {
    const std::scoped_lock lock(mutex_);
    std::vector<RecordRef> all;
    for (const auto& record : records_)
      if (source.empty() || record->source_id == source) all.push_back(record);
    return all;
  }
  size_t frames(std::string_view source = {}) const { return count(RecordKind::frame, source); }
  size_t count(RecordKind kind, std::string_view source = {}) const {
    const std::scoped_lock lock(mutex_);
    size_t sum = 0;
    for (const auto& record : records_)
      sum += record->kind == kind && (source.empty() || record->source_id == source);
    return sum;
  }
  // "STARTING LIVE" …
  std::string states(std::string_view source) const {
    const std::scoped_lock lock(mutex_);
    std::string text;
    for (const auto& event : events_)
      if (event.source_id == source) text += (text.empty() ? "" : " ") + event.to;
    return text;
  }
  // "starting running F F end(2)": updates, frames and ends as the sinks see them.
  std::string story(std::string_view source) const;

 private:
  mutable std::mutex mutex_;
  std::vector<RecordRef> records_;
  std::vector<StreamEvent> events_;
  std::unique_ptr<Subscription> records_subscription_, events_subscription_;
};

StreamStatus status_of(const Module& module, std::string_view source);
std::string state_of(const Module& module, std::string_view source);
uint64_t dropped(const StreamStatus& status, std::string_view reason);
// Has an instance that nobody may evict: all but those that are IDLE.
bool holds_its_place(const StreamStatus& stream);
// received = stored + dropped + in flight, for every source.
::testing::AssertionResult is_balanced(const ModuleStatus& status);

// Rules with times that a test can wait for.
ModuleSpec quick_spec();

}  // namespace sightglass::module::testing
