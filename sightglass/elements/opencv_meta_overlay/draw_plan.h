// How a list is drawn by kernels: cut into steps of one launch each, with what a step needs in one block of
// bytes, so that it is one upload. Commands are sorted into the tiles that they touch; a tile takes its own
// in their order. Knows nothing of CUDA.
//
//   DrawPlan plan;
//   for (size_t next = 0; next < list.commands().size();) {
//     next = plan.step(list, next);
//     plan.write(list, block);                          // plan.bytes()
//     launch(plan.blocks(), …, block + plan.tiles(), …);
//   }
//
// Bounded: a step has at most `most_references` (more only of a single command) and `most_cell_bytes` of
// masks, squares that would share samples with one another come in different steps. No allocation once warm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sightglass/elements/opencv_meta_overlay/draw_kernel.h"
#include "sightglass/elements/opencv_meta_overlay/draw_list.h"

namespace sightglass {

class DrawPlan {
 public:
  static constexpr size_t most_references = size_t(1) << 17, most_cell_bytes = size_t(1) << 20;

  // Plans a step from the command `first` on; returns the command behind it.
  size_t step(const DrawList& list, size_t first);

  bool is_mosaic() const { return is_mosaic_; }
  unsigned blocks() const { return unsigned(is_mosaic_ ? squares_.size() : tiles_.size()); }  // of the launch
  size_t bytes() const { return bytes_; }
  // Where things begin in the block of bytes.
  size_t commands() const { return 0; }
  size_t tiles() const { return tiles_at_; }
  size_t references() const { return references_at_; }
  size_t masks() const { return masks_at_; }
  size_t cells() const { return cells_at_; }
  size_t squares() const { return 0; }
  void write(const DrawList& list, std::byte* to) const;

 private:
  size_t step_mosaic(const DrawList& list, size_t first);
  bool claim(const draw::Area& area);  // false: a square of this step is too near
  void sort_into_tiles(const DrawList& list, size_t first, size_t end);
  template <class Each>
  void for_each_tile(const draw::Command& command, Each each) const;

  bool is_mosaic_ = false;
  int width_ = 0, height_ = 0, columns_ = 0, rows_ = 0;  // of the picture, in pixels and in tiles
  std::vector<draw::Command> commands_;
  std::vector<draw::Tile> tiles_;
  std::vector<unsigned> references_;
  std::vector<draw::Mask> masks_;
  std::vector<unsigned> mask_of_;  // the list's number of each
  std::vector<draw::Area> squares_;
  std::vector<unsigned> per_tile_;  // how many commands, then where the next goes; of a mosaic: claimed
  size_t bytes_ = 0, tiles_at_ = 0, references_at_ = 0, masks_at_ = 0, cells_at_ = 0;
};

}  // namespace sightglass
