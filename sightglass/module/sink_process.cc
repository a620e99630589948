#include "sightglass/module/sink_process.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <format>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "sightglass/module/checks.h"
#include "sightglass/module/outlet.h"
#include "sightglass/module/sink_settings.h"
#include "sightglass/module/source_runner.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

using namespace std::chrono_literals;

// What all that deliver share: they may be left behind in a thread that does not come back.
struct Intake {
  Outlet outlet;
  std::atomic<bool> is_closed{false};
  std::atomic<uint64_t> received{0};
};

class IntoSinks final : public adapters::Deliver {
 public:
  explicit IntoSinks(std::shared_ptr<Intake> intake) : intake_(std::move(intake)) {}

  // Waits while a sink is full whose policy is `block`.
  bool deliver(stream::Delivery delivery) override {
    if (intake_->is_closed) return false;
    const bool is_replay = delivery.message->frame && delivery.message->frame->replay;
    const adapters::RecordRef record = is_replay ? nullptr : adapters::record_of(delivery);
    if (!record) {
      if (delivery.settlement) delivery.settlement->processed();
      return true;
    }
    ++intake_->received;
    const uint64_t stream = std::hash<std::string>{}(record->source_id);
    const auto parcel = std::make_shared<const Parcel>(record, nullptr, nullptr, delivery.settlement);
    size_t next = 0;
    // Each offer that finds no room leaves a waiter: it is asked again once one was called.
    while (!intake_->outlet.offer(parcel, stream, next, [room = room_] { room->open(); })) {
      do {
        if (intake_->is_closed) return false;  // the parcel says that it is unfinished
      } while (!room_->wait());
    }
    if (delivery.settlement) delivery.settlement->accepted();
    return true;
  }
  std::unique_ptr<adapters::Deliver> another() override { return std::make_unique<IntoSinks>(intake_); }

 private:
  struct Room {
    void open() {
      const std::scoped_lock lock(mutex);
      is_open = true;
      changed.notify_all();
    }
    // False: not yet.
    bool wait() {
      std::unique_lock lock(mutex);
      changed.wait_for(lock, 100ms, [&] { return is_open; });
      return std::exchange(is_open, false);
    }
    std::mutex mutex;
    std::condition_variable changed;
    bool is_open = false;
  };
  const std::shared_ptr<Intake> intake_;
  const std::shared_ptr<Room> room_ = std::make_shared<Room>();
};

}  // namespace

struct SinkProcess::State {
  std::shared_ptr<Intake> intake = std::make_shared<Intake>();
  std::vector<std::unique_ptr<SourceRunner>> sources;
  std::vector<std::string> notices;           // of what was not as it should be when they were opened
  std::map<std::string, std::string> errors;  // told of, by sink

  void tell_errors(const std::function<void(const std::string&)>& tell) {
    for (const SinkStatus& sink : intake->outlet.status()) {
      std::string& told = errors[sink.name];
      const std::string now = sink.is_up ? "" : sink.last_error;
      if (now == told) continue;
      told = now;
      tell(now.empty() ? std::format("sink {}: works again", sink.name)
                       : std::format("sink {}: {}; {} records wait", sink.name, now, sink.queued));
    }
  }
};

