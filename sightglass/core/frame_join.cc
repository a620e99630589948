#include "sightglass/core/frame_join.h"

#include <algorithm>

namespace sightglass {
namespace {

Box clip(const Box& box) {
  const float x0 = std::clamp(box.x, 0.f, 1.f), y0 = std::clamp(box.y, 0.f, 1.f);
  return {x0, y0, std::clamp(box.right(), 0.f, 1.f) - x0, std::clamp(box.bottom(), 0.f, 1.f) - y0};
}

void move_points(const Affine& affine, Attribute& attribute) {
  const size_t step = attribute.kind == AttributeKind::keypoints ? 3
                      : attribute.kind == AttributeKind::contour ? 2
                                                                 : 0;
  if (step == 0) return;
  for (size_t i = 0; i + step <= attribute.values.size(); i += step) {
    float &x = attribute.values[i], &y = attribute.values[i + 1];
    const auto moved = apply(affine, Box{x, y, 0, 0});
    x = moved.x, y = moved.y;
  }
}

AttributesRef moved(const AttributesRef& list, const Affine& affine, Label model) {
  const auto unchanged = [&](const Attribute& item) {
    return !item.model.empty() && (affine.identity() || (item.kind != AttributeKind::keypoints &&
                                                         item.kind != AttributeKind::contour));
  };
  if (!list || std::ranges::all_of(list->items(), unchanged)) return list;
  std::vector<Attribute> items = list->items();
  for (auto& item : items) {
    move_points(affine, item);
    if (item.model.empty()) item.model = model;
  }
  return make_ref<const AttributeList>(std::move(items));
}

}  // namespace

std::vector<Label> tensor_names(const TensorsInfo& info) {
  std::vector<Label> names;
  for (size_t i = 0; i < info.tensors.size(); ++i) {
    const auto& name = info.tensors[i].name;
    const std::string layer = name.empty() ? "output" + std::to_string(i) : name;
    names.emplace_back(info.model.empty() ? layer : info.model + "/" + layer);
  }
  return names;
}

bool join(const Frame& result, Label model, const std::vector<Label>& tensors, Frame& frame) {
  const Affine affine = result.affine.value_or(Affine{});
  Region* region = nullptr;
  if (result.source && result.source->roi) {
    const auto found = std::ranges::find(frame.regions, int32_t(*result.source->roi), &Region::id);
    if (found == frame.regions.end()) return false;
    region = &*found;
  }
  AttributesRef& target = region ? region->attributes : frame.attributes;
  if (auto list = moved(result.attributes, affine, model)) {
    if (target) {
      for (const auto& item : list->items()) target = with(target, item);
    } else {
      target = list;
    }
  }
  for (size_t i = 0; i < std::min(tensors.size(), result.tensors.size()); ++i) {
    Attribute raw{.name = tensors[i], .kind = AttributeKind::tensor};
    raw.tensor = result.tensors[i];
    raw.model = model;
    target = with(target, std::move(raw));
  }
  const int32_t parent = region ? region->id : -1;  // `region` does not survive the push_back below
  for (const auto& found : result.regions) {
    Region& added = frame.regions.emplace_back(found);
    added.id = -1;
    added.parent = parent;
    added.box = clip(apply(affine, found.box));
    if (added.model.empty()) added.model = model;
    added.attributes = moved(found.attributes, affine, model);
  }
  return true;
}

}  // namespace sightglass
