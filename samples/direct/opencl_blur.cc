#include "samples/direct/opencl_blur.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "sightglass/core/registry.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/opencl/opencl.h"

namespace sightglass {
namespace {

// Both work on the bytes of one box: work item (x, y) makes byte x of row y. `step` is from a byte to the one
// of the same colour beside it. The group's size is fixed, since drivers compile anew for each: boxes are
// rounded up to it.
constexpr size_t group[2] = {64, 4};
constexpr const char* source = R"(
__kernel void blur_rows(__global const uchar* picture, uint first, uint stride, __global uchar* rows,
                        int step, int radius, int width, int height) {
  const int x = get_global_id(0), y = get_global_id(1);
  if (x >= width || y >= height) return;
  uint sum = 0, count = 0;
  for (int i = -radius; i <= radius; ++i) {
    const int at = x + i * step;
    if (at < 0 || at >= width) continue;
    sum += picture[first + y * stride + at];
    ++count;
  }
  rows[y * width + x] = (sum + count / 2) / count;
}

__kernel void blur_columns(__global uchar* picture, uint first, uint stride, __global const uchar* rows,
                           int step, int radius, int width, int height) {
  const int x = get_global_id(0), y = get_global_id(1);
  if (x >= width || y >= height) return;
  uint sum = 0, count = 0;
  for (int at = max(y - radius, 0); at <= min(y + radius, height - 1); ++at) {
    sum += rows[at * width + x];
    ++count;
  }
  picture[first + y * stride + x] = (sum + count / 2) / count;
})";

Status check(const char* what, cl_int code) {
  if (code == CL_SUCCESS) return {};
  return fail(ErrorCode::unavailable, "{} has failed with OpenCL error {}", what, code);
}

}  // namespace

struct OpenclBlur::Kernels {
  ~Kernels() {
    if (rows_of_box) clReleaseMemObject(rows_of_box);
    if (columns) clReleaseKernel(columns);
    if (rows) clReleaseKernel(rows);
    if (program) clReleaseProgram(program);
  }

  Status build(cl_context context, cl_device_id device) {
    cl_int code;
    const char* text = source;
    program = clCreateProgramWithSource(context, 1, &text, nullptr, &code);
    if (code == CL_SUCCESS) code = clBuildProgram(program, 1, &device, "", nullptr, nullptr);
    if (code == CL_SUCCESS) rows = clCreateKernel(program, "blur_rows", &code);
    if (code == CL_SUCCESS) columns = clCreateKernel(program, "blur_columns", &code);
    return check("building the blur", code);
  }

  // Grows with the largest box so far.
  Status reserve(cl_context context, size_t bytes) {
    if (bytes <= reserved) return {};
    if (rows_of_box) clReleaseMemObject(rows_of_box);
    cl_int code;
    rows_of_box = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, nullptr, &code);
    reserved = rows_of_box ? bytes : 0;
    return check("making room for a box", code);
  }

  cl_program program = nullptr;
  cl_kernel rows = nullptr, columns = nullptr;
  cl_mem rows_of_box = nullptr;
  size_t reserved = 0;
};

OpenclBlur::OpenclBlur(const Params& params) : params_(params) {}
OpenclBlur::~OpenclBlur() = default;

Status OpenclBlur::start() {
  auto context = default_context(MemoryKind::opencl);
  if (!context) return forward_error(context);
  context_ = *context;
  kernels_ = std::make_unique<Kernels>();
  return kernels_->build(static_cast<cl_context>(context_->handle("cl_context")),
                         static_cast<cl_device_id>(context_->handle("cl_device_id")));
}

void OpenclBlur::stop() {
  kernels_.reset();
  context_ = nullptr;
}

