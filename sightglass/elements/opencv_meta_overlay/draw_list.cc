#include "sightglass/elements/opencv_meta_overlay/draw_list.h"

#include <algorithm>
#include <cmath>
#include <utility>

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
static_assert(std::size(palette) == palette_size);

struct Luma {
  double red, blue;
};
Luma luma_of(ColorMatrix matrix) {
  switch (matrix) {
    case ColorMatrix::bt601:
      return {0.299, 0.114};
    case ColorMatrix::bt709:
      return {0.2126, 0.0722};
    case ColorMatrix::bt2020:
      return {0.2627, 0.0593};
  }
  return {0.299, 0.114};
}

bool is_gray(PixelFormat format) { return format == PixelFormat::gray8 || format == PixelFormat::gray16; }

}  // namespace

Color palette_color(uint64_t number) { return palette[number % palette_size]; }

Ink ink_of(Color color, const VideoInfo& video) {
  if (!is_yuv(video.format) && !is_gray(video.format)) return {color.r, color.g, color.b, 255};
  const auto [red, blue] = luma_of(video.matrix);
  const double y = red * color.r + (1 - red - blue) * color.g + blue * color.b;
  const double cb = (color.b - y) / (2 * (1 - blue)), cr = (color.r - y) / (2 * (1 - red));
  const double luma_scale = video.full_range ? 1 : 219.0 / 255,
               chroma_scale = video.full_range ? 1 : 224.0 / 255;
  const auto byte = [](double value) { return uint8_t(std::clamp(std::lround(value), 0l, 255l)); };
  return {byte((video.full_range ? 0 : 16) + y * luma_scale), byte(128 + cb * chroma_scale),
          byte(128 + cr * chroma_scale), 255};
}

void DrawList::begin(const VideoInfo& video, const GlyphAtlas& atlas, Painter* painter) {
  video_ = video;
  grain_ = 1;
  for (size_t plane = 0; plane < plane_count(video.format); ++plane) {
    const PlaneLayout layout = plane_layout(video.format, plane);
    grain_ = std::max(grain_, 1 << std::max(layout.shift_x, layout.shift_y));
  }
  atlas_ = &atlas;
  painter_ = painter;
  status_ = {};
  commands_.clear();
  masks_.clear();
}

void DrawList::flush() {
  if (painter_ && status_ && !commands_.empty()) status_ = painter_->draw(*this);
  commands_.clear();
  masks_.clear();
}

Status DrawList::end() {
  flush();
  painter_ = nullptr;
  return std::exchange(status_, {});
}

Rect DrawList::clipped(const Rect& area) const {
  if (area.empty()) return {};
  const int x = std::clamp(area.x, 0, width()), y = std::clamp(area.y, 0, height());
  return {x, y, std::clamp(area.right(), 0, width()) - x, std::clamp(area.bottom(), 0, height()) - y};
}

draw::Command& DrawList::append() {
  if (commands_.size() == most_commands) flush();
  return commands_.emplace_back();
}

void DrawList::add(draw::Kind kind, const Rect& area, const Ink& ink, uint8_t alpha, uint32_t data) {
  draw::Command& command = append();
  command.kind = kind;
  command.alpha = alpha;
  std::ranges::copy(ink, command.ink);
  command.place.area = {area.x, area.y, area.w, area.h};
  command.data = data;
}

void DrawList::fill(const Rect& area, const Ink& ink, uint8_t alpha) {
  if (const Rect part = clipped(area); !part.empty() && alpha > 0) add(draw::fill, part, ink, alpha, 0);
}

void DrawList::frame(const Rect& outer, int thickness, const Ink& ink) {
  if (outer.empty()) return;
  if (2 * thickness >= outer.w || 2 * thickness >= outer.h) return fill(outer, ink);
  fill({outer.x, outer.y, outer.w, thickness}, ink);
  fill({outer.x, outer.bottom() - thickness, outer.w, thickness}, ink);
  const Rect side{outer.x, outer.y + thickness, thickness, outer.h - 2 * thickness};
  fill(side, ink);
  fill({outer.right() - thickness, side.y, thickness, side.h}, ink);
}

void DrawList::glyph(const Rect& area, uint32_t first, const Ink& ink) {
  if (is_visible(area)) add(draw::glyph, area, ink, 0, first);
}

void DrawList::line(Point from, Point to, float thickness, const Ink& ink) {
  constexpr float most = 1e6f;
  if (!(std::abs(from.x) < most && std::abs(from.y) < most && std::abs(to.x) < most && std::abs(to.y) < most))
    return;
  const float radius = std::max(thickness, 1.0f) / 2, margin = radius + 1;
  if (std::max(from.x, to.x) < -margin || std::min(from.x, to.x) > float(width()) + margin ||
      std::max(from.y, to.y) < -margin || std::min(from.y, to.y) > float(height()) + margin)
    return;
  draw::Command& command = append();
  command.kind = draw::line;
  std::ranges::copy(ink, command.ink);
  command.place.segment = {from.x, from.y, to.x, to.y};
  command.radius = radius;
}

void DrawList::mosaic(const Rect& area, int square) {
  constexpr int most = 4096;  // whose samples add up to less than 2^32
  const int side = (std::clamp(square, grain_, most) + grain_ - 1) / grain_ * grain_;
  if (const Rect part = clipped(area); !part.empty()) add(draw::mosaic, part, {}, 0, uint32_t(side));
}

void DrawList::add_mask(draw::Kind kind, Mapping mask, const Rect& area, const Ink& ink) {
  if (!is_visible(area)) return;
  if (masks_.size() == most_masks || commands_.size() == most_commands) flush();
  add(kind, area, ink, 0, uint32_t(masks_.size()));
  masks_.push_back(std::move(mask));
}

void DrawList::scores(Mapping mask, const Rect& area, const Ink& ink) {
  add_mask(draw::scores, std::move(mask), area, ink);
}

void DrawList::labels(Mapping mask, const Rect& area) { add_mask(draw::labels, std::move(mask), area, {}); }

}  // namespace sightglass
