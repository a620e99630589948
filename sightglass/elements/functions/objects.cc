#include "sightglass/elements/functions/objects.h"

#include <algorithm>
#include <cmath>

#include "sightglass/elements/functions/rotated_overlap.h"

namespace sightglass {
namespace {

bool is_object(const Region& region) {
  const Box& box = region.box;
  return box.w > 0 && box.h > 0 && std::isfinite(box.x + box.y + box.w + box.h) &&
         std::isfinite(box.w * box.h) && std::isfinite(region.angle) && std::isfinite(region.confidence);
}

void drop_what_is_none(std::span<const Region> regions, Chosen& chosen) {
  std::erase_if(chosen, [&](uint32_t i) { return i >= regions.size() || !is_object(regions[i]); });
}

float score(const Region& region) { return std::isnan(region.confidence) ? -INFINITY : region.confidence; }

// Ordered by score and place, which no two share, std::sort is stable in effect and needs no memory.
void sort_by_score(std::span<const Region> regions, std::span<uint32_t> chosen) {
  std::ranges::sort(chosen, [&](uint32_t a, uint32_t b) {
    return score(regions[a]) != score(regions[b]) ? score(regions[a]) > score(regions[b]) : a < b;
  });
}

template <class Overlap>
void suppress(std::span<const Region> regions, Chosen& chosen, const NmsOptions& options, Overlap overlap) {
  drop_what_is_none(regions, chosen);
  sort_by_score(regions, chosen);
  size_t kept = 0;
  for (const uint32_t index : chosen) {
    const Region& region = regions[index];
    bool dropped = false;
    for (size_t i = 0; i < kept && !dropped && options.iou_threshold < 1; ++i) {
      const Region& better = regions[chosen[i]];
      dropped = (!options.per_class || better.label == region.label) &&
                overlap(better, region) > options.iou_threshold;
    }
    if (!dropped) chosen[kept++] = index;
  }
  chosen.resize(kept);
  std::ranges::sort(chosen);
}

// Of the smaller one.
float shared_part(const Box& a, const Box& b) {
  const float w = std::min(a.right(), b.right()) - std::max(a.x, b.x);
  const float h = std::min(a.bottom(), b.bottom()) - std::max(a.y, b.y);
  const float smaller = std::min(a.area(), b.area());
  return w > 0 && h > 0 && smaller > 0 ? w * h / smaller : 0;
}

Box around(const Box& a, const Box& b) {
  const float x = std::min(a.x, b.x), y = std::min(a.y, b.y);
  return {x, y, std::max(a.right(), b.right()) - x, std::max(a.bottom(), b.bottom()) - y};
}

}  // namespace

void nms(std::span<const Region> regions, Chosen& chosen, const NmsOptions& options) {
  suppress(regions, chosen, options, [](const Region& a, const Region& b) { return iou(a.box, b.box); });
}

void nms_rotated(std::span<const Region> regions, Chosen& chosen, const NmsOptions& options,
                 PictureExtent extent) {
  if (!(extent.width > 0 && extent.height > 0)) extent = {1, 1};
  suppress(regions, chosen, options, [&](const Region& a, const Region& b) {
    return rotated_iou(a.box, a.angle, b.box, b.angle, extent.width, extent.height);
  });
}

void soft_nms(std::span<Region> regions, Chosen& chosen, const SoftNmsOptions& options) {
  drop_what_is_none(regions, chosen);
  const auto better = [&](uint32_t a, uint32_t b) {
    return score(regions[a]) != score(regions[b]) ? score(regions[a]) > score(regions[b]) : a < b;
  };
  size_t done = 0;
  for (; done < chosen.size(); ++done) {
    std::swap(chosen[done], *std::min_element(chosen.begin() + ptrdiff_t(done), chosen.end(), better));
    const Region& best = regions[chosen[done]];
    if (best.confidence < options.threshold) break;
    for (size_t i = done + 1; i < chosen.size(); ++i) {
      Region& other = regions[chosen[i]];
      if (options.per_class && !(other.label == best.label)) continue;
      const float overlap = iou(best.box, other.box);
      if (options.method == SoftNmsOptions::Method::gaussian)
        other.confidence *= std::exp(-overlap * overlap / options.sigma);
      else if (overlap > options.iou_threshold)
        other.confidence *= 1 - overlap;
    }
  }
  chosen.resize(done);
  std::ranges::sort(chosen);
}

void top_k(std::span<const Region> regions, Chosen& chosen, unsigned k, bool per_class) {
  std::erase_if(chosen, [&](uint32_t i) { return i >= regions.size(); });
  sort_by_score(regions, chosen);
  size_t kept = 0;
  for (const uint32_t index : chosen) {
    const auto same = [&](uint32_t other) {
      return !per_class || regions[other].label == regions[index].label;
    };
    if (size_t(std::count_if(chosen.begin(), chosen.begin() + ptrdiff_t(kept), same)) < k)
      chosen[kept++] = index;
    else if (!per_class)
      break;
  }
  chosen.resize(kept);
  std::ranges::sort(chosen);
}

void filter_size(std::span<const Region> regions, Chosen& chosen, const SizeLimits& limits,
                 PictureExtent extent) {
  drop_what_is_none(regions, chosen);
  const bool sized = extent.width > 0 && extent.height > 0;
  // Negative: there is no such limit, or it cannot be looked at.
  const auto limit = [&](float wanted, float pixels) {
    if (!(wanted > 0)) return -1.0f;
    return wanted <= 1 ? wanted : sized ? wanted / pixels : -1.0f;
  };
  const auto least_ok = [](float value, float least) { return least < 0 || value >= least; };
  const auto most_ok = [](float value, float most) { return most < 0 || value <= most; };
  std::erase_if(chosen, [&](uint32_t i) {
    const Box& box = regions[i].box;
    const float aspect = sized ? box.w * extent.width / (box.h * extent.height) : 0;
    const float area = extent.width * extent.height;
    const bool fits = least_ok(box.w, limit(limits.min_side, extent.width)) &&
                      least_ok(box.h, limit(limits.min_side, extent.height)) &&
                      most_ok(box.w, limit(limits.max_side, extent.width)) &&
                      most_ok(box.h, limit(limits.max_side, extent.height)) &&
                      least_ok(box.area(), limit(limits.min_area, area)) &&
                      most_ok(box.area(), limit(limits.max_area, area)) &&
                      (!sized || ((limits.min_aspect <= 0 || aspect >= limits.min_aspect) &&
                                  (limits.max_aspect <= 0 || aspect <= limits.max_aspect)));
    return !fits;
  });
}

bool TileMerger::has_tile(uint32_t region, int32_t tile) const {
  return std::ranges::any_of(
      members_, [&](const Member& member) { return member.region == region && member.tile == tile; });
}

void TileMerger::run(std::span<Region> regions, Chosen& chosen, const Options& options) {
  drop_what_is_none(regions, chosen);
  sort_by_score(regions, chosen);
  members_.clear();
  kept_.clear();
  for (const uint32_t index : chosen) members_.push_back({index, regions[index].parent});
  const auto may_be_one = [&](uint32_t a, uint32_t b) {
    if (options.per_class && !(regions[a].label == regions[b].label)) return false;
    if (!(shared_part(regions[a].box, regions[b].box) > options.threshold)) return false;
    // One tile shows an object once.
    return std::ranges::none_of(members_, [&](const Member& member) {
      return member.region == b && member.tile >= 0 && has_tile(a, member.tile);
    });
  };
  const auto unite = [&](uint32_t better, uint32_t other) {
    regions[better].box = around(regions[better].box, regions[other].box);
    regions[better].parent = -1;
    for (Member& member : members_)
      if (member.region == other) member.region = better;
  };
  for (const uint32_t index : chosen) {
    const auto found =
        std::ranges::find_if(kept_, [&](uint32_t better) { return may_be_one(better, index); });
    if (found == kept_.end())
      kept_.push_back(index);
    else
      unite(*found, index);
  }
  // A box that has grown may reach another piece.
  for (size_t i = 0; i < kept_.size(); ++i)
    for (size_t j = i + 1; j < kept_.size();) {
      if (!may_be_one(kept_[i], kept_[j])) {
        ++j;
        continue;
      }
      unite(kept_[i], kept_[j]);
      kept_.erase(kept_.begin() + ptrdiff_t(j));
      j = i + 1;
    }
  chosen.assign(kept_.begin(), kept_.end());
  std::ranges::sort(chosen);
}

void choose(const Frame& frame, Label model, Chosen& chosen) {
  chosen.clear();
  for (uint32_t i = 0; i < frame.regions.size(); ++i)
    if (model.empty() || frame.regions[i].model == model) chosen.push_back(i);
}

void keep(Frame& frame, const Chosen& before, const Chosen& after) {
  std::vector<Region>& regions = frame.regions;
  // A box that is dropped is marked by a width that no box has.
  const auto is_dropped = [](const Region& region) { return region.box.w == -INFINITY; };
  for (const uint32_t index : before)
    if (index < regions.size() && !std::ranges::binary_search(after, index)) regions[index].box.w = -INFINITY;
  for (bool changed = true; changed;) {
    changed = false;
    for (Region& region : regions) {
      if (is_dropped(region) || region.parent < 0) continue;
      const auto parent = std::ranges::find(regions, region.parent, &Region::id);
      if (parent == regions.end() || !is_dropped(*parent)) continue;
      region.box.w = -INFINITY;
      changed = true;
    }
  }
  std::erase_if(regions, is_dropped);
}

}  // namespace sightglass
