#include "sightglass/elements/object_analytics/zone_counter.h"

#include <algorithm>
#include <cmath>

namespace sightglass {
namespace {

bool is_inside(std::span<const ZonePoint> polygon, ZonePoint p) {
  bool inside = false;
  for (size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++) {
    const ZonePoint &a = polygon[i], &b = polygon[j];
    if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x) inside = !inside;
  }
  return inside;
}

float distance2(ZonePoint a, ZonePoint b, ZonePoint p) {
  const float dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
  const float t =
      length2 > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length2, 0.0f, 1.0f) : 0.0f;
  const float ex = p.x - a.x - t * dx, ey = p.y - a.y - t * dy;
  return ex * ex + ey * ey;
}

bool is_near_border(std::span<const ZonePoint> polygon, ZonePoint p, float band) {
  for (size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++)
    if (distance2(polygon[j], polygon[i], p) < band * band) return true;
  return false;
}

// Pixels from the line through both points, positive on the right of who looks from the first to the second.
float side(ZonePoint from, ZonePoint to, ZonePoint p) {
  const float dx = to.x - from.x, dy = to.y - from.y, length = std::hypot(dx, dy);
  return length > 0 ? (dx * (p.y - from.y) - dy * (p.x - from.x)) / length : 0;
}

// Whether the way from a to b, which are on different sides, passes between both ends of the line.
bool passes_between(ZonePoint from, ZonePoint to, ZonePoint a, ZonePoint b) {
  const float before = side(from, to, a), after = side(from, to, b), t = before / (before - after);
  const ZonePoint hit{a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)};
  const float dx = to.x - from.x, dy = to.y - from.y;
  const float along = (hit.x - from.x) * dx + (hit.y - from.y) * dy;
  return along >= 0 && along <= dx * dx + dy * dy;
}

bool is_in_parts(const ZoneShape& shape) {
  return std::ranges::all_of(shape.points,
                             [](ZonePoint p) { return p.x >= 0 && p.x <= 1 && p.y >= 0 && p.y <= 1; });
}

}  // namespace

ZoneCounter::ZoneCounter(const ZoneOptions& options) { change(options); }

void ZoneCounter::change(const ZoneOptions& options) {
  std::vector<Zone> zones(options.zones.size());
  std::vector<Line> lines(options.lines.size());
  // Where a shape was before; its state goes along.
  std::vector<size_t> old_zone(zones.size(), SIZE_MAX), old_line(lines.size(), SIZE_MAX);
  const auto carry = [](const auto& before, const auto& after, auto& old, auto& from, auto& to) {
    for (size_t i = 0; i < after.size(); ++i) {
      const auto found = std::ranges::find(before, after[i]);
      if (found == before.end()) continue;
      old[i] = size_t(found - before.begin());
      to[i].count = from[old[i]].count;
    }
  };
  carry(options_.zones, options.zones, old_zone, zones_, zones);
  carry(options_.lines, options.lines, old_line, lines_, lines);
  for (Track& track : tracks_) {
    std::vector<InZone> in(zones.size());
    std::vector<AtLine> at(lines.size());
    for (size_t i = 0; i < in.size(); ++i)
      if (old_zone[i] != SIZE_MAX) in[i] = track.zones[old_zone[i]];
    for (size_t i = 0; i < at.size(); ++i)
      if (old_line[i] != SIZE_MAX) at[i] = track.lines[old_line[i]];
    track.zones = std::move(in);
    track.lines = std::move(at);
  }
  spare_.clear();
  options_ = options;
  zones_ = std::move(zones);
  lines_ = std::move(lines);
  untracked_.assign(zones_.size(), 0);
  resize(width_, height_);
}

void ZoneCounter::resize(float width, float height) {
  width_ = std::max(width, 1.0f), height_ = std::max(height, 1.0f);
  const auto scaled = [&](const ZoneShape& shape, float x, float y) {
    std::vector<ZonePoint> points = shape.points;
    for (ZonePoint& point : points) point = {point.x * x, point.y * y};
    return points;
  };
  const auto in_pixels = [&](const ZoneShape& shape) {
    return is_in_parts(shape) ? scaled(shape, width_, height_) : shape.points;
  };
  const auto in_parts = [&](const ZoneShape& shape) {
    return is_in_parts(shape) ? shape.points : scaled(shape, 1 / width_, 1 / height_);
  };
  for (size_t i = 0; i < zones_.size(); ++i) {
    zones_[i].points = in_pixels(options_.zones[i]);
    zones_[i].unit = in_parts(options_.zones[i]);
  }
  for (size_t i = 0; i < lines_.size(); ++i) {
    const auto points = in_pixels(options_.lines[i]);
    if (points.size() >= 2) lines_[i].from = points[0], lines_[i].to = points[1];
    lines_[i].unit = in_parts(options_.lines[i]);
  }
}

void ZoneCounter::forgive(Time unseen) {
  for (Track& track : tracks_) track.seen += unseen;
}

void ZoneCounter::reset() {
  events_.clear();
  for (Track& track : tracks_) spare_.push_back(std::move(track));
  tracks_.clear();
  for (Zone& zone : zones_) zone.count.present = 0;
  std::ranges::fill(untracked_, 0u);
}

