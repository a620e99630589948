#include "sightglass/memory/gst/gst_memory.h"

#include <gst/allocators/gstdmabuf.h>

#include <utility>

#include "sightglass/memory/cuda/device_bytes.h"
#include "sightglass/memory/dmabuf/dmabuf_memory.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::gst {

class BufferMemory final : public Memory, public DeviceBytes {
 public:
  BufferMemory(MemoryKind kind, Ref<BufferMemories> home) : Memory(kind, 0), home_(std::move(home)) {}

  void hold(GstBuffer* buffer, GstMemory* memory) {
    buffer_ = buffer ? gst_buffer_ref(buffer) : nullptr;
    memory_ = gst_memory_ref(memory);
    inner_ = unwrap_memory(memory);
    hold_other_bytes(gst_memory_get_sizes(memory, nullptr, nullptr));
  }
  void let_go() {
    inner_ = nullptr;
    if (memory_) gst_memory_unref(std::exchange(memory_, nullptr));
    if (buffer_) gst_buffer_unref(std::exchange(buffer_, nullptr));
  }
  void let_go_of_buffer() {
    if (buffer_) gst_buffer_unref(std::exchange(buffer_, nullptr));
  }
  GstMemory* foreign() const { return memory_; }
  GstBuffer* buffer() const { return buffer_; }

  Result<std::byte*> map(Access access) override {
    if (inner_) return inner_->map(access);
    std::lock_guard lock(mutex_);
    if (mappings_ == 0) {
      const auto flags = GstMapFlags((int(access) & int(Access::read) ? GST_MAP_READ : 0) |
                                     (int(access) & int(Access::write) ? GST_MAP_WRITE : 0));
      if (!gst_memory_map(memory_, &map_, flags)) {
        return fail(ErrorCode::io, "memory of type {} cannot be mapped for the CPU",
                    memory_->allocator ? memory_->allocator->mem_type : "unknown");
      }
    }
    ++mappings_;
    return reinterpret_cast<std::byte*>(map_.data);
  }
  Result<DevicePlace> on_device() override {
    auto* bytes = dynamic_cast<DeviceBytes*>(inner_.get());
    return bytes ? bytes->on_device() : DevicePlace{};
  }
  void unmap(Access access) override {
    if (inner_) return inner_->unmap(access);
    std::lock_guard lock(mutex_);
    if (--mappings_ == 0) gst_memory_unmap(memory_, &map_);
  }

 private:
  void dispose() noexcept override {
    let_go();
    auto home = std::exchange(home_, nullptr);  // keeps it while we are put there
    std::lock_guard lock(home->mutex_);
    home->idle_.push_back(this);
  }

  Ref<BufferMemories> home_;
  GstBuffer* buffer_ = nullptr;
  GstMemory* memory_ = nullptr;
  MemoryRef inner_;  // when the memory is ours already
  std::mutex mutex_;
  GstMapInfo map_{};
  int mappings_ = 0;

  friend class BufferMemories;
};

BufferMemories::~BufferMemories() {
  for (auto* memory : idle_) delete memory;
}

BufferMemory* BufferMemories::take_idle() {
  std::unique_lock lock(mutex_);
  if (idle_.empty()) {
    lock.unlock();
    return new BufferMemory(kind_, Ref<BufferMemories>(this));
  }
  auto* object = idle_.back();
  idle_.pop_back();
  object->home_ = Ref<BufferMemories>(this);
  return object;
}

MemoryRef BufferMemories::wrap(GstBuffer* buffer, GstMemory* memory) {
  auto* object = take_idle();
  object->hold(buffer, memory);
  return MemoryRef(object);
}

MemoryRef BufferMemories::wrap_output(GstMemory* memory) { return wrap(nullptr, memory); }

void BufferMemories::release(Memory& output) {
  if (auto* of_buffer = dynamic_cast<BufferMemory*>(&output)) of_buffer->let_go();
}

