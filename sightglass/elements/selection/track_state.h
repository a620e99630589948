// What is known of an object's track: its state, and since when it is there.
//
// A tracker that is told to write states (write-states of object_track) says where they differ from what
// the number says, in an attribute of the model "track", named "state", of kind text: "tentative" for an
// object that has no number yet, "lost" for one that was not detected on this frame and stands at its
// predicted place.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass {

enum class TrackState : uint8_t { none, tentative, confirmed, lost };
std::string_view to_string(TrackState state);

inline constexpr const char* track_model = "track";
inline constexpr const char* track_state_name = "state";

// As the attribute says; without one confirmed where there is a number, else none.
TrackState track_state(const Region& region);

// Counts for how many frames each track has been seen here. One thread; no allocation once warm.
class TrackAges {
 public:
  static constexpr uint64_t frames_until_forgotten = 300;
  static constexpr size_t max_tracks = 4096;

  void see(const Frame& frame);  // once per frame
  // Frames since the first one with this track, 0 on that; none: it was not seen.
  std::optional<int64_t> age(int64_t track) const;
  void clear() { entries_.clear(); }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    int64_t track;
    uint64_t first, last;
  };
  std::vector<Entry> entries_;  // by track
  uint64_t frame_ = 0;
};

}  // namespace sightglass
