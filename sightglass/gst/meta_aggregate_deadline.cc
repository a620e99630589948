// What waits for the clock where frames of a live pipeline go on without results that are late (max_wait).
#include <pthread.h>

#include <utility>

#include "sightglass/gst/meta_aggregate_join.h"

namespace sightglass::gst {

// When the first frame that waits goes on as it is, by the pipeline's clock.
std::optional<GstClockTime> FrameJoin::due() {
  const Item* first = is_playing_ && is_live_ ? first_frame() : nullptr;
  if (!first || first->is_late || !first->time || *first->time < 0) return std::nullopt;
  return gst_element_get_base_time(element_) + GstClockTime(*first->time + latency_ + options_.max_wait);
}

// Frames become due in their order, so that a new one at the head is no reason to wake up.
void FrameJoin::watch() {
  pthread_setname_np(pthread_self(), "sg-join");
  Lock lock(mutex_);
  while (started_) {
    if (is_playing_ && !knows_latency_ && frames_ > 0) ask_for_latency(lock);
    const auto time = due();
    auto* clock = time ? gst_element_get_clock(element_) : nullptr;
    if (!clock) {
      awaits_frame_ = is_playing_ && (is_live_ || !knows_latency_);
      if (started_) changed_.wait(lock);
      awaits_frame_ = false;
      continue;
    }
    waits_for_ = gst_clock_new_single_shot_id(clock, *time);
    gst_object_unref(clock);
    lock.unlock();
    const GstClockReturn woken = gst_clock_id_wait(waits_for_, nullptr);
    lock.lock();
    gst_clock_id_unref(std::exchange(waits_for_, nullptr));
    if (woken == GST_CLOCK_UNSCHEDULED) continue;
    if (const auto now = due(); !now || *now > *time) continue;
    first_frame()->is_late = true;
    send_complete(lock);
  }
}

void FrameJoin::ask_for_latency(Lock& lock) {
  lock.unlock();
  auto* query = gst_query_new_latency();
  gst_pad_query(src_, query);  // which tells set_latency()
  gst_query_unref(query);
  lock.lock();
}

void FrameJoin::set_latency(bool is_live, Time least) {
  std::lock_guard lock(mutex_);
  if (knows_latency_ && is_live == is_live_ && least == latency_) return;
  knows_latency_ = true;
  is_live_ = is_live;
  latency_ = least;
  look_again();
}

void FrameJoin::set_playing(bool playing) {
  std::lock_guard lock(mutex_);
  is_playing_ = playing;
  look_again();
}

void FrameJoin::look_again() {
  if (waits_for_) gst_clock_id_unschedule(waits_for_);
  changed_.notify_one();
}

}  // namespace sightglass::gst
