// The tables and views of the sink `sqlite`, and how a database of an earlier version becomes one of this.
#pragma once

#include "sightglass/adapters/sqlite/database.h"

namespace sightglass::adapters {

inline constexpr int sqlite_schema_version = 2;

// Makes what is absent, in one transaction per version. An error names both sides: a database of a newer
// version, of another program, or with tables of other columns.
Status prepare_schema(Database& db, const std::string& path);

}  // namespace sightglass::adapters
