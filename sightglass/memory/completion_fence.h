// A fence that a worker thread opens: with success once its result is written, or with the error that every
// waiter gets.
//
//   auto done = make_ref<CompletionFence>();
//   block->set_fence(done);
//   worker.post([block, done] { write(block->data()) ? done->set_ready() : done->set_error(…); });
//
// Thread-safe but for reset(). Whoever opens the fence holds a reference meanwhile. A fence that is never
// opened blocks for ever.
#pragma once

#include <atomic>
#include <utility>

#include "sightglass/core/memory.h"

namespace sightglass {

class CompletionFence : public Fence {
 public:
  // The first call counts, later ones change nothing. What the caller wrote before is seen by those who
  // waited.
  void set_ready() { open(succeeded, {}); }
  void set_error(Error error) { open(failed, std::move(error)); }

  bool ready() const override { return state_.load(std::memory_order_acquire) >= succeeded; }
  Status wait() override;

  // Closes the fence again, so that it serves the next piece of work without a new allocation. For its owner
  // only, and only while nobody else holds it: `if (fence->unique()) fence->reset();`.
  void reset();

 private:
  enum State : int { pending, opening, succeeded, failed };
  void open(State state, Error error);

  std::atomic<int> state_{pending};  // an int, since that is what the operating system can wait for
  Error error_;                      // written while opening, read when failed
};

}  // namespace sightglass
