// Headers of encoded pictures. An input is a byte that chooses the codec, and the data.
#include "sightglass/stream/bitstream.h"

using namespace sightglass::stream;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr std::string_view codecs[] = {"h264", "hevc", "vp8", "vp9", "jpeg", "png"};
  if (!size) return 0;
  const std::string_view codec = codecs[data[0] % std::size(codecs)];
  (void)is_keyframe(codec, Bytes(data + 1, size - 1));
  (void)picture_size(codec, Bytes(data + 1, size - 1));
  return 0;
}
