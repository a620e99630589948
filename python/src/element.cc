// The elements of the registry: what the package makes its classes from, and the object that runs one of
// them.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <limits>

#include "python/src/bindings.h"
#include "python/src/interruptible.h"
#include "python/src/runner.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/plugins.h"

namespace sightglass::python {
namespace {

std::string_view type_name(ParamType type) {
  switch (type) {
    case ParamType::boolean:
      return "bool";
    case ParamType::integer:
    case ParamType::unsigned_integer:
    case ParamType::integer64:
      return "int";
    case ParamType::number32:
    case ParamType::number:
      return "float";
    case ParamType::text:
    case ParamType::choice:
      return "str";
    case ParamType::integers:
      return "list[int]";
    case ParamType::numbers:
      return "list[float]";
    case ParamType::texts:
      return "list[str]";
    case ParamType::fraction:
      return "tuple[int, int]";
  }
  return "";
}

nb::dict describe(const ParamDesc& desc) {
  nb::dict made;
  std::string name = desc.name;
  std::ranges::replace(name, '-', '_');
  made["name"] = name;
  made["doc"] = desc.doc;
  made["type"] = std::string(type_name(desc.type));
  made["default"] = from_param_value(desc, desc.default_value);
  made["unit"] = desc.unit;
  made["live"] = desc.is_live;
  made["readable_only"] = desc.is_readable_only;
  made["choices"] = desc.choice_names;
  const bool has_range =
      desc.min > std::numeric_limits<int>::min() || desc.max < std::numeric_limits<int>::max();
  made["range"] = has_range && desc.min > std::numeric_limits<double>::lowest()
                      ? nb::object(nb::make_tuple(desc.min, desc.max))
                      : nb::none();
  return made;
}

constexpr const char* kinds[] = {"source", "transform", "transform_inplace", "sink"};

nb::dict describe(const ElementDesc& desc) {
  nb::dict made;
  made["name"] = desc.name;
  made["title"] = desc.title;
  made["doc"] = desc.doc;
  made["kind"] = kinds[size_t(desc.kind)];
  nb::list params;
  for (const ParamDesc& param : desc.params.params) params.append(describe(param));
  made["params"] = params;
  return made;
}

struct NativeElement {
  std::unique_ptr<Runner> runner;
};

NativeElement make(const std::string& name, nb::dict params) {
  const ElementDesc* desc = find_element(name);
  if (!desc) raise({ErrorCode::not_found, "there is no element '" + name + "'", {}, {}});
  ParamSet set(desc->params);
  for (auto [key, value] : params) {
    const auto param = nb::cast<std::string>(key);
    ParamValue given;
    try {
      given = to_param_value(value);
    } catch (const nb::builtin_exception& wrong) {
      raise({ErrorCode::invalid_argument, param + ": " + wrong.what(), name, {}});
    }
    if (auto status = set.set(param, given); !status) {
      Error error = status.error();
      error.element = name;
      raise(error);
    }
  }
  return {std::make_unique<Runner>(*desc, std::move(set))};
}

void show_warnings(Runner& runner) {
  for (const std::string& warning : unlocked([&] { return runner.take_warnings(); }))
    if (PyErr_WarnEx(PyExc_UserWarning, (runner.desc().name + ": " + warning).c_str(), 2) < 0)
      throw nb::python_error();
}

nb::list to_list(std::vector<RunFrame>&& frames) {
  nb::list list;
  for (RunFrame& one : frames) list.append(FrameObject(std::move(one.frame), std::move(one.info)));
  return list;
}

nb::list process(NativeElement& self, nb::handle given) {
  if (!nb::isinstance<FrameObject>(given)) throw nb::type_error("an element is called with a Frame");
  FrameObject& object = nb::cast<FrameObject&>(given);
  const bool inplace = self.runner->desc().kind == ElementKind::transform_inplace;
  Frame frame = object.native();
  const Format format = format_of(object);
  auto made = unlocked([&] { return self.runner->process(frame, format, object.info); });
  show_warnings(*self.runner);
  auto frames = unwrap(std::move(made));
  if (!inplace) return to_list(std::move(frames));
  // The results go to the very frame that was given.
  object.regions.reset();
  object.frame = std::move(frame);
  nb::list list;
  if (!frames.empty()) list.append(given);
  return list;
}

nb::object read(NativeElement& self) {
  Result<std::vector<RunFrame>> made;
  interruptible([&] { made = self.runner->read(); }, [&] { self.runner->cancel(); });
  show_warnings(*self.runner);
  auto frames = unwrap(std::move(made));
  if (frames.empty()) return nb::none();
  return nb::cast(FrameObject(std::move(frames[0].frame), std::move(frames[0].info)));
}

nb::object get(NativeElement& self, const std::string& name) {
  const ParamDesc* desc = self.runner->desc().params.find(name);
  if (!desc) throw nb::attribute_error(name.c_str());
  return from_param_value(*desc, unwrap(unlocked([&] { return self.runner->get(name); })));
}

void set(NativeElement& self, const std::string& name, nb::handle value) {
  const ParamValue given = to_param_value(value);
  if (auto status = unlocked([&] { return self.runner->set(name, given); }); !status) {
    Error error = status.error();
    error.element = self.runner->desc().name;
    raise(error);
  }
}

// What was set, as a pipeline's text has it: for a flow, which makes the element anew.
std::vector<std::pair<std::string, std::string>> settings(NativeElement& self) {
  std::vector<std::pair<std::string, std::string>> list;
  const ParamSet params = self.runner->params();
  for (const ParamDesc& desc : params.table().params)
    if (params.is_set(desc.name)) list.emplace_back(desc.name, desc.to_text(params.get(desc.name).value()));
  return list;
}

}  // namespace

void bind_element(nb::module_& module) {
  module.def("describe_elements", [] {
    for (const Error& error : unlocked([]() -> const std::vector<Error>& { return load_plugins(); }))
      if (PyErr_WarnEx(PyExc_UserWarning, error.to_string().c_str(), 1) < 0) throw nb::python_error();
    nb::list list;
    for (const ElementDesc* desc : all_elements()) list.append(describe(*desc));
    return list;
  });
  nb::class_<NativeElement>(module, "NativeElement")
      .def("__init__", [](NativeElement* self, const std::string& name,
                          nb::dict params) { new (self) NativeElement(make(name, params)); })
      .def("process", &process)
      .def(
          "drain",
          [](NativeElement& self) { return to_list(unwrap(unlocked([&] { return self.runner->drain(); }))); })
      .def("read", &read)
      .def("stop",
           [](NativeElement& self) {
             unlocked([&] { self.runner->stop(); });
             show_warnings(*self.runner);
           })
      .def("get", &get)
      .def("set", &set, nb::arg("name"), nb::arg("value").none())
      .def("settings", [](NativeElement& self) {
        nb::list list;
        for (auto& [name, text] : settings(self)) list.append(nb::make_tuple(name, text));
        return list;
      });
}

}  // namespace sightglass::python
