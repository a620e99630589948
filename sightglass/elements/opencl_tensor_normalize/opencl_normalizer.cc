// The code of opencl_tensor_normalize. One work item per pixel; the queue is the context's own, so that what
// is in flight on the input comes first and mapping the output waits.
#include <algorithm>
#include <mutex>

#include "sightglass/elements/availability.h"
#include "sightglass/elements/module_element.h"
#include "sightglass/elements/opencl_tensor_normalize/opencl_tensor_normalize.h"
#include "sightglass/memory/map_to.h"
#include "sightglass/memory/opencl/cl.h"
#include "sightglass/memory/opencl/opencl.h"
#include "sightglass/memory/opencl/opencl_error.h"

namespace sightglass {
namespace {

using Params = OpenclTensorNormalizeParams;

constexpr const char* source = R"(
__kernel void normalize_planes(__global const uchar* from, ulong from_offset, ulong sample_stride,
                               ulong row_stride, ulong pixel_stride, __global float* to, ulong to_offset,
                               uint width, uint height, float4 scale, float4 offset, uint swap) {
  const size_t x = get_global_id(0), y = get_global_id(1), n = get_global_id(2);
  __global const uchar* pixel = from + from_offset + n * sample_stride + y * row_stride + x * pixel_stride;
  const size_t plane = (size_t)width * height;
  __global float* out = to + to_offset + n * 3 * plane + y * width + x;
  out[0] = pixel[swap ? 2 : 0] * scale.x + offset.x;
  out[plane] = pixel[1] * scale.y + offset.y;
  out[2 * plane] = pixel[swap ? 0 : 2] * scale.z + offset.z;
})";

// Built once for the process' context.
Result<cl_program> program_of(const Context& context) {
  static std::mutex mutex;
  static cl_program program = nullptr;
  std::lock_guard lock(mutex);
  if (program) return program;
  const auto device = static_cast<cl_device_id>(context.handle("cl_device_id"));
  const char* text = source;
  cl_int code = CL_SUCCESS;
  cl_program made = clCreateProgramWithSource(static_cast<cl_context>(context.handle("cl_context")), 1, &text,
                                              nullptr, &code);
  if (code == CL_SUCCESS) code = clBuildProgram(made, 1, &device, "", nullptr, nullptr);
  if (code == CL_SUCCESS) return program = made;
  if (made) clReleaseProgram(made);
  return opencl_error("the OpenCL program cannot be built", code);
}

// Where pixels are in a tensor [N,H,W,C] or [H,W,C]; the rest of the numbers are 0 when it is none.
struct Pixels {
  int64_t samples = 0, height = 0, width = 0;
  int64_t sample_stride = 0, row_stride = 0, pixel_stride = 0;
};

Pixels locate(const Shape& shape, const Shape& strides) {
  const size_t rank = shape.rank();
  if ((rank != 3 && rank != 4) || (shape[rank - 1] != 3 && shape[rank - 1] != 4)) return {};
  Pixels pixels{rank == 4 ? shape[0] : 1, shape[rank - 3], shape[rank - 2]};
  if (strides.rank() != rank || strides[rank - 1] != 1) return {};
  pixels.sample_stride = rank == 4 ? strides[0] : 0;
  pixels.row_stride = strides[rank - 3], pixels.pixel_stride = strides[rank - 2];
  if (pixels.sample_stride < 0 || pixels.row_stride < 0 || pixels.pixel_stride < 0) return {};
  return pixels;
}

class OpenclNormalizer final : public Transform {
 public:
  explicit OpenclNormalizer(const Params& params) : params_(params) {}
  ~OpenclNormalizer() override { release(); }

  static Result<std::unique_ptr<Element>> create(const ParamSet& params) {
    return std::make_unique<OpenclNormalizer>(params.as<Params>());
  }

  Status start() override {
    for (const auto& [name, list] : {std::pair("mean", &params_.mean), std::pair("std", &params_.std)})
      if (list->size() > 1 && list->size() != 3)
        return fail(ErrorCode::invalid_argument, "{} needs one number or three, but has {}", name,
                    list->size());
    if (!params_.range.empty() && params_.range.size() != 2)
      return fail(ErrorCode::invalid_argument, "range needs two numbers, what 0 and 255 become, but has {}",
                  params_.range.size());
    auto context = default_context(MemoryKind::opencl);
    if (!context)
      return std::unexpected(availability_error("opencl_tensor_normalize", {context.error().message},
                                                {"opencv_tensor_normalize", "video_to_tensor"}));
    context_ = *context;
    auto program = program_of(*context_);
    if (!program) return forward_error(program);
    release();
    cl_int code = CL_SUCCESS;
    kernel_ = clCreateKernel(*program, "normalize_planes", &code);
    if (auto status = opencl_status("the OpenCL kernel cannot be made", code); !status) return status;
    return set_numbers();
  }

