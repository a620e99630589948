// Runs a decoder on a thread of its own, so that one that never returns holds nobody up.
//
// The first call that takes longer than the budget is given up: it is interrupted where that is possible, and
// left to itself with everything that it holds, since a thread cannot be ended from outside. The decoder is
// not called again. One element uses one, from one thread; the hand-over costs some 10 µs per frame.
#pragma once

#include <chrono>
#include <memory>

#include "sightglass/elements/tensor_postproc_user/user_decoder.h"

namespace sightglass {

class WatchedDecoder {
 public:
  // No budget (0): calls are made by the caller's thread.
  WatchedDecoder(std::unique_ptr<UserDecoder> decoder, std::chrono::milliseconds budget);
  ~WatchedDecoder();
  WatchedDecoder(const WatchedDecoder&) = delete;

  enum class Outcome { done, too_slow };
  // Fills `results` when done. The input may be used after the call has been given up.
  Result<Outcome> decode(DecoderInput input, DecoderResults& results);

 private:
  struct Shared;
  std::unique_ptr<UserDecoder> own_;  // without a budget
  std::shared_ptr<Shared> shared_;    // else; also held by the thread
  const std::chrono::milliseconds budget_;
};

}  // namespace sightglass
