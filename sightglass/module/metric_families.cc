#include "sightglass/module/metric_families.h"

#include <algorithm>
#include <initializer_list>
#include <numeric>

namespace sightglass::module {
namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;
constexpr double per_ns = 1e-9, as_it_is = 1;

class Families {
 public:
  explicit Families(const std::map<std::string, std::string>& labels) : common_(labels) {}

  void counter(std::string_view name, std::string_view help, Labels labels, double value) {
    add(name, help, MetricType::counter, labels).value = value;
  }
  void gauge(std::string_view name, std::string_view help, Labels labels, double value) {
    add(name, help, MetricType::gauge, labels).value = value;
  }
  void histogram(std::string_view name, std::string_view help, Labels labels, const HistogramCounts& counts,
                 double unit) {
    if (counts.buckets.empty()) return;
    MetricSample& sample = add(name, help, MetricType::histogram, labels);
    for (const uint64_t bound : counts.bounds) sample.bounds.push_back(double(bound) * unit);
    sample.buckets = counts.buckets;
    sample.sum = double(counts.sum) * unit;
  }
  std::vector<MetricFamily> take() {
    std::vector<MetricFamily> all;
    for (auto& [name, family] : families_) all.push_back(std::move(family));
    return all;
  }

 private:
  MetricSample& add(std::string_view name, std::string_view help, MetricType type, Labels labels) {
    auto known = families_.find(name);
    if (known == families_.end()) {
      known = families_.emplace(name, MetricFamily{}).first;
      known->second = {.name = "sightglass_" + std::string(name), .help = std::string(help), .type = type};
    }
    MetricSample& sample = known->second.samples.emplace_back();
    for (const auto& [label, value] : common_) sample.labels.emplace_back(label, value);
    for (const auto& [label, value] : labels) sample.labels.emplace_back(label, value);
    return sample;
  }

