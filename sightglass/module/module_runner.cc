#include "sightglass/module/module_runner.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>

#include "sightglass/module/accept.h"
#include "sightglass/module/checks.h"
#include "sightglass/module/record_maker.h"
#include "sightglass/module/sink_settings.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr auto control_tick = std::chrono::milliseconds(200);

std::chrono::nanoseconds until(int64_t deadline_ns) {
  return std::chrono::nanoseconds(std::max<int64_t>(deadline_ns - steady_now_ns(), 0));
}

// Takes as long whatever is wrong.
bool same_token(std::string_view given, std::string_view wanted) {
  unsigned difference = unsigned(given.size() ^ wanted.size());
  for (size_t i = 0; i < given.size(); ++i)
    difference |= unsigned(given[i] ^ wanted[wanted.empty() ? 0 : i % wanted.size()]);
  return difference == 0 && !wanted.empty();
}

}  // namespace

Result<std::unique_ptr<Module>> Module::create(const ModuleSpec& spec) { return create_module(spec); }

Result<std::unique_ptr<Module>> create_module(const ModuleSpec& spec, ModuleHooks hooks) {
  if (hooks.checks)
    if (const Diagnostics found = check(spec); found.has_errors()) return std::unexpected(found.to_error());
  auto module = std::make_unique<ModuleRunner>(spec, std::move(hooks));
  if (auto opened = module->open_parameters(); !opened) return forward_error(opened);
  return module;
}

ModuleRunner::ModuleRunner(const ModuleSpec& spec, ModuleHooks hooks)
    : spec_(spec),
      hooks_(std::move(hooks)),
      log_(spec.name, spec.telemetry),
      accounts_(std::make_shared<Accounts>(size_t(2) * std::max(1u, spec.streams.max_streams))),
      // Who cannot be called has no callers to write down.
      audit_(std::make_unique<AuditLog>(spec.http.bind == "off"
                                            ? std::filesystem::path()
                                            : std::filesystem::path(state_folder(spec)) / "audit.jsonl")) {}

ModuleRunner::~ModuleRunner() {
  (void)shutdown({.mode = ShutdownMode::now, .deadline_ms = 2000});
  // Threads first, whatever they use afterwards.
  if (control_.joinable()) control_.join();
  if (telemetry_) telemetry_->stop(0);  // started behind a shutdown()
  if (ingress_) ingress_->is_gone = true;
  const bool is_left_behind = std::ranges::any_of(sources_, &SourceRunner::is_left_behind);
  sources_.clear();
  if (strands_) strands_->stop();
  if (services_) services_->locations.reset();
  reaper_.reset();
  if (!is_left_behind) return;
  // What the source's thread still refers to ends with the process.
  (void)strands_.release();
  (void)table_.release();
}

// ── start ──

Status ModuleRunner::start() {
  {
    const std::scoped_lock lock(mutex_);
    if (state_ != State::created)
      return fail(ErrorCode::invalid_argument, "the module has been started before");
    state_ = State::loading;
  }
  heartbeat_ns_ = steady_now_ns();
  control_ = std::jthread([this] { control(); });
  auto started = start_parts();
  if (!started) {
    const std::scoped_lock lock(mutex_);
    if (started.error().code == ErrorCode::cancelled && is_ending_) return started;
    state_ = State::failed;
    failure_ = started.error().to_string();
    return started;
  }
  const std::scoped_lock lock(mutex_);
  changed_.notify_all();
  return {};
}

