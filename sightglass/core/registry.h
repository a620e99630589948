// The elements of this process, by name. The last line of an element's source registers it:
//
//   const Registration registration(descriptor());
#pragma once

#include <string_view>
#include <vector>

#include "sightglass/core/element.h"

namespace sightglass {

class Registration {
 public:
  // The descriptor is kept for the life of the process.
  explicit Registration(ElementDesc desc);
};

const ElementDesc* find_element(std::string_view name);  // null: unknown
std::vector<const ElementDesc*> all_elements();          // by name

}  // namespace sightglass
