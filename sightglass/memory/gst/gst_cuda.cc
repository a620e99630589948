// GStreamer's CUDA library is not linked: whoever has its memory has loaded it. What is used of it is public:
// the type of the memory, the flag that maps the device, the context behind the GstMemory and its property
// cuda-device-id.
#include <dlfcn.h>

#include <memory>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/gst/buffer_layout.h"

namespace sightglass::gst {
namespace {

constexpr int map_cuda = GST_MAP_FLAG_LAST << 1;  // GST_MAP_CUDA
constexpr const char* library = "libgstcuda-1.0.so.0";

struct CudaMemoryHead {  // the public part of GstCudaMemory
  GstMemory memory;
  GObject* context;
};

// Waits for what GStreamer's own stream is still writing.
void finish_writing(GstMemory* memory) {
  using Sync = void (*)(GstMemory*);
  static const auto sync = [] {
    void* loaded = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    return loaded ? reinterpret_cast<Sync>(dlsym(loaded, "gst_cuda_memory_sync")) : nullptr;
  }();
  if (sync) sync(memory);
}

struct Mapped {
  GstBuffer* buffer;
  GstMemory* memory;
  GstMapInfo map;
};

}  // namespace

bool is_cuda_memory(GstMemory* memory) { return gst_memory_is_type(memory, "gst.cuda.memory"); }

Result<MemoryRef> wrap_cuda_memory(GstBuffer* buffer, GstMemory* memory) {
  gint device = 0;
  if (auto* context = reinterpret_cast<CudaMemoryHead*>(memory)->context)
    g_object_get(context, "cuda-device-id", &device, nullptr);
  auto context = cuda_context(device);
  if (!context) return forward_error(context);
  finish_writing(memory);
  auto mapped = std::make_unique<Mapped>(Mapped{buffer, memory, {}});
  if (!gst_memory_map(memory, &mapped->map, GstMapFlags(GST_MAP_READ | map_cuda)))
    return fail(ErrorCode::io, "the CUDAMemory of the buffer cannot be mapped for its device");
  gst_buffer_ref(buffer);
  const auto address = reinterpret_cast<uint64_t>(mapped->map.data);
  const size_t size = mapped->map.size;
  return wrap_cuda(*context, address, size, [held = std::move(mapped)]() noexcept {
    gst_memory_unmap(held->memory, &held->map);
    gst_buffer_unref(held->buffer);
  });
}

}  // namespace sightglass::gst
