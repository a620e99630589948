// The routes of the API, by what they are about. Handlers refer to the module, which outlives the server.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/console/console.h"
#include "sightglass/console/route.h"

namespace sightglass::console {

void add_operation_routes(module::Module& module, module::AuditLog& audit, const ConsoleOptions& options,
                          std::vector<Route>& routes);
void add_parameter_routes(module::Module& module, std::vector<Route>& routes);
void add_stream_routes(module::Module& module, module::AuditLog& audit, std::vector<Route>& routes);

inline std::string value_or(const std::map<std::string, std::string, std::less<>>& values,
                            std::string_view key, std::string_view otherwise) {
  const auto found = values.find(key);
  return found == values.end() ? std::string(otherwise) : found->second;
}

}  // namespace sightglass::console
