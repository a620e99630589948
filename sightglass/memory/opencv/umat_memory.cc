#include "sightglass/memory/opencv/umat_memory.h"

#include <array>
#include <limits>
#include <map>
#include <utility>

#include "sightglass/memory/opencv/mat_memory.h"

namespace sightglass {
namespace {

// OpenCV keeps programs and queues per execution context, so that there is one for each of ours. They are
// few, and kept.
struct Devices {
  std::mutex mutex;
  std::map<const void*, OpenCvDevice> by_context;  // by cl_context
};

Devices& devices() {
  static Devices& instance = *new Devices;
  return instance;
}

// Runs `call` while OpenCV of this thread uses the device.
template <class Call>
Status with_device(const OpenCvDevice& device, Call call) {
  return without_exceptions([&]() -> Status {
    if (device.context) {
      const cv::ocl::OpenCLExecutionContextScope scope(device.execution);
      call();
    } else {
      call();
    }
    return {};
  });
}

}  // namespace

Result<OpenCvDevice> OpenCvDevice::of(const ContextRef& wanted) {
  ContextRef context = wanted;
  if (!context) {
    auto opened = default_context(MemoryKind::opencl);
    if (!opened) return OpenCvDevice{};
    context = *opened;
  }
  void* const handle = context->handle("cl_context");
  if (!handle)
    return fail(ErrorCode::invalid_argument, "OpenCV can use OpenCL devices, but not {}",
                context->description());
  Devices& known = devices();
  std::lock_guard lock(known.mutex);
  if (const auto found = known.by_context.find(handle); found != known.by_context.end()) return found->second;
  return without_exceptions([&]() -> Result<OpenCvDevice> {
    void* platform = context->handle("cl_platform_id");
    const cv::ocl::PlatformInfo info(&platform);
    // Takes over a reference to the context, which ours keeps as well: neither is ever let go.
    OpenCvDevice device{context, cv::ocl::OpenCLExecutionContext::create(info.name(), platform, handle,
                                                                         context->handle("cl_device_id"))};
    if (device.execution.empty())
      return fail(ErrorCode::unavailable, "OpenCV cannot use the OpenCL device {}", context->description());
    known.by_context.emplace(handle, device);
    return device;
  });
}

void OpenCvDevice::bind() const {
  if (!context) {
    cv::ocl::setUseOpenCL(false);  // its first use might end the process; see probe_opencl()
    return;
  }
  const auto& current = cv::ocl::OpenCLExecutionContext::getCurrentRef();
  if (current.empty() || current.getContext().ptr() != context->handle("cl_context")) execution.bind();
}

UMatMemory::UMatMemory(cv::UMat umat, OpenCvDevice device, MemoryRef origin, bool is_written)
    : Memory(MemoryKind::opencv_umat,
             umat.empty() ? 0 : size_t(umat.rows - 1) * umat.step[0] + size_t(umat.cols) * umat.elemSize()),
      umat_(std::move(umat)),
      device_(std::move(device)),
      origin_(std::move(origin)),
      is_written_(is_written) {}

UMatMemory::~UMatMemory() {
  (void)with_device(device_, [&] {
    if (is_written_) finish();
    umat_.release();
  });
}

Status UMatMemory::publish() {
  return with_device(device_, [&] {
    if (original_.empty())
      finish();
    else
      umat_.copyTo(original_);
    original_.release();
  });
}

void UMatMemory::finish() const {
  if (device_.context) device_.execution.getQueue().finish();
}

Result<std::byte*> UMatMemory::map(Access access) {
  std::lock_guard lock(mutex_);
  if (users_ == 0) {
    auto status = with_device(device_, [&] {
      mapped_ = umat_.getMat(access == Access::read    ? cv::ACCESS_READ
                             : access == Access::write ? cv::ACCESS_WRITE
                                                       : cv::ACCESS_RW);
    });
    if (!status) return forward_error(status);
    if (!mapped_.data) return fail(ErrorCode::internal, "OpenCV cannot map a UMat of {} bytes", size());
  }
  ++users_;
  return reinterpret_cast<std::byte*>(mapped_.data);
}

void UMatMemory::unmap(Access) {
  std::lock_guard lock(mutex_);
  if (--users_ == 0) (void)with_device(device_, [&] { mapped_.release(); });
}

Result<cv::UMat> umat_over(const Tensor& tensor, int type) {
  const auto* memory = dynamic_cast<const OpenCLMemory*>(tensor.memory.get());
  if (!memory) return fail(ErrorCode::invalid_argument, "the tensor does not lie in an OpenCL buffer");
  const size_t element = size_t(CV_ELEM_SIZE(type)), size = memory->size();
  const bool is_plane = tensor.shape.rank() == 2 && tensor.strides[1] == int64_t(size_of(tensor.type)) &&
                        size_t(tensor.shape[1]) * size_of(tensor.type) % element == 0;
  if (!is_plane || tensor.strides[0] < tensor.shape[1] * tensor.strides[1])
    return fail(ErrorCode::unsupported,
                "OpenCV has UMats of two axes without gaps in their rows only (shape {}, "
                "strides {})",
                tensor.shape.to_string(), tensor.strides.to_string());
  if (tensor.bytes() > size || tensor.offset > size - tensor.bytes())
    return fail(ErrorCode::corrupt,
                "a tensor {} (strides {}) at byte {} does not lie within its memory of {} bytes",
                tensor.shape.to_string(), tensor.strides.to_string(), tensor.offset, size);
  if (size > size_t(std::numeric_limits<int>::max()))
    return fail(ErrorCode::unsupported, "an OpenCL buffer of {} bytes is too large for OpenCV", size);
  return without_exceptions([&]() -> Result<cv::UMat> {
    // convertFromBuffer() takes whole buffers whose last row is as long as the others; a plane is a part of
    // that.
    cv::UMat plane;
    cv::ocl::convertFromBuffer(memory->handle(), size, 1, int(size), CV_8UC1, plane);
    plane.offset = tensor.offset;
    plane.flags = (plane.flags & ~CV_MAT_TYPE_MASK) | type;
    plane.rows = int(tensor.shape[0]);
    plane.cols = int(size_t(tensor.shape[1]) * size_of(tensor.type) / element);
    plane.step[0] = size_t(tensor.strides[0]);
    plane.step[1] = element;
    plane.updateContinuityFlag();
    return plane;
  });
}

UMatBuffer::UMatBuffer(Ref<UMatMemory> umat, _cl_mem* handle, size_t size)
    : OpenCLMemory(MemoryKind::opencl, size), umat_(std::move(umat)), handle_(handle) {}

UMatBuffer::~UMatBuffer() {
  if (const Ref<Fence> last = fence()) (void)last->wait();
}

Ref<Fence> UMatBuffer::fence() const {
  std::lock_guard lock(mutex_);
  return fence_;
}

// Queues of OpenCV are its own, so that the CPU waits for them here.
Status UMatBuffer::wait_in(_cl_command_queue*) {
  if (const Ref<Fence> last = fence())
    if (auto status = last->wait(); !status) return status;
  return without_exceptions([&]() -> Status {
    umat_->finish();
    return {};
  });
}

void UMatBuffer::set_fence(Ref<Fence> fence) {
  std::lock_guard lock(mutex_);
  fence_ = std::move(fence);
}

Result<std::byte*> UMatBuffer::map(Access access) {
  if (auto status = wait_in(nullptr); !status) return forward_error(status);
  auto start = umat_->map(access);
  if (!start) return start;
  return *start - umat_->umat().offset;
}

void UMatBuffer::unmap(Access access) { umat_->unmap(access); }

}  // namespace sightglass
