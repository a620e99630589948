#include "sightglass/cli/flow_runner.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace sightglass::cli {
namespace {

volatile std::sig_atomic_t pending_signal = 0;

// The handlers of before come back with its end.
class Signals {
 public:
  Signals() {
    pending_signal = 0;
    before_[0] = std::signal(SIGINT, keep);
    before_[1] = std::signal(SIGTERM, keep);
  }
  ~Signals() {
    std::signal(SIGINT, before_[0]);
    std::signal(SIGTERM, before_[1]);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  static void keep(int signal) {
    if (pending_signal) std::_Exit(128 + signal);
    pending_signal = signal;
  }
  using Handler = void (*)(int);
  Handler before_[2];
};

uint64_t frames_of_sources(const Flow& flow) {
  uint64_t frames = 0;
  for (const auto& node : flow.stats())
    if (node.frames_in == 0) frames += node.frames_out;
  return frames;
}

}  // namespace

FlowOutcome run_flow(Flow& flow, Progress& progress, uint64_t wanted_frames) {
  using Clock = std::chrono::steady_clock;
  FlowOutcome outcome;
  const Signals signals;
  const auto start = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  outcome.status = flow.start();
  if (outcome.status) {
    while (flow.running()) {
      for (const auto& line : flow.take_warnings()) progress.note("warning: " + line);
      if (pending_signal && !outcome.signal) {
        outcome.signal = pending_signal;
        flow.finish();
      }
      outcome.frames = frames_of_sources(flow);
      progress.update({.position = seconds(),
                       .frames = outcome.frames,
                       .wanted_frames = wanted_frames,
                       .fps = double(outcome.frames) / std::max(seconds(), 1e-3)});
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    outcome.status = flow.wait();
  }
  outcome.seconds = seconds();
  outcome.frames = frames_of_sources(flow);
  progress.clear();
  for (const auto& line : flow.take_warnings()) progress.note("warning: " + line);
  if (!outcome.status) progress.note("error: " + outcome.status.error().to_string());
  return outcome;
}

}  // namespace sightglass::cli
