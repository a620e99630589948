// Access of the CPU to a tensor's bytes. While the Mapping lives, the bytes are there, finished by whatever
// was writing them, and their memory stays alive, even when the tensor does not.
//
//   auto picture = map(frame.tensors[0], Access::read);
//   if (!picture) return forward_error(picture);
//   for (int y = 0; y < height; ++y) sum(picture->row<const uint8_t>(y), width);
//
// Mapping never copies and never allocates; for system memory it costs some tens of nanoseconds, plus the
// wait for a fence that is not ready. A Mapping is used by one thread at a time. What is mapped for reading
// is not written to: others may read it at the same time.
#pragma once

#include <cassert>
#include <cstddef>
#include <span>
#include <type_traits>

#include "sightglass/core/result.h"
#include "sightglass/core/tensor.h"

namespace sightglass {

class Mapping {
 public:
  Mapping() = default;  // of nothing
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping() { reset(); }
  void reset() noexcept;  // ends the access before the object ends
  explicit operator bool() const { return data_ != nullptr; }

  std::byte* data() const { return data_; }         // the first element
  size_t bytes() const { return tensor_.bytes(); }  // from the first to behind the last element
  DataType type() const { return tensor_.type; }
  const Shape& shape() const { return tensor_.shape; }
  const Shape& strides() const { return tensor_.strides; }  // bytes
  bool dense() const { return tensor_.dense(); }

  // All elements of a dense tensor. T is the tensor's type, or one of its size without arithmetic of its own
  // (std::byte for uint8, uint16_t for float16); anything else is a mistake of the caller: an assertion, and
  // an empty span without assertions.
  template <class T>
  std::span<T> as() const {
    const bool fits = holds<T>() && dense();
    assert(fits);
    return fits ? std::span(reinterpret_cast<T*>(data_), size_t(tensor_.shape.elements())) : std::span<T>();
  }
  // The elements from `index` of the outermost axis on, for tensors with gaps such as the planes of a
  // picture.
  template <class T>
  T* row(int64_t index) const {
    assert(holds<T>() && index >= 0 && index < tensor_.shape[0]);
    return reinterpret_cast<T*>(data_ + index * tensor_.strides[0]);
  }

 private:
  friend Result<Mapping> map(const Tensor& tensor, Access access);
  Mapping(const Tensor& tensor, Access access, std::byte* data)
      : tensor_(tensor), access_(access), data_(data) {}

  template <class T>
  bool holds() const {
    const bool real = type() == DataType::f32 || type() == DataType::f64;
    return sizeof(T) == size_of(type()) && (sizeof(T) < 4 || std::is_floating_point_v<T> == real);
  }

  Tensor tensor_;  // keeps the memory alive
  Access access_ = Access::read;
  std::byte* data_ = nullptr;
};

// Waits for the work in flight and passes its error on. A tensor that does not lie within its memory is an
// error (corrupt).
Result<Mapping> map(const Tensor& tensor, Access access);

}  // namespace sightglass
