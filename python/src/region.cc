// Box, Attribute and Region: the results of a frame.
#include <nanobind/operators.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>

#include "python/src/bindings.h"

namespace sightglass::python {
namespace {

Box box_from(nb::handle value) {
  if (nb::isinstance<Box>(value)) return nb::cast<Box>(value);
  if (!nb::isinstance<nb::sequence>(value) || nb::len(value) != 4)
    throw nb::type_error("a box is a Box or four numbers (x, y, width, height) in 0..1 of the picture");
  return {nb::cast<float>(value[0]), nb::cast<float>(value[1]), nb::cast<float>(value[2]),
          nb::cast<float>(value[3])};
}

// x, y, width and height in whole pixels, for numpy slices and drawing; clipped to the picture.
nb::tuple to_pixels(const Box& box, int width, int height) {
  const auto place = [](float at, int size) {
    return std::clamp(int(std::lround(at * float(size))), 0, size);
  };
  const int left = place(box.x, width), top = place(box.y, height);
  return nb::make_tuple(left, top, place(box.right(), width) - left, place(box.bottom(), height) - top);
}

AttributeKind kind_from(const std::string& name) {
  for (int kind = 0; kind <= int(AttributeKind::mask); ++kind)
    if (to_string(AttributeKind(kind)) == name) return AttributeKind(kind);
  throw nb::value_error(("'" + name + "' is no kind of attribute").c_str());
}

// The kind follows from what is given, where it is not said.
Attribute make_attribute(const std::string& name, nb::object value, float confidence, int32_t label_id,
                         const std::string& kind, const std::string& model, nb::handle place) {
  Attribute made{.name = Label(name), .label_id = label_id, .confidence = confidence, .model = Label(model)};
  if (nb::isinstance<nb::str>(value)) {
    made.text = nb::cast<std::string>(value);
    made.kind = label_id >= 0 || confidence > 0 ? AttributeKind::classification : AttributeKind::text;
  } else if (nb::isinstance<Tensor>(value)) {
    made.tensor = nb::cast<Tensor>(value);
    made.kind = AttributeKind::tensor;
  } else if (nb::isinstance<Box>(value)) {
    const Box box = nb::cast<Box>(value);
    made.values = {box.x, box.y, box.w, box.h};
    made.kind = AttributeKind::box;
  } else if (double number; nb::try_cast(value, number)) {
    made.number = number;
    made.kind = AttributeKind::number;
  } else if (!nb::try_cast(value, made.values)) {
    throw nb::type_error("the value of an attribute is text, a number, a list of numbers, a Box or a Tensor");
  } else {
    made.kind = AttributeKind::vector;
  }
  if (!kind.empty()) made.kind = kind_from(kind);
  if (!place.is_none()) {
    if (made.kind != AttributeKind::mask) throw nb::type_error("only a mask has a box that it covers");
    const Box covered = box_from(place);
    made.values = {covered.x, covered.y, covered.w, covered.h};
  }
  return made;
}

nb::object value_of(const Attribute& attribute) {
  switch (attribute.kind) {
    case AttributeKind::classification:
    case AttributeKind::multi:
    case AttributeKind::text:
      return nb::cast(attribute.text);
    case AttributeKind::number:
      return nb::cast(attribute.number);
    case AttributeKind::tensor:
    case AttributeKind::mask:
      return nb::cast(attribute.tensor);
    case AttributeKind::box:
      if (attribute.values.size() == 4)
        return nb::cast(
            Box{attribute.values[0], attribute.values[1], attribute.values[2], attribute.values[3]});
      break;
    case AttributeKind::vector:
    case AttributeKind::keypoints:
    case AttributeKind::contour:
      break;
  }
  return nb::cast(attribute.values);
}

std::string text_of(Label label) { return std::string(label.view()); }

std::string to_text(const Region& region) {
  return std::format("Region({}{:.2f} at {:.3f},{:.3f} {:.3f}x{:.3f}{})",
                     region.label.empty() ? "" : text_of(region.label) + " ", region.confidence, region.box.x,
                     region.box.y, region.box.w, region.box.h,
                     region.track ? std::format(", track {}", region.track) : "");
}

void bind_box(nb::module_& module) {
  nb::class_<Box>(module, "Box", "A rectangle in 0..1 of the picture: x to the right, y down.")
      .def(nb::init<float, float, float, float>(), nb::arg("x"), nb::arg("y"), nb::arg("w"), nb::arg("h"))
      .def_rw("x", &Box::x)
      .def_rw("y", &Box::y)
      .def_rw("w", &Box::w)
      .def_rw("h", &Box::h)
      .def_prop_ro("right", &Box::right)
      .def_prop_ro("bottom", &Box::bottom)
      .def_prop_ro("area", &Box::area)
      .def(
          "iou", [](const Box& a, const Box& b) { return iou(a, b); }, nb::arg("other"),
          "Intersection over union, 0..1.")
      .def("pixels", &to_pixels, nb::arg("width"), nb::arg("height"),
           "x, y, width and height in whole pixels of a picture of that size, clipped to it.")
      .def("__iter__", [](const Box& b) { return nb::iter(nb::make_tuple(b.x, b.y, b.w, b.h)); })
      .def(nb::self == nb::self)
      .def("__repr__", [](const Box& b) {
        return std::format("Box({:.4g}, {:.4g}, {:.4g}, {:.4g})", b.x, b.y, b.w, b.h);
      });
}

void bind_attribute(nb::module_& module) {
  nb::class_<Attribute>(
      module, "Attribute",
      "A typed result of an object or of a whole frame: a class, a text, a number, a vector, keypoints…")
      .def(
          "__init__",
          [](Attribute* self, const std::string& name, nb::object value, float confidence, int32_t label_id,
             const std::string& kind, const std::string& model, nb::object box) {
            new (self) Attribute(make_attribute(name, value, confidence, label_id, kind, model, box));
          },
          nb::arg("name"), nb::arg("value"), nb::arg("confidence") = 0.f, nb::arg("label_id") = -1,
          nb::arg("kind") = "", nb::arg("model") = "", nb::arg("box") = nb::none(),
          "The kind follows from the value: text with a confidence or a label id is a class, else 'text'; "
          "'number', 'vector', 'box', 'tensor'. 'keypoints' (x, y, score triples), 'contour' and 'mask' (a "
          "Tensor of float32 scores or uint8 label ids, and the box that it covers) have to be said.")
      .def_prop_ro("name", [](const Attribute& a) { return text_of(a.name); })
      .def_prop_ro("kind", [](const Attribute& a) { return std::string(to_string(a.kind)); })
      .def_prop_ro("value", &value_of, "Text, number, list of numbers, Box or Tensor, as the kind says.")
      .def_ro("text", &Attribute::text)
      .def_ro("label_id", &Attribute::label_id, "Place in the list of labels; -1: none.")
      .def_ro("confidence", &Attribute::confidence)
      .def_ro("number", &Attribute::number)
      .def_ro("values", &Attribute::values)
      .def_prop_ro("model", [](const Attribute& a) { return text_of(a.model); })
      .def_ro("age", &Attribute::age, "Frames since it was computed; 0: on this one.")
      .def("__repr__", [](const Attribute& a) {
        return std::format("Attribute({}={})", a.name.view(), nb::cast<std::string>(nb::repr(value_of(a))));
      });
}

const Attribute* find(const Region& region, const std::string& name) {
  return region.attributes ? region.attributes->find(name) : nullptr;
}

}  // namespace

nb::tuple attributes_to(const AttributesRef& attributes) {
  nb::list list;
  if (attributes)
    for (const Attribute& item : attributes->items()) list.append(item);
  return nb::tuple(list);
}

AttributesRef attributes_from(nb::handle sequence) {
  std::vector<Attribute> items;
  for (nb::handle item : sequence) {
    if (!nb::isinstance<Attribute>(item)) throw nb::type_error("attributes are a sequence of Attribute");
    items.push_back(nb::cast<Attribute>(item));
  }
  return items.empty() ? AttributesRef() : make_ref<const AttributeList>(std::move(items));
}

void bind_region(nb::module_& module) {
  bind_box(module);
  bind_attribute(module);
  nb::class_<Region>(module, "Region", "An object that was found in a frame.")
      .def(
          "__init__",
          [](Region* self, nb::object box, const std::string& label, float confidence, int32_t label_id,
             int64_t track, float angle, int32_t parent, const std::string& model, nb::object attributes) {
            new (self) Region{.parent = parent,
                              .box = box_from(box),
                              .angle = angle,
                              .confidence = confidence,
                              .label = Label(label),
                              .label_id = label_id,
                              .model = Label(model),
                              .track = track,
                              .attributes = attributes_from(attributes)};
          },
          nb::arg("box"), nb::arg("label") = "", nb::arg("confidence") = 1.f, nb::arg("label_id") = -1,
          nb::arg("track") = 0, nb::arg("angle") = 0.f, nb::arg("parent") = -1, nb::arg("model") = "",
          nb::arg("attributes") = nb::make_tuple())
      .def_ro("id", &Region::id, "Within the frame, from 0; -1: not numbered yet.")
      .def_rw("parent", &Region::parent, "Id of the region that it was found in; -1: none.")
      .def_prop_rw(
          "box", [](Region& r) -> Box& { return r.box; },
          [](Region& r, nb::handle box) { r.box = box_from(box); }, nb::rv_policy::reference_internal,
          nb::for_setter(nb::arg("box")))
      .def_rw("angle", &Region::angle, "Radians, clockwise, about the centre of the box.")
      .def_rw("confidence", &Region::confidence, "0..1")
      .def_prop_rw(
          "label", [](const Region& r) { return text_of(r.label); },
          [](Region& r, const std::string& label) { r.label = Label(label); })
      .def_rw("label_id", &Region::label_id, "Place in the list of labels; -1: none.")
      .def_prop_rw(
          "model", [](const Region& r) { return text_of(r.model); },
          [](Region& r, const std::string& model) { r.model = Label(model); })
      .def_rw("track", &Region::track, "Track id, from 1; 0: untracked.")
      .def_prop_rw(
          "attributes", [](const Region& r) { return attributes_to(r.attributes); },
          [](Region& r, nb::handle list) { r.attributes = attributes_from(list); },
          nb::for_getter(nb::sig("def attributes(self) -> tuple[Attribute, ...]")),
          nb::for_setter(nb::sig("def attributes(self, attributes: typing.Iterable[Attribute]) -> None")))
      .def(
          "add", [](Region& r, const Attribute& attribute) { r.attributes = with(r.attributes, attribute); },
          nb::arg("attribute"), "Adds it, in place of one of the same name and model.")
      .def(
          "attribute",
          [](const Region& r, const std::string& name) -> nb::object {
            const Attribute* found = find(r, name);
            return found ? nb::cast(*found) : nb::none();
          },
          nb::sig("def attribute(self, name: str) -> Attribute | None"))
      .def(
          "__eq__",
          [](const Region& a, nb::handle b) { return nb::isinstance<Region>(b) && a == nb::cast<Region>(b); },
          nb::sig("def __eq__(self, other: object) -> bool"))
      .def("__repr__", &to_text);
}

}  // namespace sightglass::python
