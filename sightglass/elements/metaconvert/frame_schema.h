// The JSON Schema of what metaconvert writes: of a frame's results in the layout "sightglass", as elements of
// a pipeline give them and, with the fields that only a module knows, as messages. Published as
// docs/schema/frame.schema.json.
#pragma once

#include <string_view>

namespace sightglass {

std::string_view frame_schema();  // JSON text, draft 2020-12

}  // namespace sightglass
