#include "sightglass/memory/opencv/mat_memory.h"

#include <array>
#include <mutex>
#include <utility>
#include <vector>

namespace sightglass {
namespace {

size_t extent_of(const cv::Mat& mat) {
  if (mat.empty()) return 0;
  size_t bytes = mat.elemSize();
  for (int axis = 0; axis < mat.dims; ++axis) bytes += size_t(mat.size[axis] - 1) * mat.step[axis];
  return bytes;
}

// Keeps memory of ours for the matrices over it: OpenCV counts them in a UMatData and gives that back here.
// Those are used again, so that a matrix costs no allocation once warm.
class Holder final : public cv::MatAllocator {
 public:
  static Holder& instance() {
    static Holder& holder = *new Holder;  // never destroyed: matrices may outlive main()
    return holder;
  }

  cv::UMatData* hold(std::byte* data, size_t size, MemoryRef memory, Access access) {
    Held* held = nullptr;
    {
      std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        held = free_.back();
        free_.pop_back();
      }
    }
    if (!held) held = new Held(this);
    held->memory = std::move(memory);
    held->access = access;
    held->data = held->origdata = reinterpret_cast<uchar*>(data);
    held->size = size;
    held->refcount = 1;
    held->flags = cv::UMatData::USER_ALLOCATED;
    return held;
  }

  // A matrix that grows leaves our memory and takes OpenCV's own.
  cv::UMatData* allocate(int dims, const int* sizes, int type, void* data, size_t* step, cv::AccessFlag flags,
                         cv::UMatUsageFlags usage) const override {
    return cv::Mat::getStdAllocator()->allocate(dims, sizes, type, data, step, flags, usage);
  }
  bool allocate(cv::UMatData* data, cv::AccessFlag flags, cv::UMatUsageFlags usage) const override {
    return cv::Mat::getStdAllocator()->allocate(data, flags, usage);
  }
  void deallocate(cv::UMatData* data) const override {
    auto* held = static_cast<Held*>(data);
    const MemoryRef memory = std::move(held->memory);
    memory->unmap(held->access);
    if (held->originalUMatData || held->mapcount != 0) {  // OpenCV still has something to do with it
      delete held;
      return;
    }
    std::lock_guard lock(mutex_);
    free_.push_back(held);
  }

 private:
  struct Held final : cv::UMatData {
    using UMatData::UMatData;
    MemoryRef memory;
    Access access = Access::read;
  };

  mutable std::mutex mutex_;
  mutable std::vector<Held*> free_;
};

int depth_of(DataType type) {
  switch (type) {
    case DataType::u8:
    case DataType::boolean:
      return CV_8U;
    case DataType::i8:
      return CV_8S;
    case DataType::u16:
      return CV_16U;
    case DataType::i16:
      return CV_16S;
    case DataType::i32:
      return CV_32S;
    case DataType::f16:
      return CV_16F;
    case DataType::f32:
      return CV_32F;
    case DataType::f64:
      return CV_64F;
    case DataType::u32:
    case DataType::i64:
    case DataType::u64:
    case DataType::bf16:
      return -1;
  }
  return -1;
}

}  // namespace

MatMemory::MatMemory(cv::Mat mat) : Memory(MemoryKind::opencv, extent_of(mat)), mat_(std::move(mat)) {}

Result<int> mat_type(const Frame& frame, size_t index) {
  const Tensor& tensor = frame.tensors[index];
  if (frame.video) {
    const int bytes = plane_layout(frame.video->format, index).pixel_bytes;
    const bool is_wide =
        frame.video->format == PixelFormat::p010 || frame.video->format == PixelFormat::gray16;
    return is_wide ? CV_MAKETYPE(CV_16U, bytes / 2) : CV_MAKETYPE(CV_8U, bytes);
  }
  const int depth = depth_of(tensor.type);
  if (depth < 0) return fail(ErrorCode::unsupported, "OpenCV has no matrices of {}", to_string(tensor.type));
  return CV_MAKETYPE(depth, 1);
}

