#include "sightglass/elements/tensor_postproc_yolo/yolo_anchors.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sightglass {
namespace {

constexpr float v2_anchors[] = {18.33f,  21.68f,  59.98f,  66.0f,   106.83f,
                                175.18f, 252.25f, 112.89f, 312.66f, 293.38f};
constexpr float v3_anchors[] = {10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326};
constexpr float tiny_anchors[] = {10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319};
constexpr float v4_anchors[] = {12, 16, 19,  36,  40,  28,  36,  75,  76,
                                55, 72, 146, 142, 110, 192, 243, 459, 401};
constexpr float v5_p6_anchors[] = {19,  27,  44,  40,  38,  94,  96,  68,  86,  152, 180, 137,
                                   140, 301, 303, 264, 238, 542, 436, 615, 739, 380, 925, 792};

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

struct Cell {
  int64_t box, y, x;
  int64_t at;  // of its first number
};
Cell cell_of(const AnchorGrid& grid, int64_t source) {
  const int64_t x = source % grid.width, y = source / grid.width % grid.height,
                box = source / grid.width / grid.height;
  return {box, y, x, box * grid.box_step + y * grid.y_step + x * grid.x_step};
}

}  // namespace

std::span<const float> default_anchors(int version, size_t layers) {
  if (version == 2) return v2_anchors;
  if (layers == 4) return v5_p6_anchors;
  if (layers == 2) return tiny_anchors;
  if (version == 4 || version == 7) return v4_anchors;
  return v3_anchors;
}

float least_logit(float threshold) {
  if (threshold <= 0) return -std::numeric_limits<float>::infinity();
  if (threshold >= 1) return 10;  // σ(10) is not 1 yet
  return std::log(threshold / (1 - threshold)) - 1e-3f;
}

void decode_grid(std::span<const float> values, const AnchorGrid& grid, const AnchorRules& rules,
                 float threshold, uint32_t first_source, std::vector<Candidate>& candidates) {
  const int64_t step = grid.entry_step, first_class = 5 + 2 * rules.points,
                classes = grid.entries - first_class;
  const float least = rules.sigmoid ? least_logit(threshold) : threshold;
  for (int64_t i = 0; i < grid.cells(); ++i) {
    const Cell cell = cell_of(grid, i);
    const float* const t = values.data() + cell.at;
    // No class score is above 1, so most boxes end here. What is not a number ends here too.
    if (!(t[4 * step] >= least)) continue;
    const float objectness = rules.sigmoid ? sigmoid(t[4 * step]) : t[4 * step];
    if (!(objectness >= threshold)) continue;
    const float* const scores = t + first_class * step;
    int64_t best = -1;
    for (int64_t c = 0; c < classes; ++c)
      if (scores[c * step] == scores[c * step] && (best < 0 || scores[c * step] > scores[best * step]))
        best = c;
    if (best < 0) continue;
    float score = scores[best * step];
    if (rules.softmax) {
      float sum = 0;
      for (int64_t c = 0; c < classes; ++c) sum += std::exp(scores[c * step] - score);
      score = 1 / sum;
    } else if (rules.sigmoid) {
      score = sigmoid(score);
    }
    score *= objectness;
    if (!(score >= threshold)) continue;

    const auto activated = [&](int64_t entry) {
      return rules.sigmoid ? sigmoid(t[entry * step]) : t[entry * step];
    };
    const float anchor_w = rules.anchors[size_t(2 * cell.box)],
                anchor_h = rules.anchors[size_t(2 * cell.box + 1)];
    float x = activated(0), y = activated(1), w, h;
    if (rules.squared_sizes) {
      x = 2 * x - .5f, y = 2 * y - .5f;
      const float a = 2 * activated(2), b = 2 * activated(3);
      w = a * a * anchor_w, h = b * b * anchor_h;
    } else {
      w = std::exp(t[2 * step]) * anchor_w, h = std::exp(t[3 * step]) * anchor_h;
    }
    x = (x + float(cell.x)) * rules.stride_x, y = (y + float(cell.y)) * rules.stride_y;
    add_candidate(candidates, {.x1 = x - w / 2,
                               .y1 = y - h / 2,
                               .x2 = x + w / 2,
                               .y2 = y + h / 2,
                               .score = score,
                               .class_id = int32_t(best),
                               .source = first_source + uint32_t(i)});
  }
}

int64_t first_number(const AnchorGrid& grid, uint32_t source) { return cell_of(grid, source).at; }

void grid_points(std::span<const float> numbers, const AnchorGrid& grid, const AnchorRules& rules,
                 uint32_t source, std::span<float> pairs) {
  const Cell cell = cell_of(grid, source);
  for (size_t i = 0; i + 1 < pairs.size(); i += 2) {
    pairs[i] = numbers[i] * rules.anchors[size_t(2 * cell.box)] + float(cell.x) * rules.stride_x;
    pairs[i + 1] = numbers[i + 1] * rules.anchors[size_t(2 * cell.box + 1)] + float(cell.y) * rules.stride_y;
  }
}

}  // namespace sightglass
