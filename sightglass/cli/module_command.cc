#include "sightglass/cli/module_command.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <print>
#include <stop_token>
#include <thread>
#include <utility>

#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/cli/exit.h"
#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/progress.h"
#include "sightglass/cli/text.h"
#include "sightglass/cli/version.h"
#include "sightglass/console/console.h"
#include "sightglass/module/audit_log.h"
#include "sightglass/module/module.h"
#include "sightglass/module/module_file.h"
#include "sightglass/module/sink_settings.h"

namespace sightglass::cli {
namespace {

namespace fs = std::filesystem;
using module::Module;
using module::ModuleSpec;
using module::Outcome;
using module::ShutdownMode;
using module::ShutdownOptions;
using module::Value;
using Clock = std::chrono::steady_clock;

constexpr int configuration = 2, unusable = 4, watchdog = 6;
constexpr auto tick = std::chrono::milliseconds(100);
constexpr auto watchdog_limit = std::chrono::seconds(30);
constexpr auto teardown_limit = std::chrono::seconds(8);

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::unavailable:
    case ErrorCode::unsupported:
    case ErrorCode::exhausted:
    case ErrorCode::internal:
      return unusable;
    default:
      return configuration;
  }
}

// `used` keeps apart what several inputs would be called.
std::string source_id_of(const std::string& input, std::map<std::string, int>& used) {
  const std::string id = adapters::source_id_of(input).substr(0, 100);
  const int number = ++used[id];
  return number == 1 ? id : std::format("{}-{}", id, number);
}

// What is put over the file: sources and sinks of this command in the place of the module's own.
Value overrides(const ModuleCommand& command) {
  Value over = Value::map();
  if (command.inputs.empty() && command.output.empty()) return over;
  Value pipeline = Value::map();
  if (!command.inputs.empty()) {
    Value sources = Value::list();
    std::map<std::string, int> used;
    for (const std::string& input : command.inputs) {
      Value source = Value::map();
      source.set("type", "video_file");
      source.set("location", input.contains("://") ? input : fs::absolute(input).string());
      source.set("source_id", source_id_of(input, used));
      sources.add(std::move(source));
    }
    pipeline.set("source", std::move(sources));
    Value http = Value::map();
    http.set("bind", "off");
    over.set("http", std::move(http));
  }
  if (!command.output.empty()) {
    // Nothing is lost for the sake of speed: the files are read as fast as the results can be written.
    Value queue = Value::map();
    queue.set("policy", "block");
    Value json = Value::map();
    json.set("name", "results");
    json.set("type", "json_file");
    json.set("required", true);
    json.set("queue", queue);
    json.set("folder", fs::absolute(command.output).string());
    for (const char* key : {"rotate_records", "rotate_bytes", "rotate_time"}) json.set(key, 0);
    pipeline.set("sinks", Value::list({json}));
  }
  over.set("pipeline", std::move(pipeline));
  return over;
}

module::SinkSpec video_sink(const std::string& folder) {
  module::SinkSpec sink;
  sink.name = "video";
  sink.type = "video_file";
  sink.required = true;
  sink.queue.policy = module::QueuePolicy::block;
  sink.properties = Value::map();
  sink.properties.set("folder", fs::absolute(folder).string());
  sink.properties.set("naming", "source");
  sink.properties.set("segment", 0);
  sink.properties.set("metadata", false);
  return sink;
}

bool fits_a_video_file(const std::string& codec) { return codec != "none" && codec != "raw"; }

// What has come out, for progress and summary.
class Tally {
 public:
  explicit Tally(Module& module)
      : subscription_(module.subscribe([this](const adapters::RecordRef& record) { count(*record); })) {}

  struct Source {
    uint64_t frames = 0, objects = 0;
  };
  std::map<std::string, Source> sources() const {
    const std::scoped_lock lock(mutex_);
    return sources_;
  }
  uint64_t frames() const { return frames_; }
  uint64_t objects() const { return objects_; }

