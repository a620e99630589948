#include "sightglass/core/memory.h"

namespace sightglass {

std::string_view to_string(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::system:
      return "system";
    case MemoryKind::dmabuf:
      return "dmabuf";
    case MemoryKind::cuda:
      return "cuda";
    case MemoryKind::va:
      return "va";
    case MemoryKind::opencl:
      return "opencl";
  }
  return "?";
}

}  // namespace sightglass
