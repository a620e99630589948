#include "sightglass/memory/cuda/cuda_context.h"

#include <array>
#include <format>

#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/cuda/cuda_block.h"

namespace sightglass {
namespace {

// Sizes change with the format of a stream only; what is not needed any more shall not pile up.
constexpr size_t most_pools = 32;

struct Opened {
  std::mutex mutex;
  std::map<int, Ref<CudaContext>> by_device;
};

Opened& opened() {
  static Opened& instance = *new Opened;  // never destroyed: the driver may have gone before
  return instance;
}

template <class Pools, class Make>
auto find_or_make(Pools& pools, size_t block_size, Make make) {
  auto found = pools.find(block_size);
  if (found == pools.end()) {
    // A pool that is dropped here lives on with the blocks that are in use.
    if (pools.size() >= most_pools) pools.erase(pools.begin());
    found = pools.emplace(block_size, make()).first;
  }
  return found->second;
}

}  // namespace

Result<Ref<CudaContext>> CudaContext::open(int device) {
  auto driver = cuda_driver();
  if (!driver) return forward_error(driver);
  Opened& all = opened();
  std::lock_guard lock(all.mutex);
  if (const auto found = all.by_device.find(device); found != all.by_device.end()) return found->second;
  int count = 0;
  (*driver)->device_count(&count);
  if (device < 0 || device >= count)
    return fail(ErrorCode::not_found, "there is no CUDA device {}, only {} of them", device, count);

  Ref<CudaContext> context(new CudaContext(device));
  CUdevice handle;
  std::array<char, 256> name{};
  auto status = cuda_status("no CUDA device", (*driver)->device(&handle, device));
  // Who waits for the device sleeps, in whatever library. Refused where somebody has chosen otherwise
  // already.
  constexpr unsigned wait_asleep = 4;
  if (status) (*driver)->primary_flags(handle, wait_asleep);
  if (status) status = cuda_status("no CUDA context", (*driver)->retain_primary(&context->context_, handle));
  if (!status) return forward_error(status);
  (*driver)->device_name(name.data(), int(name.size()) - 1, handle);
  context->description_ = name.data();
  auto scope = CudaScope::enter(*context);
  if (!scope) return forward_error(scope);
  // Does not wait for the default stream, which others use.
  status = cuda_status("no CUDA stream", (*scope)->stream_create(&context->stream_, CU_STREAM_NON_BLOCKING));
  if (!status) return forward_error(status);
  return all.by_device.emplace(device, std::move(context)).first->second;
}

Result<Ref<CudaContext>> CudaContext::of(const ContextRef& context) {
  if (!context) return open(0);
  auto* own = dynamic_cast<CudaContext*>(context.get());
  if (!own) return fail(ErrorCode::invalid_argument, "{} is no CUDA device", context->description());
  return Ref(own);
}

void* CudaContext::handle(std::string_view type) const {
  if (type == "CUcontext") return context_;
  if (type == "CUstream") return stream_;
  return nullptr;
}

bool CudaContext::same_device(const Context& other) const {
  return this == &other || (other.kind() == MemoryKind::cuda && other.handle("CUcontext") == context_);
}

Result<CUevent> CudaContext::take_event() {
  {
    std::lock_guard lock(mutex_);
    if (!events_.empty()) {
      const CUevent event = events_.back();
      events_.pop_back();
      return event;
    }
  }
  auto scope = CudaScope::enter(*this);
  if (!scope) return forward_error(scope);
  CUevent event = nullptr;
  constexpr unsigned wait_asleep = 1;
  auto status =
      cuda_status("no CUDA event", (*scope)->event_create(&event, CU_EVENT_DISABLE_TIMING | wait_asleep));
  if (!status) return forward_error(status);
  return event;
}

void CudaContext::give_back(CUevent event) noexcept {
  std::lock_guard lock(mutex_);
  events_.push_back(event);
}

Ref<CudaPool> CudaContext::pool(size_t block_size) {
  std::lock_guard lock(mutex_);
  return find_or_make(pools_, block_size, [&] { return make_ref<CudaPool>(Ref(this), block_size); });
}

Ref<PinnedPool> CudaContext::pinned(size_t block_size) {
  std::lock_guard lock(mutex_);
  return find_or_make(pinned_, block_size, [&] { return make_ref<PinnedPool>(Ref(this), block_size); });
}

Result<CudaScope> CudaScope::enter(const CudaContext& context) {
  auto driver = cuda_driver();
  if (!driver) return forward_error(driver);
  auto status = cuda_status("the CUDA context cannot be entered",
                            (*driver)->push(static_cast<CUcontext>(context.handle("CUcontext"))));
  if (!status) return forward_error(status);
  constexpr int of_this_thread = 1;  // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
  thread_local bool is_set = false;
  if (!std::exchange(is_set, true)) {
    int mode = of_this_thread;
    (*driver)->exchange_capture_mode(&mode);
  }
  return CudaScope(*driver);
}

CudaScope::~CudaScope() {
  CUcontext ignored;
  if (driver_) driver_->pop(&ignored);
}

Result<Ref<CudaFence>> CudaFence::record(const Ref<CudaContext>& context, CUstream stream) {
  auto event = context->take_event();
  if (!event) return forward_error(event);
  Ref<CudaFence> fence(new CudaFence(context, *event));
  auto scope = CudaScope::enter(*context);
  if (!scope) return forward_error(scope);
  auto status = cuda_status("no CUDA event can be recorded", (*scope)->event_record(*event, stream));
  if (!status) return forward_error(status);
  return fence;
}

bool CudaFence::ready() const {
  auto scope = CudaScope::enter(*context_);
  return scope && (*scope)->event_query(event_) == CUDA_SUCCESS;
}

Status CudaFence::wait() {
  auto scope = CudaScope::enter(*context_);
  if (!scope) return forward_error(scope);
  return cuda_status("work on a CUDA device has failed", (*scope)->event_synchronize(event_));
}

Result<ContextRef> cuda_context(int device) {
  auto context = CudaContext::open(device);
  if (!context) return forward_error(context);
  return ContextRef(std::move(*context));
}

int cuda_devices() {
  auto driver = cuda_driver();
  int count = 0;
  if (driver) (*driver)->device_count(&count);
  return count;
}

int cuda_number(const Context& context) {
  const auto* own = dynamic_cast<const CudaContext*>(&context);
  return own ? own->device() : 0;
}

std::string cuda_identity(const ContextRef& context) {
  auto device = CudaContext::of(context);
  auto driver = cuda_driver();
  if (!device || !driver) return {};
  int major = 0, minor = 0;
  CUdevice handle;
  if ((*driver)->device(&handle, (*device)->device()) == CUDA_SUCCESS) {
    (*driver)->device_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, handle);
    (*driver)->device_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, handle);
  }
  return std::format("{} sm_{}{}", (*device)->description(), major, minor);
}

const ContextRegistration registration(MemoryKind::cuda, [] { return cuda_context(0); });

}  // namespace sightglass
