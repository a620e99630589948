#include "sightglass/memory/cuda/cuda_stream.h"

#include <utility>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_block.h"
#include "sightglass/memory/cuda/cuda_context.h"

namespace sightglass {
namespace {

class UserPinnedPool final : public MemoryPool {
 public:
  UserPinnedPool(Ref<CudaContext> context, size_t block_size)
      : block_size_(block_size), pool_(make_ref<PinnedPool>(std::move(context), block_size)) {}
  size_t block_size() const override { return block_size_; }
  Result<MemoryRef> acquire() override {
    auto block = pool_->acquire();
    if (!block) return forward_error(block);
    return MemoryRef(*std::move(block));
  }

 private:
  const size_t block_size_;
  const Ref<PinnedPool> pool_;
};

}  // namespace

CudaStream::CudaStream(Ref<CudaContext> context, CUstream_st* stream)
    : context_(std::move(context)), stream_(stream) {}

CudaStream::~CudaStream() {
  if (auto scope = CudaScope::enter(*context_); scope) (*scope)->stream_destroy(stream_);
}

Result<std::unique_ptr<CudaStream>> CudaStream::make(const ContextRef& context) {
  auto device = CudaContext::of(context);
  if (!device) return forward_error(device);
  auto scope = CudaScope::enter(**device);
  if (!scope) return forward_error(scope);
  CUstream stream = nullptr;
  auto status = cuda_status("no CUDA stream", (*scope)->stream_create(&stream, CU_STREAM_NON_BLOCKING));
  if (!status) return forward_error(status);
  return std::unique_ptr<CudaStream>(new CudaStream(*std::move(device), stream));
}

Status CudaStream::wait_for(const Tensor& tensor) { return cuda_wait(tensor, stream_); }

Status CudaStream::copy(uint64_t to, uint64_t from, size_t bytes) {
  if (bytes == 0) return {};
  auto scope = CudaScope::enter(*context_);
  if (!scope) return forward_error(scope);
  return cuda_status("a copy on a CUDA device", (*scope)->copy(to, from, bytes, stream_));
}

Status CudaStream::fill(uint64_t to, std::byte value, size_t bytes) {
  if (bytes == 0) return {};
  auto scope = CudaScope::enter(*context_);
  if (!scope) return forward_error(scope);
  return cuda_status("CUDA memory cannot be filled",
                     (*scope)->fill(to, static_cast<unsigned char>(value), bytes, stream_));
}

Result<Ref<Fence>> CudaStream::fence() const {
  auto fence = CudaFence::record(context_, stream_);
  if (!fence) return forward_error(fence);
  return Ref<Fence>(*std::move(fence));
}

Status CudaStream::finish() const {
  auto fence = CudaFence::record(context_, stream_);
  return fence ? (*fence)->wait() : Status(forward_error(fence));
}

Result<Ref<MemoryPool>> make_pinned_pool(const ContextRef& context, size_t block_size) {
  auto device = CudaContext::of(context);
  if (!device) return forward_error(device);
  return Ref<MemoryPool>(make_ref<UserPinnedPool>(*std::move(device), block_size));
}

bool CudaAllocations::try_lock_for(std::chrono::nanoseconds most) {
  const auto until = std::chrono::steady_clock::now() + most;
  std::unique_lock lock(mutex_);
  if (!changed_.wait_until(lock, until, [this] { return !is_wanted_; })) return false;
  is_wanted_ = true;
  if (changed_.wait_until(lock, until, [this] { return sharing_ == 0; })) return true;
  is_wanted_ = false;
  changed_.notify_all();
  return false;
}

void CudaAllocations::unlock() {
  const std::lock_guard lock(mutex_);
  is_wanted_ = false;
  changed_.notify_all();
}

void CudaAllocations::lock_shared() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !is_wanted_; });
  ++sharing_;
}

void CudaAllocations::unlock_shared() {
  const std::lock_guard lock(mutex_);
  if (--sharing_ == 0) changed_.notify_all();
}

CudaAllocations& cuda_allocations() {
  static CudaAllocations& mutex = *new CudaAllocations;  // used until the process is gone
  return mutex;
}

}  // namespace sightglass
