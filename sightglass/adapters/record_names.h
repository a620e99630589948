// Names as they stand in JSON, in topics and in entries of stores: small letters, "end_of_stream".
#pragma once

#include <string_view>

#include "sightglass/adapters/record.h"

namespace sightglass::adapters {

std::string_view name_of(RecordKind kind);
std::string_view name_of(stream::StreamState state);
std::string_view name_of(stream::EndReason reason);

}  // namespace sightglass::adapters
