// What a tensor's bytes lie in, seen from above: a counted block of some kind of memory that can be mapped
// for the CPU, and a fence for work that has not finished writing it. The kinds themselves live in
// sightglass/memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sightglass/core/ref.h"
#include "sightglass/core/result.h"

namespace sightglass {

enum class MemoryKind : uint8_t { system, dmabuf, cuda, va, opencl };
std::string_view to_string(MemoryKind kind);

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

  // Address of the first byte for the CPU, after the work in flight has finished. Each success is paired with
  // one unmap(). Prefer map() of sightglass/memory/mapping.h, which does that by itself.
  virtual Result<std::byte*> map(Access access) = 0;
  virtual void unmap(Access access) = 0;

 protected:
  Memory(MemoryKind kind, size_t size) : kind_(kind), size_(size) {}
  size_t size_at_most(size_t size) { return size_ = size; }  // pools that hand one block out at several sizes

 private:
  MemoryKind kind_;
  size_t size_;
};
using MemoryRef = Ref<Memory>;

// Gives out blocks of one size that come back by themselves when the last reference goes. Thread-safe.
class MemoryPool : public RefCounted {
 public:
  virtual size_t block_size() const = 0;
  virtual Result<MemoryRef> acquire() = 0;
};

}  // namespace sightglass
