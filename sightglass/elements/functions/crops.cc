#include "sightglass/elements/functions/crops.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace sightglass {
namespace {

// Where the landmarks of an upright face lie in 112 x 112, as ArcFace and its like are trained.
constexpr Pixel face_template[5] = {
    {38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}};
constexpr double template_size = 112;

bool finite(std::span<const Pixel> points) {
  return std::ranges::all_of(points, [](Pixel p) { return std::isfinite(p.x) && std::isfinite(p.y); });
}

// Eight equations in eight unknowns, with the largest pivot.
bool solve(std::array<std::array<double, 9>, 8>& rows) {
  for (size_t column = 0; column < 8; ++column) {
    size_t pivot = column;
    for (size_t row = column + 1; row < 8; ++row)
      if (std::abs(rows[row][column]) > std::abs(rows[pivot][column])) pivot = row;
    if (!(std::abs(rows[pivot][column]) > 1e-12)) return false;
    std::swap(rows[column], rows[pivot]);
    for (size_t row = 0; row < 8; ++row) {
      if (row == column) continue;
      const double factor = rows[row][column] / rows[column][column];
      for (size_t i = column; i < 9; ++i) rows[row][i] -= factor * rows[column][i];
    }
  }
  return true;
}

}  // namespace

Box crop_expand(const Box& box, float factor, float aspect, PictureExtent extent) {
  if (!(box.w > 0 && box.h > 0) || !std::isfinite(box.x + box.y + box.w + box.h) || !(factor > 0)) return box;
  double w = double(box.w) * factor, h = double(box.h) * factor;
  if (aspect > 0 && extent.width > 0 && extent.height > 0) {
    const double wanted = double(aspect) * extent.height / extent.width;  // of numbers 0..1
    w = std::max(w, h * wanted);
    h = std::max(h, w / wanted);
  }
  const double cx = double(box.x) + double(box.w) / 2, cy = double(box.y) + double(box.h) / 2;
  const double left = std::clamp(cx - w / 2, 0.0, 1.0), right = std::clamp(cx + w / 2, 0.0, 1.0);
  const double top = std::clamp(cy - h / 2, 0.0, 1.0), bottom = std::clamp(cy + h / 2, 0.0, 1.0);
  return {float(left), float(top), float(right - left), float(bottom - top)};
}

Pixel Projection::operator()(Pixel at) const {
  const double w = m[6] * at.x + m[7] * at.y + m[8];
  return {(m[0] * at.x + m[1] * at.y + m[2]) / w, (m[3] * at.x + m[4] * at.y + m[5]) / w};
}

Projection letterbox(int width, int height, int canvas_width, int canvas_height, bool centred) {
  if (width < 1 || height < 1 || canvas_width < 1 || canvas_height < 1) return {};
  const double scale = std::max(double(width) / canvas_width, double(height) / canvas_height);
  const double x = centred ? (width - scale * canvas_width) / 2 : 0;
  const double y = centred ? (height - scale * canvas_height) / 2 : 0;
  return {{scale, 0, x, 0, scale, y, 0, 0, 1}};
}

// With points as complex numbers the similarity is z → a·z + b, and least squares has a closed form.
std::optional<Projection> align_face_5pt(std::span<const Pixel> landmarks, int width, int height) {
  if (landmarks.size() < 5 || width < 1 || height < 1) return std::nullopt;
  landmarks = landmarks.first(5);
  if (!finite(landmarks)) return std::nullopt;
  Pixel from[5], from_mean, to_mean;
  for (size_t i = 0; i < 5; ++i) {
    from[i] = {face_template[i].x * width / template_size, face_template[i].y * height / template_size};
    from_mean.x += from[i].x / 5, from_mean.y += from[i].y / 5;
    to_mean.x += landmarks[i].x / 5, to_mean.y += landmarks[i].y / 5;
  }
  double spread = 0, to_spread = 0, real = 0, imaginary = 0;
  for (size_t i = 0; i < 5; ++i) {
    const double fx = from[i].x - from_mean.x, fy = from[i].y - from_mean.y;
    const double tx = landmarks[i].x - to_mean.x, ty = landmarks[i].y - to_mean.y;
    spread += fx * fx + fy * fy;
    to_spread += tx * tx + ty * ty;
    real += fx * tx + fy * ty;
    imaginary += fx * ty - fy * tx;
  }
  const double a = real / spread, b = imaginary / spread;
  if (!(to_spread > 1e-9) || !(a * a + b * b > 1e-12)) return std::nullopt;
  return Projection{{a, -b, to_mean.x - a * from_mean.x + b * from_mean.y,  //
                     b, a, to_mean.y - b * from_mean.x - a * from_mean.y, 0, 0, 1}};
}

