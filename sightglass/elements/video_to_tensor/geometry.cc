#include "sightglass/elements/video_to_tensor/geometry.h"

#include <algorithm>
#include <climits>
#include <cmath>

namespace sightglass {
namespace {

int round_half_up(double value) { return int(std::floor(std::min(value, 1e9) + 0.5)); }

double aspect(Fraction pixel_aspect) {
  return pixel_aspect.num > 0 && pixel_aspect.den > 0 ? double(pixel_aspect.num) / pixel_aspect.den : 1.0;
}

int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// The nearest multiple that is not above the limit, at least one.
int to_multiple(double value, int multiple, int limit) {
  const int most = limit > 0 ? limit / multiple : INT_MAX / multiple;
  return std::clamp(round_half_up(value / multiple), 1, std::max(1, most)) * multiple;
}

// Sides of a width × height picture (in square pixels) for Resize::multiple.
Size multiple_size(double width, double height, int multiple, Size limit) {
  double factor = 1;
  if (limit.width > 0) factor = std::min(factor, limit.width / width);
  if (limit.height > 0) factor = std::min(factor, limit.height / height);
  return {to_multiple(width * factor, multiple, limit.width),
          to_multiple(height * factor, multiple, limit.height)};
}

AxisMap fitted(int begin, int length, int scaled, int canvas, bool centred) {
  scaled = std::max(1, scaled);
  AxisMap map{begin, length, scaled, 0, scaled, 0, canvas};
  if (scaled > canvas) {
    map.count = canvas;
    map.skip = centred ? (scaled - canvas) / 2 : 0;
  } else {
    map.at = centred ? (canvas - scaled) / 2 : 0;
  }
  return map;
}

// Pixels; written so that what is not a number becomes 0.
Crop grown(double x, double y, double w, double h, double factor, const VideoInfo& video) {
  auto inside = [](double v, int size) { return v > 0 ? int(std::min(v, double(size))) : 0; };
  // Boxes are floats, so an edge meant to lie between two pixels may be off by 1e-4 of a pixel and more.
  auto low = [&](double v, int size) { return inside(std::floor(v + 1e-3), size); };
  auto high = [&](double v, int size) { return inside(std::ceil(v - 1e-3), size); };
  const double centre_x = x + w / 2, centre_y = y + h / 2;
  const int x0 = low(centre_x - w * factor / 2, video.width),
            x1 = high(centre_x + w * factor / 2, video.width);
  const int y0 = low(centre_y - h * factor / 2, video.height),
            y1 = high(centre_y + h * factor / 2, video.height);
  return {x0, y0, std::max(0, x1 - x0), std::max(0, y1 - y0)};
}

}  // namespace

double AxisMap::source(double scaled_position) const { return begin + scaled_position * length / scaled; }

Result<Size> canvas_size(const ResizeRule& rule, const VideoInfo& video, Size asked) {
  const double width = video.width * aspect(video.pixel_aspect), height = video.height;
  switch (rule.resize) {
    case Resize::none:
      return Size{asked.width ? asked.width : video.width, asked.height ? asked.height : video.height};
    case Resize::multiple:
      return multiple_size(width, height, rule.size_multiple, asked);
    case Resize::fit_height: {
      if (!asked.height) return fail(ErrorCode::invalid_argument, "resize=fit-height needs a height");
      if (asked.width) return asked;
      // Regions may be much wider than the picture, so a limit that is given is also what there is room for.
      if (rule.max_width) return Size{rule.max_width, asked.height};
      return Size{round_up(std::max(1, round_half_up(width * asked.height / height)), rule.size_multiple),
                  asked.height};
    }
    default:
      break;
  }
  if (!asked.width || !asked.height)
    return fail(ErrorCode::invalid_argument,
                "the size of the tensor is not known; set width and height, or follow with an element that "
                "fixes it");
  return asked;
}

Placement place(const ResizeRule& rule, Fraction pixel_aspect, const Crop& crop, Size canvas) {
  const double width = crop.w * aspect(pixel_aspect), height = crop.h;
  const double fit_x = canvas.width / width, fit_y = canvas.height / height;
  Size scaled = canvas;
  bool centred = false;
  switch (rule.resize) {
    case Resize::stretch:
      break;
    case Resize::letterbox:
      centred = true;
      [[fallthrough]];
    case Resize::letterbox_topleft: {
      const double r = std::min(fit_x, fit_y);
      scaled = {std::min(canvas.width, round_half_up(width * r)),
                std::min(canvas.height, round_half_up(height * r))};
      break;
    }
    case Resize::crop: {
      const double r = std::max(fit_x, fit_y) / rule.share;
      scaled = {std::max(canvas.width, round_half_up(width * r)),
                std::max(canvas.height, round_half_up(height * r))};
      centred = true;
      break;
    }
    case Resize::none:
      scaled = {crop.w, crop.h};
      break;
    case Resize::fit_height:
      scaled.width = std::min(canvas.width, round_half_up(width * fit_y));
      break;
    case Resize::multiple: {
      scaled = multiple_size(width, height, rule.size_multiple, canvas);
      scaled = {std::min(scaled.width, canvas.width), std::min(scaled.height, canvas.height)};
      break;
    }
  }
  return {fitted(crop.x, crop.w, scaled.width, canvas.width, centred),
          fitted(crop.y, crop.h, scaled.height, canvas.height, centred)};
}

Affine affine(const Placement& placement, const VideoInfo& video) {
  // Canvas position c, 0..canvas, is scaled position c - at + skip. One division each, so that what only
  // stretches is exactly the identity.
  auto factor = [](const AxisMap& a, int size) {
    return double(a.canvas) * a.length / (double(a.scaled) * size);
  };
  auto offset = [](const AxisMap& a, int size) { return a.source(a.skip - a.at) / size; };
  const AxisMap &x = placement.x, &y = placement.y;
  return {{factor(x, video.width), 0, offset(x, video.width), 0, factor(y, video.height),
           offset(y, video.height)}};
}

Crop grow(const Box& box, double factor, const VideoInfo& video) {
  return grown(double(box.x) * video.width, double(box.y) * video.height, double(box.w) * video.width,
               double(box.h) * video.height, factor, video);
}

Crop grow(const Crop& crop, double factor, const VideoInfo& video) {
  return grown(crop.x, crop.y, crop.w, crop.h, factor, video);
}

Crop clip(const Crop& crop, const VideoInfo& video) {
  auto inside = [](int64_t v, int size) { return int(std::clamp<int64_t>(v, 0, size)); };
  const int x0 = inside(crop.x, video.width), x1 = inside(int64_t(crop.x) + crop.w, video.width);
  const int y0 = inside(crop.y, video.height), y1 = inside(int64_t(crop.y) + crop.h, video.height);
  return {x0, y0, std::max(0, x1 - x0), std::max(0, y1 - y0)};
}

}  // namespace sightglass
