#include "sightglass/elements/tensor_postproc_user/watched_decoder.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "sightglass/core/left_behind.h"

namespace sightglass {

struct WatchedDecoder::Shared {
  enum class State { idle, waiting, running, finished, given_up, ended };

  void run() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return state != State::idle && state != State::finished; });
      if (state != State::waiting) return;
      state = State::running;
      lock.unlock();
      DecoderResults made;
      Status outcome = decoder->decode(input, made);
      lock.lock();
      input = {};
      if (state != State::running) return;  // given up meanwhile
      results = std::move(made);
      status = std::move(outcome);
      state = State::finished;
      changed.notify_all();
    }
  }

  std::unique_ptr<UserDecoder> decoder;
  std::thread thread;
  std::mutex mutex;
  std::condition_variable changed;
  State state = State::idle;  // the rest is the thread's while it is running, else guarded
  DecoderInput input;
  DecoderResults results;
  Status status;
};

WatchedDecoder::WatchedDecoder(std::unique_ptr<UserDecoder> decoder, std::chrono::milliseconds budget)
    : budget_(budget) {
  if (budget.count() == 0) {
    own_ = std::move(decoder);
    return;
  }
  shared_ = std::make_shared<Shared>();
  shared_->decoder = std::move(decoder);
  shared_->thread = std::thread([shared = shared_] { shared->run(); });
}

WatchedDecoder::~WatchedDecoder() {
  if (!shared_) return;
  {
    std::lock_guard lock(shared_->mutex);
    if (shared_->state == Shared::State::given_up) {
      shared_->thread.detach();
      note_thread_left_behind();
      return;
    }
    shared_->state = Shared::State::ended;
    shared_->changed.notify_all();
  }
  shared_->thread.join();
}

Result<WatchedDecoder::Outcome> WatchedDecoder::decode(DecoderInput input, DecoderResults& results) {
  if (own_) {
    if (auto status = own_->decode(input, results); !status) return forward_error(status);
    return Outcome::done;
  }
  std::unique_lock lock(shared_->mutex);
  if (shared_->state == Shared::State::given_up) return Outcome::too_slow;
  shared_->input = std::move(input);
  shared_->state = Shared::State::waiting;
  shared_->changed.notify_all();
  const bool in_time =
      shared_->changed.wait_for(lock, budget_, [&] { return shared_->state == Shared::State::finished; });
  if (!in_time) {
    shared_->state = Shared::State::given_up;
    lock.unlock();
    shared_->decoder->interrupt();
    return Outcome::too_slow;
  }
  shared_->state = Shared::State::idle;
  results = std::move(shared_->results);
  if (!shared_->status) return std::unexpected(shared_->status.error());
  return Outcome::done;
}

}  // namespace sightglass
