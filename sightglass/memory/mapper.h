// Mappers: the edges of the graph that ways between forms are planned in. Each knows one hand-over, for
// example from memory of the CPU to cv::Mat and back, and says which forms it takes, what it makes of them,
// and how many bytes that copies. The last line of a mapper's source registers it:
//
//   const MapperRegistration registration(std::make_unique<MatMapper>());
//
// Mappers are called by any thread, many at a time.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/memory/context.h"
#include "sightglass/memory/form.h"

namespace sightglass {

// One hand-over. A copy of system memory into system memory costs 1 per byte; a slow one (over a bus, with
// arithmetic per pixel) more; sharing costs nothing.
struct Edge {
  Form to;
  double cost_per_byte = 0;  // 0: the bytes stay where they are
  size_t alignment = 1;      // bytes that the address of each plane, and its stride, have to be a multiple of
};

// What a frame is to become.
struct MapTarget {
  Form form;
  Access access = Access::read;
  Ref<Context> context;  // device that the memory is wanted on; null: the default one, or where it is
};

class Mapper {
 public:
  virtual ~Mapper() = default;
  virtual std::string_view name() const = 0;  // "opencl buffer on memory of the CPU"
  // Whether this machine can do it; the error says what is missing. The answer must not change.
  virtual Status available() const { return {}; }
  // Appends what this mapper makes of `from`; nothing where it does not take it.
  virtual void edges(const Form& from, std::vector<Edge>& out) const = 0;
  // Fills `result.video` and `result.tensors`, in the form `target.form` that edges() has offered for that of
  // `frame`. The new memory keeps the old alive. With Access::write alone a copying edge need not bring the
  // content over.
  virtual Status map(const Frame& frame, const MapTarget& target, Frame& result) const = 0;
  // Brings what was written back to the frame that was mapped. Only called for edges that copy.
  virtual Status write_back(const Frame& mapped, const Frame& frame) const;
  // The same for edges that share: whoever maps `frame` next waits for the work in flight that writes
  // `mapped`, such as a kernel. Need not wait itself.
  virtual Status publish(const Frame& mapped, const Frame& frame) const {
    (void)mapped, (void)frame;
    return {};
  }
};

class MapperRegistration {
 public:
  explicit MapperRegistration(std::unique_ptr<Mapper> mapper);  // kept for the life of the process
};

std::vector<const Mapper*> all_mappers();  // in the order of their registration

}  // namespace sightglass
