// Which parser and which decoder a codec gets: a fixed table, so that a stream's pipeline is complete before
// its first frame and nothing in it plugs pads later.
//
//   for (const DecoderChoice& choice : decoder_table("h264", rules.decoders)) try_with(choice);
//
// The choices are those that are installed here: first what the user has named, then hardware, then software.
// Behind the first choice, if the user has named none, software comes before other hardware: it is what
// decodes a stream that the hardware cannot (4:4:4, 4:2:2, 10-bit H.264).
//
// Decoders on NVIDIA devices get a bound to the pictures that they give out (num-output-surfaces=8), so that
// the memory of a stream is bounded. GStreamer has an element of them for each device: nvh264dec,
// nvh264device1dec, …
//
// Thread-safe; looks the elements up in GStreamer's registry at each call.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"
#include "sightglass/model/description.h"
#include "sightglass/module/stream_instance.h"

namespace sightglass::module {

struct DecoderChoice {
  std::vector<ElementSettings> elements;   // parser and decoder; none: raw pictures
  MemoryKind memory = MemoryKind::system;  // that pictures may come in
};

// `preferred`: CODEC=ELEMENT (StreamRules::decoders), taken as they are named. `device`: the NVIDIA device
// that is wanted; where its decoder is not there it is that of the first one. Empty: no decoder for it.
std::vector<DecoderChoice> decoder_table(std::string_view codec, std::span<const std::string> preferred = {},
                                         int device = 0);

// Whether a picture may depend on others, so that a new size needs a new instance (L-11).
bool is_inter_codec(std::string_view codec);

// What appsrc says of the frames: "video/x-h264,stream-format=byte-stream,…". An error for a codec that is
// not in the table, or a raw format that is unknown.
Result<std::string> input_caps(const StreamFormat& format);

}  // namespace sightglass::module
