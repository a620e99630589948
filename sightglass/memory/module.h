// Back ends that need a library of their own live in shared objects beside this one, libsightglass-NAME.so,
// and are loaded when they are first needed, so that nobody carries what he does not use. What they offer
// registers itself while they load.
//
//   if (auto status = load_module("opencv"); !status) return status;   // unavailable: what is missing
//
// Thread-safe.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "sightglass/core/memory.h"
#include "sightglass/core/result.h"

namespace sightglass {

// Loads it, once; later calls give the same answer. Never unloaded. Looked for beside this library, then
// where the system looks.
Status load_module(std::string_view name);

// The module that knows about a kind of memory, where it is a module that does.
Status load_modules_for(MemoryKind kind);

// Whether it is there to be loaded, without loading it.
bool module_is_installed(std::string_view name);

// Where this library lies; what is installed with it is found from here.
std::filesystem::path library_folder();

// All that this version knows: "opencv", "opencl", …
std::vector<std::string_view> known_modules();

}  // namespace sightglass
