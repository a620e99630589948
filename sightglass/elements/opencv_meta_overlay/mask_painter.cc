#include "sightglass/elements/opencv_meta_overlay/mask_painter.h"

#include <algorithm>
#include <cmath>

namespace sightglass {
namespace {

// Distinct from their neighbours in the list and bright enough for dark pictures. The first three are the
// original's for color-idx.
constexpr Color palette[] = {
    {255, 56, 56},   {26, 188, 96},   {64, 132, 255},  {255, 178, 29},  {190, 84, 255},
    {0, 212, 219},   {255, 112, 31},  {255, 55, 199},  {160, 220, 40},  {82, 92, 240},
    {255, 157, 151}, {0, 150, 136},   {250, 235, 60},  {203, 56, 114},  {132, 210, 255},
    {170, 110, 50},  {146, 255, 190}, {150, 110, 200}, {207, 210, 110}, {240, 190, 230},
};
constexpr uint8_t mask_alpha = 110;

}  // namespace

Color palette_color(uint64_t number) { return palette[number % std::size(palette)]; }

MaskPainter::Between MaskPainter::between(int pixel, int from, int size, int cells) {
  const float at = (float(pixel - from) + 0.5f) * float(cells) / float(size) - 0.5f;
  const int first = int(std::floor(at));
  return {std::clamp(first, 0, cells - 1), std::clamp(first + 1, 0, cells - 1), at - float(first)};
}

void MaskPainter::tint(Canvas& canvas, const Mapping& scores, const Rect& area, const Ink& ink) {
  const int left = std::max(area.x, 0), right = std::min(area.right(), canvas.width());
  const int grain = canvas.grain(), top = std::max(area.y, 0) / grain * grain;
  const int bottom = std::min(area.bottom(), canvas.height());
  if (right <= left) return;
  const auto cells = int(scores.shape()[1]), rows = int(scores.shape()[0]);
  const size_t width = size_t(right - left);
  coverage_.resize(std::max(coverage_.size(), width * size_t(grain)));
  row_.resize(std::max(row_.size(), size_t(cells)));
  across_.clear();
  for (int x = left; x < right; ++x) across_.push_back(between(x, area.x, area.w, cells));
  const auto score = [&](int row, int cell) {
    return *reinterpret_cast<const float*>(scores.data() + row * scores.strides()[0] +
                                           cell * scores.strides()[1]);
  };
  for (int y = top; y < bottom; y += grain) {
    for (int line = 0; line < grain; ++line) {
      uint8_t* coverage = coverage_.data() + size_t(line) * width;
      if (y + line < area.y || y + line >= bottom) {
        std::fill_n(coverage, width, uint8_t(0));
        continue;
      }
      // Down first, for each column of cells, then across.
      const Between down = between(y + line, area.y, area.h, rows);
      for (int cell = 0; cell < cells; ++cell)
        row_[size_t(cell)] = score(down.first, cell) * (1 - down.part) + score(down.second, cell) * down.part;
      for (size_t x = 0; x < width; ++x) {
        const Between& at = across_[x];
        const float value = row_[size_t(at.first)] * (1 - at.part) + row_[size_t(at.second)] * at.part;
        coverage[x] = value >= 0.5f ? mask_alpha : 0;
      }
    }
    canvas.blend({left, y, int(width), std::min(grain, canvas.height() - y)}, coverage_.data(), width, ink);
  }
}

// Cells of one class beside each other are filled at once.
void MaskPainter::tint_labels(Canvas& canvas, const Mapping& labels, const Rect& area) {
  const int64_t rows = labels.shape()[0], columns = labels.shape()[1];
  const auto edge = [](int64_t cell, int64_t cells, int from, int size) {
    return from + int(cell * size / cells);
  };
  for (int64_t row = 0; row < rows; ++row) {
    const int y = edge(row, rows, area.y, area.h), bottom = edge(row + 1, rows, area.y, area.h);
    if (bottom <= std::max(y, 0) || y >= canvas.height()) continue;
    const auto label = [&](int64_t column) {
      return uint8_t(labels.data()[row * labels.strides()[0] + column * labels.strides()[1]]);
    };
    for (int64_t column = 0; column < columns;) {
      const uint8_t id = label(column);
      const int64_t first = column;
      while (column < columns && label(column) == id) ++column;
      if (id == 255) continue;
      const int x = edge(first, columns, area.x, area.w);
      canvas.fill({x, y, edge(column, columns, area.x, area.w) - x, bottom - y},
                  canvas.ink(palette_color(id)), mask_alpha);
    }
  }
}

}  // namespace sightglass
