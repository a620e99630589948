#include "sightglass/memory/cuda/cuda_block.h"

#include <format>
#include <shared_mutex>
#include <utility>

#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/cuda/cuda_stream.h"
#include "sightglass/memory/tensor_rows.h"

namespace sightglass {

namespace {

// On the device where that can be, else by waiting here.
Status order_behind(const Ref<Fence>& last, const CudaContext& context, CUstream_st* stream) {
  if (!last) return {};
  auto* const event = dynamic_cast<CudaFence*>(last.get());
  if (!event) return last->wait();
  auto scope = CudaScope::enter(context);
  if (!scope) return forward_error(scope);
  return cuda_status("a CUDA stream cannot wait", (*scope)->stream_wait_event(stream, event->event(), 0));
}

}  // namespace

// Freeing waits for the whole device, as the driver has it, so that nothing in flight loses its memory.
CudaBlock::CudaBlock(Ref<CudaContext> context, uint64_t address, size_t size, Owner owner,
                     ReleaseMemory release, IsWritable writable)
    : CudaMemory(address, size),
      context_(std::move(context)),
      owner_(owner),
      release_(std::move(release)),
      writable_(std::move(writable)) {}

CudaBlock::~CudaBlock() {
  if (release_) release_();
  if (owner_ == Owner::other) return;
  auto scope = CudaScope::enter(*context_);
  if (!scope) return;  // forked: it belongs to the parent
  if (owner_ == Owner::ours)
    (*scope)->free(address());
  else
    (*scope)->ipc_close(address());
}

Ref<Fence> CudaBlock::fence() const {
  std::lock_guard lock(mutex_);
  return fence_;
}

void CudaBlock::set_fence(Ref<Fence> fence) {
  std::lock_guard lock(mutex_);
  fence_ = std::move(fence);
}

void CudaBlock::defer(Ref<DeferredWrite> write) {
  std::lock_guard lock(mutex_);
  deferred_ = std::move(write);
}

Ref<DeferredWrite> CudaBlock::deferred() const {
  std::lock_guard lock(mutex_);
  return deferred_;
}

Status CudaBlock::fill() {
  const std::lock_guard lock(mutex_);
  if (!deferred_) return {};
  // Whoever had the block before may still be reading it.
  if (Status ordered = order_behind(fence_, *context_, context_->stream()); !ordered) return ordered;
  const DeferredWrite::Part part{deferred_.get(), address()};
  const Status written = deferred_->run({&part, 1}, context_->stream());
  auto fence = CudaFence::record(context_, context_->stream());
  if (!fence) return forward_error(fence);
  if (!written) {  // some of it may be under way
    (void)(*fence)->wait();
    return written;
  }
  fence_ = filled_ = *std::move(fence);
  filling_ = std::move(deferred_);
  return {};
}

Status CudaBlock::wait_in(CUstream_st* stream) {
  if (Status filled = fill(); !filled) return filled;
  return order_behind(fence(), *context_, stream);
}

Result<std::byte*> CudaBlock::map(Access access) {
  static CopyLedger::Hop& downloads = CopyLedger::process().hop("CUDA memory mapped for the CPU");
  std::unique_lock lock(mutex_);
  if (users_ == 0) {
    lock.unlock();
    auto staging = context_->pinned(size())->acquire();
    if (!staging) return forward_error(staging);
    const Tensor whole{.type = DataType::u8, .shape = {int64_t(size())}, .strides = {1}};
    if (auto status = wait_in(context_->stream()); !status) return forward_error(status);
    // Also what is to be written only: not everything may be.
    if (auto status = enqueue_copy(*this, whole, (*staging)->data(), whole, false); !status)
      return forward_error(status);
    auto fence = CudaFence::record(context_, context_->stream());
    if (!fence) return forward_error(fence);
    (*staging)->set_fence(*fence);
    if (auto done = (*fence)->wait(); !done) return forward_error(done);
    downloads.copied(size());
    lock.lock();
    if (users_ == 0) staging_ = std::move(*staging);
  }
  ++users_;
  is_written_ |= access != Access::read;
  return staging_->data();
}

void CudaBlock::unmap(Access) {
  Ref<SystemMemory> staging;
  bool is_written = false;
  {
    std::lock_guard lock(mutex_);
    if (--users_ > 0) return;
    staging = std::move(staging_);
    is_written = std::exchange(is_written_, false);
  }
  if (!is_written) return;
  const Tensor whole{.type = DataType::u8, .shape = {int64_t(size())}, .strides = {1}};
  (void)enqueue_copy(*this, whole, staging->data(), whole, true);
  if (auto fence = CudaFence::record(context_, context_->stream()); fence) {
    set_fence(*fence);
    staging->set_fence(*fence);  // not used again before
  }
}

void CudaBlock::dispose() noexcept {
  const Ref<CudaPool> home = std::move(pool_);
  deferred_ = nullptr;
  if (filling_) {
    (void)std::exchange(filled_, nullptr)->wait();
    filling_ = nullptr;
  }
  if (!home) {
    delete this;
    return;
  }
  // The fence stays: whoever gets the block next comes after what is in flight.
  std::lock_guard lock(home->mutex_);
  next_ = std::exchange(home->free_, this);
}

CudaPool::~CudaPool() {
  while (free_) delete std::exchange(free_, free_->next_);
}

Result<Ref<CudaBlock>> CudaPool::acquire() {
  CudaBlock* block = nullptr;
  {
    std::lock_guard lock(mutex_);
    block = free_;
    if (block) free_ = std::exchange(block->next_, nullptr);
  }
  if (!block) {
    auto scope = CudaScope::enter(*context_);
    if (!scope) return forward_error(scope);
    CUdeviceptr address = 0;
    const std::shared_lock allowed(cuda_allocations());
    auto status = cuda_status(std::format("{} bytes of CUDA memory", block_size_),
                              (*scope)->alloc(&address, block_size_));
    if (!status) return forward_error(status);
    block = new CudaBlock(context_, address, block_size_, CudaBlock::Owner::ours);
    block->takes_deferred_ = takes_deferred_;
  }
  block->pool_ = Ref(this);
  return Ref<CudaBlock>(block);
}

PinnedBlock::~PinnedBlock() {
  if (auto scope = CudaScope::enter(*context_); scope) (*scope)->free_host(data());
}

void PinnedBlock::dispose() noexcept {
  const Ref<PinnedPool> home = std::move(pool_);
  const auto origin = std::exchange(origin_, {});  // goes after the copy is done
  if (fence()) (void)fence()->wait();
  set_fence(nullptr);
  if (!home) {
    delete this;
    return;
  }
  std::lock_guard lock(home->mutex_);
  next_ = std::exchange(home->free_, this);
}

PinnedPool::~PinnedPool() {
  while (free_) delete std::exchange(free_, free_->next_);
}

Result<Ref<PinnedBlock>> PinnedPool::acquire() {
  PinnedBlock* block = nullptr;
  {
    std::lock_guard lock(mutex_);
    block = free_;
    if (block) free_ = std::exchange(block->next_, nullptr);
  }
  if (!block) {
    auto scope = CudaScope::enter(*context_);
    if (!scope) return forward_error(scope);
    void* data = nullptr;
    const std::shared_lock allowed(cuda_allocations());
    auto status = cuda_status(std::format("{} bytes of pinned memory", block_size_),
                              (*scope)->alloc_host(&data, block_size_));
    if (!status) return forward_error(status);
    block = new PinnedBlock(context_, static_cast<std::byte*>(data), block_size_);
  }
  block->pool_ = Ref(this);
  return Ref<PinnedBlock>(block);
}

namespace {

Status check_bounds(const CudaBlock& block, const Tensor& tensor) {
  const size_t bytes = tensor.bytes();
  if (bytes <= block.size() && tensor.offset <= block.size() - bytes) return {};
  return fail(ErrorCode::corrupt, "a tensor {} at byte {} does not lie within its CUDA memory of {} bytes",
              tensor.shape.to_string(), tensor.offset, block.size());
}

// Rows of two tensors of the same elements, of which one may be in fewer rows than the other: a dense one is
// a single row.
struct RowPair {
  TensorRows finer;
  size_t from_pitch, from_slice, to_pitch, to_slice;
};
Result<RowPair> pair_rows(const Tensor& from, const Tensor& to) {
  auto source = rows_of(from);
  if (!source) return forward_error(source);
  auto target = rows_of(to);
  if (!target) return forward_error(target);
  const TensorRows& finer = source->row_bytes <= target->row_bytes ? *source : *target;
  const auto pitches_of = [&](const TensorRows& side) {
    return side.row_bytes == finer.row_bytes ? std::pair(side.pitch, side.slice_pitch)
                                             : std::pair(finer.row_bytes, finer.row_bytes * finer.rows);
  };
  const auto [from_pitch, from_slice] = pitches_of(*source);
  const auto [to_pitch, to_slice] = pitches_of(*target);
  return RowPair{finer, from_pitch, from_slice, to_pitch, to_slice};
}

}  // namespace

Status enqueue_copy(const CudaBlock& block, const Tensor& on_device, std::byte* host, const Tensor& on_host,
                    bool to_device) {
  auto rows = to_device ? pair_rows(on_host, on_device) : pair_rows(on_device, on_host);
  if (!rows) return forward_error(rows);
  if (rows->finer.row_bytes == 0) return {};
  if (auto inside = check_bounds(block, on_device); !inside) return inside;
  auto scope = CudaScope::enter(*block.device());
  if (!scope) return forward_error(scope);
  for (size_t slice = 0; slice < rows->finer.slices; ++slice) {
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = to_device ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
    copy.dstMemoryType = to_device ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    copy.srcHost = copy.dstHost = host + slice * (to_device ? rows->from_slice : rows->to_slice);
    copy.srcDevice = copy.dstDevice =
        block.address() + on_device.offset + slice * (to_device ? rows->to_slice : rows->from_slice);
    copy.srcPitch = rows->from_pitch, copy.dstPitch = rows->to_pitch;
    copy.WidthInBytes = rows->finer.row_bytes;
    copy.Height = rows->finer.rows;
    auto status = cuda_status(to_device ? "an upload to a CUDA device" : "a download from a CUDA device",
                              (*scope)->copy_2d(&copy, block.device()->stream()));
    if (!status) return status;
  }
  return {};
}

Status enqueue_copy(const CudaBlock& from_block, const Tensor& from, const CudaBlock& to_block,
                    const Tensor& to) {
  if (from.type != to.type || from.shape != to.shape)
    return fail(ErrorCode::invalid_argument, "{} {} cannot be copied to {} {}", to_string(from.type),
                from.shape.to_string(), to_string(to.type), to.shape.to_string());
  auto rows = pair_rows(from, to);
  if (!rows) return forward_error(rows);
  if (rows->finer.row_bytes == 0) return {};
  if (auto inside = check_bounds(from_block, from); !inside) return inside;
  if (auto inside = check_bounds(to_block, to); !inside) return inside;
  auto scope = CudaScope::enter(*from_block.device());
  if (!scope) return forward_error(scope);
  for (size_t slice = 0; slice < rows->finer.slices; ++slice) {
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = from_block.address() + from.offset + slice * rows->from_slice;
    copy.dstDevice = to_block.address() + to.offset + slice * rows->to_slice;
    copy.srcPitch = rows->from_pitch, copy.dstPitch = rows->to_pitch;
    copy.WidthInBytes = rows->finer.row_bytes;
    copy.Height = rows->finer.rows;
    auto status =
        cuda_status("a copy on a CUDA device", (*scope)->copy_2d(&copy, from_block.device()->stream()));
    if (!status) return status;
  }
  return {};
}

}  // namespace sightglass
