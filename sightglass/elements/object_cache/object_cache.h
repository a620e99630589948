// Something remembered for each tracked object, and forgotten when its track has gone.
//
// An object counts as gone when it was not seen for `max_age` frames. Frames are counted by the frames,
// regions and gaps that come by: regions of one frame share its time stamp, or, without time stamps, end with
// the one that is marked last.
//
//   cache.see(frame.source, frame.pts);                // once for everything that comes by
//   if (Counter* counter = cache.find(frame.source->object)) …
//
// One stream and one thread. A look-up is a binary search; at most `max_objects` are kept, the longest unseen
// goes first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass {

template <class T>
class ObjectCache {
 public:
  static constexpr size_t max_objects = 1024;

  explicit ObjectCache(uint64_t max_age) : max_age_(max_age) {}

  // Tells what comes by. Whole frames each count as one.
  void see(const std::optional<SourceId>& source, Time pts) {
    const bool is_region = source && source->roi;
    const Time time = is_region ? source->pts : pts;
    if (!is_region || !inside_ || time != time_) {
      ++frame_;
      if (frame_ % 64 == 0) forget_unseen();
    }
    inside_ = is_region && !source->last_roi;
    time_ = time;
    if (!is_region || source->object == 0) return;
    const auto entry = position(source->object);
    if (entry != entries_.end() && entry->object == source->object) entry->seen = frame_;
  }

  // Number of the current frame, from 1.
  uint64_t frame() const { return frame_; }
  size_t size() const { return entries_.size(); }

  T* find(int64_t object) {
    const auto entry = position(object);
    return entry != entries_.end() && entry->object == object ? &entry->value : nullptr;
  }

  // Finds it or makes a new one.
  T& operator[](int64_t object) {
    if (T* known = find(object)) return *known;
    if (entries_.size() >= max_objects) entries_.erase(std::ranges::min_element(entries_, {}, &Entry::seen));
    return entries_.insert(position(object), Entry{object, frame_, T{}})->value;
  }

  void erase(int64_t object) {
    const auto entry = position(object);
    if (entry != entries_.end() && entry->object == object) entries_.erase(entry);
  }

  void clear() {
    entries_.clear();
    inside_ = false;
  }

 private:
  struct Entry {
    int64_t object;
    uint64_t seen;
    T value;
  };

  auto position(int64_t object) { return std::ranges::lower_bound(entries_, object, {}, &Entry::object); }

  void forget_unseen() {
    std::erase_if(entries_, [this](const Entry& entry) { return frame_ - entry.seen > max_age_; });
  }

  std::vector<Entry> entries_;  // by object; new tracks have the highest ids, so they are added at the end
  uint64_t max_age_;
  uint64_t frame_ = 0;
  Time time_ = no_time;
  bool inside_ = false;  // between the first and the last region of a frame
};

}  // namespace sightglass
