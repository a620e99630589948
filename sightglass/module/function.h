// User functions: a piece of the user's code in a module, in C++ (a shared object with one versioned C entry
// point) or Python (in a process of its own, or inline). One FunctionElement per element of the module, one
// FunctionStream per stream and element.
//
// What a function does wrong stays within its frame: exceptions and errors are caught, the frame gets the tag
// "error.<element>" and goes the way of `on_error`; too many open the breaker; a worker that hangs or dies is
// started again while frames pass. No call waits longer than 20 times the budget, but for inline code, which
// nothing can end (hang_seconds() tells).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/function/user_code.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

class ParameterSet;

using function::FrameFacts;
using function::StreamInfo;

class FunctionStream {  // used by one thread at a time
 public:
  virtual ~FunctionStream() = default;
  // `frame` has its picture in system memory (video, tensors), regions and attributes, which may be changed;
  // the pixels too where `writes_pixels` was asked for. Verdict::drop by the function itself or on_error. An
  // error: on_error says stream or module (element set, code `cancelled` for module).
  virtual Result<Verdict> process(Frame& frame, const FrameFacts& facts) = 0;
  // Hook region: the box that a model is to see of the object with this index, in place of what `box` says.
  virtual Result<Verdict> region(Frame& frame, size_t index, const FrameFacts& facts, Box& box) = 0;
  virtual void apply(std::shared_ptr<const ParameterSet> parameters) = 0;  // at a frame boundary
  virtual void stop(std::string_view reason) = 0;                          // also when start has failed
};

struct FunctionCounters {
  uint64_t frames = 0, errors = 0, overruns = 0, restarts = 0, dropped = 0;
  uint64_t skipped = 0;  // passed by: breaker open, worker away or held up by another stream
  double seconds = 0;
  bool is_open = false;     // breaker
  double hang_seconds = 0;  // of the inline call under way
  std::string last_error;
};

class FunctionElement {  // thread-safe
 public:
  virtual ~FunctionElement() = default;
  virtual Result<std::unique_ptr<FunctionStream>> open_stream(
      const StreamInfo& info, std::shared_ptr<const ParameterSet> parameters) = 0;
  virtual FunctionCounters counters() const = 0;
  virtual bool has(function::Hook hook) const = 0;
  // What the code says of itself: whether frames need their picture, and whether it is changed.
  virtual bool wants_pixels() const = 0;
  virtual bool writes_pixels() const = 0;
};

struct FunctionOptions {
  std::string element, folder;  // folder: that relative paths start from
  // What process() of the stream calls: process; draw, whose frame's picture is drawn into; prepare, whose
  // frame is the picture that a model is to see, with the object, if there is one, as its only region. Code
  // that has a draw and no process is drawn with in either case; region is called by region() only.
  function::Hook hook = function::Hook::process;
  bool development = false;             // watch the file, swap changed code at a frame boundary
  bool writes_pixels = false;           // the pictures may be written to, where the code asks for it
  std::vector<std::string> parameters;  // names of those that start() and apply() are given
  OnError on_error = OnError::pass;
  Time budget = 50'000'000, hang_limit = 30'000'000'000;  // hang_limit: also of a worker's start
  BreakerSpec breaker;
};
// Loads it: a missing file or symbol, another version of the interface, a Python error at import are errors
// here.
Result<std::unique_ptr<FunctionElement>> load_function(const FunctionSpec& function,
                                                       const FunctionOptions& options);

// Hooks outside of any stream's pipeline, one call each: accept(frame) → bool, map(record) → record as JSON.
// An error says what went wrong; what becomes of the frame or the record is the caller's. Both are
// thread-safe, and one call runs at a time.
class AcceptFunction {
 public:
  virtual ~AcceptFunction() = default;
  virtual Result<bool> accept(const Frame& frame, const StreamInfo& info) = 0;
};
Result<std::unique_ptr<AcceptFunction>> load_accept(const FunctionSpec& function,
                                                    const FunctionOptions& options);
class MapFunction {
 public:
  virtual ~MapFunction() = default;
  // Replaces the JSON of a record; empty: leave the record out.
  virtual Status map(std::string& json) = 0;
};
Result<std::unique_ptr<MapFunction>> load_map(const FunctionSpec& function, const FunctionOptions& options);
}  // namespace sightglass::module
