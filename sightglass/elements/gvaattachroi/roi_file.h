// Objects that a file lists frame by frame, to be attached to the frames of a video.
//
// Read are an array of records, `[{…},{…}]`, and records one behind the other, as a file with a line for each
// frame has them. A record is what metaconvert writes, in either of its layouts, or only the part of it that
// is needed:
//
//   {"timestamp": 40000000, "objects": [{"x": 96, "y": 120, "w": 64, "h": 80,
//     "detection": {"bounding_box": {"x_min": .1, "y_min": .2, "x_max": .3, "y_max": .4},
//                   "confidence": .9, "label": "face", "label_id": 0}}]}
//
// `bounding_box` is in 0..1 and counts where both forms are there; `x`, `y`, `w`, `h` are pixels of the
// record's `resolution`, else of the video. Attributes, tensors (numbers become float32) and track ids are
// taken over; parents are not, since ids belong to a frame.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass {

struct RoiRecord {
  Time time = no_time;
  std::vector<Region> regions;  // boxes in 0..1
  std::vector<size_t> pixels;   // places in `regions` of boxes that are in pixels of a video not known yet
  AttributesRef attributes;     // of the frame
};

// What is wrong is said with the file and the place in it.
Result<std::vector<RoiRecord>> read_roi_file(const std::string& path);

// The same of a text; `name` stands for it in messages.
Result<std::vector<RoiRecord>> parse_rois(const std::string& text, const std::string& name);

}  // namespace sightglass
