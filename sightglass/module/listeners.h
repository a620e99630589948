// Callbacks that come and go while they are called. add() gives a Subscription; when that goes, no callback
// of it runs any more (it waits for one under way, so it must not go from inside its own callback).
// Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "sightglass/module/module.h"

namespace sightglass::module {

template <class Arg>
class Listeners {
 public:
  using Callback = std::function<void(const Arg&)>;

  std::unique_ptr<Subscription> add(Callback callback) {
    const std::unique_lock lock(state_->mutex);
    state_->callbacks.push_back(std::move(callback));
    ++state_->count;
    return std::make_unique<Entry>(state_, std::prev(state_->callbacks.end()));
  }
  void call(const Arg& arg) const {
    if (!state_->count) return;
    const std::shared_lock lock(state_->mutex);
    for (const auto& callback : state_->callbacks) callback(arg);
  }

 private:
  struct State {
    std::shared_mutex mutex;
    std::list<Callback> callbacks;
    std::atomic<size_t> count{0};
  };
  class Entry final : public Subscription {
   public:
    Entry(std::shared_ptr<State> state, std::list<Callback>::iterator place)
        : state_(std::move(state)), place_(place) {}
    ~Entry() override {
      const std::unique_lock lock(state_->mutex);
      state_->callbacks.erase(place_);
      --state_->count;
    }

   private:
    const std::shared_ptr<State> state_;
    const std::list<Callback>::iterator place_;
  };
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace sightglass::module
