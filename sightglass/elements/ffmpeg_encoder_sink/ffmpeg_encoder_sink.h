// Encodes the frames and writes them to a file. The code is in the module ffmpeg-media; here is what can be
// set.
//
// The container follows from the name of the file, the codec from the container. A format that the encoder
// takes is encoded as it is, anything else is converted to the nearest that it does take (one more pass over
// the picture, by swscale). Times become those of the file, its first frame at 0; where they do not grow they
// are moved on, with one warning. One file holds one size.
//
// drain() finishes the file; an error there (a full disk) means that it is not whole. stop() without it
// finishes what can be finished.
#pragma once

#include <string>

namespace sightglass {

struct FfmpegEncoderSinkParams {
  std::string location;
  std::string codec = "auto";
  std::string format;
  unsigned bitrate = 0;  // kbit/s
  int quality = -1;
  std::string preset;
};

}  // namespace sightglass
