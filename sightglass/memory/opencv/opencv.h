// Frames as OpenCV's matrices and back, without a copy where there is no device in between.
//
//   auto mapped = map_to(frame, {.form = {MemoryKind::opencv, PixelFormat::bgr},
//                                .access = Access::read_write});
//   cv::Mat picture = opencv_mat(mapped->frame().tensors[0]);  // CV_8UC3, our bytes
//   cv::GaussianBlur(picture, picture, {5, 5}, 0);
//
//   auto frame = from_mat(cv::imread("cup.jpg"), PixelFormat::bgr);   // the matrix' bytes, kept alive
//
// A plane is a matrix of its own: BGR is CV_8UC3, the chroma of NV12 CV_8UC2, GRAY16 CV_16UC1. A tensor of
// type and shape is a matrix with as many axes. Matrices hold the memory that they lie in, also beyond the
// frame and the mapping; what is written after the mapping's end may not reach the original.
//
// A cv::UMat lies with an OpenCL device, where there is one, else with the CPU. Mapping to `opencv-umat`, and
// opencv_umat(), make OpenCV use the device of that memory in the calling thread
// (cv::ocl::OpenCLExecutionContext); another thread that works with it calls opencv_umat() itself. OpenCL
// buffers and UMats of the same device are the same bytes.
//
// Thread-safe. No OpenCV header is needed to include this.
#pragma once

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"

namespace cv {
class Mat;
class UMat;
}  // namespace cv

namespace sightglass {

// Empty: the tensor does not lie in memory of the kind `opencv` (`opencv_umat`), or not as a matrix can
// (negative strides).
cv::Mat opencv_mat(const Tensor& tensor);
cv::UMat opencv_umat(const Tensor& tensor);

// The picture in a matrix. Planar formats as cv::cvtColor has them: one plane below the other in a matrix of
// one channel; I420 and YV12 need it without gaps. A matrix over memory of others (cv::Mat(rows, cols, type,
// data)) keeps nothing alive, so that the frame may not outlive that memory.
Result<Frame> from_mat(const cv::Mat& mat, PixelFormat format);
// Any matrix as a tensor: its axes, and one more for the channels where there are several.
Result<Tensor> tensor_from_mat(const cv::Mat& mat);
// Formats of one plane.
Result<Frame> from_umat(const cv::UMat& umat, PixelFormat format);

}  // namespace sightglass
