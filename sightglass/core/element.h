// The four kinds of element. An element is one operation on frames and knows nothing of what runs it: a
// GStreamer pipeline, the flow runtime, a Python loop. It never starts threads, keeps state for one stream
// only, and is called by one thread at a time, in this order:
//
//   create(params) → start() → transform_format()* → configure() → process()/gap()* → drain() → stop()
//
// configure() comes again when the format changes. What takes long (loading a model, opening a file) belongs
// into start(). Once warm, process() neither allocates, locks, logs nor formats text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/frame.h"
#include "sightglass/core/param.h"
#include "sightglass/core/result.h"

namespace sightglass {

enum class Direction : uint8_t { input, output };

class Element {
 public:
  virtual ~Element() = default;
  virtual Status start() { return {}; }
  virtual void stop() {}
  // What the user should know though it is no error, a line each, given once. Asked for after start(),
  // configure(), update() and stop().
  virtual std::vector<std::string> take_warnings() { return {}; }
  // A parameter that the element sets itself (ParamDesc::is_readable_only). From any thread.
  virtual Result<ParamValue> value(std::string_view name) const {
    return fail(ErrorCode::not_found, "no value {} to read", name);
  }
  // Live parameters have changed. Called between two frames.
  virtual void update(const ParamSet&) {}
  // From another thread: whatever a read(), process() or write() waits for is given up, and that call and
  // later ones return an error, until flush() or stop(), one of which follows.
  virtual void cancel() {}
  // The format is agreed. For sources `input`, for sinks `output` is empty.
  virtual Status configure(const Format& input, const Format& output) {
    (void)input, (void)output;
    return {};
  }
};

// Where a Transform puts what it makes; belongs to the runtime. Valid during the call only.
class Output {
 public:
  virtual ~Output() = default;
  // Gives `frame` fresh writable memory of the output format: `tensors` (and `video`) are set, the rest is
  // left as it is. The memory lies where the next element wants it.
  virtual Status allocate(Frame& frame) = 0;
  // Sends a frame on. Its memory is shared, its metadata copied; the caller may reuse the object.
  virtual Status push(const Frame& frame) = 0;
  virtual Status gap(const Gap& gap) = 0;
};

// Makes new frames, any number for each one that comes in.
class Transform : public Element {
 public:
  // What is possible on the other side, given what is possible on the side `from`; the runtime intersects it
  // with what the neighbours can do.
  virtual std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const = 0;
  // Where upstream should write the input, so that it needs no copy; null: anywhere. Asked after configure().
  virtual Ref<MemoryPool> input_pool() { return nullptr; }

  virtual Status process(const Frame& frame, Output& output) = 0;
  // Frames that came together, as batch_create collects them; one after the other unless it is overridden.
  virtual Status process_list(std::span<const Frame> frames, Output& output) {
    for (const Frame& frame : frames)
      if (Status status = process(frame, output); !status) return status;
    return {};
  }
  virtual Status gap(const Gap& gap, Output& output) { return output.gap(gap); }
  virtual Status drain(Output&) { return {}; }  // end of the stream: send what is held back
  virtual void flush() {}                       // forget what is held back
};

// What becomes of a frame after an in-place element has seen it.
enum class Verdict : uint8_t { pass, drop, gap };  // gap: replaced by a Gap

// Changes metadata, or pixels where the descriptor says so, and makes no frames of its own.
class TransformInplace : public Element {
 public:
  virtual Result<Verdict> process(Frame& frame) = 0;
  virtual void gap(const Gap&) {}
  virtual Status drain() { return {}; }
  virtual void flush() {}
};

class Source : public Element {
 public:
  // What it can deliver, fixed formats, best first; asked after start(). configure() then says as `output`
  // which one is wanted.
  virtual Result<std::vector<Format>> formats() = 0;
  // Fills `frame`; false at the end. May block. Where frame.video differs from the format so far, the format
  // has changed with this frame.
  virtual Result<bool> read(Frame& frame, Output& memory) = 0;
};

class Sink : public Element {
 public:
  virtual Status write(const Frame& frame) = 0;
  virtual Status drain() { return {}; }  // everything written must be durable
};

enum class ElementKind : uint8_t { source, transform, transform_inplace, sink };

// All there is to know about a kind of element; everything else is derived from it.
struct ElementDesc {
  std::string name;   // as in a pipeline: lower case, words joined by '_'
  std::string title;  // two to five words
  std::string klass;  // GStreamer's classification: "Filter/Analyzer/Video"
  std::string doc;    // what it does, in a sentence or a few
  ElementKind kind = ElementKind::transform;
  std::vector<FormatSpec> input, output;  // for in-place elements both are `input`
  bool writes_pixels = false;             // in-place elements: the picture is changed, not only metadata
  bool reads_results = true;              // false: regions and attributes are passed by, unread
  bool serves_all_streams = false;        // one instance for all: it writes to one place, or counts them all
  ParamTable params;
  Result<std::unique_ptr<Element>> (*create)(const ParamSet& params) = nullptr;
};

}  // namespace sightglass