ZoneCounter::Track* ZoneCounter::find(int64_t id) {
  const auto found = std::ranges::lower_bound(tracks_, id, {}, &Track::id);
  return found != tracks_.end() && found->id == id ? &*found : nullptr;
}

ZoneCounter::Track& ZoneCounter::begin(int64_t id, ZonePoint at) {
  Track track;
  if (!spare_.empty()) {
    track = std::move(spare_.back());
    spare_.pop_back();
  }
  track.id = id;
  track.at = at;
  track.frames = 0;
  track.zones.assign(zones_.size(), {});
  track.lines.assign(lines_.size(), {});
  return *tracks_.insert(std::ranges::lower_bound(tracks_, id, {}, &Track::id), std::move(track));
}

bool ZoneCounter::counts(const Track& track) const {
  return !options_.confirmed_only || track.frames >= frames_to_confirm;
}

std::span<const ZoneEvent> ZoneCounter::update(std::span<const Seen> seen, Time now) {
  events_.clear();
  for (size_t i = 0; i < zones_.size(); ++i) {
    zones_[i].count.present -= std::min(zones_[i].count.present, untracked_[i]);
    untracked_[i] = 0;
  }
  for (const Seen& object : seen) {
    if (!(std::isfinite(object.at.x) && std::isfinite(object.at.y))) continue;
    if (object.track == 0) {
      if (options_.confirmed_only) continue;
      for (size_t i = 0; i < zones_.size(); ++i)
        if (is_inside(zones_[i].points, object.at)) ++zones_[i].count.present, ++untracked_[i];
      continue;
    }
    Track* known = find(object.track);
    Track& track = known ? *known : begin(object.track, object.at);
    if (track.frames < frames_to_confirm) ++track.frames;
    track.seen = now;
    move_through_zones(track, object.at, now);
    move_across_lines(track, object.at);
    track.at = object.at;
  }
  for (size_t i = 0; i < tracks_.size();) {
    Track& track = tracks_[i];
    if (now - track.seen <= time_to_forget) {
      ++i;
      continue;
    }
    leave_all(track);
    spare_.push_back(std::move(track));
    tracks_.erase(tracks_.begin() + ptrdiff_t(i));
  }
  return events_;
}

void ZoneCounter::move_through_zones(Track& track, ZonePoint to, Time now) {
  for (size_t i = 0; i < zones_.size(); ++i) {
    Zone& zone = zones_[i];
    InZone& state = track.zones[i];
    const bool inside = is_inside(zone.points, to);
    // Where it appears there is nothing that could tremble yet.
    const bool changes = inside != state.inside &&
                         (track.frames <= 1 || !is_near_border(zone.points, to, options_.hysteresis));
    if (changes) {
      state.inside = inside;
      if (inside) state.since = now;
      if (!inside && state.counted) {
        state.counted = false;
        --zone.count.present;
        ++zone.count.left;
        events_.push_back({ZoneEvent::Kind::leave, i, track.id, now - state.since});
      }
    }
    if (state.inside && !state.counted && now - state.since >= options_.min_dwell && counts(track)) {
      state.counted = true;
      ++zone.count.present;
      ++zone.count.entered;
      events_.push_back({ZoneEvent::Kind::enter, i, track.id, now - state.since});
    }
  }
}

void ZoneCounter::move_across_lines(Track& track, ZonePoint to) {
  for (size_t i = 0; i < lines_.size(); ++i) {
    Line& line = lines_[i];
    AtLine& state = track.lines[i];
    const float before = side(line.from, line.to, track.at), after = side(line.from, line.to, to);
    if (state.settled == 0) state.settled = before >= 0 ? 1 : -1;  // where it appeared
    if ((before >= 0) != (after >= 0) && passes_between(line.from, line.to, track.at, to))
      state.crossed = !state.crossed;
    if (std::abs(after) < options_.hysteresis) continue;
    const int8_t now_on = after >= 0 ? 1 : -1;
    if (!counts(track)) continue;
    if (now_on != state.settled && state.crossed) {
      const bool forward = now_on > 0;
      ++(forward ? line.count.forward : line.count.backward);
      events_.push_back(
          {forward ? ZoneEvent::Kind::cross_forward : ZoneEvent::Kind::cross_backward, i, track.id, 0});
    }
    state.settled = now_on;
    state.crossed = false;
  }
}

void ZoneCounter::leave_all(Track& track) {
  for (size_t i = 0; i < zones_.size(); ++i) {
    if (!track.zones[i].counted) continue;
    --zones_[i].count.present;
    ++zones_[i].count.left;
    events_.push_back({ZoneEvent::Kind::leave, i, track.id, track.seen - track.zones[i].since});
  }
}

Time ZoneCounter::dwell(int64_t track, size_t zone) const {
  const auto found = std::ranges::lower_bound(tracks_, track, {}, &Track::id);
  if (found == tracks_.end() || found->id != track || !found->zones[zone].counted) return -1;
  return found->seen - found->zones[zone].since;
}

}  // namespace sightglass