Status ModuleRunner::start_parts() {
  auto made = hooks_.prepare(spec_, {.on_progress = [this](const Progress& progress) {
                               std::function<void(const Progress&)> callback;
                               {
                                 const std::scoped_lock lock(mutex_);
                                 progress_ = progress;
                                 callback = on_progress_;
                               }
                               if (callback) callback(progress);
                             }});
  if (!made) return forward_error(made);
  template_ = std::move(*made);
  if (auto wanted = still_wanted(); !wanted) return wanted;

  reaper_ = std::make_unique<Reaper>([this](int change) {
    if (table_) table_->note_stuck(change);
  });
  if (auto started = start_sinks(); !started) return started;
  strands_ = std::make_unique<stream::StrandPool>(
      stream::StrandPool::Options{.threads = std::clamp(std::thread::hardware_concurrency(), 2u, 8u)});
  services_ = std::make_shared<StreamServices>();
  services_->start_instance = [this](const InstanceOptions& options, InstanceEvents& events) {
    return hooks_.start_instance(*template_, options, events);
  };
  services_->parameters = [this] {
    const std::scoped_lock lock(mutex_);
    return active_;
  };
  services_->on_event = [this](const StreamEvent& event) { handle_event(event); };
  services_->request_keyframe = [this](const stream::Uuid& producer, std::string_view source_id,
                                       int64_t epoch) {
    for (const auto& source : sources_) source->source().request_keyframe(producer, source_id, epoch);
  };
  services_->on_module_failure = [this](std::string_view element, std::string_view text) {
    const std::scoped_lock lock(mutex_);
    state_ = State::failed;
    failure_ = std::format("element {}: {}", element, text);
    changed_.notify_all();
  };
  services_->strands = strands_.get();
  services_->reaper = reaper_.get();
  services_->outlet = outlet_.get();
  services_->accounts = accounts_;
  services_->buffers = spec_.buffers;
  if (auto started = start_telemetry_of_module(); !started) return started;
  if (telemetry_ && telemetry_->traces())
    services_->tracer = std::make_shared<Tracer>(telemetry_->traces(), spec_.telemetry.trace_sample);
  if (auto allowed = allow_locations(); !allowed) return allowed;
  auto options = stream_options(parameters_->current().get());
  if (!options) return forward_error(options);
  table_ = std::make_unique<stream::StreamTable>(
      std::move(*options), [services = std::weak_ptr<const StreamServices>(services_)](const auto& stream) {
        return StreamRunner::make(stream, services.lock());
      });
  services_->table = table_.get();
  ingress_ = std::make_shared<IngressShared>();
  ingress_->services = services_;
  ingress_->on_shutdown = [this](const stream::Shutdown& message) { handle_shutdown_message(message); };
  snapshot_ = std::make_unique<Snapshot>();
  {
    // From here on something may have been read, and a shutdown drains it.
    const std::scoped_lock lock(mutex_);
    if (is_ending_) return fail(ErrorCode::cancelled, "shut down while it started");
    if (state_ == State::loading) state_ = State::ready;
    starts_sources_ = true;
  }
  auto started = start_sources();
  if (started) {
    is_built_ = true;
    started = parameters_->start_watching();
  }
  const std::scoped_lock lock(mutex_);
  starts_sources_ = false;
  changed_.notify_all();
  return started;
}

Status ModuleRunner::still_wanted() const {
  const std::scoped_lock lock(mutex_);
  if (is_ending_) return fail(ErrorCode::cancelled, "shut down while it started");
  return {};
}

Status ModuleRunner::start_telemetry_of_module() {
  const TelemetrySpec& wanted = spec_.telemetry;
  if (wanted.traces_otlp_url.empty() && wanted.metrics_otlp_url.empty()) return {};
  auto started = start_telemetry({.traces_url = wanted.traces_otlp_url,
                                  .metrics_url = wanted.metrics_otlp_url,
                                  .module = spec_.name,
                                  .version = SIGHTGLASS_VERSION,
                                  .metrics = [this] { return metrics(); },
                                  .log = &log_});
  if (!started) return forward_error(started);
  const std::scoped_lock lock(mutex_);
  telemetry_ = std::move(*started);
  return {};
}

Status ModuleRunner::start_sinks() {
  const auto set = parameters_->current();
  for (const SinkSpec& spec : spec_.pipeline.sinks) {
    auto settings = sink_settings(spec, spec_, scope(set.get()));
    if (!settings) return forward_error(settings);
    auto sink = SinkRunner::open(*settings);
    if (!sink) return forward_error(sink);
    // Of its outbox, which it could not take up whole.
    if (const auto status = (*sink)->status(); !status.last_error.empty())
      log_.warning("sink " + status.name, status.last_error);
    outlet_->add(std::move(*sink));
  }
  return outlet_->start();
}

// W-10: readers refuse what may not be read before anything is kept of it, streams read the rest.
Status ModuleRunner::allow_locations() {
  auto rules =
      LocationRules::make(spec_.security.location_schemes, spec_.security.location_roots, spec_.folder);
  if (!rules) return forward_error(rules);
  services_->on_rejected = [this, limit = std::make_shared<LogLimit>()](
                               std::string_view source, std::string_view reason, std::string_view text) {
    ingress_->counters.count_rejected(reason);
    if (!text.empty() && limit->is_due(steady_now_ns()))
      log_.warning(std::format("stream {}", source),
                   std::format("a frame is dropped ({}): {}", reason, text));
  };
  if (rules->empty()) return {};
  location_rules_ = std::make_shared<const LocationRules>(*std::move(rules));
  services_->locations = std::make_shared<LocationPool>(location_rules_, read_limits(spec_.limits));
  return {};
}

