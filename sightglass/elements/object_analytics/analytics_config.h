// What object_analytics is told: zones, lines and rules, as YAML (so also JSON), a text or a file.
//
//   door: [[0.1, 0.2], [0.4, 0.2], [0.4, 0.9]]     # zones: name → polygon; lines: name → two points
//   gate: [0, 300, 768, 300]                       # the same without inner brackets
//
// and for `config` all of it together:
//
//   zones: {door: [[0.1, 0.2], [0.4, 0.2], [0.4, 0.9]]}
//   lines: {gate: [[0, 300], [768, 300]]}
//   anchor: bottom
//   hysteresis: 4
//
// Every mistake is one line that says where: "zones:1:7: door: a zone needs 3 points or more, it has 2".
#pragma once

#include <string>

#include "sightglass/core/param.h"
#include "sightglass/core/result.h"
#include "sightglass/elements/object_analytics/zone_counter.h"

namespace sightglass {

enum class Anchor { center, bottom };

struct AnalyticsOptions {
  ZoneOptions counting;
  Anchor anchor = Anchor::center;
  bool draw = true;
};

// Of the element's properties; those that are set win over what `config` says.
Result<AnalyticsOptions> read_analytics(const ParamSet& params);

}  // namespace sightglass
