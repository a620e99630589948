// Sinks in a process of their own: what other programs send goes straight into the queues of the sinks, the
// same ones that a module has, with their policies, retries, dead letters and queues on disk.
//
//   auto process = SinkProcess::open(spec);   // pipeline.source: zeromq, pipeline.sinks; no elements
//   if (Status started = (*process)->start(); !started) …
//   process->run(stop, [](const std::string& line) { … });   // until `stop`, then drains
//
// A message is acknowledged (level `processed`) when every sink that is `required` has stored it, which
// includes its queue on disk; where none is, all are. Frames that only rebuild a decoder's state are passed
// over. Sinks that are away are waited for, for ever.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "sightglass/module/module.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

class SinkProcess {
 public:
  static Result<std::unique_ptr<SinkProcess>> open(ModuleSpec spec);
  ~SinkProcess();

  Status start();
  // Until `stop`, or until every source has ended. Then takes nothing more in, and stores what is there, for
  // `drain` at most. `tell` gets a line when a sink begins to fail or works again, and
  // first of all for what an outbox could not take up. Lines that say what was
  // left: "sink events: 12 records". Called once.
  Result<std::vector<std::string>> run(const std::stop_token& stop, Time drain,
                                       const std::function<void(const std::string&)>& tell);

  std::vector<SinkStatus> status() const;      // any thread
  std::vector<std::string> addresses() const;  // of the sources, with real ports
  uint64_t received() const;

 private:
  struct State;
  explicit SinkProcess(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::module
