// The delivered functions around a model, by name, and the plain ones behind them: sightglass.functions.
#include "sightglass/elements/functions/function.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>

#include "python/src/bindings.h"
#include "sightglass/elements/functions/rotated_overlap.h"
#include "sightglass/elements/functions/vectors.h"

namespace sightglass::python {
namespace {

// A function with its parameters and what it remembers: of one stream.
struct Step {
  const FunctionDesc* desc;
  std::unique_ptr<Function> function;
};

nb::dict parameters_of(const FunctionDesc& desc) {
  const ParamSet defaults(desc.params);
  nb::dict parameters;
  for (const ParamDesc& param : desc.params.params) {
    std::string name = param.name;
    std::ranges::replace(name, '-', '_');
    parameters[name.c_str()] = from_param_value(param, unwrap(defaults.get(param.name)));
  }
  return parameters;
}

Step make(const std::string& name, const nb::kwargs& given) {
  const FunctionDesc* desc = find_function(name);
  if (!desc) unwrap<void>(fail(ErrorCode::not_found, "there is no function '{}'", name));
  ParamSet params(desc->params);
  for (const auto& [key, value] : given)
    unwrap(params.set(nb::cast<std::string>(key), to_param_value(value)));
  return {desc, desc->make(params)};
}

void run(Step& step, FrameObject& object, const std::string& model) {
  auto* decode = dynamic_cast<DecodeFunction*>(step.function.get());
  if (!decode)
    unwrap<void>(fail(ErrorCode::unsupported,
                      "{} is a function of the hook {}; only those of decode run on a frame", step.desc->name,
                      to_string(step.desc->hook)));
  Frame& frame = object.native();
  decode->run(frame, Label(model));
  object.regions = nb::object();
}

Box box_from(nb::handle value) {
  if (nb::isinstance<Box>(value)) return nb::cast<Box>(value);
  const auto numbers = nb::cast<std::vector<float>>(value);
  if (numbers.size() != 4) throw nb::type_error("a box is a Box or four numbers (x, y, width, height)");
  return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

std::vector<std::vector<double>> rows(const Projection& projection) {
  const double* m = projection.m;
  return {{m[0], m[1], m[2]}, {m[3], m[4], m[5]}, {m[6], m[7], m[8]}};
}

std::vector<Pixel> points_from(const std::vector<std::vector<double>>& given) {
  std::vector<Pixel> points;
  for (const auto& point : given) {
    if (point.size() != 2) throw nb::type_error("a point is two numbers, (x, y)");
    points.push_back({point[0], point[1]});
  }
  return points;
}

nb::object matrix(const std::optional<Projection>& projection) {
  return projection ? nb::cast(rows(*projection)) : nb::none();
}

void bind_plain_functions(nb::module_& module) {
  module.def(
      "function_crop_expand",
      [](nb::handle box, float factor, float aspect, int width, int height) {
        return crop_expand(box_from(box), factor, aspect, {float(width), float(height)});
      },
      nb::arg("box"), nb::arg("factor") = 1.f, nb::arg("aspect") = 0.f, nb::arg("width") = 0,
      nb::arg("height") = 0,
      nb::sig("def function_crop_expand(box: typing.Any, factor: float = 1.0, aspect: float = 0.0, width: "
              "int = 0, "
              "height: int = 0) -> Box"),
      "The box grown about its centre, then to width / height in pixels of a picture of that size, clipped.");
  module.def(
      "function_rotated_iou",
      [](nb::handle a, float angle_a, nb::handle b, float angle_b, float width, float height) {
        return rotated_iou(box_from(a), angle_a, box_from(b), angle_b, width, height);
      },
      nb::arg("a"), nb::arg("angle_a"), nb::arg("b"), nb::arg("angle_b"), nb::arg("width") = 1.f,
      nb::arg("height") = 1.f,
      nb::sig("def function_rotated_iou(a: typing.Any, angle_a: float, b: typing.Any, angle_b: float, width: "
              "float = 1.0, "
              "height: float = 1.0) -> float"),
      "Intersection over union of two turned boxes, 0..1.");
  module.def(
      "function_softmax",
      [](std::vector<float> values, float temperature) {
        softmax(values, temperature);
        return values;
      },
      nb::arg("values"), nb::arg("temperature") = 1.f, "Scores as probabilities.");
  module.def(
      "function_l2_normalize",
      [](std::vector<float> values) {
        l2_normalize(values);
        return values;
      },
      nb::arg("values"), "The vector at length 1; a zero vector as it is.");
  module.def(
      "function_align_face_5pt",
      [](const std::vector<std::vector<double>>& landmarks, int width, int height) {
        return matrix(align_face_5pt(points_from(landmarks), width, height));
      },
      nb::arg("landmarks"), nb::arg("width") = 112, nb::arg("height") = 112,
      nb::sig(
          "def function_align_face_5pt(landmarks: typing.Sequence[typing.Sequence[float]], width: int = 112, "
          "height: int "
          "= 112) -> list[list[float]] | None"),
      "3 x 3: pixels of the upright crop to pixels of the picture; None where the points are no face.");
  module.def(
      "function_warp_plate",
      [](const std::vector<std::vector<double>>& corners, int width, int height) {
        return matrix(warp_plate(points_from(corners), width, height));
      },
      nb::arg("corners"), nb::arg("width") = 96, nb::arg("height") = 32,
      nb::sig("def function_warp_plate(corners: typing.Sequence[typing.Sequence[float]], width: int = 96, "
              "height: int "
              "= 32) -> "
              "list[list[float]] | None"),
      "3 x 3: pixels of the rectangle to pixels of the picture; corners clockwise, top left first.");
  module.def(
      "function_letterbox",
      [](int width, int height, int canvas_width, int canvas_height, bool centred) {
        return rows(letterbox(width, height, canvas_width, canvas_height, centred));
      },
      nb::arg("width"), nb::arg("height"), nb::arg("canvas_width"), nb::arg("canvas_height"),
      nb::arg("centred") = true,
      "3 x 3: pixels of the canvas to pixels of the picture that is fitted into it.");
}

}  // namespace

void bind_functions(nb::module_& module) {
  nb::class_<FunctionDesc>(module, "FunctionInfo", "What is known of a function.")
      .def_ro("name", &FunctionDesc::name)
      .def_ro("doc", &FunctionDesc::doc)
      .def_prop_ro("hook", [](const FunctionDesc& desc) { return std::string(to_string(desc.hook)); })
      .def_prop_ro("parameters", &parameters_of, nb::sig("def parameters(self) -> dict[str, typing.Any]"),
                   "With their defaults.")
      .def("__repr__", [](const FunctionDesc& desc) { return "FunctionInfo(" + desc.name + ")"; });
  nb::class_<Step>(module, "FunctionStep", "A function that runs on frames; one for each stream.")
      .def_prop_ro("name", [](const Step& step) { return step.desc->name; })
      .def("__call__", &run, nb::arg("frame"), nb::arg("model") = "",
           nb::sig("def __call__(self, frame: Frame, model: str = '') -> None"),
           "Changes the objects and attributes of that model (all, where it is empty) in place.")
      .def("reset", [](Step& step) {
        if (auto* decode = dynamic_cast<DecodeFunction*>(step.function.get())) decode->reset();
      });
  module.def(
      "function_all",
      [] {
        nb::list list;
        for (const FunctionDesc& desc : all_functions())
          list.append(nb::cast(&desc, nb::rv_policy::reference));
        return list;
      },
      nb::sig("def function_all() -> list[FunctionInfo]"), "All functions.");
  module.def("function_make", &make, nb::arg("name"), nb::arg("parameters"),
             nb::sig("def function_make(name: str, **parameters: typing.Any) -> FunctionStep"),
             "A function with its parameters.");
  bind_plain_functions(module);
}

}  // namespace sightglass::python
