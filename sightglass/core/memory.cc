#include "sightglass/core/memory.h"

#include <array>
#include <atomic>
#include <utility>

namespace sightglass {
namespace {

constexpr std::array<std::string_view, memory_kinds> names = {
    "system", "dmabuf", "cuda",   "va",          "opencl", "shm",   "opencl-image",
    "gst",    "ffmpeg", "opencv", "opencv-umat", "onnx",   "torch", "dlpack"};
static_assert(std::to_underlying(MemoryKind::dlpack) + 1 == memory_kinds);

}  // namespace

std::string_view to_string(MemoryKind kind) { return names[std::to_underlying(kind)]; }

std::optional<MemoryKind> memory_kind(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return MemoryKind(i);
  return {};
}

uint64_t Memory::next_id() noexcept {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace sightglass
