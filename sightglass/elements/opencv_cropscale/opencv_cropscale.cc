#include "sightglass/elements/opencv_cropscale/opencv_cropscale.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "sightglass/core/registry.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

using Samples = std::array<std::array<uint8_t, 4>, 4>;

// The bytes of one sample of each plane for a colour, 0..255.
Samples color_samples(double r, double g, double b, const VideoInfo& video) {
  const auto byte = [](double v) { return uint8_t(std::lround(std::clamp(v, 0.0, 255.0))); };
  const uint8_t red = byte(r), green = byte(g), blue = byte(b);
  double kr = 0.299, kb = 0.114;
  if (video.matrix == ColorMatrix::bt709) kr = 0.2126, kb = 0.0722;
  if (video.matrix == ColorMatrix::bt2020) kr = 0.2627, kb = 0.0593;
  const double luma = kr * r + (1 - kr - kb) * g + kb * b;
  const double luma_scale = video.full_range ? 1 : 219.0 / 255,
               chroma_scale = video.full_range ? 1 : 224.0 / 255;
  const uint8_t y = byte(luma * luma_scale + (video.full_range ? 0 : 16));
  const uint8_t u = byte(128 + chroma_scale * (b - luma) / (2 * (1 - kb)));
  const uint8_t v = byte(128 + chroma_scale * (r - luma) / (2 * (1 - kr)));
  switch (video.format) {
    case PixelFormat::i420:
    case PixelFormat::y42b:
    case PixelFormat::y444:
      return {{{y}, {u}, {v}}};
    case PixelFormat::yv12:
      return {{{y}, {v}, {u}}};
    case PixelFormat::nv12:
      return {{{y}, {u, v}}};
    case PixelFormat::nv21:
      return {{{y}, {v, u}}};
    case PixelFormat::rgb:
    case PixelFormat::rgbx:
    case PixelFormat::rgba:
      return {{{red, green, blue, 255}}};
    case PixelFormat::bgr:
    case PixelFormat::bgrx:
    case PixelFormat::bgra:
      return {{{blue, green, red, 255}}};
    case PixelFormat::rgbp:
      return {{{red}, {green}, {blue}}};
    case PixelFormat::bgrp:
      return {{{blue}, {green}, {red}}};
    case PixelFormat::gray8:
      return {{{byte(luma)}}};
    case PixelFormat::p010:  // 16 bits, the lower byte first
      return {{{0, y}, {0, u, 0, v}}};
    case PixelFormat::gray16:
      return {{{byte(luma), byte(luma)}}};
  }
  return {};
}

ResampleMethod method_of(OpencvCropscale::Method method) {
  using Method = OpencvCropscale::Method;
  switch (method) {
    case Method::nearest:
      return ResampleMethod::nearest;
    case Method::bicubic:
      return ResampleMethod::bicubic;
    case Method::area:
      return ResampleMethod::area;
    case Method::lanczos:
      return ResampleMethod::lanczos;
    case Method::automatic:
    case Method::bilinear:
      break;
  }
  return ResampleMethod::bilinear;
}

std::vector<PixelFormat> taken_formats() {
  const auto formats = all_pixel_formats();
  return {formats.begin(), formats.end()};
}

// The axis in a plane that is subsampled by 2^shift.
ResampleAxis in_plane(const AxisMap& axis, int shift, int plane_size) {
  const int count = (axis.count + (1 << shift) - 1) >> shift;
  const double factor =
      double(axis.length) / axis.scaled;  // the last chroma sample of an odd size reaches beyond it
  return {double(axis.begin) / (1 << shift), factor * count, count, plane_size};
}

bool is_16_bit(PixelFormat format) { return format == PixelFormat::p010 || format == PixelFormat::gray16; }

// Results of the whole picture, as they lie in the part of it that `to_picture` leads back from.
class Move {
 public:
  explicit Move(const Affine& to_picture) : m_(to_picture.m) {}

