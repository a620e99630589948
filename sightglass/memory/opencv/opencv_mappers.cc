// The edges of OpenCV's matrices.
#include <utility>

#include "sightglass/memory/mapper.h"
#include "sightglass/memory/opencv/mat_memory.h"
#include "sightglass/memory/opencv/opencv.h"
#include "sightglass/memory/opencv/umat_memory.h"
#include "sightglass/memory/system/wrapped_memory.h"

namespace sightglass {
namespace {

// Relative to a copy within the memory of the CPU.
constexpr double cost_of_bus = 2;

WrapPool& wrappers() {
  static WrapPool& pool = *make_ref<WrapPool>().release();  // never destroyed: mappings may outlive main()
  return pool;
}

class MatMapper final : public Mapper {
 public:
  std::string_view name() const override { return "cv::Mat on memory of the CPU"; }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::system)
      out.push_back({.to = {MemoryKind::opencv, from.pixels}, .alignment = mat_alignment(from)});
    if (from.memory == MemoryKind::opencv) out.push_back({.to = {MemoryKind::system, from.pixels}});
  }
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    result.video = frame.video;
    result.tensors = frame.tensors;
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      const Tensor& from = frame.tensors[i];
      Tensor& to = result.tensors[i];
      if (target.form.memory == MemoryKind::system) {
        auto data = from.memory->map(target.access);
        if (!data) return forward_error(data);
        to.memory = wrappers().wrap(
            *data, from.memory->size(),
            [memory = from.memory, access = target.access] noexcept { memory->unmap(access); });
        continue;
      }
      auto type = mat_type(frame, i);
      if (!type) return forward_error(type);
      auto mat = mat_over(from, *type, target.access);
      if (!mat) return forward_error(mat);
      to.memory = make_ref<MatMemory>(std::move(*mat));
      to.offset = 0;
    }
    return {};
  }
};

class UMatMapper final : public Mapper {
 public:
  std::string_view name() const override { return "copy to and from a cv::UMat"; }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (from.memory == MemoryKind::opencv)
      out.push_back({.to = {MemoryKind::opencv_umat, from.pixels}, .cost_per_byte = cost_of_bus});
    if (from.memory == MemoryKind::opencv_umat)
      out.push_back({.to = {MemoryKind::opencv, from.pixels}, .cost_per_byte = cost_of_bus});
  }
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    result.video = frame.video;
    result.tensors.resize(frame.tensors.size());
    const bool is_up = target.form.memory == MemoryKind::opencv_umat;
    OpenCvDevice device;
    if (is_up) {
      auto chosen = OpenCvDevice::of(target.context);
      if (!chosen) return forward_error(chosen);
      device = std::move(*chosen);
    }
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      const Tensor& from = frame.tensors[i];
      auto status = without_exceptions([&]() -> Status {
        if (is_up) {
          const cv::Mat mat = opencv_mat(from);
          if (mat.empty()) return not_a_matrix(from);
          if (mat.dims != 2)
            return fail(ErrorCode::unsupported, "a UMat of {} axes is not supported, only of two", mat.dims);
          device.bind();
          cv::UMat umat(mat.rows, mat.cols, mat.type());
          if (target.access != Access::write) mat.copyTo(umat);
          const size_t steps[2] = {umat.step[0], 1};
          result.tensors[i] = tensor_over(
              make_ref<UMatMemory>(umat, device, nullptr, target.access != Access::read), steps, from);
        } else {
          const cv::UMat umat = opencv_umat(from);
          if (umat.empty()) return not_a_matrix(from);
          cv::Mat mat(umat.rows, umat.cols, umat.type());
          if (target.access != Access::write) umat.copyTo(mat);
          const size_t steps[2] = {mat.step[0], 1};
          result.tensors[i] = tensor_over(make_ref<MatMemory>(mat), steps, from);
        }
        return {};
      });
      if (!status) return status;
    }
    return {};
  }
  Status write_back(const Frame& mapped, const Frame& frame) const override {
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      const Tensor& from = mapped.tensors[i];
      const Tensor& to = frame.tensors[i];
      auto status = without_exceptions([&]() -> Status {
        // Of the right size and type already, so that nothing is allocated anew.
        if (from.memory->kind() == MemoryKind::opencv_umat) {
          cv::Mat mat = opencv_mat(to);
          opencv_umat(from).copyTo(mat);
        } else {
          cv::UMat umat = opencv_umat(to);
          opencv_mat(from).copyTo(umat);
        }
        return {};
      });
      if (!status) return status;
    }
    return {};
  }

 private:
  static std::unexpected<Error> not_a_matrix(const Tensor& tensor) {
    return fail(ErrorCode::invalid_argument, "a tensor of shape {} at byte {} of {} memory is no matrix",
                tensor.shape.to_string(), tensor.offset, to_string(tensor.memory->kind()));
  }
};

