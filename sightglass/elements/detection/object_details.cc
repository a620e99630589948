#include "sightglass/elements/detection/object_details.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sightglass {
namespace {

int64_t cell(double at, int64_t cells) {  // NaN becomes 0
  return at > 0 ? int64_t(std::min(at, double(cells))) : 0;
}

}  // namespace

void add_keypoints(Region& region, Label name, std::vector<float> triples, const Ref<const Legend>& legend) {
  for (size_t i = 0; i + 3 <= triples.size(); i += 3) {
    float* point = &triples[i];
    if (!std::isfinite(point[0]) || !std::isfinite(point[1])) point[0] = point[1] = -1, point[2] = 0;
    if (!std::isfinite(point[2])) point[2] = 0;
  }
  Attribute attribute{.name = name, .kind = AttributeKind::keypoints};
  attribute.confidence = region.confidence;
  attribute.values = std::move(triples);
  attribute.legend = legend;
  attribute.model = region.model;
  region.attributes = with(region.attributes, std::move(attribute));
}

Ref<const Legend> face_legend(size_t points) {
  if (points != 5 && points != 6) return nullptr;
  auto legend = make_ref<Legend>();
  if (points == 5)
    legend->names = {"right_eye", "left_eye", "nose", "right_mouth", "left_mouth"};
  else
    legend->names = {"right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear"};
  return legend;
}

Status MaskMemory::begin(size_t cells) {
  const size_t bytes = std::max<size_t>(1, cells) * sizeof(float);
  if (!pool_ || pool_->block_size() < bytes)
    pool_ = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = std::bit_ceil(bytes)});
  auto block = pool_->acquire_block();
  if (!block) return forward_error(block);
  block_ = *std::move(block);
  used_ = 0;
  return {};
}

MaskMemory::Mask MaskMemory::take(int64_t height, int64_t width) {
  TensorInfo info{.type = DataType::f32, .shape = {height, width}, .layout = Layout::hw};
  const size_t cells = size_t(height * width);
  Mask mask{tensor_in(block_, info, used_), {reinterpret_cast<float*>(block_->data() + used_), cells}};
  used_ += cells * sizeof(float);
  return mask;
}

void add_mask(Region& region, const Tensor& mask, const Box& covers) {
  static const Label name("mask");
  Attribute attribute{.name = name, .kind = AttributeKind::mask};
  attribute.label_id = region.label_id;
  attribute.confidence = region.confidence;
  attribute.values = {covers.x, covers.y, covers.w, covers.h};
  attribute.tensor = mask;
  attribute.model = region.model;
  region.attributes = with(region.attributes, std::move(attribute));
}

CellRange Prototypes::cells(const Box& box) const {
  const double w = double(width), h = double(height);
  // A box that ends on the edge of a cell does not touch the next one, whatever its last digits say.
  constexpr double edge = 1e-4;
  CellRange range{cell(std::floor(box.x * w + edge), width), cell(std::floor(box.y * h + edge), height),
                  cell(std::ceil(box.right() * w - edge), width),
                  cell(std::ceil(box.bottom() * h - edge), height)};
  if (range.width() <= 0 || range.height() <= 0) return {};
  return range;
}

Box Prototypes::covers(const CellRange& cells) const {
  const float w = float(width), h = float(height);
  return {float(cells.x0) / w, float(cells.y0) / h, float(cells.width()) / w, float(cells.height()) / h};
}

void Prototypes::mix(std::span<const float> weights, const Box& box, const CellRange& cells,
                     std::span<float> mask) const {
  std::ranges::fill(mask, 0.f);
  const int64_t wide = cells.width();
  for (int64_t k = 0; k < count; ++k) {
    const float weight = weights[size_t(k)];
    for (int64_t y = cells.y0; y < cells.y1; ++y) {
      const float* from = values.data() + (k * height + y) * width + cells.x0;
      float* to = mask.data() + (y - cells.y0) * wide;
      for (int64_t x = 0; x < wide; ++x) to[x] += weight * from[x];
    }
  }
  for (int64_t y = 0; y < cells.height(); ++y) {
    const float centre_y = (float(cells.y0 + y) + .5f) / float(height);
    const bool inside_y = centre_y >= box.y && centre_y < box.bottom();
    for (int64_t x = 0; x < wide; ++x) {
      const float centre_x = (float(cells.x0 + x) + .5f) / float(width);
      float& value = mask[size_t(y * wide + x)];
      const bool inside = inside_y && centre_x >= box.x && centre_x < box.right();
      // What is not a number is no part of the object.
      value = inside && value == value ? 1 / (1 + std::exp(-value)) : 0;
    }
  }
}

}  // namespace sightglass
