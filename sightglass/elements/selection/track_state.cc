#include "sightglass/elements/selection/track_state.h"

#include <algorithm>

namespace sightglass {
namespace {

constexpr std::string_view names[] = {"none", "tentative", "confirmed", "lost"};

}  // namespace

std::string_view to_string(TrackState state) { return names[size_t(state)]; }

TrackState track_state(const Region& region) {
  if (region.attributes)
    for (const Attribute& attribute : region.attributes->items())
      if (attribute.model.view() == track_model && attribute.name.view() == track_state_name)
        for (const TrackState state : {TrackState::tentative, TrackState::confirmed, TrackState::lost})
          if (attribute.text == to_string(state)) return state;
  return region.track != 0 ? TrackState::confirmed : TrackState::none;
}

void TrackAges::see(const Frame& frame) {
  ++frame_;
  for (const Region& region : frame.regions) {
    if (region.track == 0) continue;
    auto entry = std::ranges::lower_bound(entries_, region.track, {}, &Entry::track);
    if (entry != entries_.end() && entry->track == region.track) {
      entry->last = frame_;
    } else {
      if (entries_.size() >= max_tracks) {
        entries_.erase(std::ranges::min_element(entries_, {}, &Entry::last));
        entry = std::ranges::lower_bound(entries_, region.track, {}, &Entry::track);
      }
      entries_.insert(entry, {region.track, frame_, frame_});
    }
  }
  if (frame_ % 64 == 0)
    std::erase_if(entries_,
                  [this](const Entry& entry) { return frame_ - entry.last > frames_until_forgotten; });
}

std::optional<int64_t> TrackAges::age(int64_t track) const {
  const auto entry = std::ranges::lower_bound(entries_, track, {}, &Entry::track);
  if (entry == entries_.end() || entry->track != track) return std::nullopt;
  return int64_t(frame_ - entry->first);
}

}  // namespace sightglass
