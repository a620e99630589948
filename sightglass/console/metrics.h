// The metrics of a module (module/metric_families.h) as Prometheus' text.
#pragma once

#include <string>

#include "sightglass/module/metric_families.h"

namespace sightglass::console {

std::string metrics_text(const std::vector<module::MetricFamily>& families);

}  // namespace sightglass::console
