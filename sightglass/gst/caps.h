// Caps and formats: sets of formats to caps and back, fixed caps to a Format.
//
// `other/tensors` is written twice, with num_tensors as uint and as int, because the two do not intersect.
// Besides the documented fields the source caps of an inference element carry `names` (of the tensors) and
// `model`, so that elements downstream can pick a tensor by its name.
//
// Interleaved sound (`audio/x-raw`, S16LE and F32LE) is a tensor [channels, samples] with the name of its
// media type in place of a model's. The number of samples is free: each buffer has its own.
#pragma once

#include <gst/video/video.h>

#include <optional>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {

inline constexpr const char* sound_model = "audio/x-raw";

// Caps for pad templates and for answers of transform_caps; AnySpec gives ANY.
CapsPtr to_caps(const FormatSpec& spec);
CapsPtr to_caps(const std::vector<FormatSpec>& specs);

// What one structure of caps stands for; AnySpec where we have no name for it.
FormatSpec to_spec(const GstStructure* structure, const GstCapsFeatures* features);

// Fixed caps; monostate for media that elements do not look into. `video` is filled for raw video.
Result<Format> to_format(const GstCaps* caps, GstVideoInfo* video);

}  // namespace sightglass::gst
