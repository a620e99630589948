#include "sightglass/console/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

namespace sightglass::console {
namespace {

prometheus::MetricType type_of(module::MetricType type) {
  switch (type) {
    case module::MetricType::counter:
      return prometheus::MetricType::Counter;
    case module::MetricType::histogram:
      return prometheus::MetricType::Histogram;
    case module::MetricType::gauge:
      break;
  }
  return prometheus::MetricType::Gauge;
}

void add_histogram(const module::MetricSample& sample, prometheus::ClientMetric& metric) {
  uint64_t below = 0;
  for (size_t i = 0; i < sample.buckets.size(); ++i) {
    below += sample.buckets[i];
    metric.histogram.bucket.push_back({.cumulative_count = below,
                                       .upper_bound = i < sample.bounds.size()
                                                          ? sample.bounds[i]
                                                          : std::numeric_limits<double>::infinity()});
  }
  metric.histogram.sample_count = below;
  metric.histogram.sample_sum = sample.sum;
}

}  // namespace

std::string metrics_text(const std::vector<module::MetricFamily>& families) {
  std::vector<prometheus::MetricFamily> all;
  for (const module::MetricFamily& family : families) {
    prometheus::MetricFamily& made = all.emplace_back();
    made.name = family.name;
    made.help = family.help;
    made.type = type_of(family.type);
    for (const module::MetricSample& sample : family.samples) {
      prometheus::ClientMetric& metric = made.metric.emplace_back();
      for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
      if (family.type == module::MetricType::counter) metric.counter.value = sample.value;
      if (family.type == module::MetricType::gauge) metric.gauge.value = sample.value;
      if (family.type == module::MetricType::histogram) add_histogram(sample, metric);
    }
  }
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace sightglass::console
