// Zones and lines: who is where, for how long, and who crosses what. Behind a tracker.
//
// in, out  frames of any kind, in place. Added under the model "object_analytics"
// (or what `model-name` says):
//   object   `zones` (multi): the zones that it is in; `dwell/ZONE` (number): for how many seconds
//   frame    `ZONE` (number): objects in it now; `ZONE/entered`, `ZONE/left`, `LINE/forward` and
//            `LINE/backward`: so far; with `draw` a contour for each with its counts as text, which a later
//            overlay draws
//   events   on the frame on which they happen: `enter`, `leave`, `cross` (number): the track, and as text
//            the zone, or the line and the direction
//
// With `select` only the objects that it selects are counted; the others are not there for any zone or line.
// Frames for which `when` does not hold pass by untouched: nothing is written to them, nothing is counted.
// The time goes on, but that nobody looked is no absence: who is in a zone before and after such frames has
// been there (up to ten seconds count), and who is seen on the other side of a line then has crossed it.
//
// The rules are those of zone_counter.h; the zones of a picture whose size is not known (tensors) must be
// parts of it. All properties may change while frames flow; what does not hold is refused with a warning, and
// what was before goes on. Lists are made anew only when something in them has changed: dwell counts in
// tenths of a second. One stream, one thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/object_analytics/analytics_config.h"
#include "sightglass/elements/selection/selection.h"

namespace sightglass {

inline constexpr const char* analytics_model = "object_analytics";

class ObjectAnalytics final : public TransformInplace {
 public:
  struct Params {
    std::string config, zones, lines, select, when, model_name = analytics_model;
    Anchor anchor = Anchor::center;
    unsigned hysteresis = 4, min_dwell = 0;
    bool confirmed_only = true, draw = true;
  };

  // `select` is a selector; empty: every object counts.
  explicit ObjectAnalytics(const AnalyticsOptions& options, std::string_view select = {},
                           std::string_view model_name = analytics_model, std::string_view when = {});

  Status configure(const Format& input, const Format& output) override;
  void update(const ParamSet& params) override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Result<Verdict> process(Frame& frame) override;
  void flush() override;

  const ZoneCounter& counter() const { return counter_; }

 private:
  struct ZoneNames {
    Label zone, entered, left, dwell;
  };
  struct LineNames {
    Label line, forward, backward;
  };
  // What was written to an object last, by track.
  struct Written {
    int64_t track = 0;
    uint64_t frame = 0;
    AttributesRef before, after;
    std::vector<int64_t> tenths;  // by zone; -1: not in it
  };

  void take_names();
  void resize(const Frame& frame);
  Time now(const Frame& frame);
  void write_objects(Frame& frame);
  AttributesRef described(const AttributesRef& list, const std::vector<int64_t>& tenths) const;
  void write_frame(Frame& frame, std::span<const ZoneEvent> events);
  void make_counters();
  bool counters_changed();
  Attribute event_attribute(const ZoneEvent& event) const;

  AnalyticsOptions options_;
  ZoneCounter counter_;
  Selection select_{"select"}, when_{"when", Selector::Scope::frame};
  Time looked_at_ = 0;        // clock_ of the last frame that was looked at
  bool has_skipped_ = false;  // frames since
  std::vector<std::string> warnings_;
  Format format_;
  float width_ = 0, height_ = 0;
  const Label model_;
  Label zones_name_{"zones"}, enter_{"enter"}, leave_{"leave"}, cross_{"cross"};
  std::vector<ZoneNames> zone_names_;
  std::vector<LineNames> line_names_;
  std::vector<ZoneCounter::Seen> seen_;
  std::vector<int64_t> tenths_;
  std::vector<Written> written_;  // by track
  uint64_t frame_ = 0;
  Time last_pts_ = no_time, clock_ = 0;
  // The frame's own list as it was last, and of which counts.
  AttributesRef counters_;
  std::vector<ZoneCounter::ZoneCount> zone_counts_;
  std::vector<ZoneCounter::LineCount> line_counts_;
  bool drawn_ = true;
};

}  // namespace sightglass
