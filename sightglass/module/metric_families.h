// The state of a module as metrics, made when somebody asks: what /metrics shows as Prometheus' text and what
// is pushed to `telemetry.metrics.otlp_url`. Names are those of docs/operations.md, prefix `sightglass_`.
//
// Series per source are at most twice max_streams: of those beyond, sources that have no stream are left out,
// the longest silent ones first. Those of streams that have gone stay for five minutes.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/module/module.h"

namespace sightglass::module {

enum class MetricType : uint8_t { counter, gauge, histogram };

struct MetricSample {
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;  // of counters and gauges
  // Of histograms. Not cumulative; the last bucket is what is beyond all bounds.
  std::vector<double> bounds;
  std::vector<uint64_t> buckets;
  double sum = 0;
  uint64_t count() const;
};
struct MetricFamily {
  std::string name, help;  // "sightglass_frames_total"
  MetricType type = MetricType::gauge;
  std::vector<MetricSample> samples;
};

// By name. `version`: of Sightglass.
std::vector<MetricFamily> metric_families(const ModuleStatus& status, const HealthReport& health,
                                          const std::map<std::string, std::string>& labels,
                                          std::string_view version, size_t most_sources);

}  // namespace sightglass::module
