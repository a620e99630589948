#include "sightglass/elements/opencv_meta_overlay/draw_plan.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "sightglass/elements/opencv_meta_overlay/canvas.h"

namespace sightglass {
namespace {

constexpr size_t most_squares = size_t(1) << 16;

bool has_mask(const draw::Command& command) {
  return command.kind == draw::scores || command.kind == draw::labels;
}

size_t row_bytes(const Mapping& mask) { return size_t(mask.shape()[1]) * size_of(mask.type()); }

// Floats after bytes are aligned.
size_t cell_bytes(const Mapping& mask) { return (size_t(mask.shape()[0]) * row_bytes(mask) + 15) / 16 * 16; }

template <class T>
size_t put(const std::vector<T>& values, size_t& bytes) {
  const size_t at = (bytes + 15) / 16 * 16;
  bytes = at + values.size() * sizeof(T);
  return at;
}

template <class T>
void copy_to(std::byte* to, const std::vector<T>& values) {
  if (!values.empty()) std::memcpy(to, values.data(), values.size() * sizeof(T));
}

}  // namespace

template <class Each>
void DrawPlan::for_each_tile(const draw::Command& command, Each each) const {
  const auto visit = [&](int left, int right, int row) {
    for (int column = std::max(left, 0) / draw::tile_width;
         column < columns_ && column * draw::tile_width < right; ++column)
      each(size_t(row) * size_t(columns_) + size_t(column));
  };
  if (command.kind == draw::line) {
    const draw::Segment& at = command.place.segment;
    const draw::Stroke stroke = draw::stroke(at, command.radius);
    const float margin = command.radius + 1;
    const int top = std::max(0, int(std::floor(std::min(at.from_y, at.to_y) - margin)));
    const int bottom = std::min(height_, int(std::ceil(std::max(at.from_y, at.to_y) + margin)));
    for (int row = top / draw::tile_height; row < rows_ && row * draw::tile_height < bottom; ++row) {
      const draw::Reach reach = draw::reach(stroke, row * draw::tile_height, draw::tile_height);
      if (const int right = int(std::ceil(reach.right)); right > 0)
        visit(int(std::floor(reach.left)), right, row);
    }
    return;
  }
  const draw::Area& area = command.place.area;
  const int bottom = std::min(area.y + area.h, height_);
  for (int row = std::max(area.y, 0) / draw::tile_height; row * draw::tile_height < bottom; ++row)
    visit(area.x, std::min(area.x + area.w, width_), row);
}

size_t DrawPlan::step(const DrawList& list, size_t first) {
  width_ = list.width(), height_ = list.height();
  columns_ = (width_ + draw::tile_width - 1) / draw::tile_width;
  rows_ = (height_ + draw::tile_height - 1) / draw::tile_height;
  per_tile_.assign(size_t(columns_) * size_t(rows_), 0);
  commands_.clear(), tiles_.clear(), references_.clear(), masks_.clear(), mask_of_.clear(), squares_.clear();
  is_mosaic_ = list.commands()[first].kind == draw::mosaic;
  if (is_mosaic_) return step_mosaic(list, first);

  size_t end = first, references = 0, cells = 0;
  for (; end < list.commands().size(); ++end) {
    const draw::Command& command = list.commands()[end];
    if (command.kind == draw::mosaic) break;
    size_t touched = 0;
    for_each_tile(command, [&](size_t) { ++touched; });
    const size_t more_cells = has_mask(command) ? cell_bytes(list.mask(command)) : 0;
    if (end > first && (references + touched > most_references || cells + more_cells > most_cell_bytes))
      break;
    for_each_tile(command, [&](size_t tile) { ++per_tile_[tile]; });
    commands_.push_back(command);
    if (has_mask(command)) {
      const Mapping& mask = list.mask(command);
      commands_.back().data = unsigned(masks_.size());
      masks_.push_back({int(mask.shape()[1]), int(mask.shape()[0]), cells});
      mask_of_.push_back(unsigned(end));
    }
    references += touched, cells += more_cells;
  }
  references_.resize(references);
  sort_into_tiles(list, first, end);
  bytes_ = 0;
  (void)put(commands_, bytes_);
  tiles_at_ = put(tiles_, bytes_);
  references_at_ = put(references_, bytes_);
  masks_at_ = put(masks_, bytes_);
  cells_at_ = (bytes_ + 15) / 16 * 16;
  bytes_ = cells_at_ + cells;
  return end;
}

void DrawPlan::sort_into_tiles(const DrawList& list, size_t first, size_t end) {
  unsigned next = 0;
  for (int row = 0; row < rows_; ++row)
    for (int column = 0; column < columns_; ++column) {
      unsigned& count = per_tile_[size_t(row) * size_t(columns_) + size_t(column)];
      if (count > 0) tiles_.push_back({column * draw::tile_width, row * draw::tile_height, next, count});
      next += count;
      count = next - count;
    }
  for (size_t i = first; i < end; ++i)
    for_each_tile(list.commands()[i],
                  [&](size_t tile) { references_[per_tile_[tile]++] = unsigned(i - first); });
}

bool DrawPlan::claim(const draw::Area& area) {
  const draw::Command command{.kind = draw::mosaic, .place = {.area = area}};
  bool is_free = true;
  for_each_tile(command, [&](size_t tile) { is_free &= per_tile_[tile] == 0; });
  if (is_free) for_each_tile(command, [&](size_t tile) { per_tile_[tile] = 1; });
  return is_free;
}

size_t DrawPlan::step_mosaic(const DrawList& list, size_t first) {
  size_t next = first;
  for (; next < list.commands().size(); ++next) {
    const draw::Command& command = list.commands()[next];
    if (command.kind != draw::mosaic || squares_.size() > most_squares || !claim(command.place.area)) break;
    for_each_square(command.place.area, int(command.data), list.grain(), [&](const Rect& square) {
      squares_.push_back({square.x, square.y, square.w, square.h});
    });
  }
  bytes_ = 0;
  (void)put(squares_, bytes_);
  return next;
}

void DrawPlan::write(const DrawList& list, std::byte* to) const {
  if (is_mosaic_) return copy_to(to, squares_);
  copy_to(to, commands_);
  copy_to(to + tiles_at_, tiles_);
  copy_to(to + references_at_, references_);
  copy_to(to + masks_at_, masks_);
  for (size_t i = 0; i < masks_.size(); ++i) {
    const Mapping& mask = list.mask(list.commands()[mask_of_[i]]);
    const size_t cell = size_of(mask.type());
    std::byte* at = to + cells_at_ + masks_[i].first;
    for (int64_t row = 0; row < masks_[i].height; ++row) {
      const std::byte* from = mask.data() + row * mask.strides()[0];
      if (mask.strides()[1] == int64_t(cell)) {
        std::memcpy(at, from, row_bytes(mask));
        at += row_bytes(mask);
      } else {
        for (int64_t column = 0; column < masks_[i].width; ++column, at += cell)
          std::memcpy(at, from + column * mask.strides()[1], cell);
      }
    }
  }
}

}  // namespace sightglass
