// The state of a module as Prometheus' text, made when it is asked for: names of docs/operations.md, prefix
// `sightglass_`. Series per source are at most twice max_streams; those of streams that have gone stay for
// five minutes.
#pragma once

#include <string>

#include "sightglass/module/module.h"

namespace sightglass::console {

std::string metrics(const module::ModuleStatus& status, const module::HealthReport& health,
                    const std::map<std::string, std::string>& labels, std::string_view version);

}  // namespace sightglass::console
