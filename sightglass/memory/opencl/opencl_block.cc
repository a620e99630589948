#include "sightglass/memory/opencl/opencl_block.h"

#include <utility>

#include "sightglass/memory/opencl/opencl_error.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

OpenCLFence::OpenCLFence(const Ref<OpenCLContext>& context, cl_event event)
    : context_(context), event_(event) {
  clRetainEvent(event_);
}

OpenCLFence::~OpenCLFence() { clReleaseEvent(event_); }

bool OpenCLFence::ready() const {
  cl_int state = CL_QUEUED;
  clGetEventInfo(event_, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, nullptr);
  return state <= CL_COMPLETE;  // below: it failed
}

Status OpenCLFence::wait() {
  return opencl_status("work on an OpenCL device has failed", clWaitForEvents(1, &event_));
}

OpenCLBlock::OpenCLBlock(MemoryKind kind, Ref<OpenCLContext> context, cl_mem memory, size_t size)
    : OpenCLMemory(kind, size), context_(std::move(context)), memory_(memory) {}

OpenCLBlock::~OpenCLBlock() {
  if (memory_) clReleaseMemObject(memory_);
}

Result<Ref<OpenCLBlock>> OpenCLBlock::on_host(const Ref<OpenCLContext>& context, const MemoryRef& host,
                                              Access access) {
  // What our own queue is still writing needs no wait: the queue is in order.
  auto* system = dynamic_cast<SystemMemory*>(host.get());
  const auto* in_flight = system ? dynamic_cast<const OpenCLFence*>(system->fence().get()) : nullptr;
  std::byte* address = nullptr;
  const bool is_mapped = !in_flight || &in_flight->context() != context.get();
  if (is_mapped) {
    auto mapped = host->map(access);
    if (!mapped) return forward_error(mapped);
    address = *mapped;
  } else {
    address = system->data();
  }
  struct Lent {
    MemoryRef host;
    Access access;
    bool is_mapped;
    static void give_back(cl_mem, void* data) {
      const std::unique_ptr<Lent> lent(static_cast<Lent*>(data));
      if (lent->is_mapped) lent->host->unmap(lent->access);
    }
  };
  auto lent = std::make_unique<Lent>(host, access, is_mapped);
  cl_int code;
  const cl_mem memory = clCreateBuffer(context->context(), CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                       host->size(), address, &code);
  if (memory) {
    code = clSetMemObjectDestructorCallback(memory, &Lent::give_back, lent.get());
    if (code == CL_SUCCESS) lent.release();  // belongs to the callback now
  }
  if (code != CL_SUCCESS) {
    if (memory) clReleaseMemObject(memory);
    if (lent->is_mapped) host->unmap(access);
    return opencl_error(std::format("no OpenCL buffer on {} bytes of the CPU's memory", host->size()), code);
  }
  auto block = make_ref<OpenCLBlock>(MemoryKind::opencl, context, memory, host->size());
  if (access != Access::read) block->written_host_ = host;
  return block;
}

Status OpenCLBlock::wait_in(cl_command_queue queue) {
  Ref<Fence> fence;
  {
    std::lock_guard lock(mutex_);
    fence = fence_;
  }
  if (auto* own = dynamic_cast<OpenCLFence*>(fence.get()); own && &own->context() == context_.get()) {
    const cl_event event = own->event();
    return opencl_status("an OpenCL queue cannot wait",
                         clEnqueueBarrierWithWaitList(queue, 1, &event, nullptr));
  }
  if (fence)
    if (auto status = fence->wait(); !status) return status;
  if (queue == context_->queue()) return {};
  // What is in our queue so far comes first.
  cl_event event = nullptr;
  cl_int code = clEnqueueMarkerWithWaitList(context_->queue(), 0, nullptr, &event);
  if (code == CL_SUCCESS) code = clFlush(context_->queue());
  if (code == CL_SUCCESS) code = clEnqueueBarrierWithWaitList(queue, 1, &event, nullptr);
  if (event) clReleaseEvent(event);
  return opencl_status("an OpenCL queue cannot wait", code);
}

void OpenCLBlock::set_fence(Ref<Fence> fence) {
  std::lock_guard lock(mutex_);
  fence_ = std::move(fence);
}

Result<std::byte*> OpenCLBlock::map(Access access) {
  if (kind() == MemoryKind::opencl_image)
    return fail(ErrorCode::unsupported, "an OpenCL image has no address; map it to opencl or system memory");
  Ref<Fence> fence;
  {
    std::lock_guard lock(mutex_);
    fence = fence_;
  }
  if (fence)
    if (auto status = fence->wait(); !status) return forward_error(status);
  std::lock_guard lock(mutex_);
  Mapped& mapped = access == Access::read ? reading_ : writing_;
  if (mapped.users == 0) {
    const cl_map_flags flags = access == Access::read    ? CL_MAP_READ
                               : access == Access::write ? CL_MAP_WRITE
                                                         : CL_MAP_READ | CL_MAP_WRITE;
    cl_int code;
    mapped.address =
        clEnqueueMapBuffer(context_->queue(), memory_, CL_TRUE, flags, 0, size(), 0, nullptr, nullptr, &code);
    if (code != CL_SUCCESS)
      return opencl_error(std::format("an OpenCL buffer of {} bytes cannot be mapped", size()), code);
  }
  ++mapped.users;
  return static_cast<std::byte*>(mapped.address);
}