  void operator()(std::vector<Region>& regions) const {
    for (Region& region : regions) {
      region.box = moved(region.box);
      (*this)(region.attributes);
    }
  }
  void operator()(AttributesRef& list) const {
    if (!list || std::ranges::none_of(list->items(), has_place)) return;
    std::vector<Attribute> items = list->items();
    for (Attribute& item : items) {
      std::vector<float>& v = item.values;
      if (item.kind == AttributeKind::mask) {
        if (v.size() != 4) v = {0, 0, 1, 1};
        const Box box = moved({v[0], v[1], v[2], v[3]});
        v = {box.x, box.y, box.w, box.h};
      } else if (has_place(item)) {
        const size_t step = item.kind == AttributeKind::keypoints ? 3 : 2;
        for (size_t i = 0; i + step <= v.size(); i += step) {
          if (step == 3 && v[i] == -1 && v[i + 1] == -1) continue;  // not found
          const Box point = moved({v[i], v[i + 1], 0, 0});
          v[i] = point.x, v[i + 1] = point.y;
        }
      }
    }
    list = make_ref<const AttributeList>(std::move(items));
  }

 private:
  static bool has_place(const Attribute& item) {
    return item.kind == AttributeKind::keypoints || item.kind == AttributeKind::contour ||
           item.kind == AttributeKind::mask;
  }
  Box moved(const Box& box) const {
    return {float((double(box.x) - m_[2]) / m_[0]), float((double(box.y) - m_[5]) / m_[4]),
            float(double(box.w) / m_[0]), float(double(box.h) / m_[4])};
  }

  const double* m_;
};

}  // namespace

Status OpencvCropscale::start() {
  if (params_.pad_value.size() != 1 && params_.pad_value.size() != 3)
    return fail(ErrorCode::invalid_argument, "pad-value needs one number or three, but has {}",
                params_.pad_value.size());
  return {};
}

std::vector<FormatSpec> OpencvCropscale::transform_format(Direction, const FormatSpec& spec) const {
  const auto* video = std::get_if<VideoSpec>(&spec.media);
  if (!video && !std::holds_alternative<AnySpec>(spec.media)) return {};
  std::vector<PixelFormat> formats = taken_formats();
  if (video && !video->formats.empty())
    std::erase_if(formats,
                  [&](PixelFormat format) { return !std::ranges::contains(video->formats, format); });
  if (formats.empty()) return {};
  return {{VideoSpec{std::move(formats), {}, {}}, spec.memory}};
}

Status OpencvCropscale::configure(const Format& input, const Format& output) {
  const VideoInfo *in = input.video(), *out = output.video();
  if (!in || !out || in->format != out->format)
    return fail(ErrorCode::not_negotiated, "{} cannot be resized to {}", to_string(input), to_string(output));
  input_ = *in, output_ = *out;
  const auto& pad = params_.pad_value;
  const bool grey = pad.size() == 1;
  pad_ = color_samples(pad[0], pad[grey ? 0 : 1], pad[grey ? 0 : 2], output_);
  return {};
}

Crop OpencvCropscale::wanted(const Frame& frame) const {
  const Crop crop = clip(frame.crop.value_or(Crop{0, 0, input_.width, input_.height}), input_);
  if (params_.roi_expand == 1 || !frame.crop) return crop;
  // A region's own box is more exact than its pixels.
  const bool is_region = frame.source && frame.source->roi && frame.regions.size() == 1;
  const Box box = is_region ? frame.regions[0].box
                            : Box{float(crop.x) / float(input_.width), float(crop.y) / float(input_.height),
                                  float(crop.w) / float(input_.width), float(crop.h) / float(input_.height)};
  return grow(box, params_.roi_expand, input_);
}

