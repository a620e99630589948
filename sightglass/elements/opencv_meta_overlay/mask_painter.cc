#include "sightglass/elements/opencv_meta_overlay/mask_painter.h"

#include <algorithm>

#include "sightglass/elements/opencv_meta_overlay/canvas.h"

namespace sightglass {
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
  for (int x = left; x < right; ++x) across_.push_back(draw::between(x, area.x, area.w, cells));
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
      const draw::Between down = draw::between(y + line, area.y, area.h, rows);
      for (int cell = 0; cell < cells; ++cell)
        row_[size_t(cell)] = draw::blended(score(down.first, cell), score(down.second, cell), down.part);
      for (size_t x = 0; x < width; ++x) {
        const draw::Between& at = across_[x];
        const float value = draw::blended(row_[size_t(at.first)], row_[size_t(at.second)], at.part);
        coverage[x] = value >= draw::least_score ? draw::mask_alpha : 0;
      }
    }
    canvas.blend({left, y, int(width), std::min(grain, canvas.height() - y)}, coverage_.data(), width, ink);
  }
}

// Cells of one class beside each other are filled at once. Those without a pixel are none.
void MaskPainter::tint_labels(Canvas& canvas, const Mapping& labels, const Rect& area) {
  const auto rows = int(labels.shape()[0]), columns = int(labels.shape()[1]);
  const auto left_of = [&](int column) { return draw::edge(column, columns, area.x, area.w); };
  for (int row = 0; row < rows; ++row) {
    const int y = draw::edge(row, rows, area.y, area.h), bottom = draw::edge(row + 1, rows, area.y, area.h);
    if (bottom <= std::max(y, 0) || y >= canvas.height()) continue;
    const auto label = [&](int column) {
      return uint8_t(labels.data()[row * labels.strides()[0] + column * labels.strides()[1]]);
    };
    for (int column = 0; column < columns;) {
      const int x = left_of(column);
      int right = left_of(column + 1);
      if (right == x) {
        ++column;
        continue;
      }
      const uint8_t id = label(column++);
      for (int next = right; column < columns; right = next, ++column) {
        next = left_of(column + 1);
        if (next > right && label(column) != id) break;
      }
      if (id != draw::no_label)
        canvas.fill({x, y, right - x, bottom - y}, ink_of(palette_color(id), canvas.video()),
                    draw::mask_alpha);
    }
  }
}

}  // namespace sightglass
