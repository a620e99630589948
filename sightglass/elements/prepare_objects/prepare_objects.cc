#include "sightglass/elements/prepare_objects/prepare_objects.h"

#include <algorithm>
#include <functional>

#include "sightglass/core/registry.h"

namespace sightglass {
namespace {

std::vector<PixelFormat> usable_formats() { return {all_8_bit_formats().begin(), all_8_bit_formats().end()}; }

}  // namespace

Result<std::unique_ptr<PrepareObjects>> PrepareObjects::create(const Params& params) {
  auto functions = make_functions(params.functions, "functions", FunctionHook::prepare);
  if (!functions) return forward_error(functions);
  const auto makers = size_t(std::ranges::count_if(*functions, std::not_fn(is_users)));
  if (functions->empty() || makers > 1)
    return fail(ErrorCode::invalid_argument, "functions: expects one function that makes a picture, got {}",
                makers);
  if (makers == 1 && is_users(functions->front()))
    return fail(ErrorCode::invalid_argument, "functions: {} makes the picture, so it stands in front",
                std::ranges::find_if_not(*functions, is_users)->desc->name);
  const auto& function = static_cast<const PrepareFunction&>(*functions->front().function);
  if (function.width() < 1 || function.height() < 1)
    return fail(ErrorCode::invalid_argument,
                "functions: {} needs its size here, such as {{\"{}\": {{\"size\": [112, 112]}}}}",
                functions->front().desc->name, functions->front().desc->name);
  return std::unique_ptr<PrepareObjects>(new PrepareObjects(std::move(*functions)));
}

std::vector<FormatSpec> PrepareObjects::transform_format(Direction from, const FormatSpec& spec) const {
  if (spec.memory != MemoryKind::system || std::holds_alternative<TensorsSpec>(spec.media)) return {};
  const auto* theirs = std::get_if<VideoSpec>(&spec.media);
  VideoSpec made{.formats = usable_formats()};
  if (theirs && !theirs->formats.empty())
    std::erase_if(made.formats,
                  [&](PixelFormat format) { return !std::ranges::contains(theirs->formats, format); });
  if (made.formats.empty()) return {};
  if (from == Direction::input) {
    made.width = IntRange::exactly(function().width());
    made.height = IntRange::exactly(function().height());
  }
  return {{std::move(made), MemoryKind::system}};
}

Status PrepareObjects::configure(const Format& input, const Format& output) {
  const VideoInfo *in = input.video(), *out = output.video();
  if (!in || !out || in->format != out->format || out->width != function().width() ||
      out->height != function().height())
    return fail(ErrorCode::not_negotiated,
                "{} makes pictures of {}x{} of the format that comes in, not {} from {}",
                functions_.front().desc->name, function().width(), function().height(), to_string(output),
                to_string(input));
  input_ = *in, output_ = *out;
  return {};
}

Status PrepareObjects::process(const Frame& frame, Output& output) {
  const size_t planes = plane_count(input_.format);
  if (!frame.video || frame.video->format != input_.format || frame.tensors.size() != planes)
    return fail(ErrorCode::corrupt, "the frame is not the picture that was agreed");
  const Region& object = frame.regions.empty() ? no_region_ : frame.regions.front();
  const Crop crop = frame.crop.value_or(Crop{0, 0, frame.video->width, frame.video->height});
  const PictureExtent extent{float(frame.video->width), float(frame.video->height)};
  const auto projection = crop.w > 0 && crop.h > 0
                              ? function().projection(crop, object, extent, output_.width, output_.height)
                              : std::nullopt;
  if (!projection) return output.gap({frame.pts, frame.duration, frame.source});

  made_.clear();
  if (auto allocated = output.allocate(made_); !allocated) return allocated;
  for (size_t plane = 0; plane < planes; ++plane)
    if (auto status = warp_plane(frame, plane, *projection, crop); !status) return status;
  made_.pts = frame.pts;
  made_.duration = frame.duration;
  made_.source = frame.source;
  for (const NamedFunction& one : functions_) {
    const bool is_object = frame.source && frame.source->roi && !frame.regions.empty();
    made_.pts = frame.pts;
    auto changed = static_cast<PrepareFunction&>(*one.function).change(made_, is_object ? &object : nullptr);
    if (!changed || !*changed) {
      made_.clear();
      if (!changed) return forward_error(changed);
      return output.gap({frame.pts, frame.duration, frame.source});
    }
  }
  const Affine back = affine(*projection, output_.width, output_.height, extent);
  made_.affine = frame.affine ? concat(back, *frame.affine) : back;
  Status sent = output.push(made_);
  made_.clear();  // the picture is not held on to
  return sent;
}

Status PrepareObjects::warp_plane(const Frame& frame, size_t plane, const Projection& projection,
                                  const Crop& crop) {
  auto from = map(frame.tensors[plane], Access::read);
  if (!from) return forward_error(from);
  auto to = map(made_.tensors[plane], Access::write);
  if (!to) return forward_error(to);
  const PlaneLayout layout = plane_layout(input_.format, plane);
  const auto view = [&](const Mapping& mapping, const VideoInfo& video) {
    return PictureView{reinterpret_cast<uint8_t*>(mapping.data()), ptrdiff_t(mapping.strides()[0]),
                       plane_width(video, plane), plane_height(video, plane), layout.pixel_bytes};
  };
  const PictureView source = view(*from, *frame.video), target = view(*to, output_);
  if (from->shape()[0] < source.height || from->strides()[0] < ptrdiff_t(source.width) * source.channels)
    return fail(ErrorCode::corrupt, "plane {} is smaller than its picture", plane);
  // The projection is one of pixels; samples of a subsampled plane lie further apart, in both pictures.
  const double sx = 1 << layout.shift_x, sy = 1 << layout.shift_y;
  Projection of_plane = projection;
  double* m = of_plane.m;
  m[1] *= sy / sx, m[2] /= sx, m[3] *= sx / sy, m[5] /= sy, m[6] *= sx, m[7] *= sy;
  std::optional<PixelBounds> within;
  if (function().within_crop())
    within = PixelBounds{crop.x / sx, crop.y / sy, (crop.x + crop.w) / sx, (crop.y + crop.h) / sy};
  const bool chroma = is_yuv(input_.format) && plane > 0;
  warp(source, of_plane, target, chroma ? 128 : function().border(), within);
  return {};
}

namespace {

using Params = PrepareObjects::Params;

const Registration registration([] {
  const std::vector<FormatSpec> pictures = {{VideoSpec{usable_formats(), {}, {}}, MemoryKind::system}};
  return ElementDesc{
      .name = "prepare_objects",
      .title = "Object pictures",
      .klass = "Filter/Effect/Video",
      .doc =
          "Makes the picture of an object that a model is to see: a face turned upright by its landmarks, a "
          "plate "
          "unwarped by its corners, a crop fitted into a canvas.",
      .kind = ElementKind::transform,
      .input = pictures,
      .output = pictures,
      .params = ParamTable::of<Params>({
          param("functions", &Params::functions,
                "one function as JSON: align_face_5pt, warp_plate or letterbox, with its parameters"),
      }),
      .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
        auto made = PrepareObjects::create(params.as<Params>());
        if (!made) return forward_error(made);
        return *std::move(made);
      },
  };
}());

}  // namespace
}  // namespace sightglass