  const std::map<std::string, std::string>& common_;
  std::map<std::string, MetricFamily, std::less<>> families_;
};

bool is_absent(const StreamStatus& stream) { return stream.state == "ABSENT"; }

// Those with a stream, then those that were there last.
std::vector<const StreamStatus*> shown_streams(const ModuleStatus& status, size_t most) {
  constexpr double remembered = 300;  // s
  std::vector<const StreamStatus*> shown;
  for (const StreamStatus& stream : status.streams)
    if (!is_absent(stream) || stream.since < remembered) shown.push_back(&stream);
  if (shown.size() <= most) return shown;
  std::ranges::stable_sort(
      shown, {}, [](const StreamStatus* stream) { return std::pair(is_absent(*stream), stream->since); });
  shown.resize(most);
  std::ranges::sort(shown, {}, &StreamStatus::id);
  return shown;
}

void add_stream(const StreamStatus& stream, Families& out) {
  const std::string_view id = stream.id;
  out.counter("messages_lost_total", "Messages that a gap of seq tells of", {{"source", id}},
              double(stream.lost));
  out.counter("messages_duplicate_total", "Messages that had come before", {{"source", id}},
              double(stream.duplicate));
  out.counter("decoder_fallbacks_total", "Times that the next decoder took the place of one that failed",
              {{"source", id}}, double(stream.decoder_fallbacks));
  out.counter("messages_fenced_total", "Messages of a producer that lost its source id", {{"source", id}},
              double(stream.fenced));
  const auto frames = [&](std::string_view stage, uint64_t count) {
    out.counter("frames_total", "Frames that have got so far", {{"source", id}, {"stage", stage}},
                double(count));
  };
  frames("received", stream.received);
  frames("processed", stream.results);
  frames("stored", stream.stored);
  for (const auto& [stage, reason, count] : stream.dropped_by_stage)
    out.counter("frames_dropped_total", "Frames without a record, by where they were",
                {{"source", id}, {"stage", stage}, {"reason", reason}}, double(count));
  out.gauge("stream_queue_frames", "Frames that wait for their instance", {{"source", id}},
            double(stream.queued));
  out.gauge("stream_inflight_frames", "Frames in the module", {{"source", id}}, double(stream.in_flight));
  out.gauge("stream_inflight_age_seconds", "Age of the oldest frame in the module", {{"source", id}},
            stream.inflight_age);
  out.gauge("stream_fps", "Results per second, of late", {{"source", id}}, stream.fps);
}

void add_streams(const ModuleStatus& status, size_t most_sources, Families& out) {
  std::map<std::string, unsigned> by_state;
  for (const StreamStatus& stream : status.streams) ++by_state[stream.state];
  for (const StreamStatus* stream : shown_streams(status, most_sources)) add_stream(*stream, out);
  for (const auto& [state, count] : by_state)
    out.gauge("streams", "Streams by state", {{"state", state}}, count);
  for (const auto& [change, count] : status.transitions)
    out.counter("stream_transitions_total", "Changes of state",
                {{"from", change.first}, {"to", change.second}}, double(count));
}

void add_elements(const ModuleStatus& status, Families& out) {
  for (const ElementState& element : status.elements) {
    const std::string_view name = element.name;
    const auto frames = [&](std::string_view result, uint64_t count) {
      out.counter("element_frames_total", "Frames by what became of them",
                  {{"element", name}, {"result", result}}, double(count));
    };
    const uint64_t came_out = element.times.count();
    frames("ok", element.times.buckets.empty() ? element.frames
                                               : came_out - std::min(came_out, element.ended_behind));
    frames("error", element.errors);
    frames("dropped", element.dropped);
    out.histogram("element_seconds", "Time that frames were in an element", {{"element", name}},
                  element.times, per_ns);
    out.counter("element_warnings_total", "Warnings that GStreamer elements have posted", {{"element", name}},
                double(element.warnings));
    out.counter("function_overruns_total", "Calls over their budget", {{"element", name}},
                double(element.overruns));
    out.gauge("breaker_open", "1: everything passes by the element", {{"element", name}},
              element.is_open ? 1 : 0);
    for (const auto& [property, count] : element.binding_defaults_of)
      out.counter("binding_defaults_total", "Frames without the attribute that a property follows",
                  {{"element", name}, {"property", property}}, double(count));
  }
}

void add_models(const ModuleStatus& status, Families& out) {
  for (const ModelState& model : status.models) {
    out.gauge("model_info", "Models and what runs them",
              {{"model", model.name},
               {"engine", model.engine},
               {"device", model.device},
               {"precision", model.precision}},
              1);
    out.counter("inference_batches_total", "Batches that were run", {{"model", model.name}},
                double(model.batches));
    out.counter("inference_failures_total", "Batches that failed", {{"model", model.name}},
                double(model.failed));
    out.counter("inference_samples_total", "Samples in them", {{"model", model.name}}, double(model.samples));
    out.histogram("batch_size", "Samples of a batch", {{"model", model.name}}, model.batch_sizes, as_it_is);
    out.histogram("batch_wait_seconds", "Time that a sample waited for its batch", {{"model", model.name}},
                  model.batch_waits, per_ns);
    out.histogram("inference_seconds", "Time that a batch took",
                  {{"model", model.name}, {"device", model.device}}, model.runs, per_ns);
    for (const ModelState::Device& device : model.devices) {
      const Labels labels{{"model", model.name}, {"device", device.name}};
      out.gauge("model_device_streams", "Streams bound to one of several devices", labels,
                double(device.streams));
      out.gauge("model_device_frames_per_second", "What these streams bring, as they say it", labels,
                device.frames_per_second);
      out.counter("model_device_samples_total", "Samples that were run on it", labels,
                  double(device.samples));
      out.counter("model_device_seconds_total", "Time that it ran the model", labels, device.seconds);
    }
  }
}

void add_sinks(const ModuleStatus& status, Families& out) {
  for (const SinkStatus& sink : status.sinks) {
    const std::string_view name = sink.name;
    out.gauge("sink_up", "1: it stores what it gets", {{"sink", name}}, sink.is_up ? 1 : 0);
    out.gauge("sink_queue_records", "Records that wait", {{"sink", name}}, double(sink.queued));
    out.gauge("sink_queue_bytes", "Their size", {{"sink", name}}, double(sink.queued_bytes));
    out.gauge("sink_spill_bytes", "What waits on disk", {{"sink", name}}, double(sink.spilled_bytes));
    out.counter("sink_delivered_total", "Records stored", {{"sink", name}}, double(sink.delivered));
    out.counter("sink_retries_total", "Records given again", {{"sink", name}}, double(sink.retries));
    out.counter("sink_dropped_total", "Records lost by the queue's policy",
                {{"sink", name}, {"policy", sink.policy}}, double(sink.dropped));
    out.counter("sink_dead_letters_total", "Records refused for good", {{"sink", name}},
                double(sink.dead_letters));
    out.histogram("frame_latency_seconds", "From the first receipt of a frame until it was stored",
                  {{"sink", name}}, sink.latencies, per_ns);
  }
}

void add_sources(const ModuleStatus& status, size_t most_sources, Families& out) {
  size_t shown = 0;
  for (const adapters::SourceStatus& source : status.sources) {
    if (++shown > most_sources) break;
    const std::string_view id = source.source_id;
    out.gauge("source_state", "1: the state that the adapter's source is in",
              {{"source", id}, {"state", to_string(source.state)}}, 1);
    out.counter("source_reconnects_total", "Connections made anew", {{"source", id}},
                double(source.reconnects));
    out.counter("source_blocked_seconds_total", "Time that frames waited for downstream", {{"source", id}},
                source.blocked_seconds);
  }
}

void add_telemetry(const TelemetryStatus& telemetry, Families& out) {
  if (telemetry.is_tracing) {
    out.counter("telemetry_spans_total", "Spans by what became of them", {{"result", "sent"}},
                double(telemetry.spans_sent));
    out.counter("telemetry_spans_total", "Spans by what became of them", {{"result", "dropped"}},
                double(telemetry.spans_dropped));
  }
  if (telemetry.is_pushing) {
    out.counter("telemetry_pushes_total", "Pushes of these metrics", {{"result", "sent"}},
                double(telemetry.pushes));
    out.counter("telemetry_pushes_total", "Pushes of these metrics", {{"result", "failed"}},
                double(telemetry.pushes_failed));
  }
}

}  // namespace