Status OpencvCropscale::resize_plane(const Frame& frame, size_t plane, const Placement& placement) {
  auto from = map(frame.tensors[plane], Access::read);
  if (!from) return forward_error(from);
  auto to = map(result_.tensors[plane], Access::write);
  if (!to) return forward_error(to);
  const PlaneLayout layout = plane_layout(input_.format, plane);
  const ResampleAxis x = in_plane(placement.x, layout.shift_x, plane_width(input_, plane));
  const ResampleAxis y = in_plane(placement.y, layout.shift_y, plane_height(input_, plane));
  resamplers_[plane].prepare(x, y, method_of(params_.method));
  auto* target = reinterpret_cast<uint8_t*>(to->data());
  const ptrdiff_t stride = to->strides()[0];
  if (is_16_bit(input_.format))
    resamplers_[plane].run(reinterpret_cast<const uint16_t*>(from->data()), from->strides()[0],
                           reinterpret_cast<uint16_t*>(to->data()), stride, layout.pixel_bytes / 2);
  else
    resamplers_[plane].run(reinterpret_cast<const uint8_t*>(from->data()), from->strides()[0], target, stride,
                           layout.pixel_bytes);

  const int width = plane_width(output_, plane), height = plane_height(output_, plane),
            bytes = layout.pixel_bytes;
  for (int row = 0; row < height; ++row)
    for (int column = row < y.count ? x.count : 0; column < width; ++column)
      std::memcpy(target + row * stride + ptrdiff_t(column) * bytes, pad_[plane].data(), size_t(bytes));
  return {};
}

Status OpencvCropscale::process(const Frame& frame, Output& output) {
  if (!frame.video || frame.tensors.size() != plane_count(input_.format) ||
      frame.video->format != input_.format)
    return fail(ErrorCode::corrupt, "the frame is not the picture that was agreed");
  const Crop crop = wanted(frame);
  if (crop.w <= 0 || crop.h <= 0) return output.gap({frame.pts, frame.duration, frame.source});
  const Placement placement =
      place({.resize = params_.add_borders ? Resize::letterbox_topleft : Resize::stretch},
            input_.pixel_aspect, crop, {output_.width, output_.height});
  if (auto allocated = output.allocate(result_); !allocated) return allocated;
  for (size_t plane = 0; plane < frame.tensors.size(); ++plane)
    if (auto resized = resize_plane(frame, plane, placement); !resized) return resized;

  const Affine to_picture = affine(placement, input_);
  result_.pts = frame.pts;
  result_.duration = frame.duration;
  result_.source = frame.source;
  result_.affine = frame.affine ? concat(to_picture, *frame.affine) : to_picture;
  if (result_.affine->identity()) result_.affine.reset();
  result_.regions = frame.regions;
  result_.attributes = frame.attributes;
  const Move move(to_picture);
  move(result_.regions);
  move(result_.attributes);
  Status sent = output.push(result_);
  result_.tensors.clear();
  return sent;
}

namespace {

const Registration registration([] {
  using P = OpencvCropscale::Params;
  return ElementDesc{
      .name = "opencv_cropscale",
      .title = "Crop and resize",
      .klass = "Filter/Converter/Video/Scaler",
      .doc = "Cuts out the part of the picture that counts and resizes it to the size that follows.",
      .kind = ElementKind::transform,
      .input = {{VideoSpec{taken_formats(), {}, {}}}},
      .output = {{VideoSpec{taken_formats(), {}, {}}}},
      .params = ParamTable::of<P>({
          param("add-borders", &P::add_borders,
                "keep the aspect ratio: picture top-left, borders right and below"),
          param("method", &P::method, "how samples are mixed; default: bilinear")
              .choices({"default", "nearest", "bilinear", "bicubic", "area", "lanczos"}),
          param("pad-value", &P::pad_value,
                "colour of the borders, 0 to 255: a grey, or red, green and blue"),
          param("roi-expand", &P::roi_expand, "factor by which the crop grows about its centre")
              .range(0.1, 10),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        return std::make_unique<OpencvCropscale>(params.as<P>());
      },
  };
}());

}  // namespace
}  // namespace sightglass
