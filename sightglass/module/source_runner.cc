#include "sightglass/module/source_runner.h"

#include <chrono>
#include <exception>
#include <utility>

#include "sightglass/core/left_behind.h"

namespace sightglass::module {

namespace {
constexpr auto time_to_give_up = std::chrono::seconds(2);

// On a thread of the runner's own nobody is there to catch what an adapter throws.
template <class Call>
Status caught(Call&& call) {
  try {
    return call();
  } catch (const std::exception& thrown) {
    return fail(ErrorCode::internal, "{}", thrown.what());
  }
}

}  // namespace

SourceRunner::SourceRunner(std::string name, std::unique_ptr<adapters::Source> source,
                           std::unique_ptr<adapters::Deliver> ingress, std::function<void()> ended)
    : name_(std::move(name)) {
  state_->source = std::move(source);
  state_->ingress = std::move(ingress);
  state_->ended = std::move(ended);
}

SourceRunner::~SourceRunner() {
  request_stop();
  (void)join(steady_now_ns() + 2'000'000'000);
}

Status SourceRunner::start() {
  const auto cancelled = [&] { return fail(ErrorCode::cancelled, "{}: stopped while it started", name_); };
  std::unique_lock lock(state_->mutex);
  if (state_->is_cancelled) return cancelled();
  // On a thread of its own, which can be left behind: it may ask servers and names that never answer.
  thread_ = std::jthread([state = state_] {
    auto started = caught([&] { return state->source->start(); });
    const std::scoped_lock inner(state->mutex);
    state->started = std::move(started);
    state->changed.notify_all();
  });
  state_->changed.wait(lock, [&] { return state_->started || state_->is_cancelled; });
  if (!state_->changed.wait_for(lock, time_to_give_up, [&] { return state_->started.has_value(); })) {
    leave_behind();
    return cancelled();
  }
  auto started = *std::move(state_->started);
  const bool is_cancelled = state_->is_cancelled;
  lock.unlock();
  thread_.join();
  if (is_cancelled) return cancelled();
  if (!started && started.error().element.empty()) started.error().element = name_;
  return started;
}

void SourceRunner::cancel() {
  {
    const std::scoped_lock lock(state_->mutex);
    if (std::exchange(state_->is_cancelled, true)) return;
    state_->changed.notify_all();
  }
  state_->source->cancel();
}

void SourceRunner::run() {
  thread_ = std::jthread([state = state_](std::stop_token stop) {
    auto status = caught([&] { return state->source->run(*state->ingress, stop); });
    if (!status && status.error().code == ErrorCode::cancelled) status = {};
    std::function<void()> ended;
    {
      const std::scoped_lock lock(state->mutex);
      state->status = std::move(status);
      state->has_ended = true;
      ended = std::move(state->ended);
      state->changed.notify_all();
    }
    if (ended) ended();
  });
}

bool SourceRunner::join(int64_t deadline_ns) {
  if (!thread_.joinable()) return true;
  {
    std::unique_lock lock(state_->mutex);
    const auto wait = std::chrono::nanoseconds(std::max<int64_t>(deadline_ns - steady_now_ns(), 0));
    if (!state_->changed.wait_for(lock, wait, [&] { return state_->has_ended.load(); })) {
      state_->ended = nullptr;
      lock.unlock();
      leave_behind();
      return false;
    }
  }
  thread_.join();
  return true;
}

void SourceRunner::leave_behind() {
  thread_.detach();
  is_left_behind_ = true;
  note_thread_left_behind();
}

Status SourceRunner::status() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->status;
}

}  // namespace sightglass::module