void BufferMemories::let_go_of_buffer(Memory& memory) {
  if (auto* of_buffer = dynamic_cast<BufferMemory*>(&memory)) of_buffer->let_go_of_buffer();
}

GstMemory* foreign_memory(const Memory& memory) {
  const auto* foreign = dynamic_cast<const BufferMemory*>(&memory);
  return foreign ? foreign->foreign() : nullptr;
}

GstBuffer* held_buffer(const Memory& memory) {
  const auto* foreign = dynamic_cast<const BufferMemory*>(&memory);
  return foreign ? foreign->buffer() : nullptr;
}

namespace {

// ---- the allocator: a GstMemory around a Memory

struct SgMemory {
  GstMemory base;
  Memory* memory;  // one reference
};
struct SgAllocator {
  GstAllocator base;
};
struct SgAllocatorClass {
  GstAllocatorClass base;
};
G_DEFINE_TYPE(SgAllocator, sg_allocator, GST_TYPE_ALLOCATOR)

constexpr const char* memory_type = "SightglassMemory";

GstMemory* new_memory(Memory* memory, GstMemory* parent, gsize offset, gsize size) {
  auto* wrapped = g_new0(SgMemory, 1);
  gst_memory_init(&wrapped->base, GstMemoryFlags(0), memory_allocator(), parent, memory->size(), 63, offset,
                  size);
  memory->ref();
  wrapped->memory = memory;
  return &wrapped->base;
}

Access access_of(GstMapFlags flags) {
  return Access((flags & GST_MAP_READ ? int(Access::read) : 0) |
                (flags & GST_MAP_WRITE ? int(Access::write) : 0));
}

gpointer map_memory(GstMemory* base, GstMapInfo* info, gsize) {
  auto data = reinterpret_cast<SgMemory*>(base)->memory->map(access_of(info->flags));
  if (!data) {
    GST_WARNING("%s", data.error().message.c_str());
    return nullptr;
  }
  return *data;
}

void unmap_memory(GstMemory* base, GstMapInfo* info) {
  reinterpret_cast<SgMemory*>(base)->memory->unmap(access_of(info->flags));
}

void sg_allocator_class_init(SgAllocatorClass* klass) {
  klass->base.alloc = [](GstAllocator*, gsize size, GstAllocationParams*) -> GstMemory* {
    auto memory = allocate_memory(size);
    return memory ? wrap_memory(*memory) : nullptr;
  };
  klass->base.free = [](GstAllocator*, GstMemory* base) {
    reinterpret_cast<SgMemory*>(base)->memory->unref();
    g_free(base);
  };
}

void sg_allocator_init(SgAllocator* self) {
  self->base.mem_type = memory_type;
  self->base.mem_map_full = map_memory;
  self->base.mem_unmap_full = unmap_memory;
  self->base.mem_share = [](GstMemory* base, gssize offset, gssize size) -> GstMemory* {
    auto* parent = base->parent ? base->parent : base;
    const gsize length = size < 0 ? base->size - gsize(offset) : gsize(size);
    auto* memory = reinterpret_cast<SgMemory*>(base)->memory;
    return new_memory(memory, parent, base->offset + gsize(offset), length);
  };
  GST_OBJECT_FLAG_SET(self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

// ---- the pool

struct SgBufferPool {
  GstBufferPool base;
  MemoryPool* blocks;  // one reference
};
struct SgBufferPoolClass {
  GstBufferPoolClass base;
};
G_DEFINE_TYPE(SgBufferPool, sg_buffer_pool, GST_TYPE_BUFFER_POOL)

GstFlowReturn acquire(GstBufferPool* base, GstBuffer** buffer, GstBufferPoolAcquireParams*) {
  if (GST_BUFFER_POOL_IS_FLUSHING(base)) return GST_FLOW_FLUSHING;
  auto block = reinterpret_cast<SgBufferPool*>(base)->blocks->acquire();
  if (!block) {
    GST_WARNING_OBJECT(base, "%s", block.error().message.c_str());
    return block.error().code == ErrorCode::cancelled ? GST_FLOW_FLUSHING : GST_FLOW_ERROR;
  }
  *buffer = gst_buffer_new();
  gst_buffer_append_memory(*buffer, wrap_memory(*block));
  return GST_FLOW_OK;
}

void sg_buffer_pool_class_init(SgBufferPoolClass* klass) {
  klass->base.acquire_buffer = acquire;
  klass->base.release_buffer = [](GstBufferPool*, GstBuffer* buffer) { gst_buffer_unref(buffer); };
  klass->base.start = [](GstBufferPool*) -> gboolean {
    return TRUE;
  };  // blocks are made when needed, by their own pool
  G_OBJECT_CLASS(klass)->finalize = [](GObject* object) {
    reinterpret_cast<SgBufferPool*>(object)->blocks->unref();
    G_OBJECT_CLASS(sg_buffer_pool_parent_class)->finalize(object);
  };
}

void sg_buffer_pool_init(SgBufferPool*) {}

// Where a GstMemory on the file of a DMA-BUF keeps what it was made from.
GQuark dmabuf_quark() {
  static const GQuark quark = g_quark_from_static_string("sightglass-dmabuf");
  return quark;
}

// For other elements it is a DMA-BUF, with the descriptor of `memory`, which it keeps alive.
GstMemory* wrap_as_dmabuf(const MemoryRef& memory) {
  static GstAllocator* const allocator = [] {
    auto* made = gst_dmabuf_allocator_new();
    GST_OBJECT_FLAG_SET(made, GST_OBJECT_FLAG_MAY_BE_LEAKED);
    return made;
  }();
  const size_t offset = dmabuf_offset(*memory);
  auto* made = gst_dmabuf_allocator_alloc_with_flags(allocator, dmabuf_fd(*memory), offset + memory->size(),
                                                     GST_FD_MEMORY_FLAG_DONT_CLOSE);
  if (!made) return nullptr;
  gst_memory_resize(made, gssize(offset), memory->size());
  gst_mini_object_set_qdata(GST_MINI_OBJECT_CAST(made), dmabuf_quark(), MemoryRef(memory).release(),
                            [](gpointer kept) { static_cast<Memory*>(kept)->unref(); });
  return made;
}

}  // namespace

GstMemory* wrap_memory(const MemoryRef& memory) {
  if (dmabuf_fd(*memory) >= 0) return wrap_as_dmabuf(memory);
  return new_memory(memory.get(), nullptr, 0, memory->size());
}

MemoryRef unwrap_memory(GstMemory* memory) {
  if (memory->allocator == memory_allocator())
    return memory->offset == 0 ? MemoryRef(reinterpret_cast<SgMemory*>(memory)->memory) : nullptr;
  auto* dmabuf =
      static_cast<Memory*>(gst_mini_object_get_qdata(GST_MINI_OBJECT_CAST(memory), dmabuf_quark()));
  const bool whole = dmabuf && memory->offset == dmabuf_offset(*dmabuf) && memory->size == dmabuf->size();
  return whole ? MemoryRef(dmabuf) : nullptr;
}

GstBufferPool* make_buffer_pool(const Ref<MemoryPool>& pool) {
  auto* self = reinterpret_cast<SgBufferPool*>(g_object_new(sg_buffer_pool_get_type(), nullptr));
  gst_object_ref_sink(self);
  pool->ref();
  self->blocks = pool.get();
  return &self->base;
}

GstAllocator* memory_allocator() {
  static GstAllocator* const allocator = [] {
    auto* object = g_object_new(sg_allocator_get_type(), nullptr);
    gst_object_ref_sink(object);
    GST_OBJECT_FLAG_SET(object, GST_OBJECT_FLAG_MAY_BE_LEAKED);
    return GST_ALLOCATOR(object);
  }();
  return allocator;
}

}  // namespace sightglass::gst