  void stop() override {
    release();
    pool_ = nullptr;
    made_.tensors.clear();
  }

  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override {
    if (std::holds_alternative<VideoSpec>(spec.media)) return {};
    const bool forward = from == Direction::input;
    const auto* tensors = std::get_if<TensorsSpec>(&spec.media);
    if (tensors && tensors->tensors.size() > 1) return {};
    const TensorSpec given = tensors && !tensors->tensors.empty() ? tensors->tensors[0] : TensorSpec{};
    const DataType wanted = forward ? DataType::u8 : DataType::f32;
    if (!given.types.empty() && std::ranges::find(given.types, wanted) == given.types.end()) return {};
    std::vector<FormatSpec> specs;
    for (const TensorSpec& other : forward ? planes_of(given.shape) : pixels_of(given.shape))
      for (const MemoryKind memory : {MemoryKind::opencl, MemoryKind::system})
        specs.push_back({TensorsSpec{{other}, {}}, memory});
    return specs;
  }

  Status configure(const Format& input, const Format& output) override {
    const TensorsInfo *in = input.tensors(), *out = output.tensors();
    const auto wrong = [&] {
      return fail(
          ErrorCode::not_negotiated,
          "{} cannot be normalised to {}; NHWC uint8 with three or four channels becomes NCHW float32 "
          "with three",
          to_string(input), to_string(output));
    };
    if (!in || !out || in->tensors.size() != 1 || out->tensors.size() != 1) return wrong();
    const TensorInfo &from = in->tensors[0], &to = out->tensors[0];
    const Pixels pixels =
        locate(from.shape, from.strides.empty() ? dense_strides(from.shape, from.type) : from.strides);
    if (from.type != DataType::u8 || to.type != DataType::f32 || pixels.width <= 0 ||
        to.shape.elements() != pixels.samples * 3 * pixels.height * pixels.width)
      return wrong();
    output_ = to;
    output_memory_ = output.memory;
    pool_ = nullptr;
    if (output_memory_ != MemoryKind::opencl) return {};
    auto pool = make_opencl_pool(context_, size_t(to.shape.elements()) * sizeof(float));
    if (!pool) return forward_error(pool);
    pool_ = std::move(*pool);
    return {};
  }

  Status process(const Frame& frame, Output& output) override {
    if (frame.tensors.size() != 1)
      return fail(ErrorCode::corrupt, "{} tensors, but one was agreed", frame.tensors.size());
    auto from = map_to(
        frame, {.form = {MemoryKind::opencl, std::nullopt}, .access = Access::read, .context = context_});
    if (!from) return forward_error(from);
    made_.pts = frame.pts;
    made_.duration = frame.duration;
    made_.source = frame.source;
    made_.affine = frame.affine;
    made_.batch = frame.batch;
    if (pool_) {
      auto block = pool_->acquire();
      if (!block) return forward_error(block);
      made_.tensors.assign(1, Tensor{.memory = std::move(*block),
                                     .type = DataType::f32,
                                     .layout = output_.layout,
                                     .shape = output_.shape,
                                     .strides = dense_strides(output_.shape, DataType::f32)});
      if (auto status = run(from->frame().tensors[0], made_.tensors[0]); !status) return status;
    } else {
      if (auto allocated = output.allocate(made_); !allocated) return allocated;
      auto to = map_to(
          made_, {.form = {MemoryKind::opencl, std::nullopt}, .access = Access::write, .context = context_});
      if (!to) return forward_error(to);
      if (auto status = run(from->frame().tensors[0], to->frame().tensors[0]); !status) return status;
      if (auto finished = to->finish(); !finished) return finished;
    }
    Status sent = output.push(made_);
    made_.tensors.clear();
    return sent;
  }