Result<cv::Mat> mat_over(const Tensor& tensor, int type, Access access) {
  const size_t element = size_t(CV_ELEM_SIZE(type)), rank = tensor.shape.rank();
  if (rank == 0 || !tensor.shape.fixed() || tensor.strides.rank() != rank || tensor.shape.elements() == 0)
    return fail(ErrorCode::unsupported, "a tensor of shape {} is no matrix", tensor.shape.to_string());
  std::array<int, Shape::max_rank> sizes{};
  std::array<size_t, Shape::max_rank> steps{};
  for (size_t axis = 0; axis < rank; ++axis) {
    if (tensor.strides[axis] < 0)
      return fail(ErrorCode::unsupported,
                  "OpenCV has no matrices with negative strides ({}): flip it by a copy first",
                  tensor.strides.to_string());
    if (tensor.shape[axis] > std::numeric_limits<int>::max())
      return fail(ErrorCode::unsupported, "a tensor of shape {} is too large for OpenCV",
                  tensor.shape.to_string());
    sizes[axis] = int(tensor.shape[axis]);
    steps[axis] = size_t(tensor.strides[axis]);
  }
  // A plane counts its bytes, the matrix its pixels.
  const size_t bytes_of_one = size_of(tensor.type);
  const bool is_tight = steps[rank - 1] == bytes_of_one || sizes[rank - 1] == 1;
  const bool is_nested = [&] {
    for (size_t axis = 0; axis + 1 < rank; ++axis)
      if (sizes[axis] > 1 && steps[axis] < steps[axis + 1] * size_t(sizes[axis + 1])) return false;
    return true;
  }();
  if (!is_tight || !is_nested || size_t(sizes[rank - 1]) * bytes_of_one % element != 0)
    return fail(
        ErrorCode::unsupported,
        "OpenCV has no matrices whose rows have gaps or whose axes are swapped (shape {}, strides {})",
        tensor.shape.to_string(), tensor.strides.to_string());
  const size_t depth_bytes = size_t(CV_ELEM_SIZE1(type));
  for (size_t axis = 0; axis + 1 < rank; ++axis)
    if (steps[axis] % depth_bytes != 0)
      return fail(ErrorCode::unsupported,
                  "OpenCV has no matrices of {} bytes per value whose rows are {} bytes apart", depth_bytes,
                  steps[axis]);
  sizes[rank - 1] = int(size_t(sizes[rank - 1]) * bytes_of_one / element);
  steps[rank - 1] = element;
  if (tensor.bytes() > tensor.memory->size() || tensor.offset > tensor.memory->size() - tensor.bytes())
    return fail(ErrorCode::corrupt,
                "a tensor {} (strides {}) at byte {} does not lie within its memory of {} bytes",
                tensor.shape.to_string(), tensor.strides.to_string(), tensor.offset, tensor.memory->size());
  // An axis of one element may have any stride here, but not there.
  for (size_t axis = rank - 1; axis-- > 0;)
    if (sizes[axis] == 1) steps[axis] = std::max(steps[axis], steps[axis + 1] * size_t(sizes[axis + 1]));

  auto start = tensor.memory->map(access);
  if (!start) return forward_error(start);
  std::byte* const data = *start + tensor.offset;
  auto made = without_exceptions([&]() -> Result<cv::Mat> {
    return rank == 1 ? cv::Mat(1, sizes[0], type, data)
                     : cv::Mat(int(rank), sizes.data(), type, data, steps.data());
  });
  if (!made) {
    tensor.memory->unmap(access);
    return made;
  }
  made->u = Holder::instance().hold(data, tensor.bytes(), tensor.memory, access);
  return made;
}

cv::Mat part_of(const cv::Mat& mat, const Tensor& tensor) {
  const size_t element = mat.elemSize(), one = size_of(tensor.type);
  if (mat.dims != 2 || tensor.shape.rank() != 2) return tensor.offset == 0 ? mat : cv::Mat();
  const size_t step = mat.step[0], row = size_t(tensor.shape[1]) * one;
  const size_t y = step ? tensor.offset / step : 0, x = step ? tensor.offset % step : 0;
  const bool fits = x % element == 0 && row % element == 0 &&
                    x / element + row / element <= size_t(mat.cols) &&
                    y + size_t(tensor.shape[0]) <= size_t(mat.rows);
  if (!fits) return {};
  return mat(cv::Rect(int(x / element), int(y), int(row / element), int(tensor.shape[0])));
}

Tensor tensor_over(MemoryRef memory, const size_t* steps, const Tensor& like) {
  Tensor tensor{.memory = std::move(memory), .type = like.type, .layout = like.layout, .shape = like.shape};
  tensor.strides = dense_strides(like.shape, like.type);
  for (size_t axis = 0; axis + 1 < like.shape.rank(); ++axis) tensor.strides[axis] = int64_t(steps[axis]);
  return tensor;
}

}  // namespace sightglass
