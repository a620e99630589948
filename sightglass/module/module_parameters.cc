// Parameters of a running module: one set for all streams, or none.
#include <algorithm>
#include <filesystem>

#include "sightglass/module/module_runner.h"
#include "sightglass/module/schema.h"
#include "sightglass/module/sink_settings.h"

namespace sightglass::module {
namespace {

constexpr auto rollout_limit = std::chrono::seconds(2);
constexpr const char* table_rules[] = {"max_streams", "max_stuck", "new_sources_per_second",
                                       "new_sources_burst"};

// A layer that watches says so itself; whatever else changes something comes over HTTP.
std::string layer_name(const std::string& by) { return by == "etcd" || by == "file" ? by : "http"; }

std::string result_name(ChangeResult result) {
  static constexpr const char* names[] = {"applied",       "unchanged", "invalid", "conflict",
                                          "needs_restart", "not_found", "failed"};
  return names[size_t(result)];
}

// Keys of `streams` into rules.
Status set_rules(const Value& values, std::string_view where, stream::StreamRules& rules) {
  if (!values.entries()) return {};
  for (const auto& [key, value] : *values.entries()) {
    const ParamDesc* const desc = stream::stream_rule_params().find(key);
    if (!desc) return fail(ErrorCode::invalid_argument, "{}: there is no key '{}'", where, key);
    auto converted = param_value(*desc, value);
    auto checked = converted ? desc->check(*converted) : converted;
    if (!checked) return fail(ErrorCode::invalid_argument, "{}.{}: {}", where, key, checked.error().message);
    desc->store(&rules, *checked);
  }
  return {};
}

}  // namespace

ReferenceScope ModuleRunner::scope(const ParameterSet* set) const {
  return {.parameter = [set](std::string_view name) -> const Value* {
            const ParameterValue* const found = set ? set->find(name, "") : nullptr;
            return found ? &found->value : nullptr;
          },
          .module_name = spec_.name,
          .source_id = std::nullopt};
}

Result<stream::StreamTable::Options> ModuleRunner::stream_options(const ParameterSet* set) const {
  stream::StreamTable::Options options{.rules = spec_.streams};
  auto values = resolve(spec_.stream_values, scope(set));
  if (!values) return forward_error(values);
  if (auto done = set_rules(*values, "streams", options.rules); !done) return forward_error(done);
  for (const auto& [pattern, keys] : spec_.stream_overrides) {
    auto resolved = resolve(keys, scope(set));
    if (!resolved) return forward_error(resolved);
    stream::StreamRules rules = options.rules;
    if (auto done = set_rules(*resolved, "streams." + pattern, rules); !done) return forward_error(done);
    options.overrides.push_back({pattern, std::move(rules)});
  }
  if (auto valid = stream::check(options); !valid) return forward_error(valid);
  return options;
}

Status ModuleRunner::open_parameters() {
  auto opened = ParameterStore::open(
      spec_.parameters,
      {.state_folder = spec_.parameters.empty() ? std::string() : state_folder(spec_),
       .module_name = spec_.name,
       .etcd_url = spec_.etcd_url,
       .etcd_prefix = spec_.etcd_prefix,
       .file = spec_.parameter_file.empty()
                   ? std::string()
                   : (std::filesystem::path(spec_.folder) / spec_.parameter_file).string(),
       .apply = [this](const std::shared_ptr<const ParameterSet>& set) { return apply(set); },
       .check = [this](const ParameterSet& set) { return check_set(set); },
       .needs_restart = [this](std::string_view name) { return needs_restart(name); },
       .audit =
           [this](const ParameterAudit& change) {
             std::string result = change.outcome.errors.empty() ? "applied" : "refused";
             for (const ParameterError& error : change.outcome.errors)
               result += ": " + (error.path.empty() ? "" : error.path + " ") + error.message;
             {
               const std::scoped_lock lock(mutex_);
               ++parameter_changes_[{layer_name(change.by), result_name(change.outcome.result)}];
             }
             audit_->add({.who = change.by,
                          .call = "parameters",
                          .changes = change.changes,
                          .revision = change.outcome.revision,
                          .result = std::move(result)});
           },
       .environment = {}});
  if (!opened) return forward_error(opened);
  parameters_ = std::move(*opened);
  const std::scoped_lock lock(mutex_);
  active_ = parameters_->current();
  return {};
}

// Every reason why somebody would not take these values; nothing is touched.
std::vector<ParameterError> ModuleRunner::check_set(const ParameterSet& set) const {
  std::vector<ParameterError> errors;
  if (auto options = stream_options(&set); !options)
    errors.push_back({.path = "streams", .message = options.error().message});
  if (!is_built_) return errors;
  const std::shared_ptr<const ParameterSet> borrowed(std::shared_ptr<const void>(), &set);
  std::vector<std::string> sources = {""};
  for (const auto& stream : streams()) sources.push_back(stream->id());
  for (const std::string& source : sources)
    for (auto& error : template_->check(borrowed, source))
      if (std::ranges::none_of(errors, [&](const ParameterError& known) {
            return known.path == error.path && known.message == error.message;
          }))
        errors.push_back(std::move(error));
  return errors;
}

// Sources and sinks read their keys when they open.
bool ModuleRunner::needs_restart(std::string_view name) const {
  const auto refers = [&](const Value& value) {
    return std::ranges::contains(referenced_parameters(value), name);
  };
  // Of the streams' rules, those that the table reads when it is made.
  const Value* const rules = &spec_.stream_values;
  const bool is_of_table = std::ranges::any_of(table_rules, [&](const char* key) {
    const Value* const value = rules->entries() ? rules->find(key) : nullptr;
    return value && refers(*value);
  });
  return is_of_table || (is_built_ && template_->effect_of(name) == ParameterEffect::restart) ||
         std::ranges::any_of(spec_.pipeline.sources, refers, &SourceSpec::properties) ||
         std::ranges::any_of(spec_.pipeline.sinks, [&](const SinkSpec& sink) {
           return refers(sink.properties) || refers(sink.when);
         });
}

// Streams whose elements only read a changed value when they are built are renewed at their next keyframe.
void ModuleRunner::recycle_for(const ParameterSet& before, const ParameterSet& now) {
  for (const auto& [name, parameter] : spec_.parameters) {
    if (!is_built_ || template_->effect_of(name) != ParameterEffect::recycle) continue;
    for (const auto& stream : streams()) {
      const auto* const old_value = before.find(name, stream->id());
      const auto* const new_value = now.find(name, stream->id());
      if (old_value && new_value && !(old_value->value == new_value->value))
        stream->post_command(StreamRunner::Command::recycle);
    }
  }
}

// Into every stream at its next frame boundary; all of them go back when one refuses.
Status ModuleRunner::apply(const std::shared_ptr<const ParameterSet>& set) {
  if (!is_built_) return fail(ErrorCode::unavailable, "the module is loading");
  const std::scoped_lock lock(rollout_mutex_);
  std::shared_ptr<const ParameterSet> before;
  {
    const std::scoped_lock active(mutex_);
    before = active_;
  }
  if (auto done = roll_out(set); !done) {
    if (before) (void)roll_out(before);
    return done;
  }
  if (before) recycle_for(*before, *set);
  return {};
}

Status ModuleRunner::roll_out(std::shared_ptr<const ParameterSet> set) {
  if (!table_) {
    const std::scoped_lock lock(mutex_);
    active_ = std::move(set);
    return {};
  }
  auto options = stream_options(set.get());
  if (!options) return forward_error(options);
  {
    // Instances built from now on start with it.
    const std::scoped_lock lock(mutex_);
    active_ = set;
  }
  const auto all = streams();
  const auto rollout = std::make_shared<ParameterRollout>(set, all.size());
  for (const auto& stream : all) stream->apply(rollout);
  if (auto done = rollout->wait(rollout_limit); !done) return done;
  table_->set_rules(std::move(*options));
  for (const auto& stream : all) stream->set_rules(table_->rules_for(stream->id()));
  return {};
}

}  // namespace sightglass::module
