// Draws lists into a picture in CUDA memory, in place, by kernels: the same pixels as the CPU's canvas (lines
// and the edges of masks may differ by a rounding). What crosses to the device are commands, tiles and masks,
// one upload and one launch per some thousands of commands, and each letter once.
//
//   auto canvas = CudaCanvas::make(context);          // loads the kernels
//   (*canvas)->open(frame);
//   list.begin(*frame.video, font.atlas(), canvas->get());
//   …
//   list.end();
//   (*canvas)->close();                                // who reads the picture next comes after
//
// Asynchronous: the host does not wait, but for the oldest of more than four pictures. The picture must be
// one that may be written to (Memory::writable()). One thread at a time.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/elements/opencv_meta_overlay/draw_list.h"
#include "sightglass/elements/opencv_meta_overlay/draw_plan.h"
#include "sightglass/memory/cuda/cuda_stream.h"

struct CUfunc_st;

namespace sightglass {

class CudaModule;

class CudaCanvas final : public Painter {
 public:
  // A null context: that of the first device.
  static Result<std::unique_ptr<CudaCanvas>> make(const ContextRef& context);
  ~CudaCanvas() override;

  bool is_for(const Context& context) const { return context_->same_device(context); }
  // The frame has a picture whose planes are large enough, in memory of this device.
  Status open(const Frame& frame);
  Status draw(const DrawList& list) override;
  // Also after a draw() that failed.
  Status close();

 private:
  // What kernels still use.
  struct UnderWay {
    Ref<Fence> done;
    std::vector<MemoryRef> blocks;
  };
  static constexpr size_t most_under_way = 4;

  CudaCanvas() = default;
  Status upload_atlas(const GlyphAtlas& atlas);
  Result<uint64_t> upload(const DrawList& list);
  Status run(uint64_t block);
  void let_go(size_t most);

  ContextRef context_;
  std::unique_ptr<CudaStream> stream_;
  Ref<CudaModule> module_;
  CUfunc_st *draw_tiles_ = nullptr, *draw_mosaic_ = nullptr;
  draw::Canvas canvas_{};
  DrawPlan plan_;
  Ref<MemoryPool> pinned_, on_device_;  // blocks of one step
  MemoryRef atlas_;
  size_t atlas_bytes_ = 0;  // of its generation, that are there
  uint64_t atlas_generation_ = 0;
  std::vector<MemoryRef> pictures_, blocks_;  // of the open frame
  std::deque<UnderWay> under_way_;
  std::vector<std::vector<MemoryRef>> spare_;  // lists for their capacity
};

}  // namespace sightglass
