// The side file of a video or a list of pictures: ground truth, sensor readings and other outside data, frame
// by frame, that a source mixes into its messages. One JSON object a line:
//
//   {"frame": 12, "attributes": {"sensor.lux": 31.5, "gate": "open"}, "tags": ["night"],
//    "objects": [{"label": "person", "box": [120, 80, 40, 90], "confidence": 1, "id": 7}]}
//
// A line belongs to the frame of its `frame` (shown as the n-th, from 0), `pts` (ns, as in the file) or
// `file` (name of a picture). `box` is left, top, width, height in pixels. Attributes without a namespace are
// in `metadata`, so are objects. The records that this program writes (docs/json.md) are read as well:
// `x y w h`, `detection`, attributes as a list. Lines of the same frame add up.
//
// Immutable, so thread-safe. All of the file is held in memory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/stream/messages.h"

namespace sightglass::adapters {

struct SideData {
  std::vector<stream::Attribute> attributes;
  std::vector<stream::Object> objects;
  std::vector<std::string> tags;
};

class Sidecar {
 public:
  // The error names the line.
  static Result<Sidecar> load(const std::string& path);

  // Whether the place of a frame among those that are shown has to be known.
  bool counts_frames() const { return !by_frame_.empty(); }
  // Adds what is known of a frame; `tolerance` is how far its time may be from the one that is told, ns.
  void add_to(stream::VideoFrame& frame, int64_t number, Time pts, Time tolerance,
              std::string_view file) const;

 private:
  std::map<int64_t, SideData> by_frame_;
  std::map<Time, SideData> by_pts_;
  std::map<std::string, SideData, std::less<>> by_file_;
};

}  // namespace sightglass::adapters
