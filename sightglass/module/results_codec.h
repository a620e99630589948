// What a frame says besides its pixels, as bytes and back: size, times, regions, attributes, JSON. For queues
// on disk: written and read by one machine, so in its own byte order, and about ten times as fast as a
// message.
//
//   ResultsWriter writer;
//   writer.write(record.results, bytes);           // appends
//   if (!read_results(bytes, results)) …           // damaged
//
// Labels stand there once each. Tensors on a device that cannot be mapped, or with gaps, are left out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sightglass/core/frame.h"

namespace sightglass::module {

// One object per thread; allocates nothing once warm.
class ResultsWriter {
 public:
  void write(const Frame& results, std::vector<uint8_t>& bytes);

 private:
  std::vector<Label> labels_;  // of the frame being written, by number
};

// False: these are not the bytes of such results; `results` holds some of them then. Trusts no number that it
// reads. Labels are those of adapters::wire_label(): bounded in number.
bool read_results(std::span<const uint8_t> bytes, Frame& results);

}  // namespace sightglass::module
