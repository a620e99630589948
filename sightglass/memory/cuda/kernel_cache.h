// What NVRTC has made, kept in the user's cache folder: SIGHTGLASS_CACHE, else sightglass/ in XDG_CACHE_HOME
// or ~/.cache; there in kernels/. For the sources of this folder only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sightglass {

// All that machine code depends on. A file holds it as a whole, so that nothing else is ever taken for it.
struct KernelKey {
  std::string_view name;      // of the source: "video_to_tensor"
  std::string_view text;      // the source
  int capability = 0;         // 90 for sm_90
  std::string_view compiler;  // "NVRTC 13.0"
};

// None: it is not there, cannot be read, or is damaged.
std::optional<std::vector<std::byte>> find_kernels(const KernelKey& key);
// Whole or not at all; what cannot be written is not kept. Threads and processes may do so at the same time.
void keep_kernels(const KernelKey& key, const std::vector<std::byte>& binary) noexcept;

}  // namespace sightglass
