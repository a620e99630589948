#include "sightglass/memory/opencl/opencl_context.h"

#include <algorithm>
#include <array>
#include <vector>

#include "sightglass/memory/opencl/opencl_block.h"
#include "sightglass/memory/opencl/opencl_error.h"
#include "sightglass/memory/opencl/opencl_probe.h"

namespace sightglass {
namespace {

// Sizes change with the format of a stream only; what is not needed any more shall not pile up.
constexpr size_t most_pools = 32;

template <class T>
T info_of(cl_device_id device, cl_device_info name) {
  T value{};
  clGetDeviceInfo(device, name, sizeof value, &value, nullptr);
  return value;
}

Result<cl_device_id> first_device() {
  std::array<cl_platform_id, 8> platforms;
  cl_uint count = 0;
  if (cl_int code = clGetPlatformIDs(platforms.size(), platforms.data(), &count); code != CL_SUCCESS)
    return opencl_error("no OpenCL platform", code);
  count = std::min<cl_uint>(count, platforms.size());
  cl_int code = CL_DEVICE_NOT_FOUND;
  for (cl_device_type type : {cl_device_type(CL_DEVICE_TYPE_GPU), cl_device_type(CL_DEVICE_TYPE_ALL)})
    for (cl_uint i = 0; i < count; ++i) {
      cl_device_id device;
      code = clGetDeviceIDs(platforms[i], type, 1, &device, nullptr);
      if (code == CL_SUCCESS) return device;
    }
  return opencl_error("no OpenCL device", code);
}

}  // namespace

OpenCLContext::OpenCLContext(cl_context context, cl_command_queue queue, cl_device_id device)
    : Context(MemoryKind::opencl), context_(context), queue_(queue), device_(device) {
  platform_ = info_of<cl_platform_id>(device, CL_DEVICE_PLATFORM);
  std::array<char, 256> name{};
  clGetDeviceInfo(device, CL_DEVICE_NAME, name.size() - 1, name.data(), nullptr);
  description_ = name.data();
  shares_host_memory_ = info_of<cl_bool>(device, CL_DEVICE_HOST_UNIFIED_MEMORY);
  is_cpu_ = info_of<cl_device_type>(device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU;
  has_images_ = info_of<cl_bool>(device, CL_DEVICE_IMAGE_SUPPORT);
  // A device that is the CPU reads any address; others go by the alignment of their sub-buffers, in bits.
  if (!is_cpu_) alignment_ = std::max<size_t>(info_of<cl_uint>(device, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8, 1);
}

OpenCLContext::~OpenCLContext() {
  pools_.clear();
  clReleaseCommandQueue(queue_);
  clReleaseContext(context_);
}

Result<ContextRef> OpenCLContext::open() {
  if (auto status = probe_opencl(); !status) return forward_error(status);
  auto device = first_device();
  if (!device) return forward_error(device);
  cl_int code;
  const cl_context context = clCreateContext(nullptr, 1, &*device, nullptr, nullptr, &code);
  if (!context) return opencl_error("no OpenCL context can be made", code);
  const cl_command_queue queue = clCreateCommandQueue(context, *device, 0, &code);
  if (!queue) {
    clReleaseContext(context);
    return opencl_error("no OpenCL queue can be made", code);
  }
  return ContextRef(Ref(new OpenCLContext(context, queue, *device)));
}

Result<Ref<OpenCLContext>> OpenCLContext::adopt(cl_context context, cl_command_queue queue) {
  if (!context || !queue)
    return fail(ErrorCode::invalid_argument, "an OpenCL context and a queue of it are needed");
  cl_context context_of_queue = nullptr;
  cl_device_id device = nullptr;
  cl_command_queue_properties properties = 0;
  cl_int code =
      clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context_of_queue, &context_of_queue, nullptr);
  if (code == CL_SUCCESS)
    code = clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, nullptr);
  if (code == CL_SUCCESS)
    code = clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, nullptr);
  if (code != CL_SUCCESS) return opencl_error("that is no OpenCL queue", code);
  if (context_of_queue != context)
    return fail(ErrorCode::invalid_argument, "the OpenCL queue does not belong to the context");
  if (properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
    return fail(ErrorCode::invalid_argument, "the OpenCL queue is out of order; one in order is needed");
  clRetainContext(context);
  clRetainCommandQueue(queue);
  return Ref(new OpenCLContext(context, queue, device));
}

Result<Ref<OpenCLContext>> OpenCLContext::of(const ContextRef& context) {
  ContextRef chosen = context;
  if (!chosen) {
    auto opened = default_context(MemoryKind::opencl);
    if (!opened) return forward_error(opened);
    chosen = *opened;
  }
  auto* own = dynamic_cast<OpenCLContext*>(chosen.get());
  if (!own)
    return fail(ErrorCode::invalid_argument, "{} is no OpenCL device",
                chosen ? chosen->description() : "nothing");
  return Ref(own);
}

void* OpenCLContext::handle(std::string_view type) const {
  if (type == "cl_context") return context_;
  if (type == "cl_command_queue") return queue_;
  if (type == "cl_device_id") return device_;
  if (type == "cl_platform_id") return platform_;
  return nullptr;
}

bool OpenCLContext::same_device(const Context& other) const {
  return this == &other || (other.kind() == MemoryKind::opencl && other.handle("cl_context") == context_);
}

Ref<OpenCLPool> OpenCLContext::pool(const OpenCLBlockSpec& spec) {
  std::lock_guard lock(mutex_);
  auto found = pools_.find(spec);
  if (found == pools_.end()) {
    // A pool that is dropped here lives on with the blocks that are in use.
    if (pools_.size() >= most_pools) pools_.erase(pools_.begin());
    found = pools_.emplace(spec, make_ref<OpenCLPool>(spec)).first;
  }
  return found->second;
}

const ContextRegistration registration(MemoryKind::opencl, &OpenCLContext::open);

}  // namespace sightglass
