// Memory that is a cv::UMat, and the OpenCL device that OpenCV uses for it.
#pragma once

#include <mutex>
#include <opencv2/core.hpp>
#include <opencv2/core/ocl.hpp>

#include "sightglass/memory/context.h"
#include "sightglass/memory/opencl/opencl.h"

namespace sightglass {

// OpenCV's use of an OpenCL device of ours. Copies share everything.
struct OpenCvDevice {
  ContextRef context;  // null: the CPU
  cv::ocl::OpenCLExecutionContext execution;

  // The device of `context`, or where it is null the default one; without a usable one the CPU.
  static Result<OpenCvDevice> of(const ContextRef& context);
  // From now on OpenCV uses it in this thread.
  void bind() const;
};

class UMatMemory final : public Memory {
 public:
  // `origin`: what the bytes belong to; null: to the matrix. `is_written`: the work that OpenCV does is
  // waited for when this goes, so that those who share the bytes see it.
  UMatMemory(cv::UMat umat, OpenCvDevice device, MemoryRef origin, bool is_written);
  ~UMatMemory() override;
  void finish() const;  // waits for what OpenCV does on that device
  // It is a copy of these bytes, to be brought back there by publish().
  void publish_to(cv::Mat original) { original_ = std::move(original); }
  Status publish();
  const cv::UMat& umat() const { return umat_; }
  const OpenCvDevice& device() const { return device_; }
  const Context* context() const override { return device_.context.get(); }
  Result<std::byte*> map(Access access) override;
  void unmap(Access access) override;

 private:
  cv::UMat umat_;
  OpenCvDevice device_;
  MemoryRef origin_;
  bool is_written_;
  std::mutex mutex_;
  cv::Mat original_;
  cv::Mat mapped_;  // while anybody maps it
  int users_ = 0;
};

// A matrix of two axes over an OpenCL buffer, which it retains.
Result<cv::UMat> umat_over(const Tensor& buffer, int type);

// The OpenCL buffer that a UMat is. Where its bytes start in there is umat.offset.
class UMatBuffer final : public OpenCLMemory {
 public:
  UMatBuffer(Ref<UMatMemory> umat, _cl_mem* handle, size_t size);
  const Context* context() const override { return umat_->context(); }
  _cl_mem* handle() const override { return handle_; }
  Status wait_in(_cl_command_queue* queue) override;
  void set_fence(Ref<Fence> fence) override;
  Result<std::byte*> map(Access access) override;
  void unmap(Access access) override;

 private:
  ~UMatBuffer() override;
  Ref<Fence> fence() const;

  Ref<UMatMemory> umat_;
  _cl_mem* handle_;
  mutable std::mutex mutex_;
  Ref<Fence> fence_;
};

}  // namespace sightglass
