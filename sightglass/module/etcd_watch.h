// Mirrors what an etcd server holds below a prefix, for as long as it lives. Never read on the way of frames.
//
//   EtcdWatch watch({.urls = {"http://127.0.0.1:2379"}, .prefix = "/sightglass/gate/"},
//                   [&](const EtcdWatch::Values& values) { … });   // all of them, after each change
//
// A watch that is silent may be dead: every `check_every` the revision is asked for again, and what differs
// is read anew, so the values equal the store within seconds whatever has happened to the connection
// (restart, compaction, lost watch, black hole). While the server cannot be reached the last values hold.
//
// The callback comes on a thread of the watch, changes of 50 ms together. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::module {

class EtcdWatch {
 public:
  using Values = std::map<std::string, std::string, std::less<>>;  // key without the prefix → value
  struct Options {
    std::vector<std::string> urls;  // of one cluster, tried in turn
    std::string prefix;
    std::chrono::milliseconds check_every{2000}, timeout{2000};
  };
  // `on_values` says whether it is done with them: false, and they are given again at the next check.
  EtcdWatch(Options options, std::function<bool(const Values&)> on_values);
  ~EtcdWatch();
  EtcdWatch(const EtcdWatch&) = delete;
  EtcdWatch& operator=(const EtcdWatch&) = delete;

  // Once, within `timeout` in all.
  static Result<Values> read(const Options& options);

  bool is_current() const;  // the values equalled the store at the last check
  std::string last_error() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::module
