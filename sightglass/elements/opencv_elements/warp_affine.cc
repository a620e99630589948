// The rotation is one of the picture as it is shown: a pixel aspect ratio and the subsampling of chroma are
// accounted for, so that straight angles stay straight in every plane.
#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>

#include "sightglass/elements/module_element.h"
#include "sightglass/elements/opencv_warp_affine/opencv_warp_affine.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/opencv/mat_memory.h"

namespace sightglass {
namespace {

using Params = OpencvWarpAffineParams;

bool is_16_bit(PixelFormat format) { return format == PixelFormat::p010 || format == PixelFormat::gray16; }

// A sample of each plane that is black.
cv::Scalar black(const VideoInfo& video, size_t plane) {
  if (!is_yuv(video.format)) {
    const bool alpha = video.format == PixelFormat::rgba || video.format == PixelFormat::bgra;
    return {0, 0, 0, alpha ? 255.0 : 0.0};
  }
  const double scale = is_16_bit(video.format) ? 256 : 1;
  return cv::Scalar::all(scale * (plane > 0 ? 128 : video.full_range ? 0 : 16));
}

class WarpAffine final : public Transform {
 public:
  explicit WarpAffine(const Params& params)
      : radians_(params.angle_unit == Params::Unit::degrees ? params.angle * std::numbers::pi / 180
                                                            : params.angle) {}

  static Result<std::unique_ptr<Element>> create(const ParamSet& params) {
    return std::make_unique<WarpAffine>(params.as<Params>());
  }

  std::vector<FormatSpec> transform_format(Direction, const FormatSpec& spec) const override {
    if (std::holds_alternative<TensorsSpec>(spec.media) || spec.memory != MemoryKind::system) return {};
    return {spec};
  }

  Status configure(const Format& input, const Format& output) override {
    const VideoInfo *in = input.video(), *out = output.video();
    if (!in || !out || in->format != out->format || in->width != out->width || in->height != out->height)
      return fail(ErrorCode::not_negotiated, "{} cannot be rotated to {}", to_string(input),
                  to_string(output));
    video_ = *in;
    // From a pixel of the rotated picture to where it comes from, both from the centre: with y down, turning
    // the picture counter-clockwise turns this vector clockwise.
    const double aspect = double(video_.pixel_aspect.num) / std::max(video_.pixel_aspect.den, 1);
    const double c = std::cos(radians_), s = std::sin(radians_);
    source_ = {c, -s / aspect, s * aspect, c};
    const double w = video_.width, h = video_.height;
    const cv::Matx22d& r = source_;
    affine_.m[0] = r(0, 0), affine_.m[1] = r(0, 1) * h / w;
    affine_.m[3] = r(1, 0) * w / h, affine_.m[4] = r(1, 1);
    affine_.m[2] = 0.5 - 0.5 * (affine_.m[0] + affine_.m[1]);
    affine_.m[5] = 0.5 - 0.5 * (affine_.m[3] + affine_.m[4]);
    return {};
  }

  Status process(const Frame& frame, Output& output) override {
    if (!frame.video || frame.video->format != video_.format ||
        frame.tensors.size() != plane_count(video_.format))
      return fail(ErrorCode::corrupt, "the frame is not the picture that was agreed");
    if (auto allocated = output.allocate(made_); !allocated) return allocated;
    auto warped = without_exceptions([&]() -> Status {
      for (size_t plane = 0; plane < frame.tensors.size(); ++plane)
        if (auto status = warp(frame, plane); !status) return status;
      return {};
    });
    if (!warped) return warped;
    made_.pts = frame.pts;
    made_.duration = frame.duration;
    made_.source = frame.source;
    made_.crop = frame.crop;
    made_.affine = frame.affine ? concat(affine_, *frame.affine) : affine_;
    if (made_.affine->identity()) made_.affine.reset();
    made_.regions = frame.regions;
    for (Region& region : made_.regions) turn(region);
    made_.attributes = frame.attributes;
    Status sent = output.push(made_);
    made_.tensors.clear();
    return sent;
  }

 private:
  Status warp(const Frame& frame, size_t plane) {
    auto from = map(frame.tensors[plane], Access::read);
    if (!from) return forward_error(from);
    auto to = map(made_.tensors[plane], Access::write);
    if (!to) return forward_error(to);
    const PlaneLayout layout = plane_layout(video_.format, plane);
    const int channels = layout.pixel_bytes / (is_16_bit(video_.format) ? 2 : 1);
    const int type = CV_MAKETYPE(is_16_bit(video_.format) ? CV_16U : CV_8U, channels);
    const cv::Size size(plane_width(video_, plane), plane_height(video_, plane));
    const cv::Mat source(size, type, from->data(), size_t(from->strides()[0]));
    cv::Mat target(size, type, to->data(), size_t(to->strides()[0]));
    // In samples of this plane, whose centres lie half a sample in.
    const double sx = 1 << layout.shift_x, sy = 1 << layout.shift_y;
    const double cx = video_.width / (2 * sx) - 0.5, cy = video_.height / (2 * sy) - 0.5;
    const double a = source_(0, 0), b = source_(0, 1) * sy / sx, c = source_(1, 0) * sx / sy,
                 d = source_(1, 1);
    const cv::Matx23d matrix(a, b, cx - a * cx - b * cy, c, d, cy - c * cx - d * cy);
    cv::warpAffine(source, target, matrix, size, cv::INTER_LINEAR | cv::WARP_INVERSE_MAP, cv::BORDER_CONSTANT,
                   black(video_, plane));
    return {};
  }

  // The region as it lies in the rotated picture: its centre moves, its box turns.
  void turn(Region& region) const {
    const double w = video_.width, h = video_.height;
    const double x = (region.box.x + region.box.w / 2 - 0.5) * w,
                 y = (region.box.y + region.box.h / 2 - 0.5) * h;
    const cv::Matx22d& r = source_;
    // The reverse of source_, whose determinant is 1.
    const double turned_x = r(1, 1) * x - r(0, 1) * y, turned_y = -r(1, 0) * x + r(0, 0) * y;
    region.box.x = float(turned_x / w + 0.5 - region.box.w / 2);
    region.box.y = float(turned_y / h + 0.5 - region.box.h / 2);
    region.angle = float(std::remainder(region.angle - radians_, 2 * std::numbers::pi));
  }

  const double radians_;
  VideoInfo video_;
  cv::Matx22d source_;
  Affine affine_;  // rotated picture → original, 0..1
  Frame made_;
};

const ModuleElement registration("opencv_warp_affine", &WarpAffine::create);

}  // namespace
}  // namespace sightglass
