// Results on buffers: between Frame::regions / attributes and GStreamer's own analytics metadata.
//
// On the buffer there is one GstAnalyticsRelationMeta with, per object, an ODMtd in pixels, a TrackingMtd,
// ClsMtds and SegmentationMtds that every GStreamer element understands, and one entry of ours,
// "sg-attributes", that holds what upstream lacks: the exact box in 0..1, label id, model and the shared list
// of typed attributes. An entry without an object belongs to the whole frame. When an element that does not
// know our entry has moved an object (more than a pixel), the ODMtd wins.
#pragma once

#include <gst/analytics/analytics.h>

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass::gst {

// Pixel size that boxes are written for. Tensor buffers have none: their boxes are 0..1 of the model input,
// written on this scale.
struct PixelSize {
  int width = 1 << 14, height = 1 << 14;
};

inline constexpr int32_t first_foreign_id = -2;
inline constexpr size_t max_objects = 1024;  // per buffer; of more, those of highest confidence are kept

// Fills frame.regions and frame.attributes (which must be empty) from the buffer, old
// GstVideoRegionOfInterestMeta included: the objects of these have ids from first_foreign_id downwards, until
// a ResultWriter numbers them.
void read_results(GstBuffer* buffer, PixelSize size, Frame& frame);

// Brings what has changed since `before` onto the writable buffer. One object per element instance: it
// remembers the quarks of labels, since looking them up takes a lock.
class ResultWriter {
 public:
  // Numbers the new regions of `after` (id -1). Regions that are missing in `after` are removed; then ids
  // change.
  void write(GstBuffer* buffer, PixelSize size, const std::vector<Region>& before,
             const AttributesRef& attributes_before, Frame& after);
  // The older form as well, for elements that know no other: one GstVideoRegionOfInterestMeta per region, its
  // id that of the ODMtd.
  void write_roi(GstBuffer* buffer, PixelSize size, const std::vector<Region>& regions);

  uint64_t dropped_objects() const { return dropped_; }
  // Whether this is the first time that objects had to be dropped: worth a warning.
  bool take_first_drop() { return dropped_ > 0 && !std::exchange(told_of_drop_, true); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  GQuark quark(std::string_view text);
  void add_entries(GstAnalyticsRelationMeta* meta, PixelSize size, const AttributesRef& list,
                   const AttributesRef& before, int32_t owner);
  GstClockTime first_seen(int64_t track, GstClockTime now);
  int32_t numbered(int32_t foreign) const;

  std::unordered_map<std::string, GQuark, Hash, std::equal_to<>> quarks_;
  struct Match {
    const Region* was;  // null: new
    bool same;
  };
  std::vector<Match> matches_;    // by region; kept for its capacity, as the next one
  std::vector<int32_t> removed_;  // ids
  std::vector<std::pair<int32_t, int32_t>>
      foreign_;  // ids of older elements' objects, as read and as written
  static constexpr size_t most_tracks = 4096;
  std::map<int64_t, GstClockTime> first_seen_;  // by track
  uint64_t dropped_ = 0;
  bool told_of_drop_ = false;
};

}  // namespace sightglass::gst
