// Callbacks that come and go while they are called, also from inside a callback. add() gives a Subscription;
// when that goes, no callback of it runs any more: it waits for one under way, but for its own when it goes
// from inside it. Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/module/module.h"

namespace sightglass::module {

template <class Arg>
class Listeners {
 public:
  using Callback = std::function<void(const Arg&)>;

  std::unique_ptr<Subscription> add(Callback callback) {
    auto listener = std::make_shared<Listener>(std::move(callback));
    const std::scoped_lock lock(state_->mutex);
    auto more = std::make_shared<List>(*state_->list);
    more->push_back(listener);
    state_->list = std::move(more);
    ++state_->count;
    return std::make_unique<Entry>(state_, std::move(listener));
  }
  void call(const Arg& arg) const {
    if (!state_->count) return;
    std::shared_ptr<const List> list;  // as it is now; nothing is locked while they run
    {
      const std::scoped_lock lock(state_->mutex);
      list = state_->list;
    }
    for (const auto& listener : *list) listener->call(arg);
  }

 private:
  class Listener {
   public:
    explicit Listener(Callback callback) : callback_(std::move(callback)) {}
    void call(const Arg& arg) {
      {
        const std::scoped_lock lock(mutex_);
        if (has_gone_) return;
        callers_.push_back(std::this_thread::get_id());
      }
      const Running running(*this);
      callback_(arg);
    }
    void go() {
      std::unique_lock lock(mutex_);
      has_gone_ = true;
      const auto own = std::this_thread::get_id();
      returned_.wait(lock, [&] { return std::ranges::all_of(callers_, [&](auto id) { return id == own; }); });
      if (callers_.empty()) std::exchange(callback_, nullptr);
    }

   private:
    struct Running {
      explicit Running(Listener& listener) : listener_(listener) {}
      ~Running() {
        const std::scoped_lock lock(listener_.mutex_);
        listener_.callers_.erase(std::ranges::find(listener_.callers_, std::this_thread::get_id()));
        listener_.returned_.notify_all();
      }
      Listener& listener_;
    };
    Callback callback_;
    std::mutex mutex_;
    std::condition_variable returned_;
    std::vector<std::thread::id> callers_;
    bool has_gone_ = false;
  };
  using List = std::vector<std::shared_ptr<Listener>>;
  struct State {
    std::mutex mutex;
    std::shared_ptr<const List> list = std::make_shared<List>();
    std::atomic<size_t> count{0};
  };
  class Entry final : public Subscription {
   public:
    Entry(std::shared_ptr<State> state, std::shared_ptr<Listener> listener)
        : state_(std::move(state)), listener_(std::move(listener)) {}
    ~Entry() override {
      {
        const std::scoped_lock lock(state_->mutex);
        auto fewer = std::make_shared<List>(*state_->list);
        std::erase(*fewer, listener_);
        state_->list = std::move(fewer);
        --state_->count;
      }
      listener_->go();
    }

   private:
    const std::shared_ptr<State> state_;
    const std::shared_ptr<Listener> listener_;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace sightglass::module