Status ModuleRunner::start_sources() {
  const auto set = parameters_->current();
  size_t number = 0;
  adapters::SourceContext context{.folder = spec_.folder,
                                  .module = spec_.name,
                                  .require_auth = spec_.security.require_auth,
                                  .limits = read_limits(spec_.limits)};
  if (location_rules_)
    context.allow_location = [rules = location_rules_](const stream::Location& location) {
      return rules->allows(location.uri);
    };
  if (!spec_.security.shutdown_token_file.empty()) {
    auto token = shutdown_token();
    if (!token) return forward_error(token);
    context.shutdown_token = *token;
  }
  for (const SourceSpec& spec : spec_.pipeline.sources) {
    const std::string name =
        spec_.pipeline.sources.size() == 1 ? "source" : std::format("source[{}]", number);
    ++number;
    context.name = name;
    const auto* const desc = adapters::find_source(spec.type);
    if (!desc) {
      std::string known;
      for (const auto* each : adapters::all_sources()) known += (known.empty() ? "" : ", ") + each->name;
      return fail(ErrorCode::not_found, "pipeline.source: there is no source of type '{}'; there are: {}",
                  spec.type, known);
    }
    auto properties = resolve(spec.properties, scope(set.get()));
    if (!properties) return forward_error(properties);
    auto params = adapter_params(desc->params, *properties, "pipeline." + name, {"accept"});
    if (!params) return forward_error(params);
    auto source = desc->create(**params, context);
    if (!source) return forward_error(source);
    auto accept = accept_function(spec, "pipeline." + name, spec_.folder);
    if (!accept) return forward_error(accept);
    std::unique_ptr<adapters::Deliver> into;
    if (*accept)
      into = std::make_unique<AcceptingIngress>(ingress_, std::move(*accept));
    else
      into = std::make_unique<Ingress>(ingress_);
    sources_.push_back(std::make_unique<SourceRunner>(name, std::move(*source), std::move(into), [this] {
      const std::scoped_lock lock(mutex_);
      changed_.notify_all();
    }));
  }
  // All can be opened before any delivers.
  for (auto& source : sources_) {
    {
      const std::scoped_lock lock(mutex_);
      if (is_ending_) return fail(ErrorCode::cancelled, "shut down while it started");
      starting_ = source.get();
    }
    auto started = source->start();
    const std::scoped_lock lock(mutex_);
    starting_ = nullptr;
    if (!started) return started;
  }
  for (auto& source : sources_) source->run();
  return {};
}

void ModuleRunner::on_progress(std::function<void(const Progress&)> callback) {
  const std::scoped_lock lock(mutex_);
  on_progress_ = std::move(callback);
}

// The control loop: shows that the module answers, and tidies up.
void ModuleRunner::control() {
  std::unique_lock lock(mutex_);
  while (!is_ended_) {
    heartbeat_ns_ = steady_now_ns();
    lock.unlock();
    accounts_->forget_old(steady_now_ns());
    lock.lock();
    changed_.wait_for(lock, control_tick, [&] { return is_ended_; });
  }
}

// ── in use ──

Status ModuleRunner::push(stream::Delivery delivery, int deadline_ms, const GivesUp& gives_up) {
  std::unique_ptr<Ingress> ingress;
  {
    const std::scoped_lock lock(mutex_);
    if (state_ != State::ready) return fail(ErrorCode::unavailable, "the module is not running");
    if (!idle_ingresses_.empty()) {
      ingress = std::move(idle_ingresses_.back());
      idle_ingresses_.pop_back();
    }
  }
  if (!ingress) ingress = std::make_unique<Ingress>(ingress_);
  auto status = ingress->take(std::move(delivery), deadline_ms, gives_up);
  const std::scoped_lock lock(mutex_);
  idle_ingresses_.push_back(std::move(ingress));
  return status;
}

Status ModuleRunner::act(std::string_view source_id, StreamAction action) {
  const auto entry = is_built_ ? table_->get(source_id) : nullptr;
  if (!entry) return fail(ErrorCode::not_found, "there is no stream '{}'", source_id);
  using Command = StreamRunner::Command;
  static constexpr std::pair<StreamAction, Command> commands[] = {
      {StreamAction::end, Command::end},
      {StreamAction::quarantine, Command::quarantine},
      {StreamAction::release, Command::release},
      {StreamAction::recycle, Command::recycle},
      {StreamAction::request_keyframe, Command::request_keyframe}};
  auto& stream = static_cast<StreamRunner&>(*entry);
  for (const auto& [given, command] : commands)
    if (given == action) {
      if (stream.command(command)) return {};
      return fail(ErrorCode::unsupported, "stream '{}' is {}: that means nothing to it now", source_id,
                  stream.status().state);
    }
  return fail(ErrorCode::invalid_argument, "unknown action");
}

