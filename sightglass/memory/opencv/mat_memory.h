// Memory that is a cv::Mat: our own bytes with a matrix over them, or a matrix that came from elsewhere.
#pragma once

#include <opencv2/core.hpp>

#include "sightglass/core/frame.h"
#include "sightglass/core/memory.h"
#include "sightglass/memory/form.h"

namespace sightglass {

class MatMemory final : public Memory {
 public:
  explicit MatMemory(cv::Mat mat);  // no negative steps, which OpenCV does not have either
  const cv::Mat& mat() const { return mat_; }
  Result<std::byte*> map(Access) override { return reinterpret_cast<std::byte*>(mat_.data); }
  void unmap(Access) override {}

 private:
  cv::Mat mat_;
};

// The element type of the matrix that holds a plane of a picture, or a tensor: CV_8UC3. The error says what
// OpenCV has no type for.
Result<int> mat_type(const Frame& frame, size_t tensor);

// What addresses and rows have to be multiples of: the bytes of a sample.
inline size_t mat_alignment(const Form& form) {
  return form.pixels == PixelFormat::p010 || form.pixels == PixelFormat::gray16 ? 2 : 1;
}

// A matrix over the tensor's bytes, which keeps their memory mapped and alive as long as any matrix shares
// them.
Result<cv::Mat> mat_over(const Tensor& tensor, int type, Access access);

// The part of `mat` that the tensor is; empty: it is none.
cv::Mat part_of(const cv::Mat& mat, const Tensor& tensor);

// The tensor that is the whole of a matrix, in the shape of the plane or tensor `like`.
Tensor tensor_over(MemoryRef memory, const size_t* steps, const Tensor& like);

// Runs what calls OpenCV, whose exceptions become errors.
template <class Call>
auto without_exceptions(Call call) noexcept -> decltype(call()) {
  try {
    return call();
  } catch (const cv::Exception& exception) {
    return fail(ErrorCode::internal, "OpenCV: {}", exception.err.empty() ? exception.what() : exception.err);
  } catch (const std::exception& exception) {
    return fail(ErrorCode::internal, "OpenCV: {}", exception.what());
  }
}

}  // namespace sightglass
