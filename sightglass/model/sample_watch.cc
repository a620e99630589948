#include "sightglass/model/sample_watch.h"

#include <random>

namespace sightglass {
namespace {

thread_local std::weak_ptr<SampleWatch> watch_of_thread;
// Not the weak pointer itself: to ask that costs an atomic access.
thread_local bool is_watched = false;

}  // namespace

void watch_samples(const std::shared_ptr<SampleWatch>& watch) {
  if (!watch && !is_watched) return;
  watch_of_thread = watch;
  is_watched = watch != nullptr;
}

std::shared_ptr<SampleWatch> sample_watch() { return is_watched ? watch_of_thread.lock() : nullptr; }

uint64_t random_id() {
  thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  for (;;)
    if (const uint64_t id = random()) return id;
}

}  // namespace sightglass