 private:
  void count(const adapters::Record& record) {
    if (record.kind != adapters::RecordKind::frame) return;
    const uint64_t objects = record.results.regions.size();
    frames_ += 1;
    objects_ += objects;
    const std::scoped_lock lock(mutex_);
    auto& source = sources_[record.source_id];
    ++source.frames;
    source.objects += objects;
  }
  mutable std::mutex mutex_;
  std::map<std::string, Source> sources_;
  std::atomic<uint64_t> frames_{0}, objects_{0};
  std::unique_ptr<module::Subscription> subscription_;
};

void add_drops(const module::StreamStatus& stream, Value& to) {
  Value drops = Value::map();
  for (const auto& [reason, count] : stream.dropped) drops.set(reason, int64_t(count));
  to.set("dropped", std::move(drops));
  to.set("lost", int64_t(stream.lost));
}

// What ran, and on which of several devices.
Value models_of(const module::ModuleStatus& status) {
  Value models = Value::map();
  for (const auto& state : status.models) {
    Value model = Value::map();
    model.set("device", state.device);
    model.set("samples", int64_t(state.samples));
    Value devices = Value::map();
    for (const auto& device : state.devices) devices.set(device.name, int64_t(device.samples));
    if (!state.devices.empty()) model.set("samples_by_device", std::move(devices));
    models.set(state.name, std::move(model));
  }
  return models;
}

Status write_summary(const std::string& folder, const Module& module, const Tally& tally, double seconds,
                     const Outcome& outcome) {
  Value summary = Value::map();
  summary.set("schema", "sightglass.summary/1");
  summary.set("module", module.spec().name);
  summary.set("seconds", seconds);
  summary.set("frames", int64_t(tally.frames()));
  summary.set("objects", int64_t(tally.objects()));
  summary.set("exit_code", outcome.exit_code);
  std::map<std::string, uint64_t> dropped;
  Value sources = Value::map();
  const auto counts = tally.sources();
  const module::ModuleStatus status = module.status();
  for (const auto& stream : status.streams) {
    Value source = Value::map();
    const auto found = counts.find(stream.id);
    source.set("frames", int64_t(found == counts.end() ? 0 : found->second.frames));
    source.set("objects", int64_t(found == counts.end() ? 0 : found->second.objects));
    source.set("received", int64_t(stream.received));
    add_drops(stream, source);
    for (const auto& [reason, count] : stream.dropped) dropped[reason] += count;
    sources.set(stream.id, std::move(source));
  }
  Value drops = Value::map();
  for (const auto& [reason, count] : dropped) drops.set(reason, int64_t(count));
  summary.set("dropped", std::move(drops));
  Value errors = Value::map();
  for (const auto& element : status.elements)
    if (element.errors) errors.set(element.name, int64_t(element.errors));
  summary.set("errors", std::move(errors));
  summary.set("models", models_of(status));
  summary.set("sources", std::move(sources));
  const fs::path path = fs::path(folder) / "summary.json";
  std::ofstream file(path);
  file << summary.to_json() << '\n';
  file.close();
  if (!file) return fail(ErrorCode::io, "{}: cannot be written", path.string());
  return {};
}

// SIGINT and SIGTERM, blocked in every thread that is made from now on, so that they wait for next().
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~Signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  // 0: none within a tick.
  int next() const {
    const timespec wait{0, std::chrono::nanoseconds(tick).count()};
    const int signal = sigtimedwait(&set_, nullptr, &wait);
    return signal > 0 ? signal : 0;
  }

 private:
  sigset_t set_, before_;
};

// What happens to streams, in lines for people, from the module's threads to the one that prints.
class Happenings {
 public:
  explicit Happenings(Module& module)
      : began_(Clock::now()),
        subscription_(module.subscribe_events([this](const module::StreamEvent& event) { add(event); })) {}

  std::vector<std::string> take() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  void add(const module::StreamEvent& event) {
    const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
    std::string line =
        std::format("{:7.1f} s  {:<16} {} → {}", seconds, event.source_id, event.from, event.to);
    if (!event.reason.empty()) line += ": " + one_line(event.reason);
    const std::scoped_lock lock(mutex_);
    if (lines_.size() < most) lines_.push_back(std::move(line));
  }
  static constexpr size_t most = 200;  // between two looks
  const Clock::time_point began_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::unique_ptr<module::Subscription> subscription_;
};

