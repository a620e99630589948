#include "sightglass/memory/gst/gst_cuda.h"

// GStreamer's CUDA library is not linked: whoever has its memory has loaded it. What is used of it is public:
// the type of the memory, the flag that maps the device, the context behind the GstMemory and its property
// cuda-device-id.
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "sightglass/memory/cuda/cuda.h"

namespace sightglass::gst {
namespace {

constexpr int map_cuda = GST_MAP_FLAG_LAST << 1;  // GST_MAP_CUDA
constexpr const char* library = "libgstcuda-1.0.so.0";

struct CudaMemoryHead {  // the public part of GstCudaMemory
  GstMemory memory;
  GObject* context;
};

template <class Function>
Function* function(const char* name, int mode) {
  void* loaded = dlopen(library, mode);
  return loaded ? reinterpret_cast<Function*>(dlsym(loaded, name)) : nullptr;
}

// Whoever uses the block comes after what GStreamer is still writing: on the device, behind the stream that
// the memory names. To wait for that here would put this thread to sleep for every frame of a decoder.
Status order_behind_writer(GstMemory* memory, const MemoryRef& block) {
  constexpr guint is_being_written = GST_MEMORY_FLAG_LAST << 2;  // GST_CUDA_MEMORY_TRANSFER_NEED_SYNC
  if (!GST_MINI_OBJECT_FLAG_IS_SET(memory, is_being_written)) return {};
  constexpr int loaded = RTLD_LAZY | RTLD_NOLOAD;
  static auto* const stream_of = function<gpointer(GstMemory*)>("gst_cuda_memory_get_stream", loaded);
  static auto* const handle_of = function<CUstream_st*(gpointer)>("gst_cuda_stream_get_handle", loaded);
  static auto* const wait_for = function<void(GstMemory*)>("gst_cuda_memory_sync", loaded);
  if (gpointer stream = stream_of && handle_of ? stream_of(memory) : nullptr) {
    Tensor whole;
    whole.memory = block;
    return cuda_written(whole, handle_of(stream));
  }
  if (wait_for) wait_for(memory);
  return {};
}

// Only addresses of the device's primary context can be used by others. A context of GStreamer's own is
// another one, on the same device.
Status check_context(GObject* theirs, const Context& ours) {
  static auto* const handle =
      function<gpointer(GObject*)>("gst_cuda_context_get_handle", RTLD_LAZY | RTLD_NOLOAD);
  if (!handle || handle(theirs) == ours.handle("CUcontext")) return {};
  return fail(ErrorCode::unsupported,
              "the frames lie in a CUDA context of their element's own; let the pipeline have one context: "
              "start the decoder together with what reads its frames, in one pipeline");
}

struct Mapped {
  GstBuffer* buffer;
  GstMemory* memory;
  GstMapInfo map;
};

}  // namespace

bool is_cuda_memory(GstMemory* memory) { return gst_memory_is_type(memory, "gst.cuda.memory"); }

Result<MemoryRef> wrap_cuda_memory(GstBuffer* buffer, GstMemory* memory) {
  // Of all frames of a pipeline the same, so that the property is read once.
  thread_local struct {
    GObject* theirs = nullptr;
    ContextRef ours;
  } last;
  GObject* const theirs = reinterpret_cast<CudaMemoryHead*>(memory)->context;
  if (!last.ours || last.theirs != theirs) {
    gint device = 0;
    if (theirs) g_object_get(theirs, "cuda-device-id", &device, nullptr);
    auto context = cuda_context(device);
    if (!context) return forward_error(context);
    if (theirs)
      if (auto status = check_context(theirs, **context); !status) return forward_error(status);
    last.theirs = theirs;
    last.ours = *std::move(context);
  }
  auto mapped = std::make_unique<Mapped>(Mapped{buffer, memory, {}});
  if (!gst_memory_map(memory, &mapped->map, GstMapFlags(GST_MAP_READ | map_cuda)))
    return fail(ErrorCode::io, "the CUDAMemory of the buffer cannot be mapped for its device");
  gst_buffer_ref(buffer);
  const auto address = reinterpret_cast<uint64_t>(mapped->map.data);
  const size_t size = mapped->map.size;
  auto block = wrap_cuda(last.ours, address, size, [held = std::move(mapped)]() noexcept {
    gst_memory_unmap(held->memory, &held->map);
    gst_buffer_unref(held->buffer);
  });
  if (!block) return block;
  if (Status ordered = order_behind_writer(memory, *block); !ordered) return forward_error(ordered);
  return block;
}

int cuda_device_beyond(GstPad* from) {
  using Object = std::unique_ptr<GstObject, decltype([](GstObject* object) { gst_object_unref(object); })>;
  const auto peer_of = [](GstPad* pad) { return Object(GST_OBJECT(gst_pad_get_peer(pad))); };
  constexpr int longest = 64;  // elements and bins between the two
  Object pad = peer_of(from);
  for (int step = 0; pad && step < longest; ++step) {
    if (GST_IS_GHOST_PAD(pad.get())) {  // of a bin: what is behind it in there
      pad.reset(GST_OBJECT(gst_ghost_pad_get_target(GST_GHOST_PAD(pad.get()))));
      continue;
    }
    const Object parent(gst_object_get_parent(pad.get()));
    if (parent && GST_IS_GHOST_PAD(parent.get())) {  // the inner side of a bin's pad: out of the bin
      pad = peer_of(GST_PAD(parent.get()));
      continue;
    }
    if (!parent || !GST_IS_ELEMENT(parent.get())) return 0;
    if (g_object_class_find_property(G_OBJECT_GET_CLASS(parent.get()), "cuda-device-id")) {
      GValue value = G_VALUE_INIT;
      g_value_init(&value, G_TYPE_INT);
      g_object_get_property(G_OBJECT(parent.get()), "cuda-device-id", &value);
      return std::max(g_value_get_int(&value), 0);
    }
    GstElement* const element = GST_ELEMENT(parent.get());
    GST_OBJECT_LOCK(element);
    GList* const others = GST_PAD_IS_SRC(pad.get()) ? element->sinkpads : element->srcpads;
    Object other(others ? GST_OBJECT(gst_object_ref(others->data)) : nullptr);
    GST_OBJECT_UNLOCK(element);
    pad = other ? peer_of(GST_PAD(other.get())) : nullptr;
  }
  return 0;
}

bool answer_cuda_context(GstQuery* query, GstPad* pad) {
  const gchar* type = nullptr;
  if (GST_QUERY_TYPE(query) != GST_QUERY_CONTEXT || !gst_query_parse_context_type(query, &type) ||
      !g_str_equal(type, "gst.cuda.context"))
    return false;
  static std::mutex mutex;
  static std::map<int, GstContext*>& shared = *new std::map<int, GstContext*>;  // null: there is none
  const int device = cuda_device_beyond(pad);
  const std::lock_guard lock(mutex);
  auto known = shared.find(device);
  if (known == shared.end()) {
    const auto make_shared = [&]() -> GstContext* {
      const auto ours = cuda_context(device);
      if (!ours) return nullptr;
      auto* const load = function<gboolean()>("gst_cuda_load_library", RTLD_LAZY);
      auto* const wrap = function<GObject*(void*, int)>("gst_cuda_context_new_wrapped", RTLD_LAZY);
      auto* const make = function<GstContext*(GObject*)>("gst_context_new_cuda_context", RTLD_LAZY);
      if (!load || !wrap || !make || !load()) return nullptr;
      GObject* const wrapped = wrap((*ours)->handle("CUcontext"), device);
      return wrapped ? make(wrapped) : nullptr;
    };
    known = shared.emplace(device, make_shared()).first;
  }
  if (!known->second) return false;
  gst_query_set_context(query, known->second);
  return true;
}

}  // namespace sightglass::gst
