#include "sightglass/elements/roi_split/roi_split.h"

#include <algorithm>
#include <ranges>
#include <string_view>

#include "sightglass/core/registry.h"
#include "sightglass/elements/video_to_tensor/geometry.h"

namespace sightglass {
namespace {

std::vector<Label> comma_list(std::string_view text) {
  std::vector<Label> names;
  for (auto part : text | std::views::split(',')) {
    std::string_view name(part);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty()) names.emplace_back(name);
  }
  return names;
}

}  // namespace

RoiSplit::RoiSplit(const Params& params) {
  if (auto status = set(params); !status) warnings_.push_back(status.error().message);
}

void RoiSplit::update(const ParamSet& params) {
  if (auto status = set(params.as<Params>()); !status) warnings_.push_back(kept_as_it_was(status.error()));
}

Status RoiSplit::set(const Params& params) {
  classes_ = comma_list(params.object_class);
  model_ = Label(params.source);
  min_size_ = params.min_size;
  max_regions_ = params.max_regions;
  if (auto status = select_.set(params.select); !status) return status;
  if (params.functions == functions_text_) return {};
  auto functions = make_functions(params.functions, "functions", FunctionHook::region);
  if (!functions) return forward_error(functions);
  functions_ = *std::move(functions);
  functions_text_ = params.functions;
  return {};
}

// What is looked at of an object.
Result<std::optional<Box>> RoiSplit::viewed(const Frame& frame, size_t index) {
  std::optional<Box> box = frame.regions[index].box;
  for (const NamedFunction& one : functions_) {
    auto changed = static_cast<RegionFunction&>(*one.function).region(frame, index, *box);
    if (!changed || !*changed) return changed;
    box = *changed;
  }
  return box;
}

Status RoiSplit::configure(const Format& input, const Format&) {
  if (!input.video())
    return fail(ErrorCode::not_negotiated, "roi_split cuts pictures, but gets {}", to_string(input));
  return {};
}

Status RoiSplit::select(const Frame& frame) {
  selected_.clear();
  select_.begin(frame);
  for (size_t i = 0; i < frame.regions.size(); ++i) {
    const Region& region = frame.regions[i];
    if (!classes_.empty() && std::ranges::find(classes_, region.label) == classes_.end()) continue;
    if (!model_.empty() && !(region.model == model_)) continue;
    if (!select_.matches(frame, region)) continue;
    Crop crop = grow(region.box, 1, *frame.video);
    if (unsigned(std::max(0, std::min(crop.w, crop.h))) < min_size_) continue;
    selected_.push_back({i, crop, region.box, region.confidence});
  }
  limit();
  if (functions_.empty()) return {};
  for (Selected& one : selected_) {
    auto box = viewed(frame, one.region);
    if (!box) return forward_error(box);
    one.box = box->value_or(Box{});
    one.crop = *box ? grow(one.box, 1, *frame.video) : Crop{};
  }
  return {};
}

void RoiSplit::limit() {
  if (max_regions_ == 0 || selected_.size() <= max_regions_) return;
  // By confidence, then back into the order of the regions.
  std::ranges::nth_element(
      selected_, selected_.begin() + max_regions_, [](const Selected& a, const Selected& b) {
        return a.confidence != b.confidence ? a.confidence > b.confidence : a.region < b.region;
      });
  selected_.resize(max_regions_);
  std::ranges::sort(selected_, {}, &Selected::region);
}

SourceId RoiSplit::source_of(const Frame& frame) const {
  SourceId source;
  source.stream = frame.source ? frame.source->stream : 0;
  source.pts = frame.source && frame.source->pts != no_time ? frame.source->pts : frame.pts;
  return source;
}

Status RoiSplit::process(const Frame& frame, Output& output) {
  if (!frame.video)
    return fail(ErrorCode::invalid_argument, "roi_split cuts pictures, but this frame has none");
  if (auto status = select(frame); !status) return status;
  SourceId source = source_of(frame);
  if (selected_.empty()) return output.gap({frame.pts, frame.duration, source});

  part_.video = frame.video;
  part_.tensors = frame.tensors;
  part_.pts = frame.pts;
  part_.duration = frame.duration;
  part_.affine = frame.affine;
  Status sent;
  for (const Selected& selected : selected_) {
    const Region& region = frame.regions[selected.region];
    // -1: not numbered; below that numbers of regions that stand beside the others (gst/results.h).
    source.roi = region.id != -1 ? uint32_t(region.id) : uint32_t(selected.region);
    source.object = region.track;
    source.last_roi = &selected == &selected_.back();
    if (selected.crop.w <= 0 || selected.crop.h <= 0) {
      sent = output.gap({frame.pts, frame.duration, source});
    } else {
      part_.crop = selected.crop;
      part_.source = source;
      part_.regions.assign(1, region);
      part_.regions[0].box = selected.box;
      sent = output.push(part_);
    }
    if (!sent) break;
  }
  // The picture is not held on to.
  part_.tensors.clear();
  part_.regions.clear();
  return sent;
}

namespace {

const Registration registration({
    .name = "roi_split",
    .title = "Region splitter",
    .klass = "Filter/Effect/Video",
    .doc = "Sends one buffer per detected object, which shares the picture's memory and says which part of "
           "it counts. "
           "A frame without objects becomes a gap.",
    .kind = ElementKind::transform,
    .input = {{AnySpec{}}},
    .output = {{AnySpec{}}},
    .params = ParamTable::of<RoiSplit::Params>({
        param("object-class", &RoiSplit::Params::object_class,
              "labels that pass, separated by commas; empty: all")
            .live(),
        param("min-size", &RoiSplit::Params::min_size, "least length of the shorter side").in("px"),
        param("max-regions", &RoiSplit::Params::max_regions,
              "most objects of a frame, those of the highest confidence; 0: all"),
        param("source", &RoiSplit::Params::source,
              "name of the model whose objects pass; empty: every model"),
        param("select", &RoiSplit::Params::select, "selector of the objects that pass, as JSON; empty: all")
            .live(),
        param("functions", &RoiSplit::Params::functions,
              "functions that change the box that is looked at, as JSON: crop_expand")
            .live(),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      const auto& values = params.as<RoiSplit::Params>();
      if (auto status = Selection::check(values.select, "select"); !status) return forward_error(status);
      if (auto made = make_functions(values.functions, "functions", FunctionHook::region); !made)
        return forward_error(made);
      return std::make_unique<RoiSplit>(params.as<RoiSplit::Params>());
    },
});

}  // namespace
}  // namespace sightglass
