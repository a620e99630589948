// The way of single frames through the module, as spans: one frame of so many, or those whose sender asks for
// it in Message.trace.
//
//   frame ─┬─ receive, queue, decode
//          ├─ element.NAME ─┬─ batch.wait
//          │                └─ inference      linked to the span of its batch, which samples of other frames
//          share ├─ encode └─ sink.NAME
//
//   if (auto trace = tracer.begin(message, received_ns)) …   // null: this one is not followed
//   trace->add("decode", pushed_ns, decoded_ns);             // from any thread
//
// A trace is finished, and given to the exporter, when the last who works on its frame lets go of it. Frames
// that are not followed cost an increment, and nothing at all in a module without
// `telemetry.traces.otlp_url`.
//
// Thread-safe. All times are ns of the steady clock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/model/sample_watch.h"
#include "sightglass/stream/messages.h"

namespace sightglass::module {

struct TraceId {
  uint64_t high = 0, low = 0;
  bool operator==(const TraceId&) const = default;
};
struct SpanLink {
  TraceId trace;
  uint64_t span = 0;
};
struct Span {
  std::string name;
  uint64_t id = 0, parent = 0;  // parent 0: none
  int64_t begin_ns = 0, end_ns = 0;
  std::string error;  // empty: it went well
  std::vector<std::pair<std::string, std::string>> attributes;
  std::optional<SpanLink> link;
  std::optional<TraceId> trace;  // none: that of the frame
};
struct FinishedTrace {
  TraceId id;
  std::string tracestate;
  int64_t unix_offset_ns = 0;  // what is added to its times to have them since 1970
  std::vector<Span> spans;     // the frame's first
  uint64_t left_out = 0;       // spans beyond the limit
};

// Where finished traces go. take() is called on whatever thread was last, and does not wait.
class TraceExporter {
 public:
  virtual ~TraceExporter() = default;
  virtual void take(FinishedTrace trace) = 0;
};

// A W3C traceparent; none: it is not valid.
struct TraceParent {
  TraceId trace;
  uint64_t span = 0;
  bool is_sampled = false;
};
std::optional<TraceParent> parse_traceparent(std::string_view text);

class FrameTrace : public std::enable_shared_from_this<FrameTrace> {
 public:
  static constexpr size_t most_spans = 256;

  FrameTrace(std::shared_ptr<TraceExporter> exporter, const stream::Message& message,
             const TraceParent* parent, int64_t received_ns);
  ~FrameTrace();
  FrameTrace(const FrameTrace&) = delete;
  FrameTrace& operator=(const FrameTrace&) = delete;

  // What goes on with the frame to the next module.
  stream::TraceContext context() const;
  uint64_t frame_span() const { return root_; }

  void add(std::string name, int64_t begin_ns, int64_t end_ns, std::string_view error = {});
  void add(Span span);
  void queued(int64_t now_ns) { queued_ns_.store(now_ns, std::memory_order_relaxed); }
  int64_t queued_ns() const { return queued_ns_.load(std::memory_order_relaxed); }
  // What has become of the frame; empty: stored.
  void settled(std::string_view reason, int64_t now_ns);

 private:
  const std::shared_ptr<TraceExporter> exporter_;
  const TraceId id_;
  const uint64_t root_, parent_;
  const std::string tracestate_;
  const int64_t unix_offset_ns_;
  std::atomic<int64_t> queued_ns_;
  std::mutex mutex_;
  std::vector<Span> spans_;
  uint64_t left_out_ = 0;
};
using TraceRef = std::shared_ptr<FrameTrace>;

// A frame in an element: its samples tell how they wait and run.
class ElementTrace final : public SampleWatch {
 public:
  ElementTrace(TraceRef trace, std::string_view element, int64_t now_ns);
  void ran(const SampleTimes& times) override;
  void left(int64_t now_ns, std::string_view error = {});

 private:
  const TraceRef trace_;
  const std::string element_;
  const uint64_t id_;
  const int64_t begin_ns_;
};

// Chooses the frames.
class Tracer {
 public:
  // One frame of `sample`; 0: only those whose sender asks.
  Tracer(std::shared_ptr<TraceExporter> exporter, unsigned sample)
      : exporter_(std::move(exporter)), sample_(sample) {}
  // Null: this one is not followed.
  TraceRef begin(const stream::Message& message, int64_t received_ns);

 private:
  const std::shared_ptr<TraceExporter> exporter_;
  const unsigned sample_;
  std::atomic<uint64_t> frames_{0};
};

}  // namespace sightglass::module
