#include "sightglass/cli/signals.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <thread>
#include <utility>

namespace sightglass::cli {
namespace {

// What a handler may touch.
std::atomic<int> wakeup = -1;

void on_signal(int number) {
  const uint64_t one = 1;
  (void)!write(wakeup.load(), &one, sizeof one);
  std::signal(number, SIG_DFL);
}

}  // namespace

struct StopOnSignal::State {
  std::stop_source stop;
  std::function<void()> on_stop;
  int event = eventfd(0, EFD_CLOEXEC);
  std::atomic<bool> ends = false;
  std::thread waiter;
};

StopOnSignal::StopOnSignal(std::function<void()> on_stop) : state_(std::make_unique<State>()) {
  state_->on_stop = std::move(on_stop);
  wakeup = state_->event;
  state_->waiter = std::thread([state = state_.get()] {
    uint64_t count = 0;
    if (read(state->event, &count, sizeof count) < 0 || state->ends) return;
    state->stop.request_stop();
    if (state->on_stop) state->on_stop();
  });
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

StopOnSignal::~StopOnSignal() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  state_->ends = true;
  const uint64_t one = 1;
  (void)!write(state_->event, &one, sizeof one);
  state_->waiter.join();
  close(state_->event);
}

std::stop_token StopOnSignal::token() const { return state_->stop.get_token(); }

}  // namespace sightglass::cli
