#include "sightglass/memory/gst/gst_cuda.h"

// GStreamer's CUDA library is not linked: whoever has its memory has loaded it. What is used of it is public:
// the type of the memory, the flag that maps the device, the context behind the GstMemory and its property
// cuda-device-id.
#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/gst/gst_frame.h"
#include "sightglass/memory/gst/gst_memory.h"

namespace sightglass::gst {
namespace {

constexpr int map_cuda = GST_MAP_FLAG_LAST << 1;        // GST_MAP_CUDA
constexpr guint need_sync = GST_MEMORY_FLAG_LAST << 2;  // GST_CUDA_MEMORY_TRANSFER_NEED_SYNC
constexpr const char* library = "libgstcuda-1.0.so.0";

struct CudaMemoryHead {  // the public part of GstCudaMemory
  GstMemory memory;
  GObject* context;
  GstVideoInfo info;  // where the planes lie
};

constexpr int in_use = RTLD_LAZY | RTLD_NOLOAD;

template <class Function>
Function* function(const char* name, int mode) {
  void* loaded = dlopen(library, mode);
  return loaded ? reinterpret_cast<Function*>(dlsym(loaded, name)) : nullptr;
}

// Whoever uses the block comes after what GStreamer is still writing: on the device, behind the stream that
// the memory names. To wait for that here would put this thread to sleep for every frame of a decoder.
Status order_behind_writer(GstMemory* memory, const MemoryRef& block) {
  if (!GST_MINI_OBJECT_FLAG_IS_SET(memory, need_sync)) return {};
  static auto* const stream_of = function<gpointer(GstMemory*)>("gst_cuda_memory_get_stream", in_use);
  static auto* const handle_of = function<CUstream_st*(gpointer)>("gst_cuda_stream_get_handle", in_use);
  static auto* const wait_for = function<void(GstMemory*)>("gst_cuda_memory_sync", in_use);
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
  static auto* const handle = function<gpointer(GObject*)>("gst_cuda_context_get_handle", in_use);
  if (!handle || handle(theirs) == ours.handle("CUcontext")) return {};
  return fail(ErrorCode::unsupported,
              "the frames lie in a CUDA context of their element's own; let the pipeline have one context: "
              "start the decoder together with what reads its frames, in one pipeline");
}

// The context of the last memory, of all frames of a pipeline the same, so that its property is read once.
// Weak, since another one may come to lie where it was.
struct LastContext {
  GWeakRef theirs;
  ContextRef ours;
  LastContext() { g_weak_ref_init(&theirs, nullptr); }
  ~LastContext() { g_weak_ref_clear(&theirs); }
  bool is(GObject* context) {
    gpointer const alive = g_weak_ref_get(&theirs);
    if (alive) g_object_unref(alive);
    return alive && alive == context;
  }
};

Result<ContextRef> context_of(GObject* theirs) {
  thread_local LastContext last;
  if (last.is(theirs)) return last.ours;
  gint device = 0;
  if (theirs) g_object_get(theirs, "cuda-device-id", &device, nullptr);
  auto context = cuda_context(device);
  if (!context || !theirs) return context;
  if (auto status = check_context(theirs, **context); !status) return forward_error(status);
  g_weak_ref_set(&last.theirs, theirs);
  last.ours = *context;
  return context;
}

struct Mapped {
  GstBuffer* buffer;
  GstMemory* memory;
  GstMapInfo map;
};

}  // namespace

bool is_cuda_memory(GstMemory* memory) { return gst_memory_is_type(memory, "gst.cuda.memory"); }

Result<MemoryRef> wrap_cuda_memory(GstBuffer* buffer, GstMemory* memory, Access access) {
  auto context = context_of(reinterpret_cast<CudaMemoryHead*>(memory)->context);
  if (!context) return forward_error(context);
  auto mapped = std::make_unique<Mapped>(Mapped{buffer, memory, {}});
  // That it is written to makes what the CPU has of it stale.
  const int flags = access == Access::read ? GST_MAP_READ : GST_MAP_READWRITE;
  if (!gst_memory_map(memory, &mapped->map, GstMapFlags(flags | map_cuda)))
    return fail(ErrorCode::io, "the CUDAMemory of the buffer cannot be mapped for its device");
  gst_memory_ref(memory);
  if (buffer) gst_buffer_ref(buffer);
  const auto address = reinterpret_cast<uint64_t>(mapped->map.data);
  const size_t size = mapped->map.size;
  auto block = wrap_cuda(*context, address, size, [held = std::move(mapped)]() noexcept {
    gst_memory_unmap(held->memory, &held->map);
    gst_memory_unref(held->memory);
    if (held->buffer) gst_buffer_unref(held->buffer);
  });
  if (!block) return block;
  if (Status ordered = order_behind_writer(memory, *block); !ordered) return forward_error(ordered);
  return block;
}

CudaWriting::~CudaWriting() { drop_pool(); }

void CudaWriting::drop_pool() {
  if (!pool_) return;
  if (auto* const set_active =
          function<gboolean(GObject*, gboolean)>("gst_cuda_allocator_set_active", in_use))
    set_active(pool_, FALSE);
  gst_object_unref(pool_);
  pool_ = nullptr;
}

Status CudaWriting::own(GstBuffer* buffer, const GstVideoInfo& info) {
  // Blocks of ours may have readers that GStreamer does not know, such as a model whose batch is not full
  // yet.
  const auto has_other_readers = [&] {
    if (gst_buffer_n_memory(buffer) != 1) return false;
    const MemoryRef block = unwrap_memory(gst_buffer_peek_memory(buffer, 0));
    return block && block->kind() == MemoryKind::cuda && block->count() > 2;  // the GstMemory's and this one
  };
  if (gst_buffer_is_all_memory_writable(buffer) && !has_other_readers()) return {};
  if (gst_buffer_n_memory(buffer) != 1)
    return fail(ErrorCode::unsupported,
                "a picture in {} blocks of CUDA memory that others read cannot be copied",
                gst_buffer_n_memory(buffer));
  GstMemory* const memory = gst_buffer_peek_memory(buffer, 0);
  const MemoryRef ours = unwrap_memory(memory);
  auto copy = ours ? copy_ours(ours) : copy_theirs(buffer, memory, info);
  if (!copy) return forward_error(copy);
  static CopyLedger::Hop& copies = CopyLedger::process().hop("CUDA memory copied before it is drawn on");
  copies.copied(gst_memory_get_sizes(*copy, nullptr, nullptr));
  gst_buffer_replace_all_memory(buffer, *copy);
  return {};
}

Result<GstMemory*> CudaWriting::copy_ours(const MemoryRef& memory) {
  if (memory->kind() != MemoryKind::cuda)
    return fail(ErrorCode::unsupported, "{} memory is no CUDA memory", to_string(memory->kind()));
  if (!blocks_ || blocks_->block_size() != memory->size()) {
    auto pool = make_cuda_pool(ContextRef(const_cast<Context*>(memory->context())), memory->size());
    if (!pool) return forward_error(pool);
    blocks_ = *std::move(pool);
  }
  auto block = blocks_->acquire();
  if (!block) return forward_error(block);
  Frame from, to;
  from.tensors =
      to.tensors = {Tensor{.type = DataType::u8, .shape = {int64_t(memory->size())}, .strides = {1}}};
  from.tensors[0].memory = memory, to.tensors[0].memory = *block;
  if (auto copied = cuda_copy(from, to); !copied) return forward_error(copied);
  return wrap_memory(*block);
}

// Plane by plane, since those of a decoder lie as the decoder wants it.
Result<GstMemory*> CudaWriting::copy_theirs(GstBuffer* buffer, GstMemory* memory, const GstVideoInfo& info) {
  static auto* const stream_of = function<gpointer(GstMemory*)>("gst_cuda_memory_get_stream", in_use);
  static auto* const make =
      function<GObject*(GObject*, gpointer, const GstVideoInfo*)>("gst_cuda_pool_allocator_new", in_use);
  static auto* const set_active =
      function<gboolean(GObject*, gboolean)>("gst_cuda_allocator_set_active", in_use);
  static auto* const acquire =
      function<GstFlowReturn(GObject*, GstMemory**)>("gst_cuda_pool_allocator_acquire_memory", in_use);
  if (!is_cuda_memory(memory) || !stream_of || !make || !set_active || !acquire)
    return fail(
        ErrorCode::unsupported,
        "the picture is read by others as well and its memory cannot be copied; it takes GStreamer 1.24");
  auto picture = to_video_info(info);
  if (!picture) return forward_error(picture);
  GObject* const context = reinterpret_cast<CudaMemoryHead*>(memory)->context;
  if (!pool_ || context_ != context || !gst_video_info_is_equal(&info_, &info)) {
    drop_pool();
    pool_ = make(context, stream_of(memory), &info);
    if (!pool_ || !set_active(pool_, TRUE)) {
      drop_pool();
      return fail(ErrorCode::exhausted, "there is no CUDA memory for a copy of {}x{} pixels", picture->width,
                  picture->height);
    }
    context_ = context;
    info_ = info;
  }
  GstMemory* fresh = nullptr;
  if (acquire(pool_, &fresh) != GST_FLOW_OK || !fresh)
    return fail(ErrorCode::exhausted, "there is no CUDA memory for a copy of {}x{} pixels", picture->width,
                picture->height);
  const GstVideoInfo& there = reinterpret_cast<CudaMemoryHead*>(fresh)->info;
  auto* const meta = gst_buffer_get_video_meta(buffer);
  const auto copied = [&]() -> Status {
    auto source = wrap_cuda_memory(buffer, memory);
    if (!source) return forward_error(source);
    auto target = wrap_cuda_memory(nullptr, fresh, Access::read_write);
    if (!target) return forward_error(target);
    Frame from, to;
    for (size_t plane = 0; plane < plane_count(picture->format); ++plane) {
      Tensor tensor{.layout = Layout::hw};
      tensor.shape = {plane_height(*picture, plane), int64_t(plane_width(*picture, plane)) *
                                                         plane_layout(picture->format, plane).pixel_bytes};
      tensor.memory = *source;
      tensor.offset = meta ? meta->offset[plane] : GST_VIDEO_INFO_PLANE_OFFSET(&info, plane);
      tensor.strides = {meta ? meta->stride[plane] : GST_VIDEO_INFO_PLANE_STRIDE(&info, plane), 1};
      from.tensors.push_back(tensor);
      tensor.memory = *target;
      tensor.offset = there.offset[plane];
      tensor.strides = {there.stride[plane], 1};
      to.tensors.push_back(std::move(tensor));
    }
    return cuda_copy(from, to);
  }();
  if (!copied) {
    gst_memory_unref(fresh);
    return std::unexpected(copied.error());
  }
  for (size_t plane = 0; meta && plane < plane_count(picture->format); ++plane)
    meta->offset[plane] = there.offset[plane], meta->stride[plane] = there.stride[plane];
  if (!meta)
    gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&info),
                                   guint(picture->width), guint(picture->height),
                                   GST_VIDEO_INFO_N_PLANES(&info), there.offset, there.stride);
  return fresh;
}

Status CudaWriting::hand_over(GstBuffer* buffer, const Frame& frame) {
  Status status;
  for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i) {
    GstMemory* const memory = gst_buffer_peek_memory(buffer, i);
    if (!is_cuda_memory(memory)) continue;  // ours has a fence
    static auto* const stream_of = function<gpointer(GstMemory*)>("gst_cuda_memory_get_stream", in_use);
    static auto* const handle_of = function<CUstream_st*(gpointer)>("gst_cuda_stream_get_handle", in_use);
    const gpointer stream = stream_of ? stream_of(memory) : nullptr;
    CUstream_st* const handle = stream && handle_of ? handle_of(stream) : nullptr;
    for (const Tensor& tensor : frame.tensors) {
      if (auto ordered = handle ? cuda_wait(tensor, handle) : cuda_finish(tensor); !ordered) status = ordered;
      cuda_give_back(tensor);
    }
    if (handle) GST_MINI_OBJECT_FLAG_SET(memory, need_sync);
  }
  return status;
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
