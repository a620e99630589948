// Which encoder an output picture gets: a fixed table of hardware and software encoders per codec, probed
// once when the module starts.
//
//   auto encoder = choose_encoder(spec.output_frame);   // `hardware` without one: an error, `unavailable`
//   Stage stage = encoder->elements(format);            // encoder, parser, caps
//
// Encoders are set up to give each picture at once, without reordering: results wait for their picture.
#pragma once

#include <string>
#include <vector>

#include "sightglass/bins/bin.h"
#include "sightglass/core/result.h"
#include "sightglass/core/video.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

struct EncoderChoice {
  std::string factory;
  bool is_hardware = false;
  std::string warning;  // `auto` had to fall back: why
};

// Whether this codec means that pictures are encoded (h264 … png, but not none, copy, raw).
bool is_encoded(std::string_view codec);
// Of an encoded codec.
Result<EncoderChoice> choose_encoder(const OutputFrameSpec& output);
// The encoder with its settings, and what follows it. `framerate` 0: unknown.
Stage encoder_stage(const EncoderChoice& choice, const OutputFrameSpec& output, Fraction framerate);

}  // namespace sightglass::module
