#include "sightglass/elements/selection/selector.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "sightglass/elements/selection/pattern.h"
#include "sightglass/elements/selection/selector_program.h"

namespace sightglass {
namespace {

using Node = SelectorNode;
using Op = Node::Op;
using Field = Node::Field;

const Attribute* find_attribute(const AttributesRef& list, std::string_view model, std::string_view name) {
  if (list)
    for (const Attribute& attribute : list->items())
      if (attribute.model.view() == model && attribute.name.view() == name) return &attribute;
  return nullptr;
}

class Evaluation {
 public:
  Evaluation(const SelectorProgram& program, const Frame& frame, const SelectionContext& context)
      : program_(program), frame_(frame), context_(context) {
    width_ = context.width > 0 ? context.width : frame.video ? frame.video->width : 0;
    height_ = context.height > 0 ? context.height : frame.video ? frame.video->height : 0;
  }

  bool run(const Region* region) {
    region_ = region;
    return program_.nodes.empty() || holds(0);
  }

 private:
  bool all(size_t from, size_t end) {
    for (size_t i = from; i < end; i = program_.nodes[i].end)
      if (!holds(i)) return false;
    return true;
  }

  bool holds(size_t index) {
    const Node& node = program_.nodes[index];
    switch (node.op) {
      case Op::all:
        return all(index + 1, node.end);
      case Op::any:
        for (size_t i = index + 1; i < node.end; i = program_.nodes[i].end)
          if (holds(i)) return true;
        return false;
      case Op::negate:
        return !holds(index + 1);
      case Op::text_in:
      case Op::text_not_in:
      case Op::text_prefix:
      case Op::text_suffix:
      case Op::text_glob:
      case Op::text_exists:
        return text_holds(node);
      case Op::number_less:
      case Op::number_at_most:
      case Op::number_greater:
      case Op::number_at_least:
      case Op::number_between:
      case Op::number_in:
      case Op::number_not_in:
      case Op::number_exists:
        return number_holds(node);
      case Op::zone:
        return region_ && zone_holds(node);
      case Op::state:
        return region_ && (node.first >> uint32_t(track_state(*region_)) & 1);
      case Op::parent:
        return parent_holds(index, node);
      case Op::child:
        return children_hold(index, node);
      case Op::attribute:
        return region_ && attribute_holds(region_->attributes, index, node);
      case Op::frame_attribute:
        return attribute_holds(frame_.attributes, index, node);
      case Op::tag:
        return tag_holds(index, node);
      case Op::keyframe: {
        std::optional<bool> keyframe = context_.keyframe;
        if (!keyframe)
          if (const Attribute* said = find_attribute(frame_.attributes, stream_model, "keyframe"))
            keyframe = said->number != 0;
        return keyframe && *keyframe == (node.first != 0);
      }
      case Op::every:
        return context_.frame_number && *context_.frame_number % node.first == 0;
    }
    return false;
  }

  // Empty: missing.
  std::string_view text(Field field) const {
    switch (field) {
      case Field::element:
        return region_ ? region_->model.view() : std::string_view();
      case Field::label:
        return region_ ? region_->label.view() : std::string_view();
      case Field::draw_label: {
        const Attribute* said = region_ ? find_attribute(region_->attributes, "draw", "label") : nullptr;
        return said ? std::string_view(said->text) : std::string_view();
      }
      case Field::source: {
        if (!context_.source.empty()) return context_.source;
        const Attribute* said = find_attribute(frame_.attributes, stream_model, "source");
        return said ? std::string_view(said->text) : std::string_view();
      }
      case Field::attribute_namespace:
        return attribute_->model.view();
      case Field::attribute_name:
      case Field::tag:
        return attribute_->name.view();
      case Field::attribute_text:
        return attribute_->text;
      default:
        return {};
    }
  }

  bool one_of(const Node& node, std::string_view value) const {
    for (uint32_t i = node.first; i < node.first + node.count; ++i)
      if (program_.texts[i] == value) return true;
    return false;
  }

  bool text_holds(const Node& node) const {
    std::string_view value = text(node.field);
    // "door, gate" are two values.
    if (node.field == Field::attribute_text && attribute_->kind == AttributeKind::multi) {
      while (!value.empty()) {
        const size_t comma = std::min(value.find(", "), value.size());
        if (text_holds(node, value.substr(0, comma))) return true;
        value.remove_prefix(std::min(comma + 2, value.size()));
      }
      return node.op == Op::text_exists && node.first == 0 && attribute_->text.empty();
    }
    return text_holds(node, value);
  }

