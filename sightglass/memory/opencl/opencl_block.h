// Blocks of OpenCL memory: a cl_mem, who lent it, and the work in flight on it.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "sightglass/memory/opencl/opencl.h"
#include "sightglass/memory/opencl/opencl_context.h"

namespace sightglass {

class OpenCLFence final : public Fence {
 public:
  OpenCLFence(const Ref<OpenCLContext>& context, cl_event event);  // retains it
  ~OpenCLFence() override;
  bool ready() const override;
  Status wait() override;
  cl_event event() const { return event_; }
  const OpenCLContext& context() const { return *context_; }

 private:
  Ref<OpenCLContext> context_;
  cl_event event_;
};

class OpenCLBlock final : public OpenCLMemory {
 public:
  // Takes over the reference to `memory`.
  OpenCLBlock(MemoryKind kind, Ref<OpenCLContext> context, cl_mem memory, size_t size);
  ~OpenCLBlock() override;

  // A buffer on memory of the CPU, which stays alive and mapped until the device needs it no more. What was
  // written is there for the CPU, behind a fence, once it is published or the block is gone.
  static Result<Ref<OpenCLBlock>> on_host(const Ref<OpenCLContext>& context, const MemoryRef& host,
                                          Access access);
  // Puts that fence there now: the device is done with it, but for what is in flight. Does not wait.
  void publish_to_host() noexcept;

  const Context* context() const override { return context_.get(); }
  OpenCLContext& device() const { return *context_; }
  cl_mem handle() const override { return memory_; }
  Status wait_in(cl_command_queue queue) override;
  void set_fence(Ref<Fence> fence) override;

  // Buffers only: an image has no address.
  Result<std::byte*> map(Access access) override;
  void unmap(Access access) override;

 private:
  friend OpenCLPool;
  void dispose() noexcept override;

  // The buffer as it is mapped now, for all who read it or for those who write it.
  struct Mapped {
    void* address = nullptr;
    int users = 0;
  };

  Ref<OpenCLContext> context_;  // null in the pool
  cl_mem memory_;
  std::mutex mutex_;
  Mapped reading_, writing_;
  Ref<Fence> fence_;
  MemoryRef written_host_;  // set: memory of the CPU that the device may have written
  Ref<OpenCLPool> pool_;    // null in the pool, and without one
};

// Free blocks of one kind. Belongs to no context, so that a context can own it; acquire() with one always
// names the same. A block that the device still works on is left alone, so that queues need not wait for one
// another; with too many of those acquire() waits for the device. One that somebody else has retained, as
// OpenCV does, is his then. Thread-safe.
class OpenCLPool final : public RefCounted {
 public:
  explicit OpenCLPool(const OpenCLBlockSpec& spec) : spec_(spec) {}
  ~OpenCLPool() override;
  const OpenCLBlockSpec& spec() const { return spec_; }
  Result<Ref<OpenCLBlock>> acquire(const Ref<OpenCLContext>& context);

 private:
  friend OpenCLBlock;
  static constexpr size_t most_in_flight = 8;
  Result<cl_mem> make(const OpenCLContext& context) const;
  OpenCLBlock* take_idle();

  const OpenCLBlockSpec spec_;
  std::mutex mutex_;
  std::vector<OpenCLBlock*> free_;
};

}  // namespace sightglass
