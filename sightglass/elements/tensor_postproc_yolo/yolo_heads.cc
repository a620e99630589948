#include "sightglass/elements/tensor_postproc_yolo/yolo_heads.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sightglass {
namespace {

constexpr int strides[] = {8, 16, 32, 64};

Candidate centred(float cx, float cy, float w, float h, float score, int64_t class_id, int64_t source) {
  return {.x1 = cx - w / 2,
          .y1 = cy - h / 2,
          .x2 = cx + w / 2,
          .y2 = cy + h / 2,
          .score = score,
          .class_id = int32_t(class_id),
          .source = uint32_t(source)};
}

// The best class score of a row; what is not a number is never the best. -1: all are none.
int64_t best_class(const float* scores, int64_t classes) {
  int64_t best = -1;
  for (int64_t c = 0; c < classes; ++c)
    if (scores[c] == scores[c] && (best < 0 || scores[c] > scores[best])) best = c;
  return best;
}

}  // namespace

int64_t cell_count(InputSize size, bool with_p6) {
  int64_t cells = 0;
  for (int level = 0; level < (with_p6 ? 4 : 3); ++level)
    cells += (size.width / strides[level]) * (size.height / strides[level]);
  return cells;
}

std::optional<InputSize> square_input(int64_t cells) {
  // n² cells at stride 32, 4n² at 16, 16n² at 8.
  if (cells <= 0 || cells % 21 != 0) return {};
  const int64_t squared = cells / 21, n = std::llround(std::sqrt(double(squared)));
  if (n * n * 21 != cells) return {};
  return InputSize{n * 32, n * 32};
}

void decode_yolox(std::span<const float> rows, int64_t columns, int64_t classes, InputSize size, bool with_p6,
                  float threshold, std::vector<Candidate>& candidates) {
  const float* row = rows.data();
  for (int level = 0; level < (with_p6 ? 4 : 3); ++level) {
    const float stride = float(strides[level]);
    const int64_t width = size.width / strides[level], height = size.height / strides[level];
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x, row += columns) {
        // No class score is above 1, so most rows end here. What is not a number ends here too.
        if (!(row[4] >= threshold)) continue;
        const int64_t best = best_class(row + 5, classes);
        if (best < 0) continue;
        const float score = row[4] * row[5 + best];
        if (!(score >= threshold)) continue;
        add_candidate(candidates, centred((row[0] + float(x)) * stride, (row[1] + float(y)) * stride,
                                          std::exp(row[2]) * stride, std::exp(row[3]) * stride, score, best,
                                          (row - rows.data()) / columns));
      }
    }
  }
}

void decode_rows(std::span<const float> rows, int64_t columns, int64_t first_class, int64_t classes,
                 float threshold, std::vector<Candidate>& candidates) {
  const int64_t count = int64_t(rows.size()) / columns;
  const bool with_objectness = first_class > 4;
  for (int64_t i = 0; i < count; ++i) {
    const float* row = rows.data() + i * columns;
    if (with_objectness && !(row[4] >= threshold)) continue;
    const int64_t best = best_class(row + first_class, classes);
    if (best < 0) continue;
    const float score = (with_objectness ? row[4] : 1) * row[first_class + best];
    if (!(score >= threshold)) continue;
    add_candidate(candidates, centred(row[0], row[1], row[2], row[3], score, best, i));
  }
}

void decode_yolov8(std::span<const float> values, int64_t anchors, int64_t classes, float threshold,
                   std::vector<Candidate>& candidates) {
  const float* const scores = values.data() + 4 * anchors;
  const auto box = [&](int64_t channel, int64_t i) { return values[size_t(channel * anchors + i)]; };
  const auto look_at = [&](int64_t i, float best_score) {
    int64_t best = 0;
    while (scores[best * anchors + i] != best_score) ++best;
    add_candidate(candidates, centred(box(0, i), box(1, i), box(2, i), box(3, i), best_score, best, i));
  };
  // An anchor's scores lie `anchors` numbers apart, so the best of a block of neighbours are found row by
  // row, which the compiler turns into vector instructions; which class it was is only looked up for the few
  // that pass.
  constexpr int64_t block = 64;
  constexpr float none = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  for (; i + block <= anchors; i += block) {
    float best[block];
    std::fill_n(best, block, none);
    for (int64_t c = 0; c < classes; ++c) {
      const float* row = scores + c * anchors + i;
      for (int64_t k = 0; k < block; ++k) best[k] = row[k] > best[k] ? row[k] : best[k];
    }
    for (int64_t k = 0; k < block; ++k)
      if (best[k] >= threshold) look_at(i + k, best[k]);
  }
  for (; i < anchors; ++i) {
    float best = none;
    for (int64_t c = 0; c < classes; ++c) best = std::max(best, scores[c * anchors + i]);
    if (best >= threshold) look_at(i, best);
  }
}

void decode_end2end(std::span<const float> rows, int64_t columns, bool is_centred, float threshold,
                    std::vector<Candidate>& candidates) {
  const int64_t count = int64_t(rows.size()) / columns;
  for (int64_t i = 0; i < count; ++i) {
    const float* row = rows.data() + i * columns;
    if (!(row[4] >= threshold && row[5] >= 0 && row[5] < 1e9f)) continue;
    Candidate found = centred(row[0], row[1], row[2], row[3], row[4], std::lround(row[5]), i);
    if (!is_centred) found.x1 = row[0], found.y1 = row[1], found.x2 = row[2], found.y2 = row[3];
    add_candidate(candidates, found);
  }
}

}  // namespace sightglass