  bool text_holds(const Node& node, std::string_view value) const {
    if (node.op == Op::text_exists) return value.empty() == (node.first == 0);
    if (value.empty()) return false;
    const auto any = [&](auto test) {
      for (uint32_t i = node.first; i < node.first + node.count; ++i)
        if (test(program_.texts[i])) return true;
      return false;
    };
    switch (node.op) {
      case Op::text_in:
        return one_of(node, value);
      case Op::text_not_in:
        return !one_of(node, value);
      case Op::text_prefix:
        return any([&](const std::string& part) { return value.starts_with(part); });
      case Op::text_suffix:
        return any([&](const std::string& part) { return value.ends_with(part); });
      case Op::text_glob:
        return any([&](const std::string& pattern) { return glob_matches(pattern, value); });
      default:
        return false;
    }
  }

  // NaN: missing.
  double number(Field field) const {
    constexpr double missing = NAN;
    const auto of_box = [&](double value) { return region_ ? value : missing; };
    const Box box = region_ ? region_->box : Box{};
    const bool sized = width_ > 0 && height_ > 0;
    switch (field) {
      case Field::confidence:
        return region_ && region_->confidence != 0 ? double(region_->confidence) : missing;
      case Field::width:
        return of_box(sized ? double(box.w) * width_ : missing);
      case Field::height:
        return of_box(sized ? double(box.h) * height_ : missing);
      case Field::area:
        return of_box(sized ? double(box.w) * width_ * box.h * height_ : missing);
      case Field::aspect:
        return of_box(sized && box.h > 0 ? double(box.w) * width_ / (double(box.h) * height_) : missing);
      case Field::angle:
        return of_box(double(region_ ? region_->angle : 0));
      case Field::relative_width:
        return of_box(double(box.w));
      case Field::relative_height:
        return of_box(double(box.h));
      case Field::relative_area:
        return of_box(double(box.w) * box.h);
      case Field::track_id:
        return region_ && region_->track != 0 ? double(region_->track) : missing;
      case Field::track_age: {
        if (!region_ || region_->track == 0 || !context_.track_ages) return missing;
        const auto age = context_.track_ages->age(region_->track);
        return age ? double(*age) : missing;
      }
      case Field::frame_width:
        return width_ > 0 ? width_ : missing;
      case Field::frame_height:
        return height_ > 0 ? height_ : missing;
      case Field::queue_fill: {
        if (context_.queue_fill) return double(*context_.queue_fill);
        const Attribute* said = find_attribute(frame_.attributes, stream_model, "queue-fill");
        return said ? said->number : missing;
      }
      case Field::attribute_number:
        if (attribute_->kind == AttributeKind::number) return attribute_->number;
        return attribute_->kind == AttributeKind::vector && attribute_->values.size() == 1
                   ? double(attribute_->values[0])
                   : missing;
      case Field::attribute_confidence:
        return attribute_->confidence != 0 ? double(attribute_->confidence) : missing;
      case Field::count:
        return double(count_);
      default:
        return missing;
    }
  }

  bool number_holds(const Node& node) const {
    double value = number(node.field);
    if (node.op == Op::number_exists) return std::isnan(value) == (node.first == 0);
    if (std::isnan(value)) return false;
    if (is_single_precision(node.field)) value = double(float(value));
    const auto in_list = [&] {
      const auto list = program_.numbers.begin() + node.first;
      return std::find(list, list + node.count, value) != list + node.count;
    };
    switch (node.op) {
      case Op::number_less:
        return value < node.a;
      case Op::number_at_most:
        return value <= node.a;
      case Op::number_greater:
        return value > node.a;
      case Op::number_at_least:
        return value >= node.a;
      case Op::number_between:
        return value >= node.a && value <= node.b;
      case Op::number_in:
        return in_list();
      case Op::number_not_in:
        return !in_list();
      default:
        return false;
    }
  }

