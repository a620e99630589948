// Memory that a Python array owns. It keeps the array alive, and gives it back with its last reference, from
// whatever thread.
#pragma once

#include <nanobind/ndarray.h>

#include "python/src/bindings.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::python {

class ArrayMemory final : public SystemMemory {
 public:
  ArrayMemory(nb::object owner, std::byte* data, size_t size, bool read_only)
      : SystemMemory(data, size), owner_(std::move(owner)), read_only_(read_only) {}
  ~ArrayMemory() override { release_object(owner_); }

  Result<std::byte*> map(Access access) override {
    if (read_only_ && access != Access::read)
      return fail(ErrorCode::invalid_argument, "the array that this memory belongs to is read-only");
    return SystemMemory::map(access);
  }

 private:
  nb::object owner_;
  bool read_only_;
};

}  // namespace sightglass::python
