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

}  // namespace sightglass::cli