Result<Verdict> OpenclBlur::process(Frame& frame) {
  if (frame.regions.empty()) return Verdict::pass;
  if (!frame.video) return fail(ErrorCode::not_negotiated, "only pictures can be blurred");
  auto mapped = map_to(
      frame,
      {.form = {MemoryKind::opencl, frame.video->format}, .access = Access::read_write, .context = context_});
  if (!mapped) return forward_error(mapped);
  for (const Region& region : frame.regions)
    for (size_t plane = 0; plane < mapped->frame().tensors.size(); ++plane)
      if (auto status = blur(mapped->frame(), plane, region.box); !status) return forward_error(status);
  if (auto status = mapped->finish(); !status) return forward_error(status);
  return Verdict::pass;
}

Status OpenclBlur::blur(const Frame& mapped, size_t plane, const Box& box) {
  const Tensor& tensor = mapped.tensors[plane];
  const PlaneLayout layout = plane_layout(mapped.video->format, plane);
  // Rounded outwards, so that nothing of the box is left.
  const float width = float(plane_width(*mapped.video, plane)),
              height = float(plane_height(*mapped.video, plane));
  const int left = int(std::floor(std::clamp(box.x, 0.f, 1.f) * width));
  const int right = int(std::ceil(std::clamp(box.right(), 0.f, 1.f) * width));
  const int top = int(std::floor(std::clamp(box.y, 0.f, 1.f) * height));
  const int bottom = int(std::ceil(std::clamp(box.bottom(), 0.f, 1.f) * height));
  if (right <= left || bottom <= top) return {};

  const auto context = static_cast<cl_context>(context_->handle("cl_context"));
  const auto queue = static_cast<cl_command_queue>(context_->handle("cl_command_queue"));
  const cl_int size[2] = {(right - left) * layout.pixel_bytes, bottom - top};
  const size_t items[2] = {(size_t(size[0]) + group[0] - 1) / group[0] * group[0],
                           (size_t(size[1]) + group[1] - 1) / group[1] * group[1]};
  if (auto status = kernels_->reserve(context, size_t(size[0]) * size_t(size[1])); !status) return status;
  const cl_mem picture = opencl_buffer(tensor);
  const cl_uint stride = cl_uint(tensor.strides[0]);
  const cl_uint first = cl_uint(tensor.offset) + cl_uint(top) * stride + cl_uint(left * layout.pixel_bytes);
  const cl_int step = layout.pixel_bytes;
  cl_int code = CL_SUCCESS;
  for (const cl_kernel kernel : {kernels_->rows, kernels_->columns}) {
    const cl_int radius = params_.radius >> (kernel == kernels_->rows ? layout.shift_x : layout.shift_y);
    clSetKernelArg(kernel, 0, sizeof picture, &picture);
    clSetKernelArg(kernel, 1, sizeof first, &first);
    clSetKernelArg(kernel, 2, sizeof stride, &stride);
    clSetKernelArg(kernel, 3, sizeof kernels_->rows_of_box, &kernels_->rows_of_box);
    clSetKernelArg(kernel, 4, sizeof step, &step);
    clSetKernelArg(kernel, 5, sizeof radius, &radius);
    clSetKernelArg(kernel, 6, sizeof size[0], &size[0]);
    clSetKernelArg(kernel, 7, sizeof size[1], &size[1]);
    code = clEnqueueNDRangeKernel(queue, kernel, 2, nullptr, items, group, 0, nullptr, nullptr);
    if (code != CL_SUCCESS) break;
  }
  return check("starting the blur", code);
}

ElementDesc OpenclBlur::descriptor() {
  const std::span<const PixelFormat> formats = all_8_bit_formats();
  return {
      .name = "opencl_blur",
      .title = "OpenCL blur of regions",
      .klass = "Filter/Effect/Video",
      .doc = "Blurs the picture inside the boxes of its regions, on an OpenCL device.",
      .kind = ElementKind::transform_inplace,
      .input = {{VideoSpec{.formats = {formats.begin(), formats.end()}}}},
      .writes_pixels = true,
      .params = ParamTable::of<Params>(
          {param("radius", &Params::radius, "how far the blur reaches").range(1, 255).in("px")}),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<OpenclBlur>(params.as<Params>());
      },
  };
}

const Registration registration(OpenclBlur::descriptor());

}  // namespace sightglass
