// Attaches objects from outside to frames: one box for all of them, or those that a file (roi_file.h) lists.
//
// in, out  video, any memory; pixels are not looked at
//
// `mode` says which record of the file a frame gets: in-order the next one, and none after the last; in-loop
// the same from the start again; by-timestamp the one whose time is nearest to the frame's, within half the
// frame's duration (a millisecond where that is unknown). The box and a record are both attached.
//
// One stream, one thread. The file is read at the start.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/gvaattachroi/roi_file.h"

namespace sightglass {

class AttachRoi final : public TransformInplace {
 public:
  enum class Mode : uint8_t { in_order, in_loop, by_timestamp };

  struct Params {
    std::string roi;  // x1,y1,x2,y2 in pixels; the last two are just outside
    std::string file_path;
    Mode mode = Mode::in_order;
    bool write_roi_meta = false;  // the runtime's part: GstVideoRegionOfInterestMeta as well
  };

  explicit AttachRoi(const Params& params) : params_(params) {}

  Status start() override;
  Status configure(const Format& input, const Format& output) override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Result<Verdict> process(Frame& frame) override;
  void flush() override { next_ = 0; }

 private:
  const RoiRecord* record_for(const Frame& frame);

  Params params_;
  std::optional<Box> fixed_pixels_;
  std::optional<Region> fixed_;     // of the video's size
  std::vector<RoiRecord> records_;  // by time where that counts
  std::vector<RoiRecord> scaled_;   // of the video's size
  size_t next_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace sightglass