  std::array<PlanePoint, 4> corners(double x_unit, double y_unit) const {
    const Box& box = region_->box;
    const bool sized = width_ > 0 && height_ > 0;
    // The turn is one of pixels; without their number the picture counts as square.
    const double w = sized ? width_ : 1, h = sized ? height_ : 1;
    const double cx = (double(box.x) + box.w / 2) * w, cy = (double(box.y) + box.h / 2) * h;
    const double c = std::cos(region_->angle), s = std::sin(region_->angle);
    std::array<PlanePoint, 4> points;
    for (size_t i = 0; i < 4; ++i) {
      const double dx = (i == 0 || i == 3 ? -0.5 : 0.5) * box.w * w, dy = (i < 2 ? -0.5 : 0.5) * box.h * h;
      points[i] = {float((cx + c * dx - s * dy) / w * x_unit), float((cy + s * dx + c * dy) / h * y_unit)};
    }
    return points;
  }

  bool zone_holds(const Node& node) const {
    const Box& box = region_->box;
    if (!std::isfinite(box.x + box.y + box.w + box.h + region_->angle)) return false;
    bool inside = false;
    for (uint32_t i = node.first; i < node.first + node.count && !inside; ++i) {
      const SelectorProgram::Polygon& polygon = program_.polygons[i];
      if (polygon.pixels && (width_ <= 0 || height_ <= 0)) return false;
      const float x_unit = polygon.pixels ? float(width_) : 1, y_unit = polygon.pixels ? float(height_) : 1;
      if (node.anchor == Node::Anchor::any) {
        inside = touches(polygon.points, corners(x_unit, y_unit));
        continue;
      }
      const float y = node.anchor == Node::Anchor::bottom ? box.bottom() : box.y + box.h / 2;
      inside = contains(polygon.points, {(box.x + box.w / 2) * x_unit, y * y_unit});
    }
    return inside == (node.a != 0);
  }

  bool parent_holds(size_t index, const Node& node) {
    if (!region_ || region_->parent < 0) return false;
    const Region* parent = find_region(region_->parent);
    if (!parent) return false;
    const Region* self = std::exchange(region_, parent);
    const bool result = all(index + 1, node.end);
    region_ = self;
    return result;
  }

  const Region* find_region(int32_t id) const {
    // Regions mostly stand at the place of their number.
    if (size_t(id) < frame_.regions.size() && frame_.regions[size_t(id)].id == id)
      return &frame_.regions[size_t(id)];
    const auto found = std::ranges::find(frame_.regions, id, &Region::id);
    return found == frame_.regions.end() ? nullptr : &*found;
  }

  bool children_hold(size_t index, const Node& node) {
    const Region* self = region_;
    const int32_t id = self ? self->id : -1;
    int64_t count = 0;
    // An object that has not been numbered has no children yet.
    if (!self || id >= 0)
      for (const Region& region : frame_.regions) {
        if (region.parent != id) continue;
        region_ = &region;
        if (all(index + 1, node.split)) ++count;
      }
    region_ = self;
    const int64_t outer = std::exchange(count_, count);
    const bool result = all(node.split, node.end);
    count_ = outer;
    return result;
  }

  bool attribute_holds(const AttributesRef& list, size_t index, const Node& node) {
    if (!list) return false;
    for (const Attribute& attribute : list->items()) {
      attribute_ = &attribute;
      if (all(index + 1, node.end)) return true;
    }
    return false;
  }

  bool tag_holds(size_t index, const Node& node) {
    if (!frame_.attributes) return false;
    for (const Attribute& attribute : frame_.attributes->items()) {
      if (attribute.model.view() != tag_model) continue;
      attribute_ = &attribute;
      if (all(index + 1, node.end)) return true;
    }
    return false;
  }

  const SelectorProgram& program_;
  const Frame& frame_;
  const SelectionContext& context_;
  const Region* region_ = nullptr;
  const Attribute* attribute_ = nullptr;
  int64_t count_ = 0;
  int width_ = 0, height_ = 0;
};

const std::shared_ptr<const SelectorProgram>& empty_program() {
  static const auto program = std::make_shared<const SelectorProgram>();
  return program;
}

}  // namespace

Selector::Selector() : program_(empty_program()) {}

bool Selector::matches(const Frame& frame, const Region& region, const SelectionContext& context) const {
  return Evaluation(*program_, frame, context).run(&region);
}

bool Selector::matches(const Frame& frame, const SelectionContext& context) const {
  return Evaluation(*program_, frame, context).run(nullptr);
}

bool Selector::everything() const { return program_->nodes.empty(); }
bool Selector::whole_frame() const { return program_->of_frames && !program_->of_objects; }
bool Selector::uses_track_age() const { return program_->uses_track_age; }

}  // namespace sightglass
