#include "sightglass/module/sink_settings.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <format>

#include "sightglass/module/schema.h"
#include "sightglass/module/units.h"

namespace sightglass::module {
namespace {

const std::vector<std::string> common_keys = {"batch", "retry", "dead_letter"};

Status read_time(const Value* value, std::string_view where, Time& time) {
  if (!value) return {};
  double seconds = 0;
  if (value->number(seconds)) {
    time = Time(seconds * 1e9);
    return {};
  }
  if (!value->text())
    return fail(ErrorCode::invalid_argument, "{}: a duration is needed, such as 200ms", where);
  auto parsed = parse_duration(*value->text());
  if (!parsed) return fail(ErrorCode::invalid_argument, "{}: {}", where, parsed.error().message);
  time = *parsed;
  return {};
}

Status read_size(const Value* value, std::string_view where, uint64_t& bytes) {
  if (!value) return {};
  if (value->integer() && *value->integer() > 0) {
    bytes = uint64_t(*value->integer());
    return {};
  }
  if (!value->text()) return fail(ErrorCode::invalid_argument, "{}: a size is needed, such as 5MiB", where);
  auto parsed = parse_size(*value->text());
  if (!parsed) return fail(ErrorCode::invalid_argument, "{}: {}", where, parsed.error().message);
  bytes = *parsed;
  return {};
}

Status read_count(const Value* value, std::string_view where, unsigned& count) {
  if (!value) return {};
  if (value->text() && *value->text() == "forever") {
    count = 0;
    return {};
  }
  if (!value->integer() || *value->integer() < 0 || *value->integer() > 1'000'000)
    return fail(ErrorCode::invalid_argument, "{}: a whole number is needed", where);
  count = unsigned(*value->integer());
  return {};
}

}  // namespace

QueuePolicy default_policy(adapters::SinkNature nature) {
  switch (nature) {
    case adapters::SinkNature::data:
      return QueuePolicy::spill;
    case adapters::SinkNature::video:
      return QueuePolicy::drop_to_keyframe;
    case adapters::SinkNature::display:
      return QueuePolicy::drop_oldest;
    case adapters::SinkNature::socket:
      return QueuePolicy::block;
  }
  return QueuePolicy::block;
}

std::string state_folder(const ModuleSpec& module) {
  if (!module.storage.state.empty()) return std::filesystem::path(module.folder) / module.storage.state;
  std::filesystem::path base;
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state)
    base = state;
  else if (const char* home = std::getenv("HOME"); home && *home)
    base = std::filesystem::path(home) / ".local/state";
  else
    base = std::filesystem::temp_directory_path();
  return base / "sightglass" / module.name;
}

namespace {

Status store_param(ParamSet& set, std::string_view key, const Value& value, std::string_view where) {
  const ParamDesc* const desc = set.table().find(key);
  if (!desc) return fail(ErrorCode::invalid_argument, "{}: there is no key '{}'", where, key);
  auto converted = param_value(*desc, value);
  if (!converted)
    return fail(ErrorCode::invalid_argument, "{}.{}: {}", where, key, converted.error().message);
  if (auto stored = set.set(desc->name, *converted); !stored)
    return fail(ErrorCode::invalid_argument, "{}.{}: {}", where, key, stored.error().message);
  return {};
}

}  // namespace

Result<std::shared_ptr<ParamSet>> adapter_params(const ParamTable& table, const Value& properties,
                                                 std::string_view where,
                                                 const std::vector<std::string>& without) {
  auto set = std::make_shared<ParamSet>(table);
  if (properties.is_null()) return set;
  if (!properties.entries())
    return fail(ErrorCode::invalid_argument, "{}: keys and values are needed", where);
  for (const auto& [key, value] : *properties.entries()) {
    if (std::ranges::contains(without, key)) continue;
    // `curve: {secret_key_file: …}` is the parameter curve-secret-key-file.
    if (value.entries() && !table.find(key)) {
      Value flat = Value::map();
      for (const auto& [inner, content] : *value.entries())
        flat.set(std::format("{}_{}", key, inner), content);
      for (const auto& [inner, content] : *flat.entries())
        if (auto stored = store_param(*set, inner, content, where); !stored) return forward_error(stored);
      continue;
    }
    if (auto stored = store_param(*set, key, value, where); !stored) return forward_error(stored);
  }
  return set;
}

Result<SinkSettings> sink_settings(const SinkSpec& spec, const ModuleSpec& module,
                                   const ReferenceScope& scope) {
  SinkSettings settings{.name = spec.name.empty() ? spec.type : spec.name,
                        .module = module.name,
                        .folder = module.folder,
                        .required = spec.required,
                        .when = spec.when,
                        .queue = spec.queue,
                        .map = spec.map};
  const std::string where = "pipeline.sinks." + settings.name;
  settings.desc = adapters::find_sink(spec.type);
  if (!settings.desc) {
    std::string known;
    for (const auto* desc : adapters::all_sinks()) known += (known.empty() ? "" : ", ") + desc->name;
    return fail(ErrorCode::not_found, "{}: there is no sink of type '{}'; there are: {}", where, spec.type,
                known);
  }
  auto properties = resolve(spec.properties, scope);
  if (!properties) return forward_error(properties);
  auto when = resolve(spec.when, scope);
  if (!when) return forward_error(when);
  settings.when = *when;
  auto params = adapter_params(settings.desc->params, *properties, where, common_keys);
  if (!params) return forward_error(params);
  settings.params = *params;

  settings.batch_records = settings.desc->batch_records;
  settings.batch_time = settings.desc->batch_time;
  settings.batch_bytes = settings.desc->batch_bytes;
  if (const Value* batch = properties->find("batch")) {
    if (auto read = read_count(batch->find("count"), where + ".batch.count", settings.batch_records); !read)
      return forward_error(read);
    if (auto read = read_size(batch->find("bytes"), where + ".batch.bytes", settings.batch_bytes); !read)
      return forward_error(read);
    if (auto read = read_time(batch->find("time"), where + ".batch.time", settings.batch_time); !read)
      return forward_error(read);
    settings.batch_records = std::max(settings.batch_records, 1u);
  }
  if (const Value* retry = properties->find("retry")) {
    if (auto read = read_time(retry->find("initial"), where + ".retry.initial", settings.retry_initial);
        !read)
      return forward_error(read);
    if (auto read = read_time(retry->find("max"), where + ".retry.max", settings.retry_max); !read)
      return forward_error(read);
    if (auto read = read_count(retry->find("attempts"), where + ".retry.attempts", settings.attempts); !read)
      return forward_error(read);
  }
  if (const Value* letters = properties->find("dead_letter"); letters && letters->text())
    settings.dead_letter = std::filesystem::path(module.folder) / *letters->text();

  if (settings.queue.policy == QueuePolicy::automatic)
    settings.queue.policy = default_policy(settings.desc->nature);
  if (settings.queue.durable && settings.queue.policy != QueuePolicy::spill)
    return fail(ErrorCode::invalid_argument, "{}.queue.durable: needs policy spill", where);
  if (settings.queue.policy == QueuePolicy::latest)
    return fail(
        ErrorCode::invalid_argument,
        "{}.queue.policy: 'latest' is for streams; sinks take block, drop_oldest, drop_to_keyframe or spill",
        where);
  const std::filesystem::path spill = module.storage.spill.empty()
                                          ? std::filesystem::path(state_folder(module)) / "spill"
                                          : std::filesystem::path(module.folder) / module.storage.spill;
  settings.spill_folder = spill / settings.name;
  return settings;
}

}  // namespace sightglass::module
