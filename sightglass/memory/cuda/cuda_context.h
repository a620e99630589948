// The primary context of a device, our stream, and what is used again: events, pools of device and of pinned
// memory.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "sightglass/memory/context.h"
#include "sightglass/memory/cuda/cuda_driver.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {

class CudaPool;
class PinnedPool;

class CudaContext final : public Context {
 public:
  static Result<Ref<CudaContext>> open(int device);
  static Result<Ref<CudaContext>> of(const ContextRef& context);  // null: the first device

  std::string description() const override { return description_; }
  void* handle(std::string_view type) const override;
  bool same_device(const Context& other) const override;

  int device() const { return device_; }
  CUstream stream() const { return stream_; }

  Result<CUevent> take_event();
  void give_back(CUevent event) noexcept;
  Ref<CudaPool> pool(size_t block_size);
  Ref<PinnedPool> pinned(size_t block_size);

 private:
  explicit CudaContext(int device) : Context(MemoryKind::cuda), device_(device) {}

  int device_;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  std::string description_;
  std::mutex mutex_;
  std::vector<CUevent> events_;
  std::map<size_t, Ref<CudaPool>> pools_;
  std::map<size_t, Ref<PinnedPool>> pinned_;
};

// The context is the current one of this thread as long as this lives. Fails where CUDA cannot be used (any
// more). What a thread that has been here calls neither fails because of a graph that another one records
// nor spoils it: ONNX Runtime records such that by default it would.
class CudaScope {
 public:
  static Result<CudaScope> enter(const CudaContext& context);
  CudaScope(CudaScope&& other) noexcept : driver_(std::exchange(other.driver_, nullptr)) {}
  CudaScope& operator=(CudaScope&&) = delete;
  ~CudaScope();
  const CudaDriver* operator->() const { return driver_; }

 private:
  explicit CudaScope(const CudaDriver* driver) : driver_(driver) {}
  const CudaDriver* driver_;
};

// An event in a stream.
class CudaFence final : public Fence {
 public:
  static Result<Ref<CudaFence>> record(const Ref<CudaContext>& context, CUstream stream);
  ~CudaFence() override { context_->give_back(event_); }
  // Not after a failure of the device: wait() says what it was.
  bool ready() const override;
  Status wait() override;
  CUevent event() const { return event_; }

 private:
  CudaFence(Ref<CudaContext> context, CUevent event) : context_(std::move(context)), event_(event) {}
  Ref<CudaContext> context_;
  CUevent event_;
};

}  // namespace sightglass
