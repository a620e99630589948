// A module: models loaded once, any number of streams that come and go, described by a ModuleSpec.
//
//   auto spec = load_module("gate.yml");                       // or made in code
//   auto module = Module::create(*spec.value);                  // checks
//   Status ready = (*module)->start();                          // loads the models, binds sockets
//   auto watching = (*module)->subscribe([](const adapters::Record& r) { … });
//   (*module)->push(delivery);                                  // beside the sources of the spec
//   (*module)->end_stream("cam-1");
//   Outcome outcome = (*module)->shutdown({});
//
// Thread-safe. Callbacks come on threads of the module and must not block.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/record.h"
#include "sightglass/core/histogram.h"
#include "sightglass/core/result.h"
#include "sightglass/module/parameters.h"
#include "sightglass/module/pipeline_template.h"
#include "sightglass/module/spec.h"
#include "sightglass/stream/delivery.h"

namespace sightglass::module {

class AuditLog;  // audit_log.h

// Of one stream, for `streams`, /v1/streams and metrics.
struct StreamStatus {
  std::string id, state, codec, last_error;
  int64_t epoch = 0;
  double since = 0;  // s in this state
  int width = 0, height = 0;
  double fps = 0;           // results of the last seconds
  double lag = 0;           // s from receipt to result, of late
  double inflight_age = 0;  // s, of the oldest frame in the module; 0: none
  double retry_in = 0;      // s until a quarantined stream is tried again
  uint64_t received = 0, stored = 0, lost = 0, duplicate = 0, fenced = 0, in_flight = 0, queued = 0;
  std::vector<std::pair<std::string, uint64_t>> dropped;  // by reason
  struct Dropped {
    std::string_view stage, reason;  // static: queue, elements, sinks
    uint64_t count = 0;
  };
  std::vector<Dropped> dropped_by_stage;  // the same frames
  uint64_t results = 0;                   // frames that came out of the elements
  uint64_t decoder_fallbacks = 0;         // times that the next decoder took the place of one that failed
};
struct SinkStatus {
  std::string name, type, policy, last_error;
  bool is_up = false, is_paused = false, required = false;
  uint64_t queued = 0, queued_bytes = 0, spilled_bytes = 0, delivered = 0, retries = 0, dropped = 0,
           dead_letters = 0;
  HistogramCounts latencies;  // of frames, ns from their receipt until they were stored
};
// What is sent elsewhere, of spans and pushed metrics.
struct TelemetryStatus {
  bool is_tracing = false, is_pushing = false;
  uint64_t spans_sent = 0, spans_dropped = 0;  // dropped: the queue was full, or they were refused
  uint64_t pushes = 0, pushes_failed = 0;
  std::string last_error;
};
struct HealthReport {
  bool live = true, ready = false;
  std::string state;                 // loading, ready, draining, failed
  Progress progress;                 // while loading
  std::vector<std::string> reasons;  // why not: "stream cam-1: a frame is 12 s old in element faces"
};
// Everything that only counts; taken together, so that the accounting identity holds per source.
struct ModuleStatus {
  std::string name, state;
  uint64_t revision = 0;
  std::vector<StreamStatus> streams;
  std::vector<SinkStatus> sinks;
  std::vector<ElementState> elements;
  std::vector<ModelState> models;
  std::map<std::string, uint64_t> messages_received, messages_rejected;       // by kind, by reason
  std::map<std::pair<std::string, std::string>, uint64_t> transitions;        // from, to
  std::vector<adapters::SourceStatus> sources;                                // of adapters in this process
  std::map<std::pair<std::string, std::string>, uint64_t> parameter_changes;  // layer, result
  TelemetryStatus telemetry;
  uint64_t instances_stuck = 0, instances_stopping = 0, refused_streams = 0;
};
struct StreamEvent {
  std::string source_id, from, to, reason;
  int64_t at_us = 0;
};

enum class ShutdownMode : uint8_t { drain, now };
struct ShutdownOptions {
  ShutdownMode mode = ShutdownMode::drain;
  int deadline_ms = 30000;
};
// As the process would exit with it: 0 clean, 2 configuration, 3 deadline passed, 4 model or device unusable,
// 5 stuck instances, 6 watchdog.
struct Outcome {
  int exit_code = 0;
  std::vector<std::string> missing;  // what the deadline has left behind
};

enum class StreamAction : uint8_t { end, quarantine, release, recycle, request_keyframe };

class Subscription {  // unsubscribes when it goes; no callback runs afterwards
 public:
  virtual ~Subscription() = default;
};

class Module {
 public:
  static Result<std::unique_ptr<Module>> create(const ModuleSpec& spec);
  virtual ~Module() = default;  // shutdown(now) if it has not been

  virtual Status start() = 0;
  virtual void on_progress(std::function<void(const Progress&)> callback) = 0;

  // A message with its payload, in the form of the wire. Blocks while the stream's queue is full and its
  // policy is `block`, until `deadline_ms` (-1: for ever); the error then says so. While it waits it asks
  // `gives_up` every 100 ms, on this thread: true ends it (cancelled).
  using GivesUp = std::function<bool()>;
  virtual Status push(stream::Delivery delivery, int deadline_ms = -1, const GivesUp& gives_up = {}) = 0;
  virtual Status act(std::string_view source_id, StreamAction action) = 0;
  Status end_stream(std::string_view source_id) { return act(source_id, StreamAction::end); }

  virtual std::unique_ptr<Subscription> subscribe(
      std::function<void(const adapters::RecordRef&)> on_record) = 0;
  virtual std::unique_ptr<Subscription> subscribe_events(
      std::function<void(const StreamEvent&)> on_event) = 0;

  virtual ParameterStore& parameters() = 0;
  // Changes of parameters by whatever layer are in it already; who calls the rest for somebody adds an entry.
  virtual AuditLog& audit() = 0;
  virtual Status act_on_sink(std::string_view name, std::string_view action) = 0;  // flush, pause, resume
  virtual ModuleStatus status() const = 0;
  virtual HealthReport health() const = 0;
  virtual const ModuleSpec& spec() const = 0;
  // The latest picture of a stream with its results drawn, as JPEG.
  virtual Result<std::vector<uint8_t>> snapshot(std::string_view source_id) = 0;

  // Somebody who may has asked for the end of the process, by a Shutdown record with the right token. Called
  // on a thread of the module; whoever runs it decides.
  virtual void on_shutdown_request(std::function<void(const ShutdownOptions&)> callback) = 0;

  // No new streams, sources stop, EOS(DRAIN) through every stream, sinks flushed. A second call with `now`
  // cuts the first short.
  virtual Outcome shutdown(const ShutdownOptions& options) = 0;
  // Until all sources of the spec have ended and every stream is gone; then shutdown() is due. `gives_up` as
  // in push().
  virtual Status wait_for_sources(const GivesUp& gives_up = {}) = 0;
};

}  // namespace sightglass::module
