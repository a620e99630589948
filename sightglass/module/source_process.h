// Sources in a process of their own: each on a thread of its own, into a socket that a module reads. One that
// fails, or whose reader is slow, leaves the others alone; a module that is away is waited for, for ever.
//
//   SourceProcess process(options);
//   Status added = process.add({.type = "rtsp", .properties = …, .out = "dealer+connect:tcp://module:5560"});
//   if (Status started = process.start(); !started) …
//   while (!process.wait(1s, stop) && !stop.stop_requested()) …;      // all have ended, or stop
//   SourceProcess::Outcome outcome = process.finish(30s, stop);   // EOS into every open stream, acknowledged
//
// Sources with the same `out` share its socket. status() and rejected() from any thread, the rest from one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "sightglass/adapters/into_socket.h"
#include "sightglass/module/module.h"
#include "sightglass/module/source_runner.h"

namespace sightglass::module {

class SourceProcess {
 public:
  struct Options {
    std::string name = "source";  // of the process, shown to readers
    std::string folder;           // that relative paths start from
    stream::SocketOptions socket;
    bool eos_on_stop = true;  // whether finish() ends streams that go on
  };
  struct Entry {
    std::string type, name;  // the name is for messages: "sources[2]"
    Value properties;        // keys of the type
    std::string out;         // address of the reader
  };
  struct Outcome {
    // What went wrong, a line each: sources that failed, messages that were refused or not acknowledged in
    // time.
    std::vector<std::string> failures;
    bool in_time = true;
    uint64_t frames = 0, acknowledged = 0, refused = 0, dropped = 0;
  };

  explicit SourceProcess(Options options);
  ~SourceProcess();

  // Checks all that can be checked without connecting.
  Status add(const Entry& entry);
  // `cancelled` soon after `stop` is requested, whatever the sources wait for.
  Status start(const std::stop_token& stop = {});
  // True: every source has ended by itself, or its reader cannot be sent to any more; the latter is seen when
  // `timeout` has passed.
  bool wait(std::chrono::milliseconds timeout, const std::stop_token& stop);
  // Stops what still runs, ends its streams, and waits until the readers have acknowledged everything: for
  // `timeout`, which counts from the request of `hurry` on.
  Outcome finish(std::chrono::milliseconds timeout, const std::stop_token& hurry);
  // Asks the module to end, where its readers obey that (`security.shutdown_token_file`).
  Status ask_for_shutdown(const std::string& token, std::chrono::milliseconds timeout);

  std::vector<adapters::SourceStatus> status() const;
  std::map<std::string, uint64_t> rejected() const;
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Running {
    std::unique_ptr<SourceRunner> runner;
    std::shared_ptr<adapters::SocketOutlet> outlet;
    std::stop_source stop;     // of what it delivers
    bool ends_itself = false;  // its streams go on elsewhere
  };
  Result<std::shared_ptr<adapters::SocketOutlet>> outlet_for(const std::string& address,
                                                             const std::string& name);

  const Options options_;
  std::vector<std::string> warnings_;
  std::map<std::string, std::shared_ptr<adapters::SocketOutlet>> outlets_;
  std::mutex mutex_;
  std::condition_variable_any ended_;  // a source has
  std::vector<std::unique_ptr<Running>> sources_;
};

}  // namespace sightglass::module