class OpenCLUMatMapper final : public Mapper {
 public:
  std::string_view name() const override { return "cv::UMat on an OpenCL buffer"; }
  Status available() const override {
    auto opened = default_context(MemoryKind::opencl);
    if (!opened) return forward_error(opened);
    auto device = OpenCvDevice::of(*opened);
    return device ? Status() : Status(forward_error(device));
  }
  void edges(const Form& from, std::vector<Edge>& out) const override {
    if (!from.pixels) return;  // a UMat has two axes
    if (from.memory == MemoryKind::opencl)
      out.push_back({.to = {MemoryKind::opencv_umat, from.pixels}, .alignment = mat_alignment(from)});
    if (from.memory == MemoryKind::opencv_umat) out.push_back({.to = {MemoryKind::opencl, from.pixels}});
  }
  Status map(const Frame& frame, const MapTarget& target, Frame& result) const override {
    result.video = frame.video;
    result.tensors = frame.tensors;
    for (size_t i = 0; i < frame.tensors.size(); ++i) {
      auto status = without_exceptions([&]() -> Status {
        return target.form.memory == MemoryKind::opencl ? to_buffer(frame.tensors[i], result.tensors[i])
                                                        : to_umat(frame, i, target.access, result.tensors[i]);
      });
      if (!status) return status;
    }
    return {};
  }
  // OpenCV has no events to wait for, so that this waits.
  Status publish(const Frame& mapped, const Frame&) const override {
    return without_exceptions([&]() -> Status {
      for (const Tensor& tensor : mapped.tensors)
        if (auto* umat = dynamic_cast<UMatMemory*>(tensor.memory.get()))
          if (auto status = umat->publish(); !status) return status;
      return {};
    });
  }

 private:
  // OpenCV finds a plane in its buffer by whole rows and pixels. One that starts in between, as no usual
  // layout has it, becomes a copy.
  static bool starts_at_pixel(const Tensor& plane, int type) {
    return plane.offset % size_t(plane.strides[0]) % size_t(CV_ELEM_SIZE(type)) == 0;
  }

  static Status to_umat(const Frame& frame, size_t index, Access access, Tensor& to) {
    const Tensor& from = frame.tensors[index];
    auto* memory = dynamic_cast<OpenCLMemory*>(from.memory.get());
    if (!memory || !memory->context())
      return fail(ErrorCode::unsupported,
                  "the OpenCL memory is of no known device; map it to system memory first");
    auto device = OpenCvDevice::of(ContextRef(const_cast<Context*>(memory->context())));
    if (!device) return forward_error(device);
    device->bind();
    // OpenCV has a queue of its own.
    auto* queue = static_cast<_cl_command_queue*>(device->execution.getQueue().ptr());
    if (auto status = memory->wait_in(queue); !status) return status;
    auto type = mat_type(frame, index);
    if (!type) return forward_error(type);
    const bool is_written = access != Access::read;
    if (!starts_at_pixel(from, *type)) {
      auto mat = mat_over(from, *type, access);
      if (!mat) return forward_error(mat);
      cv::UMat copy;
      mat->copyTo(copy);
      const size_t steps[2] = {copy.step[0], 1};
      auto memory_of_copy = make_ref<UMatMemory>(std::move(copy), *device, nullptr, is_written);
      if (is_written) memory_of_copy->publish_to(std::move(*mat));
      to = tensor_over(std::move(memory_of_copy), steps, from);
      return {};
    }
    auto umat = umat_over(from, *type);
    if (!umat) return forward_error(umat);
    to.memory = make_ref<UMatMemory>(std::move(*umat), *device, from.memory, is_written);
    to.offset = 0;
    return {};
  }

  static Status to_buffer(const Tensor& from, Tensor& to) {
    auto* memory = dynamic_cast<UMatMemory*>(from.memory.get());
    const cv::UMat umat = opencv_umat(from);
    if (!memory || !memory->device().context || umat.empty() || !umat.u || !umat.u->handle)
      return fail(ErrorCode::unavailable, "the UMat does not lie with an OpenCL device of ours");
    memory->device().execution.getQueue().finish();
    auto* handle = static_cast<_cl_mem*>(umat.handle(cv::ACCESS_RW));
    to.memory = make_ref<UMatBuffer>(Ref(memory), handle, umat.u->size);
    to.offset = umat.offset;
    return {};
  }
};

const MapperRegistration mat_registration(std::make_unique<MatMapper>());
const MapperRegistration umat_registration(std::make_unique<UMatMapper>());
const MapperRegistration opencl_registration(std::make_unique<OpenCLUMatMapper>());

}  // namespace
}  // namespace sightglass
