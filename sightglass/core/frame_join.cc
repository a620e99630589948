#include "sightglass/core/frame_join.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace sightglass {
namespace {

Box clip(const Box& box) {
  const float x0 = std::clamp(box.x, 0.f, 1.f), y0 = std::clamp(box.y, 0.f, 1.f);
  return {x0, y0, std::clamp(box.right(), 0.f, 1.f) - x0, std::clamp(box.bottom(), 0.f, 1.f) - y0};
}

// Moves the box of a region. A matrix that rotates makes an upright box an oriented one, in the pixels of the
// frame, where angles mean something; a quarter turn leaves it upright. A box that is oriented already was
// found in a picture scaled alike in x and y, so that only a rotation changes its angle.
void move_box(const Affine& affine, const std::optional<VideoInfo>& video, Region& region) {
  const double* m = affine.m;
  const double width = video ? video->width : 1, height = video ? video->height : 1;
  // Where one step to the right and one step down lead, in pixels.
  const double right_x = m[0] * width, right_y = m[3] * height, down_x = m[1] * width, down_y = m[4] * height;
  constexpr double flat = 1e-6;
  const bool turned =
      std::abs(right_y) > flat * std::abs(right_x) || std::abs(down_x) > flat * std::abs(down_y);
  const bool quarter =
      std::abs(right_x) <= flat * std::abs(right_y) && std::abs(down_y) <= flat * std::abs(down_x);
  const Box& box = region.box;
  if (!turned || (quarter && region.angle == 0)) {
    region.box = apply(affine, box);
    if (region.angle == 0) region.box = clip(region.box);
    return;
  }
  const Box centre = apply(affine, Box{box.x + box.w / 2, box.y + box.h / 2, 0, 0});
  const double w = box.w * std::hypot(right_x, right_y) / width,
               h = box.h * std::hypot(down_x, down_y) / height;
  region.box = {float(centre.x - w / 2), float(centre.y - h / 2), float(w), float(h)};
  region.angle = float(std::remainder(region.angle + std::atan2(right_y, right_x), 2 * std::numbers::pi));
}

void move_points(const Affine& affine, Attribute& attribute) {
  std::vector<float>& v = attribute.values;
  if (attribute.kind == AttributeKind::mask) {
    if (v.empty()) v = {0, 0, 1, 1};  // all of the part that the model has seen
    if (v.size() != 4) return;
    const Box moved = apply(affine, Box{v[0], v[1], v[2], v[3]});
    v = {moved.x, moved.y, moved.w, moved.h};
    return;
  }
  const bool keypoints = attribute.kind == AttributeKind::keypoints;
  const size_t step = keypoints ? 3 : attribute.kind == AttributeKind::contour ? 2 : 0;
  if (step == 0) return;
  for (size_t i = 0; i + step <= v.size(); i += step) {
    if (keypoints && v[i] == -1 && v[i + 1] == -1) continue;  // not found
    const Box moved = apply(affine, Box{v[i], v[i + 1], 0, 0});
    v[i] = moved.x, v[i + 1] = moved.y;
  }
}

AttributesRef moved(const AttributesRef& list, const Affine& affine, Label model) {
  const auto has_place = [](const Attribute& item) {
    return item.kind == AttributeKind::keypoints || item.kind == AttributeKind::contour ||
           item.kind == AttributeKind::mask;
  };
  const auto unchanged = [&](const Attribute& item) {
    return !item.model.empty() && (affine.identity() || !has_place(item));
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
    move_box(affine, frame.video, added);
    if (added.model.empty()) added.model = model;
    added.attributes = moved(found.attributes, affine, model);
  }
  return true;
}

}  // namespace sightglass
