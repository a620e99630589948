// One verb for every hand-over between memories and frameworks: the frame in the form that is wanted, over
// the cheapest way that the registered mappers know. Ways that share the bytes are preferred to any that
// copies.
//
//   auto mapped = map_to(frame, {.form = {MemoryKind::opencv, PixelFormat::bgr}, .access = Access::read});
//   if (!mapped) return forward_error(mapped);           // says what is missing, and what would go
//   cv::Mat picture = opencv_mat(mapped->frame().tensors[0]);
//
// The first map between two forms plans, later ones find the plan; what is remembered is the way and never
// the memory. Back ends that need a library of their own (OpenCV, OpenCL, FFmpeg…) are shared objects that
// are loaded when one of the two forms is theirs.
//
// Thread-safe. A FrameMapping belongs to one thread at a time.
#pragma once

#include <string>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/form.h"
#include "sightglass/memory/mapper.h"

namespace sightglass {

// A way from one form to another. Lives as long as the process.
struct MapPlan {
  struct Step {
    const Mapper* mapper;
    Form from;
    Edge edge;
  };
  Form from;
  std::vector<Step> steps;  // empty: the forms are the same
  bool copies() const;
  // "cuda:NV12 → system:NV12 (copy, CUDA download) → opencv:NV12 (shared, …)", for people.
  std::string to_string() const;
};

// The cheapest way; what negotiation asks, before any frame flows. Where there is none the error names the
// nearest ones and what they lack: a format that nobody converts, a device, a library.
Result<const MapPlan*> plan_map(const Form& from, const Form& to);

struct MapOptions {
  CopyLedger::Hop* hop = nullptr;  // counts what is shared and what is copied; null: that of the process
  bool strict_zero_copy = false;   // a way that copies is an error
};

// Access to a frame in another form. What is mapped for writing is brought back by finish(); without it the
// destructor does so, and has nobody to tell of a failure. The original is kept alive meanwhile.
class FrameMapping {
 public:
  FrameMapping(FrameMapping&&) noexcept;
  FrameMapping& operator=(FrameMapping&&) noexcept;
  ~FrameMapping();

  // `video` and `tensors` in the wanted form; times and results are not carried over. The memory may be kept
  // beyond this mapping.
  const Frame& frame() const { return stages_.back().frame; }
  const MapPlan& plan() const { return *plan_; }
  Status finish();

 private:
  friend Result<FrameMapping> map_to(const Frame&, const MapTarget&, const MapOptions&);
  FrameMapping(const MapPlan& plan, Access access) : plan_(&plan), access_(access) {}

  struct Stage {
    Frame frame;
    const Mapper* mapper = nullptr;  // made it of the stage before; null: the original
    bool is_copy = false;
  };
  const MapPlan* plan_;
  Access access_;
  std::vector<Stage> stages_;  // the original, then one per step
};

Result<FrameMapping> map_to(const Frame& frame, const MapTarget& target, const MapOptions& options = {});

}  // namespace sightglass
