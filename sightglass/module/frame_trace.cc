#include "sightglass/module/frame_trace.h"

#include <algorithm>
#include <charconv>
#include <format>

#include "sightglass/module/accounting.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::module {
namespace {

// What a strange writer may have each frame keep; W3C asks for no more to be passed on.
constexpr size_t most_tracestate = 512;

std::optional<uint64_t> hex(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view text) {
  if (text.size() < 55 || text[2] != '-' || text[35] != '-' || text[52] != '-' || text.starts_with("ff"))
    return std::nullopt;
  const auto version = hex(text.substr(0, 2)), high = hex(text.substr(3, 16)), low = hex(text.substr(19, 16)),
             span = hex(text.substr(36, 16)), flags = hex(text.substr(53, 2));
  if (!version || !high || !low || !span || !flags || (*high == 0 && *low == 0) || *span == 0)
    return std::nullopt;
  return TraceParent{{*high, *low}, *span, (*flags & 1) != 0};
}

FrameTrace::FrameTrace(std::shared_ptr<TraceExporter> exporter, const stream::Message& message,
                       const TraceParent* parent, int64_t received_ns)
    : exporter_(std::move(exporter)),
      id_(parent ? parent->trace : TraceId{random_id(), random_id()}),
      root_(random_id()),
      parent_(parent ? parent->span : 0),
      tracestate_(parent && message.trace->tracestate.size() <= most_tracestate ? message.trace->tracestate
                                                                                : std::string()),
      unix_offset_ns_(wall_now_us() * 1000 - steady_now_ns()),
      queued_ns_(received_ns) {
  spans_.reserve(16);
  Span& frame = spans_.emplace_back(
      Span{.name = "frame", .id = root_, .parent = parent_, .begin_ns = received_ns, .end_ns = received_ns});
  frame.attributes = {{"source.id", message.source_id},
                      {"frame.epoch", std::to_string(message.epoch)},
                      {"frame.seq", std::to_string(message.seq)}};
  if (message.frame) frame.attributes.emplace_back("frame.uuid", stream::to_string(message.frame->uuid));
}

FrameTrace::~FrameTrace() {
  Span& frame = spans_.front();
  // Until the last of its parts: sinks that nobody waits for may store it after it has been settled.
  for (const Span& span : spans_)
    if (!span.trace) frame.end_ns = std::max(frame.end_ns, span.end_ns);
  exporter_->take({.id = id_,
                   .tracestate = tracestate_,
                   .unix_offset_ns = unix_offset_ns_,
                   .spans = std::move(spans_),
                   .left_out = left_out_});
}

stream::TraceContext FrameTrace::context() const {
  return {std::format("00-{:016x}{:016x}-{:016x}-01", id_.high, id_.low, root_), tracestate_};
}

void FrameTrace::add(std::string name, int64_t begin_ns, int64_t end_ns, std::string_view error) {
  add(Span{.name = std::move(name),
           .id = random_id(),
           .parent = root_,
           .begin_ns = begin_ns,
           .end_ns = end_ns,
           .error = std::string(error)});
}

void FrameTrace::add(Span span) {
  const std::scoped_lock lock(mutex_);
  if (spans_.size() < most_spans)
    spans_.push_back(std::move(span));
  else
    ++left_out_;
}

void FrameTrace::settled(std::string_view reason, int64_t now_ns) {
  const std::scoped_lock lock(mutex_);
  Span& frame = spans_.front();
  frame.end_ns = std::max(frame.end_ns, now_ns);
  frame.error = reason;
  frame.attributes.emplace_back("frame.outcome", reason.empty() ? "stored" : "dropped");
}

ElementTrace::ElementTrace(TraceRef trace, std::string_view element, int64_t now_ns)
    : trace_(std::move(trace)), element_(element), id_(random_id()), begin_ns_(now_ns) {}

void ElementTrace::ran(const SampleTimes& times) {
  const TraceId batch{times.batch_id[0], times.batch_id[1]};
  const std::vector<std::pair<std::string, std::string>> attributes = {
      {"model", std::string(times.model)}, {"batch.size", std::to_string(times.batch_size)}};
  const std::string error = times.has_failed ? "the model has failed" : "";
  trace_->add(Span{.name = "batch.wait",
                   .id = random_id(),
                   .parent = id_,
                   .begin_ns = times.submitted_ns,
                   .end_ns = times.begun_ns});
  trace_->add(Span{.name = "inference",
                   .id = random_id(),
                   .parent = id_,
                   .begin_ns = times.begun_ns,
                   .end_ns = times.ended_ns,
                   .error = error,
                   .attributes = attributes,
                   .link = SpanLink{batch, times.batch_id[2]}});
  if (!times.is_first) return;
  // The batch belongs to all of its frames, so to the trace of none.
  trace_->add(Span{.name = "batch",
                   .id = times.batch_id[2],
                   .begin_ns = times.begun_ns,
                   .end_ns = times.ended_ns,
                   .error = error,
                   .attributes = attributes,
                   .trace = batch});
}

void ElementTrace::left(int64_t now_ns, std::string_view error) {
  trace_->add(Span{.name = "element." + element_,
                   .id = id_,
                   .parent = trace_->frame_span(),
                   .begin_ns = begin_ns_,
                   .end_ns = now_ns,
                   .error = std::string(error)});
}

TraceRef Tracer::begin(const stream::Message& message, int64_t received_ns) {
  if (message.trace)
    if (const auto parent = parse_traceparent(message.trace->traceparent)) {
      if (!parent->is_sampled) return nullptr;
      return std::make_shared<FrameTrace>(exporter_, message, &*parent, received_ns);
    }
  if (sample_ == 0 || frames_.fetch_add(1, std::memory_order_relaxed) % sample_ != 0) return nullptr;
  return std::make_shared<FrameTrace>(exporter_, message, nullptr, received_ns);
}

}  // namespace sightglass::module
