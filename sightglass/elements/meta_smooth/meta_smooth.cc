#include "sightglass/elements/meta_smooth/meta_smooth.h"

#include <algorithm>
#include <cstring>
#include <format>

#include "sightglass/core/registry.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

// Long enough for what a tracker bridges, where `max-age` sets no limit.
constexpr uint64_t frames_until_forgotten = 300;

bool has_tensors(const AttributesRef& list) {
  return list && std::ranges::any_of(list->items(), [](const Attribute& a) { return bool(a.tensor); });
}

Result<Tensor> copied(const Tensor& tensor) {
  auto from = map(tensor, Access::read);
  if (!from) return forward_error(from);
  auto memory = allocate_memory(from->bytes());
  if (!memory) return forward_error(memory);
  std::memcpy((*memory)->data(), from->data(), from->bytes());
  Tensor copy = tensor;
  copy.memory = *memory;
  copy.offset = 0;
  return copy;
}

Result<AttributesRef> with_own_tensors(const AttributesRef& list) {
  if (!has_tensors(list)) return list;
  std::vector<Attribute> attributes = list->items();
  for (Attribute& attribute : attributes) {
    if (!attribute.tensor) continue;
    auto copy = copied(attribute.tensor);
    if (!copy) return forward_error(copy);
    attribute.tensor = std::move(*copy);
  }
  return AttributesRef(make_ref<AttributeList>(std::move(attributes)));
}

}  // namespace

MetaSmooth::MetaSmooth(const Params& params)
    : params_(params),
      age_name_(age_attribute),
      objects_(std::max<uint64_t>(params.max_age, frames_until_forgotten)) {}

void MetaSmooth::flush() {
  objects_.clear();
  whole_frame_ = {};
}

Status MetaSmooth::remember(const Frame& frame, Remembered& memory) const {
  memory.frame = frame.regions.empty() && !frame.attributes ? 0 : objects_.frame();
  memory.affine = frame.affine;
  memory.regions = frame.regions;
  for (Region& region : memory.regions) {
    auto attributes = with_own_tensors(region.attributes);
    if (!attributes) return forward_error(attributes);
    region.attributes = std::move(*attributes);
  }
  auto attributes = with_own_tensors(frame.attributes);
  if (!attributes) return forward_error(attributes);
  memory.attributes = std::move(*attributes);
  return {};
}

Status MetaSmooth::process(const Frame& frame, Output& output) {
  objects_.see(frame.source, frame.pts);
  const bool is_region = frame.source && frame.source->roi;
  // An untracked region is never met again.
  if (!is_region || frame.source->object != 0) {
    auto remembered = remember(frame, is_region ? objects_[frame.source->object] : whole_frame_);
    if (!remembered) return remembered;
  }
  return output.push(frame);
}

AttributesRef MetaSmooth::aged(const AttributesRef& list, uint32_t age) const {
  if (!list && !params_.expose_age) return nullptr;
  std::vector<Attribute> attributes;
  attributes.reserve((list ? list->items().size() : 0) + 1);
  if (list) attributes = list->items();
  for (Attribute& attribute : attributes) attribute.age += age;
  if (params_.expose_age)
    attributes.push_back({.name = age_name_,
                          .kind = AttributeKind::number,
                          .text = std::to_string(age),
                          .number = double(age)});
  return make_ref<AttributeList>(std::move(attributes));
}

Status MetaSmooth::gap(const Gap& gap, Output& output) {
  objects_.see(gap.source, gap.pts);
  const bool is_region = gap.source && gap.source->roi;
  const Remembered* last = !is_region                ? &whole_frame_
                           : gap.source->object != 0 ? objects_.find(gap.source->object)
                                                     : nullptr;
  if (!last || last->frame == 0) return output.gap(gap);
  const uint64_t age = objects_.frame() - last->frame;
  if (params_.max_age > 0 && age > params_.max_age) return output.gap(gap);

  repeated_.pts = gap.pts;
  repeated_.duration = gap.duration;
  repeated_.source = gap.source;
  repeated_.affine = last->affine;
  repeated_.regions = last->regions;
  for (Region& region : repeated_.regions) region.attributes = aged(region.attributes, uint32_t(age));
  // An age of its own only where there is a result that it is the age of.
  repeated_.attributes = last->attributes ? aged(last->attributes, uint32_t(age)) : nullptr;
  return output.push(repeated_);
}

namespace {

const Registration registration({
    .name = "meta_smooth",
    .title = "Result repeater",
    .klass = "Filter/Analyzer",
    .doc = "Repeats the last result of each object, or of the whole frame, where frames or regions were "
           "skipped.",
    .kind = ElementKind::transform,
    .input = {{TensorsSpec{}}, {TensorsSpec{}, MemoryKind::cuda}, {TensorsSpec{}, MemoryKind::opencl}},
    .output = {{TensorsSpec{}}, {TensorsSpec{}, MemoryKind::cuda}, {TensorsSpec{}, MemoryKind::opencl}},
    .params = ParamTable::of<MetaSmooth::Params>({
        param("max-age", &MetaSmooth::Params::max_age, "oldest result that is repeated; 0: no limit")
            .in("frames"),
        param("expose-age", &MetaSmooth::Params::expose_age,
              "add the attribute result-age to repeated results"),
    }),
    .create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
      return std::make_unique<MetaSmooth>(params.as<MetaSmooth::Params>());
    },
});

}  // namespace
}  // namespace sightglass
