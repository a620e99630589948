#include "sightglass/elements/tensor_postproc_human_pose/openpose.h"

#include <algorithm>
#include <cmath>

namespace sightglass {
namespace {

// Along a line between two points: so many samples, of which this share has to agree at all.
constexpr int line_samples = 10;
constexpr float least_agreement = 0.05f;
constexpr int least_agreeing = 8;

// Where a parabola through three neighbours has its top, -0.5..0.5 from the middle one.
float top(float before, float at, float after) {
  const float bend = before - 2 * at + after;
  return bend < 0 ? std::clamp(0.5f * (before - after) / bend, -.5f, .5f) : 0;
}

}  // namespace

std::span<const PoseLink> openpose_links() {
  static constexpr PoseLink links[] = {{1, 2, 12, 13},   {1, 5, 20, 21},  {2, 3, 14, 15},   {3, 4, 16, 17},
                                       {5, 6, 22, 23},   {6, 7, 24, 25},  {1, 8, 0, 1},     {8, 9, 2, 3},
                                       {9, 10, 4, 5},    {1, 11, 6, 7},   {11, 12, 8, 9},   {12, 13, 10, 11},
                                       {1, 0, 28, 29},   {0, 14, 30, 31}, {14, 16, 34, 35}, {0, 15, 32, 33},
                                       {15, 17, 36, 37}, {2, 16, 18, 19}, {5, 17, 26, 27}};
  return links;
}

void OpenPose::find_peaks(const Maps& maps, const Options& options) {
  peaks_.clear();
  first_peak_.clear();
  const int64_t w = maps.width, h = maps.height;
  for (size_t k = 0; k < options.points; ++k) {
    first_peak_.push_back(peaks_.size());
    const float* map = maps.heat.data() + int64_t(k) * w * h;
    const auto at = [&](int64_t x, int64_t y) {
      return map[std::clamp<int64_t>(y, 0, h - 1) * w + std::clamp<int64_t>(x, 0, w - 1)];
    };
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x) {
        const float value = map[y * w + x];
        if (!(value >= options.threshold) || !std::isfinite(value)) continue;
        // Of a plateau only the first cell is a peak.
        bool peak = true;
        for (int64_t dy = -1; dy <= 1 && peak; ++dy)
          for (int64_t dx = -1; dx <= 1 && peak; ++dx) {
            if ((dx == 0 && dy == 0) || x + dx < 0 || x + dx >= w || y + dy < 0 || y + dy >= h) continue;
            const float other = at(x + dx, y + dy);
            peak = dy < 0 || (dy == 0 && dx < 0) ? value > other : value >= other;
          }
        if (!peak || peaks_.size() - first_peak_.back() >= most_peaks) continue;
        peaks_.push_back({float(x) + top(at(x - 1, y), value, at(x + 1, y)),
                          float(y) + top(at(x, y - 1), value, at(x, y + 1)), std::min(value, 1.f)});
      }
  }
  first_peak_.push_back(peaks_.size());
}

// All pairs of ends that the field agrees with, best first.
void OpenPose::find_pairs(const Maps& maps, const PoseLink& link) {
  pairs_.clear();
  const int64_t w = maps.width, cells = maps.width * maps.height;
  const float *field_x = maps.fields.data() + link.x * cells, *field_y = maps.fields.data() + link.y * cells;
  for (size_t a = first_peak_[link.from]; a < first_peak_[link.from + 1u]; ++a)
    for (size_t b = first_peak_[link.to]; b < first_peak_[link.to + 1u]; ++b) {
      const Peak &from = peaks_[a], &to = peaks_[b];
      const float dx = to.x - from.x, dy = to.y - from.y, length = std::hypot(dx, dy);
      if (length < 1e-3f) continue;
      float sum = 0;
      int agreeing = 0;
      for (int i = 0; i < line_samples; ++i) {
        const float part = float(i) / (line_samples - 1);
        const int64_t x = std::clamp<int64_t>(std::lround(from.x + part * dx), 0, w - 1),
                      y = std::clamp<int64_t>(std::lround(from.y + part * dy), 0, maps.height - 1);
        const float agreement = (field_x[y * w + x] * dx + field_y[y * w + x] * dy) / length;
        if (agreement > least_agreement) sum += agreement, ++agreeing;
      }
      // A link longer than half the map counts less.
      const float penalty = std::min(0.f, 0.5f * float(maps.height) / length - 1);
      if (agreeing >= least_agreeing && sum / float(agreeing) + penalty > 0)
        pairs_.push_back({int32_t(a), int32_t(b), sum / float(agreeing) + penalty});
    }
  std::ranges::sort(pairs_, [](const Pair& a, const Pair& b) {
    return a.score != b.score ? a.score > b.score : std::pair(a.from, a.to) < std::pair(b.from, b.to);
  });
}

void OpenPose::connect(const PoseLink& link, const Pair& pair, size_t points, bool may_begin) {
  const auto member = [&](Person& person, size_t point) -> int32_t& {
    return members_[person.first + point];
  };
  Person *of_from = nullptr, *of_to = nullptr;
  for (Person& person : persons_) {
    if (person.count == 0) continue;  // has gone into another
    if (member(person, link.from) == pair.from) of_from = &person;
    if (member(person, link.to) == pair.to) of_to = &person;
  }
  if (!of_from && !of_to) {
    if (!may_begin || persons_.size() >= most_persons) return;
    Person& person = persons_.emplace_back(Person{members_.size(), 2});
    members_.insert(members_.end(), points, -1);
    member(person, link.from) = pair.from;
    member(person, link.to) = pair.to;
  } else if (of_from && !of_to) {
    if (member(*of_from, link.to) < 0) member(*of_from, link.to) = pair.to, ++of_from->count;
  } else if (of_to && !of_from) {
    if (member(*of_to, link.from) < 0) member(*of_to, link.from) = pair.from, ++of_to->count;
  } else if (of_from != of_to) {
    for (size_t k = 0; k < points; ++k)
      if (member(*of_from, k) >= 0 && member(*of_to, k) >= 0) return;  // two persons after all
    for (size_t k = 0; k < points; ++k)
      if (member(*of_to, k) >= 0) member(*of_from, k) = member(*of_to, k);
    of_from->count += of_to->count;
    of_to->count = 0;
    std::fill_n(members_.begin() + ptrdiff_t(of_to->first), points, -1);
  }
}

void OpenPose::group(const Maps& maps, const Options& options) {
  persons_.clear();
  members_.clear();
  for (size_t i = 0; i < options.links.size(); ++i) {
    const PoseLink& link = options.links[i];
    find_pairs(maps, link);
    taken_.assign(peaks_.size(), false);
    for (const Pair& pair : pairs_) {
      if (taken_[size_t(pair.from)] || taken_[size_t(pair.to)]) continue;
      taken_[size_t(pair.from)] = taken_[size_t(pair.to)] = true;
      connect(link, pair, options.points, i + options.closing < options.links.size());
    }
  }
}

}  // namespace sightglass
