// What is seen of a running module from outside: its numbers and its health (5.1).
#include <algorithm>
#include <format>

#include "sightglass/module/metric_families.h"
#include "sightglass/module/module_runner.h"

namespace sightglass::module {
namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr int64_t answer_limit = 5 * second_ns, hang_limit = 30 * second_ns;
// So many failed runs in a row are the model's fault and not that of a picture, and for so long after the
// last.
constexpr uint64_t broken_runs = 5;
constexpr int64_t failure_memory = 60 * second_ns;

double seconds(int64_t ns) { return double(ns) / 1e9; }

}  // namespace

ModuleStatus ModuleRunner::status() const {
  ModuleStatus status{.name = spec_.name};
  {
    const std::scoped_lock lock(mutex_);
    static constexpr const char* names[] = {"created", "loading", "ready", "draining", "ended", "failed"};
    status.state = names[size_t(state_)];
    status.transitions = transitions_;
    status.refused_streams = refused_streams_;
    status.parameter_changes = parameter_changes_;
  }
  if (parameters_) status.revision = parameters_->current()->revision();
  if (!is_built_) return status;
  std::map<std::string, std::shared_ptr<StreamRunner>> live;
  for (auto& stream : streams()) live.emplace(stream->id(), stream);
  const int64_t now = steady_now_ns();
  for (const auto& account : accounts_->all()) {
    if (const auto stream = live.find(account->id()); stream != live.end()) {
      status.streams.push_back(stream->second->status());
      continue;
    }
    const SourceCounts counts = account->counts(now);
    status.streams.push_back({.id = account->id(),
                              .state = std::string(stream::to_string(stream::LifeState::absent)),
                              .since = seconds(now - account->silent_since_ns()),
                              .received = counts.received,
                              .stored = counts.stored,
                              .lost = counts.lost,
                              .duplicate = counts.duplicate,
                              .fenced = counts.fenced,
                              .in_flight = counts.in_flight,
                              .dropped = counts.dropped,
                              .dropped_by_stage = dropped_by_stage(counts),
                              .results = counts.results,
                              .decoder_fallbacks = counts.decoder_fallbacks});
  }
  status.sinks = outlet_->status();
  status.elements = template_->elements();
  status.models = template_->models();
  status.messages_received = ingress_->counters.received();
  status.messages_rejected = ingress_->counters.rejected();
  for (const auto& source : sources_)
    for (const auto& [reason, count] : source->source().rejected()) status.messages_rejected[reason] += count;
  for (const auto& source : sources_)
    for (adapters::SourceStatus& one : source->source().status()) status.sources.push_back(std::move(one));
  if (telemetry_) status.telemetry = telemetry_->status();
  status.instances_stopping = reaper_->pending();
  status.instances_stuck = uint64_t(std::max(0, table_->stuck()));
  for (const auto& [reason, count] : status.messages_rejected)
    if (reason == "source_flood") status.refused_streams += count;
  return status;
}

std::vector<MetricFamily> ModuleRunner::metrics() const {
  return metric_families(status(), health(), spec_.telemetry.labels, SIGHTGLASS_VERSION,
                         size_t(2) * std::max(1u, spec_.streams.max_streams));
}

// Frames flow: of the streams that have received something, fewer than half hold a frame that is too old. One
// that is silent never makes the module unready.
void ModuleRunner::flow_reasons(std::vector<std::string>& reasons) const {
  const int64_t now = steady_now_ns();
  const int64_t limit = spec_.telemetry.flow_timeout;
  size_t active = 0, stuck = 0;
  std::vector<std::string> found;
  for (const auto& account : accounts_->all()) {
    const SourceCounts counts = account->counts(now);
    if (!counts.in_flight && now - account->last_seen_ns() > limit) continue;
    ++active;
    if (!counts.oldest_ns || now - counts.oldest_ns <= limit) continue;
    ++stuck;
    const auto entry = table_->get(account->id());
    const auto work = entry && counts.oldest_stage == Stage::elements
                          ? static_cast<StreamRunner&>(*entry).oldest_work()
                          : StreamInstance::Work();
    found.push_back(std::format(
        "stream {}: a frame is {:.0f} s old in {}", account->id(), seconds(now - counts.oldest_ns),
        work.element.empty() ? std::string(to_string(counts.oldest_stage)) : "element " + work.element));
  }
  if (stuck && stuck * 2 >= active) reasons.insert(reasons.end(), found.begin(), found.end());
}

HealthReport ModuleRunner::health() const {
  HealthReport report;
  const int64_t now = steady_now_ns();
  State state;
  {
    const std::scoped_lock lock(mutex_);
    state = state_;
    report.progress = progress_;
    if (state == State::failed) report.reasons.push_back(failure_);
  }
  switch (state) {
    case State::created:
    case State::loading:
      report.state = "loading";
      report.reasons.push_back(report.progress.step.empty() ? "loading" : report.progress.step);
      break;
    case State::ready:
      report.state = "ready";
      break;
    case State::draining:
    case State::ended:
      report.state = "draining";
      report.reasons.emplace_back("draining");
      break;
    case State::failed:
      report.state = "failed";
      break;
  }
  if (const int64_t silent = now - heartbeat_ns_;
      heartbeat_ns_ && state != State::ended && silent > answer_limit) {
    report.live = false;
    report.reasons.push_back(std::format("the control loop has not answered for {:.0f} s", seconds(silent)));
  }
  if (!is_built_ || (state != State::ready && state != State::draining)) return report;
  for (const auto& stream : streams())
    if (const Time since = stream->busy_since(); since != no_time && now - since > answer_limit) {
      report.live = false;
      report.reasons.push_back(std::format("stream {}: its strand has not answered for {:.0f} s",
                                           stream->id(), seconds(now - since)));
    }
  if (table_->has_too_many_stuck()) {
    report.live = false;
    report.reasons.push_back(
        std::format("{} instances do not stop (max_stuck {})", table_->stuck(), spec_.streams.max_stuck));
  }
  // An inline call that hangs cannot be ended (3.5).
  for (const ElementState& element : template_->elements())
    if (element.hang_seconds > seconds(hang_limit)) {
      report.live = false;
      report.reasons.push_back(std::format("element {}: its function has not come back for {:.0f} s",
                                           element.name, element.hang_seconds));
    }
  flow_reasons(report.reasons);
  // A device that is gone, or its memory. Said as long as it is tried: a module that is not ready gets no new
  // streams that could find out that it works again.
  for (const ModelState& model : template_->models())
    if (model.failed_in_a_row >= broken_runs && now - model.last_failed_ns < failure_memory)
      report.reasons.push_back(std::format("model {}: its last {} runs failed: {}", model.name,
                                           model.failed_in_a_row, model.last_failure));
  for (const auto& sink : outlet_->sinks()) {
    const int64_t since = sink->blocked_since_ns();
    if (sink->is_required() && since && now - since > spec_.telemetry.flow_timeout) {
      const auto status = sink->status();
      report.reasons.push_back(std::format("sink {}: nothing stored for {:.0f} s{}{}", status.name,
                                           seconds(now - since), status.last_error.empty() ? "" : ": ",
                                           status.last_error));
    }
  }
  report.ready = state == State::ready && report.reasons.empty();
  return report;
}

}  // namespace sightglass::module
