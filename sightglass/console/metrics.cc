#include "sightglass/console/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <initializer_list>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace sightglass::console {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

class Families {
 public:
  explicit Families(const std::map<std::string, std::string>& labels) : common_(labels) {}

  void counter(std::string_view name, std::string_view help, Labels labels, double value) {
    ClientMetric& metric = add(name, help, MetricType::Counter, labels);
    metric.counter.value = value;
  }
  void gauge(std::string_view name, std::string_view help, Labels labels, double value) {
    ClientMetric& metric = add(name, help, MetricType::Gauge, labels);
    metric.gauge.value = value;
  }
  std::string text() const {
    std::vector<MetricFamily> all;
    for (const auto& [name, family] : families_) all.push_back(family);
    return prometheus::TextSerializer().Serialize(all);
  }

 private:
  ClientMetric& add(std::string_view name, std::string_view help, MetricType type, Labels labels) {
    MetricFamily& family = families_[std::string(name)];
    family.name = "sightglass_" + std::string(name);
    family.help = help;
    family.type = type;
    ClientMetric& metric = family.metric.emplace_back();
    for (const auto& [label, value] : common_) metric.label.push_back({label, value});
    for (const auto& [label, value] : labels)
      metric.label.push_back({std::string(label), std::string(value)});
    return metric;
  }

  const std::map<std::string, std::string>& common_;
  std::map<std::string, MetricFamily> families_;
};

void add_streams(const module::ModuleStatus& status, Families& out) {
  std::map<std::string, unsigned> by_state;
  for (const module::StreamStatus& stream : status.streams) {
    ++by_state[stream.state];
    const std::string_view id = stream.id;
    out.counter("messages_lost_total", "Messages that a gap of seq tells of", {{"source", id}},
                double(stream.lost));
    out.counter("messages_duplicate_total", "Messages that had come before", {{"source", id}},
                double(stream.duplicate));
    out.counter("messages_fenced_total", "Messages of a producer that lost its source id", {{"source", id}},
                double(stream.fenced));
    out.counter("frames_total", "Frames by stage", {{"source", id}, {"stage", "received"}},
                double(stream.received));
    out.counter("frames_total", "Frames by stage", {{"source", id}, {"stage", "stored"}},
                double(stream.stored));
    for (const auto& [reason, count] : stream.dropped)
      out.counter("frames_dropped_total", "Frames without a record", {{"source", id}, {"reason", reason}},
                  double(count));
    out.gauge("stream_queue_frames", "Frames that wait for their instance", {{"source", id}},
              double(stream.queued));
    out.gauge("stream_inflight_frames", "Frames in the module", {{"source", id}}, double(stream.in_flight));
    out.gauge("stream_inflight_age_seconds", "Age of the oldest frame in the module", {{"source", id}},
              stream.inflight_age);
    out.gauge("stream_fps", "Results per second, of late", {{"source", id}}, stream.fps);
  }
  for (const auto& [state, count] : by_state)
    out.gauge("streams", "Streams by state", {{"state", state}}, count);
  for (const auto& [change, count] : status.transitions)
    out.counter("stream_transitions_total", "Changes of state",
                {{"from", change.first}, {"to", change.second}}, double(count));
}

void add_elements(const module::ModuleStatus& status, Families& out) {
  for (const module::ElementState& element : status.elements) {
    const std::string_view name = element.name;
    out.counter("element_frames_total", "Frames by what became of them",
                {{"element", name}, {"result", "ok"}}, double(element.frames));
    out.counter("element_frames_total", "Frames by what became of them",
                {{"element", name}, {"result", "error"}}, double(element.errors));
    out.counter("element_frames_total", "Frames by what became of them",
                {{"element", name}, {"result", "dropped"}}, double(element.dropped));
    out.counter("element_seconds", "Time spent in an element", {{"element", name}}, element.seconds);
    out.counter("function_overruns_total", "Calls over their budget", {{"element", name}},
                double(element.overruns));
    out.gauge("breaker_open", "1: everything passes by the element", {{"element", name}},
              element.is_open ? 1 : 0);
  }
  for (const module::ModelState& model : status.models) {
    out.gauge("model_info", "Models and what runs them",
              {{"model", model.name},
               {"engine", model.engine},
               {"device", model.device},
               {"precision", model.precision}},
              1);
    out.counter("inference_batches_total", "Batches that were run", {{"model", model.name}},
                double(model.batches));
    out.counter("inference_samples_total", "Samples in them", {{"model", model.name}}, double(model.samples));
    out.counter("inference_seconds", "Time spent in a model",
                {{"model", model.name}, {"device", model.device}}, model.seconds);
  }
}

void add_sinks(const module::ModuleStatus& status, Families& out) {
  for (const module::SinkStatus& sink : status.sinks) {
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
  }
}

}  // namespace

std::string metrics(const module::ModuleStatus& status, const module::HealthReport& health,
                    const std::map<std::string, std::string>& labels, std::string_view version) {
  Families out(labels);
  out.gauge("build_info", "Version of the program", {{"version", version}, {"module", status.name}}, 1);
  out.gauge("ready", "1: frames flow", {}, health.ready ? 1 : 0);
  out.gauge("parameter_revision", "Number of the parameters in force", {}, double(status.revision));
  out.gauge("instances_stuck", "Pipelines that did not stop", {}, double(status.instances_stuck));
  out.counter("streams_refused_total", "Streams over max_streams", {}, double(status.refused_streams));
  for (const auto& [kind, count] : status.messages_received)
    out.counter("messages_received_total", "Messages by kind", {{"kind", kind}}, double(count));
  for (const auto& [reason, count] : status.messages_rejected)
    out.counter("messages_rejected_total", "Messages dropped as malformed", {{"reason", reason}},
                double(count));
  add_streams(status, out);
  add_elements(status, out);
  add_sinks(status, out);
  return out.text();
}

}  // namespace sightglass::console
