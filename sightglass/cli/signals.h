// SIGINT and SIGTERM as a stop_token, for commands that work until they are told to end. One at a time, made
// before other threads where possible; a second signal ends the process as it would without this.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

namespace sightglass::cli {

class StopOnSignal {
 public:
  // `on_stop` is called on a thread of this object.
  explicit StopOnSignal(std::function<void()> on_stop = {});
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  std::stop_token token() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Libraries of brokers and stores write to connections that the other end has closed: an error of that write,
// no reason to die. For commands that go on for long; what prints for a pipe ends with it, as others do.
void ignore_closed_connections();

}  // namespace sightglass::cli
