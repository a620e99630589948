// What a tensor's bytes lie in, seen from above: a counted block of some kind of memory that can be mapped
// for the CPU, and a fence for work that has not finished writing it. The kinds themselves live in
// sightglass/memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sightglass/core/ref.h"
#include "sightglass/core/result.h"

namespace sightglass {

// Where bytes lie, and as whose object they are held: plain memory of the CPU or of a device, or the handle
// of a framework (a GstBuffer, a cv::Mat, an AVFrame…) that lies over one of these. Kinds that one process
// cannot share without a copy are different kinds.
enum class MemoryKind : uint8_t {
  system,        // addresses of the CPU
  dmabuf,        // file descriptor of a DMA-BUF
  cuda,          // device address
  va,            // VASurfaceID
  opencl,        // cl_mem, a buffer
  shm,           // named POSIX shared memory
  opencl_image,  // cl_mem, an image
  gst,           // GstBuffer
  ffmpeg,        // AVFrame
  opencv,        // cv::Mat
  opencv_umat,   // cv::UMat
  onnx,          // OrtValue
  torch,         // at::Tensor
  dlpack,        // DLManagedTensor
};
inline constexpr size_t memory_kinds = 14;
std::string_view to_string(MemoryKind kind);  // "system", "opencv-umat", …
std::optional<MemoryKind> memory_kind(std::string_view name);

class Context;  // sightglass/memory/context.h

enum class Access : uint8_t { read = 1, write = 2, read_write = 3 };

// Completion of work in flight. wait() may be called by any thread, any number of times; after an error every
// wait gives that error.
class Fence : public RefCounted {
 public:
  virtual bool ready() const = 0;
  virtual Status wait() = 0;
};

// A block of memory with shared ownership. The handle is thread-safe; the bytes follow the usual rule: one
// writer or many readers.
class Memory : public RefCounted {
 public:
  MemoryKind kind() const { return kind_; }
  size_t size() const { return size_; }
  // Different for every block that has ever existed in this process, and new when a block is made to hold
  // other bytes: what a cache may use as key, unlike an address, a file descriptor or a handle, which come
  // again.
  uint64_t id() const { return id_; }
  // The device that it belongs to; null: the CPU.
  virtual const Context* context() const { return nullptr; }
  // Whether the bytes may be changed at all: not while somebody beyond our count reads them, as a decoder
  // does its reference pictures. Who wants to draw on such a block has to copy it.
  virtual bool writable() const { return true; }

  // Address of the first byte for the CPU, after the work in flight has finished. Each success is paired with
  // one unmap(). Prefer map() of sightglass/memory/mapping.h, which does that by itself.
  virtual Result<std::byte*> map(Access access) = 0;
  virtual void unmap(Access access) = 0;

 protected:
  Memory(MemoryKind kind, size_t size) : kind_(kind), size_(size), id_(next_id()) {}
  // A wrapper that is used again, for other bytes.
  void hold_other_bytes(size_t size) { size_ = size, id_ = next_id(); }

 private:
  static uint64_t next_id() noexcept;

  MemoryKind kind_;
  size_t size_;
  uint64_t id_;
};
using MemoryRef = Ref<Memory>;

// Gives out blocks of one size that come back by themselves when the last reference goes. Thread-safe.
class MemoryPool : public RefCounted {
 public:
  virtual size_t block_size() const = 0;
  virtual Result<MemoryRef> acquire() = 0;
};

}  // namespace sightglass