uint64_t MetricSample::count() const { return std::accumulate(buckets.begin(), buckets.end(), uint64_t(0)); }

std::vector<MetricFamily> metric_families(const ModuleStatus& status, const HealthReport& health,
                                          const std::map<std::string, std::string>& labels,
                                          std::string_view version, size_t most_sources) {
  Families out(labels);
  out.gauge("build_info", "Version of the program", {{"version", version}, {"module", status.name}}, 1);
  out.gauge("ready", "1: frames flow", {}, health.ready ? 1 : 0);
  out.gauge("parameter_revision", "Number of the parameters in force", {}, double(status.revision));
  for (const auto& [change, count] : status.parameter_changes)
    out.counter("parameter_changes_total", "Changes of parameters that were asked for",
                {{"layer", change.first}, {"result", change.second}}, double(count));
  out.gauge("instances_stuck", "Pipelines that did not stop", {}, double(status.instances_stuck));
  out.counter("streams_refused_total", "Streams over max_streams", {}, double(status.refused_streams));
  for (const auto& [kind, count] : status.messages_received)
    out.counter("messages_received_total", "Messages by kind", {{"kind", kind}}, double(count));
  for (const auto& [reason, count] : status.messages_rejected)
    out.counter("messages_rejected_total", "Messages dropped as malformed", {{"reason", reason}},
                double(count));
  add_streams(status, most_sources, out);
  add_elements(status, out);
  add_models(status, out);
  add_sinks(status, out);
  add_sources(status, most_sources, out);
  add_telemetry(status.telemetry, out);
  return out.take();
}

}  // namespace sightglass::module
