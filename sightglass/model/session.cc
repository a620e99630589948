#include "sightglass/model/session.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "sightglass/model/loaded_session.h"
#include "sightglass/model/spread_session.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// A session that is open, or being opened by whoever holds the mutex.
struct Shared {
  std::mutex mutex;
  SessionOptions options;  // of whoever opened it
  std::weak_ptr<Session> session;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Shared>> sessions;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

std::string canonical(const std::string& path) {
  std::error_code error;
  const fs::path full = fs::weakly_canonical(path, error);
  return error ? path : full.string();
}

std::string text(const std::string& value) { return value; }
std::string text(unsigned value) { return std::to_string(value); }
std::string text(int value) { return std::to_string(value); }
std::string text(SchedulingPolicy value) {
  return value == SchedulingPolicy::latency ? "latency" : "throughput";
}
std::string text(const std::vector<std::string>& values) {
  std::string all;
  for (const std::string& value : values) all += (all.empty() ? "" : ",") + value;
  return all;
}

std::string text(const std::vector<ConstantInput>& values) {
  std::string all;
  for (const ConstantInput& constant : values) {
    all += (all.empty() ? "" : ",") + constant.name;
    for (float value : constant.values) all += std::format(":{}", value);
  }
  return all;
}

std::string device_key(const std::string& device) {
  const auto parsed = parse_device(device);
  if (!parsed) return device;
  return parsed->all ? std::format("{}:*", int(parsed->kind))
                     : std::format("{}:{}", int(parsed->kind), parsed->index);
}

// Equal keys share. A file that was replaced meanwhile is another model.
std::string key_of(const SessionOptions& options) {
  if (!options.shared_id.empty()) return "id " + options.shared_id;
  const std::string path = canonical(*options.model);
  std::error_code error;
  const auto written = fs::last_write_time(path, error).time_since_epoch().count();
  const auto part = [](const auto& value) { return value ? text(*value) : std::string(); };
  return std::format("file {}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", path,
                     error ? 0 : written, device_key(options.device.value_or("CPU")), part(options.config),
                     text(options.policy.value_or(SchedulingPolicy::throughput)), part(options.input_shape),
                     part(options.outputs), part(options.constants), options.batch_size.value_or(1),
                     options.batch_timeout.value_or(-1), options.requests.value_or(0),
                     options.warmup.value_or(1), options.workers, options.max_per_stream,
                     static_cast<const void*>(options.engine));
}

// What joins a session of the same id has to agree in model and device; what else it wants differently is
// only said.
Result<std::vector<std::string>> join(const SessionOptions& first, const SessionOptions& wanted) {
  const auto conflict = [&](std::string_view what, const std::string& mine, const std::string& theirs) {
    return fail(ErrorCode::invalid_argument,
                "{}={} cannot join shared-instance-id={}, which is open with {}={}; use another id", what,
                mine, wanted.shared_id, what, theirs);
  };
  if (wanted.model && canonical(*wanted.model) != canonical(*first.model))
    return conflict("model", *wanted.model, *first.model);
  if (wanted.device && device_key(*wanted.device) != device_key(first.device.value_or("CPU")))
    return conflict("device", *wanted.device, first.device.value_or("CPU"));

  std::vector<std::string> warnings;
  const auto compare = [&](std::string_view what, const auto& mine, const auto& theirs) {
    if (mine && mine != theirs)
      warnings.push_back(std::format("{}={} is ignored: shared-instance-id={} is open with {}", what,
                                     text(*mine), wanted.shared_id, theirs ? text(*theirs) : "the default"));
  };
  compare("config", wanted.config, first.config);
  compare("scheduling-policy", wanted.policy, first.policy);
  compare("input-shape", wanted.input_shape, first.input_shape);
  compare("outputs", wanted.outputs, first.outputs);
  compare("batch-size", wanted.batch_size, first.batch_size);
  compare("batch-timeout", wanted.batch_timeout, first.batch_timeout);
  compare("constant-inputs", wanted.constants, first.constants);
  compare("buffer-pool-size", wanted.requests, first.requests);
  compare("warmup", wanted.warmup, first.warmup);
  return warnings;
}

// A session on each device that the name stands for, and one over them. A device that cannot be used is left
// out, as long as there is another.
Result<OpenedSession> load_on_each(const SessionOptions& options, Engine& engine) {
  auto devices = engine.devices(*options.device);
  if (!devices) return forward_error(devices);
  std::vector<SpreadPart> parts;
  OpenedSession opened;
  std::optional<Error> first_error;
  const auto note = [&](std::string text) {
    if (!std::ranges::contains(opened.warnings, text)) opened.warnings.push_back(std::move(text));
  };
  for (const std::string& device : *devices) {
    SessionOptions one = options;
    one.shared_id.clear();
    one.device = device;
    one.engine = &engine;
    auto part = open_session(one);
    if (!part) {
      note(std::format("device={}: {} is left out: {}", *options.device, device, part.error().message));
      if (!first_error) first_error = std::move(part.error());
      continue;
    }
    for (std::string& warning : part->warnings) note(std::move(warning));
    parts.push_back({device, std::move(part->session)});
  }
  if (parts.empty()) return std::unexpected(*std::move(first_error));
  opened.session = spread_session(std::move(parts));
  return opened;
}

// `was_on_device`: whether what was loaded runs on a device, also where no session came of it.
Result<OpenedSession> load_on_one(const SessionOptions& options, Engine& engine, const std::string& device,
                                  const std::vector<Shape>& shapes, bool& was_on_device) {
  const SchedulingPolicy policy = options.policy.value_or(SchedulingPolicy::throughput);
  auto model = engine.load(*options.model, {.device = device,
                                            .config = options.config.value_or(""),
                                            .policy = policy,
                                            .input_shapes = shapes,
                                            .free_batch = options.batch_size.value_or(1) > 1,
                                            .outputs = options.outputs.value_or(std::vector<std::string>())});
  if (!model) return forward_error(model);
  was_on_device = bool((*model)->device());
  OpenedSession opened{.session = nullptr, .warnings = (*model)->notes()};
  auto session = start_session(*std::move(model),
                               {.model = *options.model,
                                .policy = policy,
                                .batch_size = options.batch_size,
                                .batch_timeout = options.batch_timeout.value_or(-1),
                                .constants = options.constants.value_or(std::vector<ConstantInput>()),
                                .requests = options.requests.value_or(0),
                                .workers = options.workers,
                                .warmup = options.warmup.value_or(1),
                                .max_per_stream = options.max_per_stream},
                               opened.warnings);
  if (!session) return forward_error(session);
  opened.session = *std::move(session);
  return opened;
}

Result<OpenedSession> load(const SessionOptions& options) {
  if (!options.model || options.model->empty()) {
    if (options.shared_id.empty())
      return fail(ErrorCode::invalid_argument, "model is not set; name a model file");
    return fail(ErrorCode::not_found,
                "model is not set, and nobody has opened one as shared-instance-id={} yet",
                options.shared_id);
  }
  auto shapes = parse_input_shapes(options.input_shape.value_or(""));
  if (!shapes) return forward_error(shapes);
  Engine* engine = options.engine;
  if (!engine) {
    auto found = engine_for(*options.model);
    if (!found) return forward_error(found);
    engine = *found;
  }
  if (const auto device = parse_device(options.device.value_or("CPU")); device && device->all)
    return load_on_each(options, *engine);
  const std::string device = options.device.value_or("CPU");
  bool was_on_device = false;
  auto opened = load_on_one(options, *engine, device, *shapes, was_on_device);
  const auto named = parse_device(device);
  const bool may_change = named && named->kind == DeviceName::Kind::automatic && was_on_device;
  if (opened || !may_change || opened.error().code != ErrorCode::exhausted) return opened;
  // The model itself has found room, what it needs to run has not.
  auto on_cpu = load_on_one(options, *engine, "CPU", *shapes, was_on_device);
  if (!on_cpu) return opened;
  on_cpu->warnings.insert(on_cpu->warnings.begin(),
                          std::format("device={} uses the CPU: {}", device, opened.error().message));
  return on_cpu;
}

}  // namespace

Result<OpenedSession> open_session(const SessionOptions& options) {
  if (options.shared_id.empty() && !options.model) return load(options);
  std::shared_ptr<Shared> shared;
  {
    const std::lock_guard lock(registry().mutex);
    // What was closed is forgotten here, so that the list stays as long as what is open.
    std::erase_if(registry().sessions, [](const auto& entry) {
      if (entry.second.use_count() > 1) return false;
      const std::unique_lock free(entry.second->mutex, std::try_to_lock);
      return free && entry.second->session.expired();
    });
    std::shared_ptr<Shared>& entry = registry().sessions[key_of(options)];
    if (!entry) entry = std::make_shared<Shared>();
    shared = entry;
  }
  // Others may open other models meanwhile.
  const std::lock_guard lock(shared->mutex);
  if (std::shared_ptr<Session> session = shared->session.lock()) {
    auto warnings = join(shared->options, options);
    if (!warnings) return forward_error(warnings);
    return OpenedSession{.session = std::move(session), .joined = true, .warnings = *std::move(warnings)};
  }
  auto opened = load(options);
  if (!opened) return opened;
  shared->options = options;
  shared->session = opened->session;
  return opened;
}

}  // namespace sightglass
