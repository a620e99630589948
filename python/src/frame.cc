// Frame: a picture or tensors with times and results.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/src/bindings.h"
#include "python/src/picture.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/view.h"

namespace sightglass::python {

nb::object time_to(Time time) { return time == no_time ? nb::none() : nb::cast(time); }

Time time_from(nb::handle time) {
  if (time.is_none()) return no_time;
  const auto nanoseconds = nb::cast<Time>(time);
  if (nanoseconds < 0) throw nb::value_error("a time is nanoseconds from 0 on, or None");
  return nanoseconds;
}

namespace {

using Object = FrameObject;

Object from_tensors(std::vector<Tensor> tensors, const std::vector<std::string>& names,
                    const std::string& model, nb::handle pts, const Object* like) {
  auto info = std::make_shared<TensorsInfo>();
  info->model = model;
  for (const Tensor& tensor : tensors) {
    if (!tensor.memory) throw nb::value_error("a tensor without memory");
    TensorInfo one{.type = tensor.type, .shape = tensor.shape, .layout = tensor.layout};
    if (info->tensors.size() < names.size()) one.name = names[info->tensors.size()];
    info->tensors.push_back(std::move(one));
  }
  Object made;
  made.frame.tensors = std::move(tensors);
  if (like) {
    made.frame.pts = like->frame.pts;
    made.frame.duration = like->frame.duration;
    made.frame.source = like->frame.source;
    made.frame.affine = like->frame.affine;
  }
  if (!pts.is_none()) made.frame.pts = time_from(pts);
  made.info = std::move(info);
  return made;
}

Object from_numpy(nb::handle array, const std::string& pixels, std::optional<int> width,
                  std::optional<int> height, nb::handle pts) {
  Object made(picture_of_array(array, pixels, width, height));
  made.frame.pts = time_from(pts);
  return made;
}

Object empty(const std::string& pixels, int width, int height) {
  const auto format = pixel_format(pixels);
  if (!format) throw nb::value_error(("'" + pixels + "' is no pixel format").c_str());
  if (width <= 0 || height <= 0) throw nb::value_error("the size of a picture is positive");
  return Object(unwrap(allocate_frame({.format = *format, .width = width, .height = height})));
}

// The metadata of its own, the memory shared.
Object copy_of(Object& object) { return Object(object.native(), object.info); }

Object part_of(Object& object, int x, int y, int w, int h) {
  return Object(unwrap(view_of(object.native(), {x, y, w, h})));
}

// Results that were computed from what `result` was cut or scaled to, in the coordinates of `object`.
void add_results(Object& object, Object& result) {
  const Frame& from = result.native();
  nb::list regions = object.region_list();
  for (Region region : from.regions) {
    if (from.affine) region.box = apply(*from.affine, region.box);
    region.id = region.parent = -1;
    regions.append(region);
  }
  if (from.attributes)
    for (const Attribute& attribute : from.attributes->items())
      object.frame.attributes = with(object.frame.attributes, attribute);
}

nb::object crop_of(const Object& object) {
  const auto& crop = object.frame.crop;
  return crop ? nb::object(nb::make_tuple(crop->x, crop->y, crop->w, crop->h)) : nb::none();
}

void set_crop(Object& object, nb::handle crop) {
  if (crop.is_none()) {
    object.frame.crop.reset();
    return;
  }
  if (!nb::isinstance<nb::sequence>(crop) || nb::len(crop) != 4)
    throw nb::type_error("crop is (x, y, width, height) in pixels, or None");
  const Crop made{nb::cast<int>(crop[0]), nb::cast<int>(crop[1]), nb::cast<int>(crop[2]),
                  nb::cast<int>(crop[3])};
  const auto& video = object.frame.video;
  if (video && (made.x < 0 || made.y < 0 || made.w <= 0 || made.h <= 0 || made.w > video->width - made.x ||
                made.h > video->height - made.y))
    throw nb::value_error("the crop does not lie within the picture");
  object.frame.crop = made;
}

void set_regions(Object& object, nb::handle regions) {
  nb::list list;
  for (nb::handle region : regions) {
    if (!nb::isinstance<Region>(region)) throw nb::type_error("frame.regions may only hold Region objects");
    list.append(region);
  }
  object.regions = list;
}

std::string to_text(const Object& object) {
  const size_t regions = object.regions.is_valid() ? nb::len(object.regions) : object.frame.regions.size();
  return std::format(
      "Frame({}{}{})", to_string(format_of(object)),
      object.frame.pts == no_time ? "" : std::format(", pts {:.3f} s", double(object.frame.pts) / 1e9),
      regions ? std::format(", {} region{}", regions, regions > 1 ? "s" : "") : "");
}

}  // namespace

void bind_frame(nb::module_& module) {
  nb::class_<Object>(
      module, "Frame",
      "A picture or plain tensors, with time and results. The memory is shared, the results are its own.")
      .def_static("from_numpy", &from_numpy, nb::arg("array"), nb::arg("format") = "BGR",
                  nb::arg("width") = nb::none(), nb::arg("height") = nb::none(), nb::arg("pts") = nb::none(),
                  "A picture on the memory of an array, shared: (height, width, channels) for packed "
                  "formats, (height, "
                  "width) for grey ones, (3, height, width) for RGBP, and for planar ones like NV12 one "
                  "array of rows "
                  "as in OpenCV, or a list of one array per plane.")
      .def_static(
          "from_tensors", &from_tensors, nb::arg("tensors"), nb::arg("names") = std::vector<std::string>(),
          nb::arg("model") = "", nb::arg("pts") = nb::none(), nb::arg("like") = nb::none(),
          "Plain tensors; `like`: a frame that times, origin and place in the full picture are taken from.")
      .def_static("empty", &empty, nb::arg("format"), nb::arg("width"), nb::arg("height"),
                  "A new picture whose content is not set.")
      .def_prop_ro("format", [](const Object& o) { return format_of(o); })
      .def_prop_ro(
          "pixels",
          [](const Object& o) -> nb::object {
            return o.frame.video ? nb::cast(std::string(to_string(o.frame.video->format))) : nb::none();
          },
          "Pixel format, 'BGR', 'NV12', …; None for plain tensors.")
      .def_prop_ro("width", [](const Object& o) { return o.frame.video ? o.frame.video->width : 0; })
      .def_prop_ro("height", [](const Object& o) { return o.frame.video ? o.frame.video->height : 0; })
      .def_prop_rw(
          "pts", [](const Object& o) { return time_to(o.frame.pts); },
          [](Object& o, nb::handle time) { o.frame.pts = time_from(time); }, "Nanoseconds, or None.",
          nb::for_getter(nb::sig("def pts(self) -> int | None")), nb::for_setter(nb::arg("time").none()),
          nb::for_setter(nb::sig("def pts(self, time: int | None) -> None")))
      .def_prop_rw(
          "duration", [](const Object& o) { return time_to(o.frame.duration); },
          [](Object& o, nb::handle time) { o.frame.duration = time_from(time); }, "Nanoseconds, or None.",
          nb::for_getter(nb::sig("def duration(self) -> int | None")), nb::for_setter(nb::arg("time").none()),
          nb::for_setter(nb::sig("def duration(self, time: int | None) -> None")))
      .def_prop_rw("crop", &crop_of, &set_crop,
                   "The part of the picture that counts: (x, y, width, height), or None.",
                   nb::for_getter(nb::sig("def crop(self) -> tuple[int, int, int, int] | None")),
                   nb::for_setter(nb::arg("crop").none()),
                   nb::for_setter(nb::sig("def crop(self, crop: tuple[int, int, int, int] | None) -> None")))
      .def_prop_rw("regions", &Object::region_list, &set_regions,
                   "The objects found: a list, to be changed at will.",
                   nb::for_getter(nb::sig("def regions(self) -> list[Region]")),
                   nb::for_setter(nb::sig("def regions(self, regions: typing.Iterable[Region]) -> None")))
      .def_prop_rw(
          "attributes", [](const Object& o) { return attributes_to(o.frame.attributes); },
          [](Object& o, nb::handle list) { o.frame.attributes = attributes_from(list); },
          nb::for_getter(nb::sig("def attributes(self) -> tuple[Attribute, ...]")),
          nb::for_setter(nb::sig("def attributes(self, attributes: typing.Iterable[Attribute]) -> None")))
      .def(
          "add", [](Object& o, const Attribute& a) { o.frame.attributes = with(o.frame.attributes, a); },
          nb::arg("attribute"), "Adds an attribute of the whole frame.")
      .def("add_results", &add_results, nb::arg("result"),
           "Adds the results of a frame that was cut or scaled from this one, moved to where they belong.")
      .def_prop_ro(
          "tensors", [](const Object& o) { return o.frame.tensors; }, "The planes as bytes, or the tensors.")
      .def_prop_ro(
          "planes", [](const Object& o) { return planes_of(o.frame, false); },
          "Read-only arrays, one per plane, in the shape of the picture.",
          nb::sig("def planes(self) -> tuple[numpy.ndarray, ...]"))
      .def(
          "numpy", [](const Object& o, bool writable) { return picture_array(o.frame, writable); },
          nb::arg("writable") = false,
          "The picture as one array, without a copy; for formats of several planes use planes. Plain "
          "tensors: the only one.",
          nb::sig("def numpy(self, writable: bool = False) -> numpy.ndarray"))
      .def(
          "writable_planes", [](const Object& o) { return planes_of(o.frame, true); },
          nb::sig("def writable_planes(self) -> tuple[numpy.ndarray, ...]"))
      .def(
          "rgb", [](const Object& o) { return rgb_array(o.frame); },
          "The picture as (height, width, 3) in the order red, green, blue, without a copy: for RGB and BGR "
          "of any kind.",
          nb::sig("def rgb(self) -> numpy.ndarray"))
      .def("view", &part_of, nb::arg("x"), nb::arg("y"), nb::arg("width"), nb::arg("height"),
           "A part of the picture as a picture of its own, without a copy.")
      .def("copy", &copy_of, "The same memory with results of its own.")
      .def_prop_ro(
          "json", [](const Object& o) { return o.frame.json; },
          "The results as text, where an element has written them.")
      .def_prop_ro(
          "source",
          [](const Object& o) -> nb::object {
            if (!o.frame.source) return nb::none();
            nb::dict source;
            source["stream"] = o.frame.source->stream;
            source["roi"] = o.frame.source->roi ? nb::cast(*o.frame.source->roi) : nb::none();
            source["object"] = o.frame.source->object;
            source["batch_index"] = o.frame.source->batch_index;
            source["pts"] = time_to(o.frame.source->pts);
            return source;
          },
          "Where the frame comes from, or None.", nb::sig("def source(self) -> dict[str, int | None] | None"))
      .def("__repr__", &to_text);
}

}  // namespace sightglass::python
