// A device that memory can belong to: a CUDA device, an OpenCL context and its queue, a VA display. Memory of
// the CPU has none.
//
//   auto opencl = default_context(MemoryKind::opencl);
//   auto* context = static_cast<cl_context>((*opencl)->handle("cl_context"));
//
// Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "sightglass/core/memory.h"
#include "sightglass/core/ref.h"
#include "sightglass/core/result.h"

namespace sightglass {

class Context : public RefCounted {
 public:
  MemoryKind kind() const { return kind_; }
  // The device in the words of its vendor: "NVIDIA H100 80GB HBM3", "PoCL cpu-haswell".
  virtual std::string description() const = 0;
  // A native handle by its type's name: "CUcontext", "cl_context", "cl_command_queue", "VADisplay". Null:
  // there is none of that name. Valid as long as the context.
  virtual void* handle(std::string_view type) const = 0;
  // Whether the two are the same device, so that memory of one can be used with the other as it is.
  virtual bool same_device(const Context& other) const { return this == &other; }
  // The sibling of another kind on this very device: of a VA display the OpenCL context that shares its
  // surfaces. Unavailable where the vendor has no such way.
  virtual Result<Ref<Context>> derive(MemoryKind kind);

 protected:
  explicit Context(MemoryKind kind) : kind_(kind) {}

 private:
  MemoryKind kind_;
};
using ContextRef = Ref<Context>;

// The first usable device of a kind, opened at the first call and kept. Null for kinds that lie in the memory
// of the CPU; an error says what this machine lacks.
Result<ContextRef> default_context(MemoryKind kind);

// How a back end says what opens its default context; the last line of its source.
using OpenContext = Result<ContextRef> (*)();
struct ContextRegistration {
  ContextRegistration(MemoryKind kind, OpenContext open);
};

}  // namespace sightglass
