#include "sightglass/core/region.h"

#include <algorithm>

namespace sightglass {

float iou(const Box& a, const Box& b) {
  const float width = std::min(a.right(), b.right()) - std::max(a.x, b.x);
  const float height = std::min(a.bottom(), b.bottom()) - std::max(a.y, b.y);
  if (!(width > 0 && height > 0)) return 0;
  const float common = width * height;
  const float whole = a.area() + b.area() - common;
  return whole > 0 ? std::min(common / whole, 1.0f) : 0;
}

std::string_view to_string(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::box:
      return "box";
    case AttributeKind::classification:
      return "class";
    case AttributeKind::multi:
      return "multi";
    case AttributeKind::text:
      return "text";
    case AttributeKind::number:
      return "number";
    case AttributeKind::vector:
      return "vector";
    case AttributeKind::tensor:
      return "tensor";
    case AttributeKind::keypoints:
      return "keypoints";
    case AttributeKind::contour:
      return "contour";
    case AttributeKind::mask:
      return "mask";
  }
  return "?";
}

const Attribute* AttributeList::find(std::string_view name) const {
  for (const Attribute& attribute : attributes_)
    if (attribute.name.view() == name) return &attribute;
  return nullptr;
}

AttributesRef with(const AttributesRef& list, Attribute attribute) {
  std::vector<Attribute> items;
  if (list) {
    items.reserve(list->items().size() + 1);
    items = list->items();
  }
  const auto same = std::ranges::find_if(items, [&](const Attribute& old) {
    return old.name == attribute.name && old.model == attribute.model;
  });
  if (same == items.end())
    items.push_back(std::move(attribute));
  else
    *same = std::move(attribute);
  return make_ref<AttributeList>(std::move(items));
}

}  // namespace sightglass
