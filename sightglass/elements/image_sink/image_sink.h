// Writes each frame as a picture file. The code is in the module ffmpeg-media; here is what can be set.
//
// `location` is a pattern with a place for the number of the frame, counted from 0 ("out-%05d.jpg"), a folder
// (frames are then called 00000.jpg, 00001.jpg, …) or a plain name, whose file always holds the last frame.
// Frames may change their size and format.
#pragma once

#include <cstdint>
#include <string>

namespace sightglass {

struct ImageSinkParams {
  enum class Format : uint8_t { automatic, jpeg, png, bmp, tiff, webp, ppm };

  std::string location;
  Format format = Format::automatic;
  unsigned quality = 90;
};

}  // namespace sightglass
