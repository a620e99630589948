// What differs between two descriptions, and what each difference does to a module that runs by the first.
//
//   for (const Change& change : differences(before, after)) print(change.to_string());
//     live       pipeline.elements.faces.properties.threshold: 0.5 → 0.6
//     recycled   pipeline.elements: report is new
//
// Elements, sinks and models are compared by name.
#pragma once

#include <string>
#include <vector>

#include "sightglass/module/schema.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

struct Change {
  std::string path;
  std::string before, after;  // JSON; empty: not there, which means the default where there is one
  Mutability effect = Mutability::restart;

  std::string to_string() const;
};

// Secrets are masked.
std::vector<Change> differences(const ModuleSpec& before, const ModuleSpec& after);

}  // namespace sightglass::module
