#include "sightglass/flow/run_state.h"

#include <utility>

namespace sightglass::flow {

std::unexpected<Error> RunState::stop(Error error) {
  {
    std::lock_guard lock(mutex_);
    if (status_) status_ = std::unexpected(std::move(error));
  }
  stopping_.store(true, std::memory_order_release);
  if (wake) wake();
  return fail(ErrorCode::cancelled, "the flow has stopped");
}

std::unexpected<Error> RunState::stop(std::string_view element, Error error, uint64_t stream) {
  if (stopping()) return fail(ErrorCode::cancelled, "the flow has stopped");
  if (error.element.empty()) error.element = element;
  if (error.stream.empty() && stream != 0) error.stream = std::to_string(stream);
  return stop(std::move(error));
}

Status RunState::first_error() const {
  std::lock_guard lock(mutex_);
  return status_;
}

void RunState::warn(std::string_view element, const std::vector<std::string>& lines) {
  std::lock_guard lock(mutex_);
  for (const auto& line : lines) warnings_.push_back(std::string(element) + ": " + line);
}

std::vector<std::string> RunState::take_warnings() {
  std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

}  // namespace sightglass::flow
