// One source of a module at work: its adapter on a thread of its own, delivering into the module.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/ingress.h"

namespace sightglass::module {

class SourceRunner {
 public:
  // `ended` is called on the source's thread, unless that was left behind. `ingress` has to keep alive what
  // it uses, since such a thread may still deliver.
  SourceRunner(std::string name, std::unique_ptr<adapters::Source> source,
               std::unique_ptr<adapters::Deliver> ingress, std::function<void()> ended);
  ~SourceRunner();

  Status start();  // opens it; nothing is delivered yet
  // From any thread: start() comes back at once, with `cancelled`, if it has not yet.
  void cancel();
  void run();
  void request_stop() { thread_.request_stop(); }
  // Takes nothing more in; what has nothing to acknowledge is stopped. One that was left behind takes nothing
  // in, and another thread is in it.
  void drain() {
    if (is_left_behind_) return;
    if (!state_->source->drain()) request_stop();
  }
  adapters::Source& source() { return *state_->source; }
  // False: it does not come back; its thread was left behind.
  bool join(int64_t deadline_ns);
  bool is_left_behind() const { return is_left_behind_; }
  bool has_ended() const { return state_->has_ended; }
  Status status() const;  // the error that has ended it
  const std::string& name() const { return name_; }

 private:
  // What the thread uses, which may have to be left behind.
  struct State {
    std::unique_ptr<adapters::Source> source;
    std::unique_ptr<adapters::Deliver> ingress;
    std::function<void()> ended;
    std::atomic<bool> has_ended{false};
    bool is_cancelled = false;
    std::optional<Status> started;
    mutable std::mutex mutex;
    std::condition_variable changed;
    Status status;
  };
  void leave_behind();

  const std::string name_;
  bool is_left_behind_ = false;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
  std::jthread thread_;
};

}  // namespace sightglass::module