std::unique_ptr<Subscription> ModuleRunner::subscribe(
    std::function<void(const adapters::RecordRef&)> on_record) {
  return outlet_->subscribers().add(std::move(on_record));
}

std::unique_ptr<Subscription> ModuleRunner::subscribe_events(
    std::function<void(const StreamEvent&)> on_event) {
  return events_.add(std::move(on_event));
}

Status ModuleRunner::act_on_sink(std::string_view name, std::string_view action) {
  if (!is_built_) return fail(ErrorCode::unavailable, "the module is loading");
  return outlet_->act(name, action);
}

Result<std::vector<uint8_t>> ModuleRunner::snapshot(std::string_view source_id) {
  const auto entry = is_built_ ? table_->get(source_id) : nullptr;
  if (!entry) return fail(ErrorCode::not_found, "there is no stream '{}'", source_id);
  const auto [job, record] = static_cast<StreamRunner&>(*entry).latest_keyframe();
  if (!job || !record) return fail(ErrorCode::unavailable, "stream '{}' has no picture yet", source_id);
  return snapshot_->take(job->delivery, *record, parameters_->current());
}

void ModuleRunner::on_shutdown_request(std::function<void(const ShutdownOptions&)> callback) {
  const std::scoped_lock lock(mutex_);
  on_shutdown_request_ = std::move(callback);
}

Result<std::string> ModuleRunner::shutdown_token() const {
  const auto path = std::filesystem::path(spec_.folder) / spec_.security.shutdown_token_file;
  std::ifstream file(path);
  std::string token;
  if (!std::getline(file, token) || token.empty())
    return fail(ErrorCode::io, "security.shutdown_token_file: {}: has no token", path.string());
  return token;
}