std::optional<Projection> warp_plate(std::span<const Pixel> corners, int width, int height) {
  if (corners.size() != 4 || width < 1 || height < 1 || !finite(corners)) return std::nullopt;
  for (size_t i = 0; i < 4; ++i) {
    const Pixel &a = corners[i], &b = corners[(i + 1) % 4], &c = corners[(i + 2) % 4];
    if (!((b.x - a.x) * (c.y - b.y) - (b.y - a.y) * (c.x - b.x) > 1e-9)) return std::nullopt;
  }
  const Pixel from[4] = {{0, 0}, {double(width), 0}, {double(width), double(height)}, {0, double(height)}};
  std::array<std::array<double, 9>, 8> rows;
  for (size_t i = 0; i < 4; ++i) {
    const auto [x, y] = from[i];
    const auto [u, v] = corners[i];
    rows[2 * i] = {x, y, 1, 0, 0, 0, -u * x, -u * y, u};
    rows[2 * i + 1] = {0, 0, 0, x, y, 1, -v * x, -v * y, v};
  }
  if (!solve(rows)) return std::nullopt;
  Projection made;
  for (size_t i = 0; i < 8; ++i) made.m[i] = rows[i][8] / rows[i][i];
  return made;
}

void warp(const PictureView& from, const Projection& projection, const PictureView& to, uint8_t border,
          const std::optional<PixelBounds>& within) {
  const double* m = projection.m;
  const int channels = std::min({from.channels, to.channels, 4});
  const int last_x = from.width - 1, last_y = from.height - 1;
  PixelBounds bounds{0, 0, double(from.width), double(from.height)};
  if (within)
    bounds = {std::max(bounds.left, within->left), std::max(bounds.top, within->top),
              std::min(bounds.right, within->right), std::min(bounds.bottom, within->bottom)};
  const bool flat = m[6] == 0 && m[7] == 0 && m[8] == 1;
  for (int y = 0; y < to.height; ++y) {
    uint8_t* out = to.data + y * to.stride;
    const double cy = y + 0.5;
    for (int x = 0; x < to.width; ++x, out += to.channels) {
      const double cx = x + 0.5;
      double u = m[0] * cx + m[1] * cy + m[2], v = m[3] * cx + m[4] * cy + m[5];
      if (!flat) {
        const double w = m[6] * cx + m[7] * cy + m[8];
        u /= w, v /= w;
      }
      // NaN fails as well.
      if (!(u >= bounds.left && v >= bounds.top && u <= bounds.right && v <= bounds.bottom)) {
        std::fill_n(out, to.channels, border);
        continue;
      }
      // Between the middles of pixels; at the edge the last one goes on.
      const double px = std::clamp(u - 0.5, 0.0, double(last_x)),
                   py = std::clamp(v - 0.5, 0.0, double(last_y));
      const int left = int(px), top = int(py);
      const int right = std::min(left + 1, last_x), bottom = std::min(top + 1, last_y);
      const float fx = float(px - left), fy = float(py - top);
      const uint8_t* upper = from.data + top * from.stride;
      const uint8_t* lower = from.data + bottom * from.stride;
      for (int c = 0; c < channels; ++c) {
        const int l = left * from.channels + c, r = right * from.channels + c;
        const float above = float(upper[l]) + fx * float(upper[r] - upper[l]);
        const float below = float(lower[l]) + fx * float(lower[r] - lower[l]);
        out[c] = uint8_t(above + fy * (below - above) + 0.5f);
      }
      for (int c = channels; c < to.channels; ++c) out[c] = 255;
    }
  }
}

Affine affine(const Projection& projection, int width, int height, PictureExtent picture) {
  if (!(picture.width > 0 && picture.height > 0)) return {};
  const auto at = [&](double x, double y) {
    const Pixel p = projection({x * width, y * height});
    return Pixel{p.x / double(picture.width), p.y / double(picture.height)};
  };
  const Pixel a = at(0, 0), b = at(1, 0), c = at(1, 1), d = at(0, 1);
  // The parallelogram that is nearest to the four: its sides are the means of those that face each other.
  const double ux = (b.x - a.x + c.x - d.x) / 2, uy = (b.y - a.y + c.y - d.y) / 2;
  const double vx = (d.x - a.x + c.x - b.x) / 2, vy = (d.y - a.y + c.y - b.y) / 2;
  const double mx = (a.x + b.x + c.x + d.x) / 4, my = (a.y + b.y + c.y + d.y) / 4;
  return {{ux, vx, mx - (ux + vx) / 2, uy, vy, my - (uy + vy) / 2}};
}

}  // namespace sightglass
