#include "sightglass/memory/opencv/opencv.h"

#include <array>

#include "sightglass/memory/opencv/mat_memory.h"
#include "sightglass/memory/opencv/umat_memory.h"

namespace sightglass {
namespace {

std::unexpected<Error> does_not_fit(const cv::Mat& mat, PixelFormat format) {
  return fail(ErrorCode::invalid_argument,
              "a matrix of {}x{} with {} channels of {} bytes does not hold a picture in {}", mat.cols,
              mat.rows, mat.channels(), mat.elemSize1(), to_string(format));
}

// Planes of a picture, all in one matrix of bytes.
struct Planes {
  VideoInfo video;
  std::array<size_t, 3> offset{}, stride{};
};

Result<Planes> planes_in(const cv::Mat& mat, PixelFormat format) {
  const bool is_wide = format == PixelFormat::p010 || format == PixelFormat::gray16;
  const size_t sample = is_wide ? 2 : 1;
  const PlaneLayout first = plane_layout(format, 0);
  if (mat.dims != 2 || mat.empty() || mat.elemSize1() != sample ||
      mat.depth() != (is_wide ? CV_16U : CV_8U) || mat.elemSize() != first.pixel_bytes)
    return does_not_fit(mat, format);
  Planes planes{.video = {.format = format, .width = mat.cols, .height = mat.rows}};
  const size_t step = mat.step[0], count = plane_count(format);
  planes.stride.fill(step);
  if (count == 1) return planes;

  // One below the other: as many rows as full-size planes have, or half more.
  const PlaneLayout other = plane_layout(format, 1);
  if (other.shift_x == 0 && other.shift_y == 0) {
    if (mat.rows % int(count) != 0) return does_not_fit(mat, format);
    planes.video.height = mat.rows / int(count);
    for (size_t plane = 1; plane < count; ++plane)
      planes.offset[plane] = plane * size_t(planes.video.height) * step;
    return planes;
  }
  if (other.shift_y != 1 || mat.rows % 3 != 0 || mat.cols % 2 != 0 || mat.rows / 3 * 2 % 2 != 0)
    return does_not_fit(mat, format);
  const size_t height = size_t(mat.rows) / 3 * 2;
  planes.video.height = int(height);
  planes.offset[1] = height * step;
  if (count == 2) return planes;
  if (!mat.isContinuous())
    return fail(ErrorCode::unsupported, "a matrix with gaps between its rows cannot hold a picture in {}",
                to_string(format));
  planes.stride[1] = planes.stride[2] = step / 2;
  planes.offset[2] = planes.offset[1] + step / 2 * (height / 2);
  return planes;
}

std::optional<DataType> type_of(int depth) {
  switch (depth) {
    case CV_8U:
      return DataType::u8;
    case CV_8S:
      return DataType::i8;
    case CV_16U:
      return DataType::u16;
    case CV_16S:
      return DataType::i16;
    case CV_32S:
      return DataType::i32;
    case CV_32F:
      return DataType::f32;
    case CV_64F:
      return DataType::f64;
    case CV_16F:
      return DataType::f16;
    default:
      return {};
  }
}

}  // namespace

cv::Mat opencv_mat(const Tensor& tensor) {
  const auto* memory = dynamic_cast<const MatMemory*>(tensor.memory.get());
  return memory ? part_of(memory->mat(), tensor) : cv::Mat();
}

cv::UMat opencv_umat(const Tensor& tensor) {
  const auto* memory = dynamic_cast<const UMatMemory*>(tensor.memory.get());
  if (!memory || tensor.offset != 0) return {};
  const Status bound = without_exceptions([&]() -> Status {
    memory->device().bind();
    return {};
  });
  return bound ? memory->umat() : cv::UMat();
}

Result<Frame> from_mat(const cv::Mat& mat, PixelFormat format) {
  auto planes = planes_in(mat, format);
  if (!planes) return forward_error(planes);
  // A matrix per plane, as mapping to this kind gives; all share the bytes.
  Frame frame;
  frame.video = planes->video;
  const bool is_wide = format == PixelFormat::p010 || format == PixelFormat::gray16;
  for (size_t plane = 0; plane < plane_count(format); ++plane) {
    const int bytes = plane_layout(format, plane).pixel_bytes;
    const int height = plane_height(planes->video, plane), width = plane_width(planes->video, plane);
    auto part = without_exceptions([&]() -> Result<cv::Mat> {
      cv::Mat view(height, width, is_wide ? CV_MAKETYPE(CV_16U, bytes / 2) : CV_MAKETYPE(CV_8U, bytes),
                   mat.data + planes->offset[plane], planes->stride[plane]);
      view.u = mat.u;
      view.addref();
      return view;
    });
    if (!part) return forward_error(part);
    const Tensor like{.layout = Layout::hw, .shape = {height, int64_t(width) * bytes}};
    const size_t steps[2] = {part->step[0], 1};
    frame.tensors.push_back(tensor_over(make_ref<MatMemory>(std::move(*part)), steps, like));
  }
  return frame;
}

Result<Tensor> tensor_from_mat(const cv::Mat& mat) {
  if (mat.empty()) return fail(ErrorCode::invalid_argument, "an empty matrix is no tensor");
  const auto type = type_of(mat.depth());
  const size_t rank = size_t(mat.dims) + (mat.channels() > 1);
  if (!type || rank > Shape::max_rank)
    return fail(ErrorCode::unsupported, "a matrix of {} axes and depth {} is no tensor", mat.dims,
                mat.depth());
  Tensor tensor{.memory = make_ref<MatMemory>(mat), .type = *type};
  for (int axis = 0; axis < mat.dims; ++axis) {
    tensor.shape.push_back(mat.size[axis]);
    tensor.strides.push_back(int64_t(mat.step[axis]));
  }
  if (mat.channels() > 1) {
    tensor.shape.push_back(mat.channels());
    tensor.strides.push_back(int64_t(mat.elemSize1()));
    if (mat.dims == 2) tensor.layout = Layout::hwc;
  }
  return tensor;
}

Result<Frame> from_umat(const cv::UMat& umat, PixelFormat format) {
  const PlaneLayout layout = plane_layout(format, 0);
  const bool is_wide = format == PixelFormat::gray16;
  if (plane_count(format) != 1 || umat.dims != 2 || umat.empty() || umat.elemSize() != layout.pixel_bytes ||
      umat.depth() != (is_wide ? CV_16U : CV_8U))
    return fail(ErrorCode::invalid_argument, "a UMat of {}x{} with {} channels does not hold a picture in {}",
                umat.cols, umat.rows, umat.channels(), to_string(format));
  // The device that OpenCV uses here is that of the matrix.
  OpenCvDevice device;
  if (umat.u && umat.u->handle) {
    auto opened = OpenCvDevice::of(nullptr);
    const auto& current = cv::ocl::OpenCLExecutionContext::getCurrentRef();
    if (opened && opened->context && !current.empty() &&
        current.getContext().ptr() == opened->context->handle("cl_context"))
      device = std::move(*opened);
    else if (!current.empty())
      device.execution = current;
  }
  Frame frame;
  frame.video = VideoInfo{.format = format, .width = umat.cols, .height = umat.rows};
  const Tensor like{.layout = Layout::hw, .shape = {umat.rows, int64_t(umat.cols) * layout.pixel_bytes}};
  const size_t steps[2] = {umat.step[0], 1};
  frame.tensors.push_back(
      tensor_over(make_ref<UMatMemory>(umat, std::move(device), nullptr, false), steps, like));
  return frame;
}

}  // namespace sightglass