// W-14: five wrong tokens in a minute, and control is deaf for another one.
void ModuleRunner::handle_shutdown_message(const stream::Shutdown& message) {
  if (spec_.security.shutdown_token_file.empty()) return;
  if (!message.target.empty() && message.target != spec_.name) return;
  const int64_t now = steady_now_ns();
  {
    const std::scoped_lock lock(mutex_);
    std::erase_if(wrong_tokens_, [&](int64_t at) { return now - at > 60 * second_ns; });
    if (wrong_tokens_.size() >= 5) return;
  }
  const auto token = shutdown_token();
  std::function<void(const ShutdownOptions&)> callback;
  {
    const std::scoped_lock lock(mutex_);
    if (!token || !same_token(message.token, *token)) {
      wrong_tokens_.push_back(now);
      ingress_->counters.count_rejected("token");
      return;
    }
    callback = on_shutdown_request_;
  }
  if (callback)
    callback({.mode = message.mode == stream::ShutdownMode::now ? ShutdownMode::now : ShutdownMode::drain,
              .deadline_ms = std::clamp(message.deadline_ms, 0, 3600'000)});
}

void ModuleRunner::handle_event(const StreamEvent& event) {
  {
    const std::scoped_lock lock(mutex_);
    ++transitions_[{event.from, event.to}];
    if (event.to == stream::to_string(stream::LifeState::rejected)) ++refused_streams_;
    changed_.notify_all();
  }
  events_.call(event);
}

Status ModuleRunner::wait_for_sources(const GivesUp& gives_up) {
  std::unique_lock lock(mutex_);
  for (int turn = 1;; ++turn) {
    if (state_ == State::failed) return fail(ErrorCode::internal, "{}", failure_);
    if (is_ending_) break;
    lock.unlock();
    if (gives_up && turn % 5 == 0 && gives_up())
      return fail(ErrorCode::cancelled, "given up, the sources have not ended");
    bool all_gone = std::ranges::all_of(sources_, &SourceRunner::has_ended);
    for (const auto& stream : streams()) all_gone = all_gone && !stream->is_occupied();
    lock.lock();
    if (all_gone) break;
    changed_.wait_for(lock, std::chrono::milliseconds(20));
  }
  lock.unlock();
  for (const auto& source : sources_)
    if (auto status = source->status(); !status) return status;
  return {};
}

// ── end (5.4) ──

Outcome ModuleRunner::shutdown(const ShutdownOptions& options) {
  {
    std::unique_lock lock(mutex_);
    if (outcome_) return *outcome_;
    if (options.mode == ShutdownMode::now) ends_now_ = true;
    if (is_ending_) {
      if (options.mode == ShutdownMode::now) {
        is_cut_short_ = true;
        outlet_->hurry();
      }
      changed_.notify_all();
      changed_.wait(lock, [&] { return outcome_.has_value(); });
      return *outcome_;
    }
    is_ending_ = true;
    if (state_ != State::failed) state_ = State::draining;
    changed_.notify_all();
    if (starting_) starting_->cancel();
    changed_.wait(lock, [&] { return !starts_sources_; });
  }
  Outcome outcome = drain_and_end(options);
  const std::scoped_lock lock(mutex_);
  outcome_ = outcome;
  if (state_ != State::failed) state_ = State::ended;
  is_ended_ = true;
  changed_.notify_all();
  return outcome;
}

Outcome ModuleRunner::drain_and_end(const ShutdownOptions& options) {
  Outcome outcome;
  const int64_t start = steady_now_ns();
  const int64_t deadline = start + int64_t(options.deadline_ms) * 1'000'000;
  if (parameters_) parameters_->stop_watching();
  // Those that acknowledge go on doing so until everything is stored. They know of the drain before anything
  // is refused: a source that is refused a delivery ends.
  for (auto& source : sources_) source->drain();
  if (table_) table_->drain();
  if (ingress_) ingress_->is_closed = true;
  for (const auto& stream : streams()) stream->post_command(StreamRunner::Command::drain);
  (void)wait_drained(deadline, false);
  end_streams(outcome.missing);
  // NOW skips the drain; what has come out by then is stored all the same, unless somebody hurries us.
  const auto left = outlet_->stop(deadline);
  outcome.missing.insert(outcome.missing.end(), left.begin(), left.end());
  bool is_now = false, is_cut_short = false;
  Telemetry* telemetry = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    is_now = ends_now_;
    is_cut_short = is_cut_short_;
    telemetry = telemetry_.get();
  }
  for (auto& source : sources_) source->request_stop();
  for (auto& source : sources_)
    if (!source->join(std::max(std::min(deadline, start + 5 * second_ns), steady_now_ns() + second_ns)))
      outcome.missing.push_back(source->name() + ": its thread does not end");
  // The last to go: it has something to say of all the others.
  if (telemetry) telemetry->stop(is_now ? 200 : 2000);
  if (table_ && table_->has_too_many_stuck())
    outcome.exit_code = 5;
  else if (!(is_now ? left : outcome.missing).empty() && !is_cut_short)
    outcome.exit_code = 3;
  return outcome;
}

// Until every stream is drained, the time is up, or somebody wants it at once.
bool ModuleRunner::wait_drained(int64_t deadline_ns, bool only_instances) {
  for (;;) {
    bool is_done = reaper_ ? (!only_instances || reaper_->pending() == 0) : true;
    if (!only_instances)
      for (const auto& stream : streams())
        is_done = is_done && stream->is_drained() && !stream->is_occupied();
    if (is_done) return true;
    std::unique_lock lock(mutex_);
    if (steady_now_ns() >= deadline_ns || (ends_now_ && !only_instances)) return false;
    changed_.wait_for(lock,
                      std::min<std::chrono::nanoseconds>(until(deadline_ns), std::chrono::milliseconds(10)));
  }
}

void ModuleRunner::end_streams(std::vector<std::string>& missing) {
  const auto all = streams();
  for (const auto& stream : all) {
    if (const uint64_t frames = stream->unfinished())
      missing.push_back(std::format("stream {}: {} frame{}", stream->id(), frames, frames == 1 ? "" : "s"));
    stream->close();
  }
  const int64_t deadline = steady_now_ns() + 2 * second_ns;
  while (!std::ranges::all_of(all, &StreamRunner::is_closed) && steady_now_ns() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  (void)wait_drained(steady_now_ns() + spec_.streams.teardown_timeout, true);
}

std::vector<std::shared_ptr<StreamRunner>> ModuleRunner::streams() const {
  std::vector<std::shared_ptr<StreamRunner>> all;
  if (!table_) return all;
  for (auto& entry : table_->entries())
    all.push_back(std::static_pointer_cast<StreamRunner>(std::move(entry)));
  return all;
}

}  // namespace sightglass::module