 private:
  // What tensors of pixels become; an empty shape is any.
  static std::vector<TensorSpec> planes_of(const Shape& shape) {
    const size_t rank = shape.rank();
    if (rank == 0) return {{{DataType::f32}, {}, Layout::any, {}, {}}};
    if ((rank != 3 && rank != 4) || (shape[rank - 1] > 0 && shape[rank - 1] != 3 && shape[rank - 1] != 4))
      return {};
    if (rank == 4) return {{{DataType::f32}, {shape[0], 3, shape[1], shape[2]}, Layout::nchw, {}, {}}};
    return {{{DataType::f32}, {3, shape[0], shape[1]}, Layout::chw, {}, {}}};
  }
  // And what they are made of: four channels, or three.
  static std::vector<TensorSpec> pixels_of(const Shape& shape) {
    const size_t rank = shape.rank();
    if (rank == 0) return {{{DataType::u8}, {}, Layout::any, {}, {}}};
    if ((rank != 3 && rank != 4) || (shape[rank - 3] > 0 && shape[rank - 3] != 3)) return {};
    std::vector<TensorSpec> specs;
    for (const int64_t channels : {4, 3}) {
      if (rank == 4)
        specs.push_back({{DataType::u8}, {shape[0], shape[2], shape[3], channels}, Layout::nhwc, {}, {}});
      else
        specs.push_back({{DataType::u8}, {shape[1], shape[2], channels}, Layout::hwc, {}, {}});
    }
    return specs;
  }

  // Waits for what is under way: a driver that still compiles the kernel for it does not survive the end of
  // the process.
  void release() {
    if (!kernel_) return;
    clFinish(static_cast<cl_command_queue>(context_->handle("cl_command_queue")));
    clReleaseKernel(std::exchange(kernel_, nullptr));
  }

  Status set_numbers() {
    const auto pick = [](const std::vector<double>& list, size_t channel, double otherwise) {
      return list.empty() ? otherwise : list[list.size() == 1 ? 0 : channel];
    };
    const double low = params_.range.empty() ? 0 : params_.range[0];
    const double step = params_.range.empty() ? 1 : (params_.range[1] - params_.range[0]) / 255;
    for (size_t channel = 0; channel < 3; ++channel) {
      const double std = pick(params_.std, channel, 1);
      if (std == 0) return fail(ErrorCode::invalid_argument, "std must not be 0, it is divided by");
      scale_.s[channel] = float(step / std);
      offset_.s[channel] = float((low - pick(params_.mean, channel, 0)) / std);
    }
    return {};
  }

  Status run(const Tensor& from, const Tensor& to) {
    const Pixels pixels = locate(from.shape, from.strides);
    if (from.type != DataType::u8 || pixels.width <= 0 || !to.dense() ||
        to.shape.elements() != pixels.samples * 3 * pixels.height * pixels.width)
      return fail(ErrorCode::corrupt, "the tensor is {} {}, not what was agreed", to_string(from.type),
                  from.shape.to_string());
    const auto queue = static_cast<cl_command_queue>(context_->handle("cl_command_queue"));
    if (auto status = opencl_wait(from, queue); !status) return status;
    if (auto status = opencl_wait(to, queue); !status) return status;
    const cl_mem in = opencl_buffer(from), out = opencl_buffer(to);
    const cl_ulong in_offset = from.offset, sample = cl_ulong(pixels.sample_stride),
                   row = cl_ulong(pixels.row_stride), pixel = cl_ulong(pixels.pixel_stride),
                   out_offset = to.offset / sizeof(float);
    const cl_uint width = cl_uint(pixels.width), height = cl_uint(pixels.height),
                  swap = params_.color == Params::Color::rgb;
    cl_uint index = 0;
    cl_int code = CL_SUCCESS;
    const auto set = [&]<class T>(const T& value) {
      if (code == CL_SUCCESS) code = clSetKernelArg(kernel_, index++, sizeof value, &value);
    };
    set(in), set(in_offset), set(sample), set(row), set(pixel), set(out), set(out_offset);
    set(width), set(height), set(scale_), set(offset_), set(swap);
    const size_t items[3] = {size_t(width), size_t(height), size_t(pixels.samples)};
    cl_event done = nullptr;
    if (code == CL_SUCCESS)
      code = clEnqueueNDRangeKernel(queue, kernel_, 3, nullptr, items, nullptr, 0, nullptr, &done);
    if (code == CL_SUCCESS) code = clFlush(queue);
    if (code != CL_SUCCESS) {
      if (done) clReleaseEvent(done);
      return opencl_error("the OpenCL kernel cannot be run", code);
    }
    Status written = opencl_written(to, done);
    clReleaseEvent(done);
    return written;
  }

  const Params params_;
  ContextRef context_;
  cl_kernel kernel_ = nullptr;
  cl_float4 scale_{}, offset_{};
  TensorInfo output_;
  MemoryKind output_memory_ = MemoryKind::system;
  Ref<MemoryPool> pool_;
  Frame made_;
};

const ModuleElement registration("opencl_tensor_normalize", &OpenclNormalizer::create);

}  // namespace
}  // namespace sightglass
