#include "sightglass/memory/completion_fence.h"

namespace sightglass {

void CompletionFence::open(State state, Error error) {
  int expected = pending;
  if (!state_.compare_exchange_strong(expected, opening, std::memory_order_relaxed)) return;
  error_ = std::move(error);
  state_.store(state, std::memory_order_release);
  state_.notify_all();
}

Status CompletionFence::wait() {
  int state = state_.load(std::memory_order_acquire);
  while (state < succeeded) {
    state_.wait(state, std::memory_order_relaxed);
    state = state_.load(std::memory_order_acquire);
  }
  if (state == failed) return std::unexpected(error_);
  return {};
}

void CompletionFence::reset() {
  error_ = {};
  state_.store(pending, std::memory_order_relaxed);
}

}  // namespace sightglass
