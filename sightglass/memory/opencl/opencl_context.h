// An OpenCL device with the queue that everything of ours goes through, and pools of its memory by size.
#pragma once

#include <map>
#include <mutex>
#include <tuple>

#include "sightglass/memory/context.h"
#include "sightglass/memory/opencl/cl.h"

namespace sightglass {

class OpenCLPool;

// What a block of memory is made as: a buffer, or an image where `width` is not 0.
struct OpenCLBlockSpec {
  size_t bytes = 0;
  cl_image_format format{};
  size_t width = 0, height = 0;  // pixels
  auto operator<=>(const OpenCLBlockSpec& other) const {
    const auto key = [](const OpenCLBlockSpec& s) {
      return std::tuple(s.bytes, s.width, s.height, s.format.image_channel_order,
                        s.format.image_channel_data_type);
    };
    return key(*this) <=> key(other);
  }
};

class OpenCLContext final : public Context {
 public:
  // The first GPU, else the first device at all, after the probe.
  static Result<ContextRef> open();
  // Both are retained.
  static Result<Ref<OpenCLContext>> adopt(cl_context context, cl_command_queue queue);
  // `context` as one of ours; the default one where it is null. Invalid argument for a context of another
  // kind.
  static Result<Ref<OpenCLContext>> of(const ContextRef& context);

  std::string description() const override { return description_; }
  void* handle(std::string_view type) const override;
  bool same_device(const Context& other) const override;

  cl_context context() const { return context_; }
  cl_command_queue queue() const { return queue_; }
  bool shares_host_memory() const { return shares_host_memory_; }
  bool is_cpu() const { return is_cpu_; }
  bool has_images() const { return has_images_; }
  // Of addresses and rows, for the device to use host memory as it is, bytes.
  size_t alignment() const { return alignment_; }

  // The pool of such blocks, made at the first call. The pools of the sizes that were used last are kept.
  Ref<OpenCLPool> pool(const OpenCLBlockSpec& spec);

 private:
  OpenCLContext(cl_context context, cl_command_queue queue, cl_device_id device);
  ~OpenCLContext() override;

  cl_context context_;
  cl_command_queue queue_;
  cl_device_id device_;
  cl_platform_id platform_ = nullptr;
  std::string description_;
  bool shares_host_memory_ = false, is_cpu_ = false, has_images_ = false;
  size_t alignment_ = 1;

  std::mutex mutex_;
  std::map<OpenCLBlockSpec, Ref<OpenCLPool>> pools_;
};

}  // namespace sightglass
