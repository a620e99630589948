// Counts what moves through zones and across lines: the rules of object_analytics, without frames and
// elements.
//
//   ZoneCounter counter({.zones = {{"door", {{0.1f, 0.2f}, {0.4f, 0.2f}, {0.4f, 0.9f}}}},
//                        .lines = {{"gate", {{0, 300}, {768, 300}}}}});
//   counter.resize(768, 576);
//   for (const ZoneEvent& event : counter.update(seen, now)) …
//   counter.zone(0).present; counter.line(0).forward;
//
// A zone is a polygon, a line is one segment with a direction: who goes from its left side to its right side
// (looking from the first point to the second) crosses it forward, the other way is backward. An object is
// one point; around every border lies a band of `hysteresis` pixels to either side in which nothing changes,
// so that a box that trembles on the border counts once. Only what passes through the segment itself crosses
// it, going round its end does not.
//
// An object counts in a zone when it has been inside for `min_dwell`. A track that was not seen for two
// seconds has left, and its state is freed. With `confirmed_only` a track counts from the third frame on in
// which it is seen; what it did before counts then. Times are nanoseconds and never run backwards.
//
// Not thread-safe. No allocation once warm.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass {

struct ZonePoint {
  float x = 0, y = 0;
  bool operator==(const ZonePoint&) const = default;
};

// A polygon of three points or more, or a line of two. Coordinates are pixels; if none is greater than 1 and
// none negative, parts of the picture.
struct ZoneShape {
  std::string name;
  std::vector<ZonePoint> points;
  bool operator==(const ZoneShape&) const = default;
};

struct ZoneOptions {
  std::vector<ZoneShape> zones, lines;
  float hysteresis = 4;  // pixels
  Time min_dwell = 0;
  bool confirmed_only = true;
};

struct ZoneEvent {
  enum class Kind : uint8_t { enter, leave, cross_forward, cross_backward };
  Kind kind = Kind::enter;
  size_t shape = 0;  // index of the zone or the line
  int64_t track = 0;
  Time dwell = 0;  // of leave: how long it was inside
};

class ZoneCounter {
 public:
  // An object in a frame, in pixels. Untracked ones (track 0) are only present, and only if unconfirmed ones
  // count.
  struct Seen {
    int64_t track = 0;
    ZonePoint at;
  };
  struct ZoneCount {
    unsigned present = 0;  // now
    uint64_t entered = 0, left = 0;
    bool operator==(const ZoneCount&) const = default;
  };
  struct LineCount {
    uint64_t forward = 0, backward = 0;
    bool operator==(const LineCount&) const = default;
  };

  static constexpr Time time_to_forget = 2'000'000'000;
  static constexpr unsigned frames_to_confirm = 3;

  explicit ZoneCounter(const ZoneOptions& options);

  // Of the picture, in pixels. Counts and tracks stay.
  void resize(float width, float height);
  // Other shapes or rules while running: counts of shapes that keep their name and points stay.
  void change(const ZoneOptions& options);
  // One frame. The events are valid until the next call.
  std::span<const ZoneEvent> update(std::span<const Seen> seen, Time now);
  // For so long nobody has looked: that a track was not seen in that time does not mean that it has left.
  void forgive(Time unseen);
  void reset();  // forgets the tracks; what has been counted stays

  size_t zone_count() const { return zones_.size(); }
  size_t line_count() const { return lines_.size(); }
  const ZoneCount& zone(size_t index) const { return zones_[index].count; }
  const LineCount& line(size_t index) const { return lines_[index].count; }
  const ZoneShape& zone_shape(size_t index) const { return options_.zones[index]; }
  const ZoneShape& line_shape(size_t index) const { return options_.lines[index]; }
  // The points in parts of the picture.
  std::span<const ZonePoint> zone_outline(size_t index) const { return zones_[index].unit; }
  std::span<const ZonePoint> line_outline(size_t index) const { return lines_[index].unit; }

  // How long a track has been counted in a zone; negative: it is not in it.
  Time dwell(int64_t track, size_t zone) const;
  size_t tracks() const { return tracks_.size(); }

 private:
  struct Zone {
    std::vector<ZonePoint> points, unit;  // pixels; parts
    ZoneCount count;
  };
  struct Line {
    ZonePoint from, to;
    std::vector<ZonePoint> unit;
    LineCount count;
  };
  struct InZone {
    bool inside = false, counted = false;
    Time since = 0;
  };
  struct AtLine {
    int8_t settled = 0;    // side on which it appeared or was last beyond the band: -1 left, 1 right
    bool crossed = false;  // has passed through the segment an odd number of times since
  };
  struct Track {
    int64_t id = 0;
    ZonePoint at;
    unsigned frames = 0;
    Time seen = 0;
    std::vector<InZone> zones;
    std::vector<AtLine> lines;
  };

  Track* find(int64_t id);
  Track& begin(int64_t id, ZonePoint at);
  void move_through_zones(Track& track, ZonePoint to, Time now);
  void move_across_lines(Track& track, ZonePoint to);
  void leave_all(Track& track);
  bool counts(const Track& track) const;

  ZoneOptions options_;
  float width_ = 1, height_ = 1;
  std::vector<Zone> zones_;
  std::vector<Line> lines_;
  std::vector<Track> tracks_;  // by id
  std::vector<Track> spare_;   // memory for the next ones
  std::vector<ZoneEvent> events_;
  std::vector<unsigned> untracked_;  // by zone, present in this frame
};

}  // namespace sightglass
