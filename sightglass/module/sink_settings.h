// The settings of one sink of a module, from its description: the keys that all types have in common, and the
// parameters of the type.
#pragma once

#include <functional>
#include <string>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/references.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

struct SinkSettings {
  std::string name, module, folder, spill_folder;
  bool required = false;
  Value when;
  QueueSpec queue;  // policy resolved
  std::optional<FunctionSpec> map;
  const adapters::SinkDesc* desc = nullptr;
  std::shared_ptr<const ParamSet> params;
  // batch {count, bytes, time}, retry {initial, max, attempts}, dead_letter
  unsigned batch_records = 1;
  uint64_t batch_bytes = 0;
  Time batch_time = 0;
  Time retry_initial = 200'000'000, retry_max = 30'000'000'000;
  unsigned attempts = 0;  // 0: for ever
  std::string dead_letter;
};

// The policy of a kind of sink where none was asked for (3.6).
QueuePolicy default_policy(adapters::SinkNature nature);

Result<SinkSettings> sink_settings(const SinkSpec& spec, const ModuleSpec& module,
                                   const ReferenceScope& scope);

// Parameters of an adapter from resolved values; `without`: keys that belong to the module.
Result<std::shared_ptr<ParamSet>> adapter_params(const ParamTable& table, const Value& properties,
                                                 std::string_view where,
                                                 const std::vector<std::string>& without = {});

// Where the module keeps what it needs later: `storage.state`, or below the user's state folder.
std::string state_folder(const ModuleSpec& module);

}  // namespace sightglass::module