void OpenCLBlock::unmap(Access access) {
  std::lock_guard lock(mutex_);
  Mapped& mapped = access == Access::read ? reading_ : writing_;
  if (--mapped.users > 0) return;
  clEnqueueUnmapMemObject(context_->queue(), memory_, std::exchange(mapped.address, nullptr), 0, nullptr,
                          nullptr);
  clFlush(context_->queue());
}

// Mapping and unmapping is what brings the device's writes to the memory of the CPU, in order behind them;
// nobody waits for it here.
void OpenCLBlock::publish_to_host() noexcept {
  const MemoryRef host = std::move(written_host_);
  if (!host) return;
  const cl_command_queue queue = context_->queue();
  if (fence_) (void)wait_in(queue);
  cl_event event = nullptr;
  cl_int code;
  void* address =
      clEnqueueMapBuffer(queue, memory_, CL_FALSE, CL_MAP_READ, 0, size(), 0, nullptr, nullptr, &code);
  if (address) clEnqueueUnmapMemObject(queue, memory_, address, 0, nullptr, &event);
  clFlush(queue);
  auto* system = dynamic_cast<SystemMemory*>(host.get());
  if (system && event)
    system->set_fence(make_ref<OpenCLFence>(context_, event));
  else
    clFinish(queue);
  if (event) clReleaseEvent(event);
}

void OpenCLBlock::dispose() noexcept {
  publish_to_host();
  const Ref<OpenCLPool> home = std::move(pool_);
  if (!home) {
    delete this;
    return;
  }
  const Ref<OpenCLContext> context = std::move(context_);  // may go with the last block
  fence_ = nullptr;
  std::lock_guard lock(home->mutex_);
  home->free_.push_back(this);
}

OpenCLPool::~OpenCLPool() {
  for (OpenCLBlock* block : free_) delete block;
}

Result<cl_mem> OpenCLPool::make(const OpenCLContext& context) const {
  cl_int code;
  cl_mem memory;
  if (spec_.width == 0) {
    memory = clCreateBuffer(context.context(),
                            CL_MEM_READ_WRITE | (context.shares_host_memory() ? CL_MEM_ALLOC_HOST_PTR : 0),
                            spec_.bytes, nullptr, &code);
    if (!memory) return opencl_error(std::format("no OpenCL buffer of {} bytes", spec_.bytes), code);
    return memory;
  }
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE2D;
  desc.image_width = spec_.width;
  desc.image_height = spec_.height;
  memory = clCreateImage(context.context(), CL_MEM_READ_WRITE, &spec_.format, &desc, nullptr, &code);
  if (!memory)
    return opencl_error(std::format("no OpenCL image of {}x{} pixels", spec_.width, spec_.height), code);
  return memory;
}

// The one that came back last and that nobody but us holds; null: none. Commands hold what they work on.
OpenCLBlock* OpenCLPool::take_idle() {
  for (size_t i = free_.size(); i-- > 0;) {
    cl_uint holders = 0;
    clGetMemObjectInfo(free_[i]->memory_, CL_MEM_REFERENCE_COUNT, sizeof holders, &holders, nullptr);
    if (holders > 1) continue;
    OpenCLBlock* const block = free_[i];
    free_.erase(free_.begin() + ptrdiff_t(i));
    return block;
  }
  return nullptr;
}

Result<Ref<OpenCLBlock>> OpenCLPool::acquire(const Ref<OpenCLContext>& context) {
  OpenCLBlock* block = nullptr;
  bool is_crowded = false;
  {
    std::lock_guard lock(mutex_);
    block = take_idle();
    is_crowded = !block && free_.size() >= most_in_flight;
  }
  if (is_crowded) {
    clFinish(context->queue());
    std::lock_guard lock(mutex_);
    block = take_idle();
    if (!block)  // retained by others
      for (OpenCLBlock* given_away : std::exchange(free_, {})) delete given_away;
  }
  if (!block) {
    auto memory = make(*context);
    if (!memory) return forward_error(memory);
    block = new OpenCLBlock(spec_.width ? MemoryKind::opencl_image : MemoryKind::opencl, context, *memory,
                            spec_.bytes);
  }
  block->context_ = context;
  block->pool_ = Ref(this);
  return Ref<OpenCLBlock>(block);
}

}  // namespace sightglass
