// What a module sends elsewhere by itself: spans of the frames that it follows (frame_trace.h), and its
// metrics, both as OTLP over HTTP. The code lies in the module `telemetry` (sightglass/telemetry), which is
// loaded when the description names an address; without one nothing of this costs anything.
//
//   auto telemetry = start_telemetry({.traces_url = "http://collector:4318/v1/traces", …});
//   auto tracer = std::make_shared<Tracer>((*telemetry)->traces(), 100);
//
// Everything is sent by threads of its own from bounded queues: a collector that is slow or away costs spans,
// which are counted, and never a frame's time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/module/frame_trace.h"
#include "sightglass/module/log.h"
#include "sightglass/module/metric_families.h"

namespace sightglass::module {

struct TelemetryOptions {
  std::string traces_url, metrics_url;  // empty: none; user and password are sent as basic authentication
  std::string module, version;
  std::function<std::vector<MetricFamily>()> metrics;  // called on a thread of its own, until stop()
  const Log* log = nullptr;                            // outlives it
  int64_t push_interval_ms = 10'000;                   // of metrics
  size_t most_spans = 16'384;                          // that wait; newer ones are left out beyond
  int64_t retry_ms = 1000, retry_max_ms = 30'000;      // pause after a failure, doubled each time
};

class Telemetry {
 public:
  virtual ~Telemetry() = default;                       // stop(0) if it has not been
  virtual std::shared_ptr<TraceExporter> traces() = 0;  // null without traces_url
  virtual TelemetryStatus status() const = 0;
  // Sends what waits, and the metrics once more, for so long at most.
  virtual void stop(int64_t wait_ms) = 0;
};

// An address that is none is an error, and a library that is missing; a collector that is away is not.
Result<std::unique_ptr<Telemetry>> start_telemetry(TelemetryOptions options);

// Made by the module when it is loaded.
using StartTelemetry = Result<std::unique_ptr<Telemetry>> (*)(TelemetryOptions options);
struct TelemetryRegistration {
  explicit TelemetryRegistration(StartTelemetry start);
};

}  // namespace sightglass::module
