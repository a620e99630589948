// Code of the user's that a module calls: a shared object (sightglass/function.h), Python in a process of its
// own, or Python in this one. Here all three look the same: UserCode is what has been loaded, UserObject one
// object of it for one stream, a Call one call with what goes there and comes back. What becomes of a frame
// whose call went wrong is decided above (sightglass/module/function.h).
//
//   auto code = open_code({.language = "python", .path = "/etc/gate/report.py", .symbol = "Report"});
//   auto object = (*code)->create("cam-1");
//   Call call{.hook = Hook::process, .frame = &frame, .facts = &facts};
//   if (Outcome outcome = (*object)->call(call); outcome.fault != Fault::none) …
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass::function {

// A stream, as start() is told of it.
struct StreamInfo {
  std::string source_id, codec;
  int64_t epoch = 0;
  int width = 0, height = 0;
  Fraction framerate{0, 1};
};

// Facts of a frame that are not in Frame.
struct FrameFacts {
  bool keyframe = false;
  int64_t seq = 0;
  Time pts = no_time;  // ns, of the message
  uint64_t param_revision = 0;
  double queue_fill = 0;  // 0..1 of the stream's queue
};

// Numbers are those of the worker's protocol: only ever added to.
enum class Hook : uint8_t { load, start, process, apply, stop, accept, region, prepare, draw, map };
std::string_view to_string(Hook hook);

struct Call {
  Hook hook = Hook::process;
  // process, accept, region, draw: the frame, its picture in system memory. prepare: the cut picture,
  // replaced by the one that is to be used. Regions, attributes and tags are changed by process and draw only
  // when the call ends well.
  Frame* frame = nullptr;
  const FrameFacts* facts = nullptr;   // null: none are known
  const StreamInfo* stream = nullptr;  // start
  int region = -1;                     // region, prepare: index among the regions of the frame
  bool writes_pixels = false;          // the picture may be changed
  std::string_view text;  // start, apply: parameters as a JSON object; stop: the reason; map: the record

  Verdict verdict = Verdict::pass;  // process
  bool accepted = true;             // accept
  Box box;                          // region
  std::string answer;               // map: the record as JSON; empty: leave it out
};

enum class Fault : uint8_t {
  none,
  error,        // the code threw, or said that it failed
  timeout,      // it took too long and was ended
  crash,        // its process died or spoke nonsense
  unavailable,  // its process is being started again, or is held up by another stream
};
struct Outcome {
  Fault fault = Fault::none;
  std::string message;  // one line: "ValueError: no such class (report.py:12)"
  Time took = 0;        // ns in the user's code; 0 where it did not run
};

// Used by one thread at a time. A start that fails has been followed by stop() when it returns; otherwise the
// caller sends stop, the destructor does not.
class UserObject {
 public:
  virtual ~UserObject() = default;
  virtual Outcome call(Call& call) = 0;
};

// Thread-safe. Kept as long as any of its objects.
class UserCode {
 public:
  virtual ~UserCode() = default;
  virtual bool has(Hook hook) const = 0;
  virtual bool wants_pixels() const = 0;   // otherwise it is given frames without a picture
  virtual bool writes_pixels() const = 0;  // it says that it changes them
  virtual Result<std::unique_ptr<UserObject>> create(std::string_view source_id) = 0;
  virtual uint64_t restarts() const { return 0; }  // of its processes
};

struct CodeOptions {
  std::string language = "python";    // python, cpp
  std::string path;                   // a file; Python: also the name of a module ("gate.report")
  std::string symbol;                 // Python: class or function; cpp: the entry point, empty: the usual one
  std::string args = "{}";            // JSON object
  std::string isolation = "process";  // Python: process, inline
  unsigned workers = 1;
  std::string element, folder;  // folder: the workers' and that relative paths start from; empty: the current
  Time budget = 50'000'000;     // ns, of one call
  Time kill_after = 1'000'000'000;    // ns that a worker has for one call
  Time start_limit = 30'000'000'000;  // ns that a worker has to start and load the code, and for start()
  bool is_reload = false;             // the file has been loaded before and has changed
  std::vector<std::string> worker;    // command of the worker, for tests; empty: Python
};
// Loads it: a missing file or symbol, another version of the interface, a Python error at import are errors
// here. A reload leaves what has been loaded before as it is.
Result<std::shared_ptr<UserCode>> open_code(const CodeOptions& options);

// The Python that workers are started with; empty: python3 as the environment finds it. A program that is
// Python itself sets its own interpreter.
void set_worker_python(std::string program);
std::string worker_python();
// The folder that the package `sightglass` beside this library lies in; empty: there is none.
std::string python_package_folder();

// The kinds of code; open_code() chooses.
using OpenCode = Result<std::shared_ptr<UserCode>> (*)(const CodeOptions& options);
Result<std::shared_ptr<UserCode>> open_shared_object(const CodeOptions& options);
Result<std::shared_ptr<UserCode>> open_workers(const CodeOptions& options);
// How the module `python-decoders`, which links CPython, says that it can run functions in this process.
struct InlinePython {
  explicit InlinePython(OpenCode open);
};

}  // namespace sightglass::function
