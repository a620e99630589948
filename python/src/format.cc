// Format: what frames look like, fixed or as a set, for elements written in Python and for messages.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/src/bindings.h"
#include "python/src/runner.h"

namespace sightglass::python {
namespace {

PixelFormat pixels_from(const std::string& name) {
  if (const auto format = pixel_format(name)) return *format;
  std::string known;
  for (PixelFormat format : all_pixel_formats())
    known += (known.empty() ? "" : ", ") + std::string(to_string(format));
  throw nb::value_error(("'" + name + "' is no pixel format; one of: " + known).c_str());
}

DataType type_from(const std::string& name) {
  if (const auto type = data_type(name)) return *type;
  throw nb::value_error(("'" + name + "' is no data type").c_str());
}

std::vector<FormatSpec> every_format() {
  const auto all = all_pixel_formats();
  return {{VideoSpec{{all.begin(), all.end()}, {}, {}}}, {TensorsSpec{}}};
}

MemoryKind memory_from(const std::string& name) {
  const auto kind = memory_kind(name);
  if (!kind || (*kind != MemoryKind::system && *kind != MemoryKind::cuda))
    throw nb::value_error(("'" + name + "' is no memory for tensors in Python; system or cuda").c_str());
  return *kind;
}

FormatSpec spec_of_text(const std::string& text) {
  if (text == "tensors") return {TensorsSpec{}};
  if (text.starts_with("tensors(") && text.ends_with(")"))
    return {TensorsSpec{}, memory_from(text.substr(8, text.size() - 9))};
  return {VideoSpec{{pixels_from(text)}, {}, {}}};
}

Format make_video(const std::string& pixels, int width, int height, std::optional<std::pair<int, int>> rate) {
  if (width < 0 || height < 0) throw nb::value_error("a picture has no negative size");
  VideoInfo video{.format = pixels_from(pixels), .width = width, .height = height};
  if (rate) video.frame_rate = {rate->first, rate->second};
  return {video};
}

Format make_tensors(nb::iterable tensors, std::vector<std::string> names, const std::string& model,
                    const std::string& memory) {
  TensorsInfo info{.model = model};
  for (nb::handle item : tensors) {
    if (!nb::isinstance<nb::sequence>(item) || nb::len(item) != 2)
      throw nb::type_error("each tensor is a pair of its dtype and its shape: ('float32', (1, 3, 416, 416))");
    TensorInfo one{.type = type_from(nb::cast<std::string>(item[0]))};
    for (nb::handle dim : nb::borrow<nb::iterable>(item[1])) {
      if (one.shape.rank() == Shape::max_rank) throw nb::value_error("a tensor has at most 8 axes");
      one.shape.push_back(nb::cast<int64_t>(dim));
    }
    if (info.tensors.size() < names.size()) one.name = names[info.tensors.size()];
    info.tensors.push_back(std::move(one));
  }
  return {std::move(info), memory_from(memory)};
}

}  // namespace

std::vector<FormatSpec> specs_from(nb::handle formats) {
  if (formats.is_none()) return every_format();
  if (nb::isinstance<Format>(formats)) return {spec_of(nb::cast<Format>(formats))};
  if (nb::isinstance<nb::str>(formats)) return {spec_of_text(nb::cast<std::string>(formats))};
  if (!nb::isinstance<nb::sequence>(formats))
    throw nb::type_error("formats are the name of a pixel format, 'tensors', a Format, or a list of these");
  std::vector<FormatSpec> specs;
  for (nb::handle one : formats)
    for (FormatSpec& spec : specs_from(one)) specs.push_back(std::move(spec));
  return specs;
}

void bind_format(nb::module_& module) {
  nb::class_<Format>(module, "Format", "What the frames of a stream look like.")
      .def_static(
          "video",
          [](const std::string& pixels, int width, int height, nb::object rate) {
            std::optional<std::pair<int, int>> fraction;
            if (!rate.is_none()) fraction = {nb::cast<int>(rate[0]), nb::cast<int>(rate[1])};
            return make_video(pixels, width, height, fraction);
          },
          nb::arg("pixels"), nb::arg("width") = 0, nb::arg("height") = 0, nb::arg("frame_rate") = nb::none(),
          "Pictures; a size of 0 is left open.")
      .def_static(
          "tensors", &make_tensors, nb::arg("tensors"), nb::arg("names") = nb::make_tuple(),
          nb::arg("model") = "", nb::arg("memory") = "system",
          "Plain tensors, each a pair of dtype and shape; -1 leaves an axis open. memory is where they "
          "lie: system or cuda.")
      .def_prop_ro(
          "pixels",
          [](const Format& f) -> nb::object {
            return f.video() ? nb::cast(std::string(to_string(f.video()->format))) : nb::none();
          },
          "'BGR', 'NV12', …; None for tensors.")
      .def_prop_ro("width", [](const Format& f) { return f.video() ? f.video()->width : 0; })
      .def_prop_ro("height", [](const Format& f) { return f.video() ? f.video()->height : 0; })
      .def_prop_ro("frame_rate",
                   [](const Format& f) {
                     const Fraction rate = f.video() ? f.video()->frame_rate : Fraction{};
                     return nb::make_tuple(rate.num, rate.den);
                   })
      .def_prop_ro("shapes",
                   [](const Format& f) {
                     nb::list shapes;
                     if (const TensorsInfo* info = f.tensors())
                       for (const TensorInfo& one : info->tensors) {
                         nb::list shape;
                         for (int64_t dim : one.shape) shape.append(dim);
                         shapes.append(nb::tuple(shape));
                       }
                     return shapes;
                   })
      .def_prop_ro("dtypes",
                   [](const Format& f) {
                     std::vector<std::string> types;
                     if (const TensorsInfo* info = f.tensors())
                       for (const TensorInfo& one : info->tensors) types.emplace_back(to_string(one.type));
                     return types;
                   })
      .def_prop_ro("names",
                   [](const Format& f) {
                     std::vector<std::string> names;
                     if (const TensorsInfo* info = f.tensors())
                       for (const TensorInfo& one : info->tensors) names.push_back(one.name);
                     return names;
                   })
      .def_prop_ro(
          "memory", [](const Format& f) { return std::string(to_string(f.memory)); },
          "Where frames lie: 'system', 'cuda', …")
      .def_prop_ro("model", [](const Format& f) { return f.tensors() ? f.tensors()->model : std::string(); })
      .def("__repr__", [](const Format& f) { return "Format(" + to_string(f) + ")"; });
}

}  // namespace sightglass::python
