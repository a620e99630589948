// For tests of live sources: a source at work on a thread of its own, and what it has delivered.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/adapter.h"

namespace sightglass::adapters {

// Keeps what comes; can be made to take nothing, or to take its time.
class Collected final : public Deliver {
 public:
  bool deliver(stream::Delivery delivery) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !is_blocked_ || is_closed_; });
    changed_.wait_for(lock, takes_, [&] { return is_closed_; });
    if (is_closed_) return false;
    all_.push_back(std::move(delivery));
    return true;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }

  void block(bool blocked) {
    const std::lock_guard lock(mutex_);
    is_blocked_ = blocked;
    changed_.notify_all();
  }
  void take_time(std::chrono::milliseconds each) {
    const std::lock_guard lock(mutex_);
    takes_ = each;
  }
  void close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    changed_.notify_all();
  }
  std::vector<stream::Delivery> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }
  size_t count(stream::Kind kind) const {
    const std::lock_guard lock(mutex_);
    return size_t(std::ranges::count(all_, kind, [](const auto& each) { return each.message->kind; }));
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool is_blocked_ = false, is_closed_ = false;
  std::chrono::milliseconds takes_{0};
  std::vector<stream::Delivery> all_;
};

using Settings = std::vector<std::pair<std::string, std::string>>;

inline Result<std::unique_ptr<Source>> make_source(std::string_view type, const Settings& settings) {
  const SourceDesc* desc = find_source(type);
  if (!desc) return fail(ErrorCode::not_found, "there is no source {}", type);
  ParamSet params(desc->params);
  for (const auto& [key, value] : settings)
    if (Status set = params.set_text(key, value); !set) return forward_error(set);
  return desc->create(params, {.name = std::string(type)});
}

class RunningSource {
 public:
  RunningSource(std::string_view type, const Settings& settings) {
    auto made = make_source(type, settings);
    if (!made) throw std::runtime_error(made.error().message);  // which fails the test
    source = std::move(*made);
    EXPECT_TRUE(source->start());
    thread_ = std::jthread([this](const std::stop_token& stop) {
      const Status ended = source->run(out, stop);
      EXPECT_TRUE(ended) << ended.error().message;
      has_ended = true;
    });
  }
  ~RunningSource() {
    thread_.request_stop();
    out.close();
  }
  SourceStatus status() const { return source->status().at(0); }
  size_t frames() const { return out.count(stream::Kind::frame); }
  // Seconds until it holds; negative: it does not within a minute.
  static double wait(const std::function<bool()>& holds) {
    using namespace std::chrono;
    const auto begin = steady_clock::now();
    while (!holds()) {
      if (steady_clock::now() - begin > minutes(1)) return -1;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return duration<double>(steady_clock::now() - begin).count();
  }
  bool reaches_frames(size_t count) const {
    return wait([&] { return frames() >= count; }) >= 0;
  }
  double wait_for(SourceState state) const {
    return wait([&] { return status().state == state; });
  }

  Collected out;
  std::unique_ptr<Source> source;
  std::atomic<bool> has_ended = false;

 private:
  std::jthread thread_;
};

}  // namespace sightglass::adapters
