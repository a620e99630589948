// Spans and metrics as OTLP requests in protobuf (opentelemetry-proto 1.5: collector/trace,
// collector/metrics), and what a collector answers. Written by hand, since it is one page: Debian's
// opentelemetry-cpp comes without the generated headers, and its exporter neither tells 429 from 400 nor what
// a partial success has left out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sightglass/core/result.h"
#include "sightglass/module/frame_trace.h"
#include "sightglass/module/metric_families.h"

namespace sightglass::telemetry {

// Who sends: service.name, service.version, service.instance.id.
struct Sender {
  std::string name, version, instance;
};

std::string traces_request(const Sender& sender, std::span<const module::FinishedTrace> traces);
// Times are ns since 1970; counters count from `start_ns`.
std::string metrics_request(const Sender& sender, std::span<const module::MetricFamily> families,
                            int64_t start_ns, int64_t now_ns);

// The body of an answer that was good: how many spans or data points were refused nevertheless.
struct PartialSuccess {
  uint64_t rejected = 0;
  std::string message;
};
Result<PartialSuccess> read_answer(std::string_view body);

}  // namespace sightglass::telemetry