class ModuleRun {
 public:
  ModuleRun(const ModuleCommand& command, Module& module)
      : command_(command),
        module_(module),
        progress_(command.is_quiet),
        tally_(module),
        happenings_(module) {}

  int run() {
    module_.on_shutdown_request([this](const ShutdownOptions& options) { ask(options); });
    if (const int code = start()) return code;
    progress_.note(std::format("module {}: ready", module_.spec().name));
    auto sources = std::async(std::launch::async, [this] { return module_.wait_for_sources(); });
    const auto began = Clock::now();
    auto last_alive = began;
    Status status;
    // A module without sources of its own has nothing to wait for: it runs until it is told to end.
    bool waits_for_sources = !module_.spec().pipeline.sources.empty();
    while (!is_ending()) {
      if (signals_.next()) ask({});
      update(began);
      if (command_.limit && tally_.frames() >= command_.limit) ask({.mode = ShutdownMode::now});
      if (module_.health().live) last_alive = Clock::now();
      if (Clock::now() - last_alive > watchdog_limit) return bark();
      if (waits_for_sources && sources.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
        waits_for_sources = false;
        status = sources.get();
        ask({});
      }
    }
    const Outcome outcome = end();
    if (sources.valid()) {
      auto ended = sources.get();
      if (status) status = std::move(ended);
    }
    update(began);
    progress_.clear();
    console_.reset();
    return report(outcome, status, std::chrono::duration<double>(Clock::now() - began).count());
  }

 private:
  // Models may take minutes to load; nothing has been read as long as they do, so a signal ends the process
  // there and then.
  int start() {
    std::atomic<int> percent{0};
    std::mutex mutex;
    std::string step = "loading";
    module_.on_progress([&](const module::Progress& progress) {
      const std::scoped_lock lock(mutex);
      step = progress.step;
      percent = int(progress.done * 100);
    });
    if (const int code = open_console()) return code;
    auto starting = std::async(std::launch::async, [this] { return module_.start(); });
    auto next_note = Clock::now() + std::chrono::seconds(5);
    while (starting.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      if (signals_.next()) {
        if (module_.health().state == "loading") std::_Exit(0);
        ask({});
      }
      if (Clock::now() < next_note) continue;
      next_note += std::chrono::seconds(5);
      const std::scoped_lock lock(mutex);
      progress_.note(std::format("{} ({} %)", step, percent.load()));
    }
    auto started = starting.get();
    module_.on_progress({});
    if (!started) {
      (void)complain(started.error());
      return exit_code_of(started.error());
    }
    return 0;
  }

  // Before the models are loaded, so that /readyz can tell how far that is.
  int open_console() {
    const ModuleSpec& spec = module_.spec();
    if (spec.http.bind == "off") return 0;
    console::ConsoleOptions options{.http = spec.http, .folder = spec.folder, .version = version};
    if (!spec.security.shutdown_token_file.empty()) {
      std::ifstream file(fs::path(spec.folder) / spec.security.shutdown_token_file);
      if (!std::getline(file, options.shutdown_token) || options.shutdown_token.empty()) {
        (void)complain("security.shutdown_token_file: {}: has no token", spec.security.shutdown_token_file);
        return configuration;
      }
    }
    options.on_shutdown = [this](const ShutdownOptions& wanted) { ask(wanted); };
    auto console = console::Console::start(module_, module_.audit(), options);
    if (!console) {
      (void)complain(console.error());
      return configuration;
    }
    console_ = std::move(*console);
    progress_.note("console: " + console_->url());
    return 0;
  }

  void ask(const ShutdownOptions& options) {
    const std::scoped_lock lock(mutex_);
    if (!asked_) asked_ = options;
    if (options.mode == ShutdownMode::now) asked_->mode = ShutdownMode::now;
  }
  bool is_ending() const {
    const std::scoped_lock lock(mutex_);
    return asked_.has_value();
  }

