// The file of a Unix socket that is bound: its folder, leftovers of a process that died, its mode.
#pragma once

#include <string>

#include "sightglass/core/result.h"

namespace sightglass::stream {

// Makes the folder (0750) if it is missing, and removes the file if it is a socket at which nobody listens.
// An error: somebody listens there, or the file is no socket.
Status prepare_ipc_file(const std::string& path);
// After bind(): owner and group may connect, nobody else (0660).
Status protect_ipc_file(const std::string& path);

}  // namespace sightglass::stream