Result<std::unique_ptr<SinkProcess>> SinkProcess::open(ModuleSpec spec) {
  if (!spec.pipeline.elements.empty())
    return fail(ErrorCode::invalid_argument,
                "pipeline.elements: sinks of their own have none; `sightglass run` runs modules");
  if (spec.pipeline.sinks.empty()) return fail(ErrorCode::invalid_argument, "pipeline.sinks: there is none");
  if (spec.pipeline.sources.empty())
    return fail(ErrorCode::invalid_argument,
                "where records come from is missing: --from, as in --from sub+connect:tcp://127.0.0.1:5561");
  const bool has_required = std::ranges::any_of(spec.pipeline.sinks, &SinkSpec::required);
  const Value parameters = default_parameters(spec);
  const ReferenceScope scope{.parameter = [&](std::string_view name) { return parameters.find(name); },
                             .module_name = spec.name};
  auto state = std::make_unique<State>();
  for (SinkSpec& sink : spec.pipeline.sinks) {
    sink.required = sink.required || !has_required;
    auto settings = sink_settings(sink, spec, scope);
    if (!settings) return forward_error(settings);
    auto runner = SinkRunner::open(*settings);
    if (!runner) return forward_error(runner);
    // Of its outbox, which it could not take up whole.
    if (const SinkStatus status = (*runner)->status(); !status.last_error.empty())
      state->notices.push_back(std::format("sink {}: {}", status.name, status.last_error));
    state->intake->outlet.add(std::move(*runner));
  }
  const adapters::SourceDesc& desc = *adapters::find_source("zeromq");
  for (size_t i = 0; i < spec.pipeline.sources.size(); ++i) {
    const SourceSpec& source = spec.pipeline.sources[i];
    const std::string name = spec.pipeline.sources.size() == 1 ? "source" : std::format("source-{}", i);
    if (source.type != desc.name)
      return fail(ErrorCode::invalid_argument,
                  "pipeline.{}: type '{}': sinks of their own read records, which come over zeromq only",
                  name, source.type);
    auto properties = resolve(source.properties, scope);
    if (!properties) return forward_error(properties);
    auto params = adapter_params(desc.params, *properties, name, {"accept"});
    if (!params) return forward_error(params);
    auto made = desc.create(**params, {.name = name,
                                       .folder = spec.folder,
                                       .module = spec.name,
                                       .require_auth = spec.security.require_auth,
                                       .limits = read_limits(spec.limits)});
    if (!made) return forward_error(made);
    state->sources.push_back(std::make_unique<SourceRunner>(
        name, std::move(*made), std::make_unique<IntoSinks>(state->intake), [] {}));
  }
  return std::unique_ptr<SinkProcess>(new SinkProcess(std::move(state)));
}

SinkProcess::SinkProcess(std::unique_ptr<State> state) : state_(std::move(state)) {}
SinkProcess::~SinkProcess() { state_->intake->is_closed = true; }

Status SinkProcess::start() {
  if (Status started = state_->intake->outlet.start(); !started) return started;
  for (auto& source : state_->sources)
    if (Status started = source->start(); !started) return started;
  return {};
}

Result<std::vector<std::string>> SinkProcess::run(const std::stop_token& stop, Time drain,
                                                  const std::function<void(const std::string&)>& tell) {
  for (const std::string& notice : state_->notices) tell(notice);
  for (auto& source : state_->sources) source->run();
  const auto has_ended = [](const auto& source) { return source->has_ended(); };
  std::mutex mutex;
  std::condition_variable_any wake;
  {
    std::unique_lock lock(mutex);
    while (!stop.stop_requested() && !std::ranges::all_of(state_->sources, has_ended)) {
      wake.wait_for(lock, stop, 200ms, [] { return false; });
      state_->tell_errors(tell);
    }
  }
  // What was taken goes on being acknowledged until it is stored.
  for (auto& source : state_->sources) source->drain();
  const int64_t deadline = steady_now_ns() + drain;
  while (!state_->intake->outlet.is_idle() && steady_now_ns() < deadline) {
    std::this_thread::sleep_for(20ms);
    state_->tell_errors(tell);
  }
  state_->intake->is_closed = true;
  auto left = state_->intake->outlet.stop(deadline);
  // The last acknowledgements.
  Status failed;
  for (auto& source : state_->sources) {
    source->request_stop();
    if (source->join(steady_now_ns() + 2'000'000'000))
      if (Status status = source->status(); !status) failed = std::move(status);
  }
  if (!failed) return forward_error(failed);
  return left;
}

std::vector<SinkStatus> SinkProcess::status() const { return state_->intake->outlet.status(); }

std::vector<std::string> SinkProcess::addresses() const {
  std::vector<std::string> all;
  for (const auto& source : state_->sources)
    for (auto& address : source->source().addresses()) all.push_back(std::move(address));
  return all;
}

uint64_t SinkProcess::received() const { return state_->intake->received; }

}  // namespace sightglass::module