  // Drains; a second signal cuts it short.
  Outcome end() {
    ShutdownOptions options;
    {
      const std::scoped_lock lock(mutex_);
      options = *asked_;
    }
    auto ending = std::async(std::launch::async, [this, options] { return module_.shutdown(options); });
    while (ending.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      if (!signals_.next()) continue;
      progress_.note("stopping now");
      (void)module_.shutdown({.mode = ShutdownMode::now});
    }
    return ending.get();
  }

  int bark() {
    progress_.clear();
    for (const auto& reason : module_.health().reasons) std::println(stderr, "error: {}", reason);
    std::println(stderr, "error: the module does not answer any more");
    std::fflush(stderr);
    std::_Exit(watchdog);
  }

  void update(Clock::time_point began) {
    for (const auto& line : happenings_.take())
      if (!command_.is_quiet) progress_.note(line);
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    progress_.update({.frames = tally_.frames(),
                      .wanted_frames = command_.limit,
                      .fps = seconds > 0 ? double(tally_.frames()) / seconds : 0,
                      .objects = tally_.objects(),
                      .tracks = 0});
  }

  int report(const Outcome& outcome, const Status& status, double seconds) {
    int code = outcome.exit_code;
    for (const auto& item : outcome.missing) std::println(stderr, "unfinished: {}", item);
    for (const auto& stream : module_.status().streams)
      if (!stream.last_error.empty())
        std::println(stderr, "warning: stream {}: {}", stream.id, stream.last_error);
    for (const auto& element : module_.status().elements)
      if (element.errors)
        std::println(stderr, "warning: {}: {}{}{}", element.name, count_text(element.errors, "error"),
                     element.last_error.empty() ? "" : ", the last: ", element.last_error);
    if (!status) {
      (void)complain(status.error());
      if (!code) code = exit_code_of(status.error());
    }
    if (!command_.output.empty())
      if (auto written = write_summary(command_.output, module_, tally_, seconds, outcome); !written) {
        (void)complain(written.error());
        if (!code) code = 1;
      }
    if (!command_.is_quiet)
      progress_.note(std::format("{} in {:.1f} s, {}", count_text(tally_.frames(), "frame"), seconds,
                                 count_text(tally_.objects(), "detection")));
    return code;
  }

  const ModuleCommand& command_;
  Module& module_;
  Signals signals_;
  Progress progress_;
  Tally tally_;
  Happenings happenings_;
  std::unique_ptr<console::Console> console_;
  mutable std::mutex mutex_;
  std::optional<ShutdownOptions> asked_;
};

}  // namespace

int run_module(const ModuleCommand& command) {
  if (auto status = init_gstreamer(); !status) {
    (void)complain(status.error());
    return unusable;
  }
  auto loaded = module::load_module(command.file, {.overrides = overrides(command), .checks = {}});
  for (const auto& diagnostic : loaded.diagnostics.items())
    if (loaded)
      std::println(stderr, "warning: {}", diagnostic.to_string());
    else
      std::println(stderr, "error: {}", diagnostic.to_string());
  if (!loaded) return configuration;
  ModuleSpec spec = std::move(*loaded.value);
  spec.development = command.is_development;
  if (!command.output.empty() && fits_a_video_file(spec.output_frame.codec))
    spec.pipeline.sinks.push_back(video_sink(command.output));
  if (!command.output.empty()) {
    std::error_code error;
    fs::create_directories(command.output, error);
    if (error) {
      (void)complain("{}: {}", command.output, error.message());
      return configuration;
    }
  }
  auto made = Module::create(spec);
  if (!made) {
    (void)complain(made.error());
    return configuration;
  }
  const int code = ModuleRun(command, **made).run();
  // All is said and stored: what does not come to its end now does not keep the process.
  std::jthread guard([code](std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, teardown_limit, [] { return false; });
    if (stop.stop_requested()) return;
    std::fflush(nullptr);
    std::_Exit(code);
  });
  made->reset();
  return code;
}

}  // namespace sightglass::cli
