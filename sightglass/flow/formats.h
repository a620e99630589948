// How two neighbours agree on a format: sets of formats cut with each other, and one chosen from what is
// left. The order of a list is the order of preference. AnySpec holds every format in every memory.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sightglass/core/format.h"
#include "sightglass/core/frame.h"

namespace sightglass::flow {

using FormatSpecs = std::vector<FormatSpec>;

FormatSpec spec_of(const Format& format);  // the set of this one
Format format_of(const Frame& frame);      // as far as a frame itself says it
bool same(const Format& a, const Format& b);
bool contains(const FormatSpec& spec, const Format& format);
bool contains(const FormatSpecs& specs, const Format& format);

// What is in both; names of tensors and models are those of `a`, and never restrict.
std::optional<FormatSpec> intersect(const FormatSpec& a, const FormatSpec& b);
FormatSpecs intersect(const FormatSpecs& a, const FormatSpecs& b);  // in the order of `a`, then of `b`

// The format of the set that is nearest to `like`; what does not restrict (frame rate, colour…) is carried
// over from there. None: a tensor's type or size is left open.
std::optional<Format> fixate(const FormatSpec& spec, const Format& like);

std::string to_string(const FormatSpecs& specs);  // "NV12, I420 or BGR 640x480", for messages

}  // namespace sightglass::flow
