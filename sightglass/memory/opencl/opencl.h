// Memory of OpenCL devices. A frame in the form `opencl` lies in buffers, one or several planes in each, at
// the offsets and strides of its tensors; in the form `opencl-image` each plane is an image of its own.
//
//   auto mapped = map_to(frame, {.form = {MemoryKind::opencl, PixelFormat::nv12},
//                                .access = Access::read_write});
//   const Tensor& luma = mapped->frame().tensors[0];
//   cl_mem buffer = opencl_buffer(luma);  // kernel argument, together with luma.offset and luma.strides[0]
//   clEnqueueNDRangeKernel(queue, …);
//
// `queue` is the context's own, handle("cl_command_queue"), in order: what is enqueued there comes after what
// was in flight, and mapping for the CPU waits for it. Whoever uses another queue calls opencl_wait() before
// and opencl_written() after its commands.
//
// On devices that share the memory of the CPU (integrated ones, PoCL) system memory and buffers are the same
// bytes; other devices copy. Whether OpenCL works is tried in a process of its own first, since a driver that
// does not like the machine may end the process. Thread-safe. No OpenCL header is needed to include this.
#pragma once

#include "sightglass/core/memory.h"
#include "sightglass/core/tensor.h"
#include "sightglass/memory/context.h"

struct _cl_command_queue;
struct _cl_context;
struct _cl_event;
struct _cl_mem;

namespace sightglass {

// What every block of the kinds opencl and opencl_image is. Also implemented by those who lend an OpenCL
// buffer of another library.
class OpenCLMemory : public Memory {
 public:
  virtual _cl_mem* handle() const = 0;  // valid as long as this block; retain it to keep it longer
  // Makes commands that are put into `queue` from now on wait for the work in flight, on the device where
  // that can be.
  virtual Status wait_in(_cl_command_queue* queue) = 0;
  // Work that writes the block; see Memory's fence. Null takes it off.
  virtual void set_fence(Ref<Fence> fence) = 0;

 protected:
  using Memory::Memory;
};

// Null: not of this kind.
_cl_mem* opencl_buffer(const Tensor& tensor);
_cl_mem* opencl_image(const Tensor& tensor);

Status opencl_wait(const Tensor& tensor, _cl_command_queue* queue);
// `event` completes once the tensor has been written; retained.
Status opencl_written(const Tensor& tensor, _cl_event* event);

// A context and queue of the user's own, to be named as MapTarget::context; both are retained. The queue has
// to be in order. Handles of each OpenCL context: "cl_context", "cl_command_queue", "cl_device_id",
// "cl_platform_id".
Result<ContextRef> adopt_opencl(_cl_context* context, _cl_command_queue* queue);

// A buffer of the user's own, retained, as a block. Invalid argument when it is no buffer of that context.
Result<MemoryRef> wrap_opencl_buffer(const ContextRef& context, _cl_mem* buffer);

// Buffers of one size that come back by themselves. Warm, acquire() allocates nothing.
Result<Ref<MemoryPool>> make_opencl_pool(const ContextRef& context, size_t block_size);

}  // namespace sightglass
