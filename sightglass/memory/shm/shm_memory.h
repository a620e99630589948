// Memory that several processes share by name (POSIX shared memory, /dev/shm on Linux).
//
//   process A   auto block = create_shm("camera-7", bytes);    // visible to this user only
//   process B   auto same = open_shm("camera-7");
//
// The name goes with its last owner: each process that has the block open holds a lock on it, and who finds
// itself to be the last one removes the name. The locks of a process that crashes go by themselves; if all
// crash the name stays behind, and with it the memory, until somebody creates a block of that name, which
// takes the place of one that nobody has open, or calls remove_shm(). The child of a fork shares the
// ownership of its parent: it never removes the name of a block that it has inherited.
//
// Thread-safe; what the bytes mean and who writes when is up to the processes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"

namespace sightglass {

// A new block of that name, filled with zeros. Names are letters, digits, '-', '_' and '.', at most 200.
// Fails (invalid_argument) while another block of that name is open somewhere.
Result<MemoryRef> create_shm(std::string_view name, size_t size);
// A new block under a name that nobody else has.
Result<MemoryRef> create_shm(size_t size);
// The block that another process, or this one, has created, for reading and writing. not_found: there is
// none.
Result<MemoryRef> open_shm(std::string_view name);
// Removes the name; who has the block open keeps it. Whether there was one.
bool remove_shm(std::string_view name);

// The name to give to open_shm(); empty for memory of another kind.
std::string shm_name(const Memory& memory);

}  // namespace sightglass
