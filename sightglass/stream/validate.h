// Checks of what a decoded message says, and repairs of what can be repaired (streams.md 1.6). Private to the
// reader.
#pragma once

#include <cstdint>
#include <vector>

#include "sightglass/stream/limits.h"
#include "sightglass/stream/messages.h"
#include "sightglass/stream/rejection.h"

namespace sightglass::stream {

class Validator {
 public:
  // Repairs are counted in `rejections`; `scratch` is used again and again.
  Validator(const Limits& limits, RejectionCounters& rejections, std::vector<uint32_t>& scratch)
      : limits_(limits), rejections_(rejections), scratch_(scratch), most_cells_(limits.pixels) {}

  // Why the message as a whole is refused; none when it is fine now.
  Rejection check(Message& message);

 private:
  Rejection check_frame(VideoFrame& frame);
  Rejection check_update(FrameUpdate& update);
  Rejection check_stream(StreamUpdate& update);
  Rejection check_attribute(Attribute& attribute);
  bool is_possible_mask(const Mask& mask);
  Rejection check_attributes(std::vector<Attribute>& attributes);
  Rejection check_size(int32_t width, int32_t height) const;
  Rejection check_rate(const Rational& rate) const;
  // `owner` gives the Object of an item of the vector, which is a frame's objects or those that an update
  // adds.
  template <class T, class Owner>
  Rejection check_objects(std::vector<T>& items, Owner&& owner, double width, double height, bool complete);

  const Limits& limits_;
  RejectionCounters& rejections_;
  std::vector<uint32_t>& scratch_;
  size_t attributes_ = 0;   // of the whole message
  int64_t mask_cells_ = 0;  // the same
  int64_t most_cells_;      // of one mask
};

}  // namespace sightglass::stream
