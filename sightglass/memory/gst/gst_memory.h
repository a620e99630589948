// Our memory in GStreamer's buffers and theirs in our frames, without a copy either way.
//
// A GstMemory of ours (mem_type "SightglassMemory") holds one reference on a Memory; mapping it waits for the
// fence, so that even elements that know nothing of us never read results before they are there. A Memory
// made from a foreign buffer maps that buffer.
#pragma once

#include <gst/gst.h>

#include <mutex>
#include <vector>

#include "sightglass/core/memory.h"

namespace sightglass::gst {

// Wraps; takes a reference. Memory of kind dmabuf becomes DMABuf memory of GStreamer's.
GstMemory* wrap_memory(const MemoryRef& memory);
// The Memory inside, or null when the block is not ours.
MemoryRef unwrap_memory(GstMemory* memory);

// One memory of a buffer, seen as ours.
class BufferMemory;

// Makes BufferMemory objects and uses them again, so that wrapping a buffer does not allocate once warm.
// Thread-safe, and may go before the objects that it made.
class BufferMemories : public RefCounted {
 public:
  // The kind that they call themselves: system for elements, which only want to map them; gst where the
  // buffer itself is what is wanted (gst_frame.h).
  explicit BufferMemories(MemoryKind kind = MemoryKind::system) : kind_(kind) {}
  ~BufferMemories() override;
  // For what comes in: keeps the whole buffer alive, and with it its place in its pool, until the last
  // reference goes.
  MemoryRef wrap(GstBuffer* buffer, GstMemory* memory);
  // For what is about to be filled and pushed: keeps the memory only, so that the buffer stays writable.
  // release() ends even that, whoever still holds the object: then the next element may write the pixels in
  // place.
  MemoryRef wrap_output(GstMemory* memory);
  static void release(Memory& output);
  // The bytes are kept, but not the buffer that they came in: for what is attached to that very buffer, which
  // could not be written and would never be freed otherwise. Does nothing to memory of other kinds.
  static void let_go_of_buffer(Memory& memory);

 private:
  friend class BufferMemory;
  BufferMemory* take_idle();
  const MemoryKind kind_;
  std::mutex mutex_;
  std::vector<BufferMemory*> idle_;
};

// The foreign memory inside a BufferMemory, or null for any other.
GstMemory* foreign_memory(const Memory& memory);
// The buffer that it keeps alive; null for any other, and for what wrap_output() has made.
GstBuffer* held_buffer(const Memory& memory);

// A buffer pool whose buffers lie in the blocks of `pool`. A block goes back when neither a buffer nor an
// engine uses it any more. acquire fails with GST_FLOW_ERROR where there is no block, with GST_FLOW_FLUSHING
// where waiting for one was cancelled.
GstBufferPool* make_buffer_pool(const Ref<MemoryPool>& pool);
// The allocator that belongs into an ALLOCATION answer next to that pool: without it base classes replace the
// pool's own. Never freed.
GstAllocator* memory_allocator();

}  // namespace sightglass::gst
