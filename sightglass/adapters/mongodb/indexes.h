// What is made in MongoDB before anything is stored: indexes, and with them the collections. What is there
// already is compared, never changed.
#pragma once

#include <mongoc/mongoc.h>

#include <string>
#include <vector>

#include "sightglass/core/result.h"

namespace sightglass::adapters {

// `keep` in seconds, by an index on `made`; 0: none. A conflict names both sides (invalid_argument).
Status prepare_indexes(mongoc_client_t& client, const std::string& database,
                       const std::vector<std::string>& kinds, int64_t keep);

}  // namespace sightglass::adapters
