#include "sightglass/memory/opencl/opencl.h"

#include <utility>

#include "sightglass/memory/opencl/opencl_block.h"
#include "sightglass/memory/opencl/opencl_error.h"

namespace sightglass {
namespace {

class UserPool final : public MemoryPool {
 public:
  UserPool(Ref<OpenCLContext> context, size_t block_size)
      : context_(std::move(context)), pool_(make_ref<OpenCLPool>(OpenCLBlockSpec{.bytes = block_size})) {}
  size_t block_size() const override { return pool_->spec().bytes; }
  Result<MemoryRef> acquire() override {
    auto block = pool_->acquire(context_);
    if (!block) return forward_error(block);
    return MemoryRef(std::move(*block));
  }

 private:
  Ref<OpenCLContext> context_;
  Ref<OpenCLPool> pool_;
};

OpenCLMemory* memory_of(const Tensor& tensor, MemoryKind kind) {
  if (!tensor.memory || tensor.memory->kind() != kind) return nullptr;
  return dynamic_cast<OpenCLMemory*>(tensor.memory.get());
}

OpenCLMemory* memory_of(const Tensor& tensor) {
  OpenCLMemory* buffer = memory_of(tensor, MemoryKind::opencl);
  return buffer ? buffer : memory_of(tensor, MemoryKind::opencl_image);
}

std::unexpected<Error> no_opencl_memory() {
  return fail(ErrorCode::invalid_argument, "the tensor does not lie in OpenCL memory; map it there first");
}

}  // namespace

_cl_mem* opencl_buffer(const Tensor& tensor) {
  const OpenCLMemory* memory = memory_of(tensor, MemoryKind::opencl);
  return memory ? memory->handle() : nullptr;
}

_cl_mem* opencl_image(const Tensor& tensor) {
  const OpenCLMemory* memory = memory_of(tensor, MemoryKind::opencl_image);
  return memory ? memory->handle() : nullptr;
}

Status opencl_wait(const Tensor& tensor, _cl_command_queue* queue) {
  OpenCLMemory* memory = memory_of(tensor);
  if (!memory) return no_opencl_memory();
  if (!queue) return fail(ErrorCode::invalid_argument, "an OpenCL queue is needed to wait in");
  return memory->wait_in(queue);
}

Status opencl_written(const Tensor& tensor, _cl_event* event) {
  OpenCLMemory* memory = memory_of(tensor);
  if (!memory) return no_opencl_memory();
  if (!event) return fail(ErrorCode::invalid_argument, "an OpenCL event is needed to wait for");
  auto* context = dynamic_cast<const OpenCLContext*>(memory->context());
  if (!context) return no_opencl_memory();
  memory->set_fence(make_ref<OpenCLFence>(Ref(const_cast<OpenCLContext*>(context)), event));
  return {};
}

Result<ContextRef> adopt_opencl(_cl_context* context, _cl_command_queue* queue) {
  auto adopted = OpenCLContext::adopt(context, queue);
  if (!adopted) return forward_error(adopted);
  return ContextRef(std::move(*adopted));
}

Result<MemoryRef> wrap_opencl_buffer(const ContextRef& context, _cl_mem* buffer) {
  auto device = OpenCLContext::of(context);
  if (!device) return forward_error(device);
  if (!buffer) return fail(ErrorCode::invalid_argument, "a null handle is no OpenCL buffer");
  cl_mem_object_type type = 0;
  cl_context owner = nullptr;
  size_t size = 0;
  cl_int code = clGetMemObjectInfo(buffer, CL_MEM_TYPE, sizeof type, &type, nullptr);
  if (code == CL_SUCCESS) code = clGetMemObjectInfo(buffer, CL_MEM_CONTEXT, sizeof owner, &owner, nullptr);
  if (code == CL_SUCCESS) code = clGetMemObjectInfo(buffer, CL_MEM_SIZE, sizeof size, &size, nullptr);
  if (code != CL_SUCCESS) return opencl_error("that is no OpenCL buffer", code);
  if (type != CL_MEM_OBJECT_BUFFER || owner != (*device)->context())
    return fail(ErrorCode::invalid_argument, "that is no buffer of the OpenCL context of {}",
                (*device)->description());
  clRetainMemObject(buffer);
  return MemoryRef(make_ref<OpenCLBlock>(MemoryKind::opencl, *device, buffer, size));
}

Result<Ref<MemoryPool>> make_opencl_pool(const ContextRef& context, size_t block_size) {
  auto device = OpenCLContext::of(context);
  if (!device) return forward_error(device);
  if (block_size == 0)
    return fail(ErrorCode::invalid_argument, "a block of OpenCL memory has at least one byte");
  return Ref<MemoryPool>(make_ref<UserPool>(*device, block_size));
}

}  // namespace sightglass
