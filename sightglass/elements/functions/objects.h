// Post-processing of objects: which of them stay, and which are one. Plain functions on a list of regions.
//
//   std::vector<uint32_t> chosen = {0, 1, 2, 3};            // of frame.regions, those that take part
//   nms(frame.regions, chosen, {.iou_threshold = 0.5f});    // now those that stay
//   keep(frame, chosen_before, chosen);                     // and the others go
//
// Regions are numbers 0..1 of a picture; where pixels matter (angles, sizes) its size is an option. The order
// of `chosen` at the end is that of the regions. Of equal scores the region that stands first is the better
// one, so results are the same on every machine. What is no box (NaN, no area) or has no score that is a
// number is dropped by all but top_k. No allocation once warm; not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass {

using Chosen = std::vector<uint32_t>;  // places in a list of regions, rising

struct PictureExtent {
  float width = 0, height = 0;  // pixels; 0: not known
};

struct NmsOptions {
  float iou_threshold = 0.5f;  // a greater overlap with a better one drops; 1: nothing is dropped
  bool per_class = true;       // only objects of one label drop each other
};

// Greedy non-maximum suppression: by falling confidence, an object goes that overlaps one that stays. Boxes
// count as they are before rotation. Cost: one overlap per object and one that stays.
void nms(std::span<const Region> regions, Chosen& chosen, const NmsOptions& options);
// The same by the overlap of the turned boxes (rotated_overlap.h). Where the size is not known, the picture
// counts as square.
void nms_rotated(std::span<const Region> regions, Chosen& chosen, const NmsOptions& options,
                 PictureExtent extent = {});

struct SoftNmsOptions {
  enum class Method : uint8_t { linear, gaussian };
  Method method = Method::gaussian;
  float sigma = 0.5f;          // gaussian: score · exp(-iou²/sigma)
  float iou_threshold = 0.5f;  // linear: score · (1 - iou) where the overlap is greater
  float threshold = 0.001f;    // objects whose score falls below it are dropped
  bool per_class = true;
};
// Bodla et al., "Soft-NMS", 2017: a better object lowers the scores of those that it overlaps. Changes
// confidences.
void soft_nms(std::span<Region> regions, Chosen& chosen, const SoftNmsOptions& options);

// The k of the highest confidence, of all or of each label. A confidence of NaN counts as the lowest.
void top_k(std::span<const Region> regions, Chosen& chosen, unsigned k, bool per_class);

// Limits up to 1 are parts of the picture (a side of its own axis, the area of all), above that pixels. A
// limit in pixels, or of the aspect, is not looked at where the size is not known. The aspect is width /
// height in pixels.
struct SizeLimits {
  float min_side = 0, max_side = 0;      // 0: no limit; both sides have to hold
  float min_area = 0, max_area = 0;      // 0: no limit
  float min_aspect = 0, max_aspect = 0;  // 0: no limit
};
void filter_size(std::span<const Region> regions, Chosen& chosen, const SizeLimits& limits,
                 PictureExtent extent);

// Joins objects that were found in overlapping tiles of a picture: their boxes are in the coordinates of the
// whole picture already, their `parent` is the tile. Two of different tiles are one object when they share
// more than `threshold` of the smaller one; then the box is the one around both, confidence and label are
// those of the better. What has been united belongs to no tile any more.
class TileMerger {
 public:
  struct Options {
    float threshold = 0.5f;
    bool per_class = true;
  };
  void run(std::span<Region> regions, Chosen& chosen, const Options& options);

 private:
  struct Member {
    uint32_t region;  // that it was united with
    int32_t tile;
  };
  bool has_tile(uint32_t region, int32_t tile) const;
  std::vector<Member> members_;
  std::vector<uint32_t> kept_;
};

// All regions of a model; an empty model: all.
void choose(const Frame& frame, Label model, Chosen& chosen);
// Drops the regions that are in `before` but not in `after`, and what was found in them.
void keep(Frame& frame, const Chosen& before, const Chosen& after);

}  // namespace sightglass
