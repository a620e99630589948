// map(): frames in other memory and other formats, for the time of a `with`.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "python/src/bindings.h"
#include "sightglass/memory/map_to.h"

namespace sightglass::python {
namespace {

// The context manager. Holds the frame that it maps by its own handle, so that nothing dangles.
struct MappedFrame {
  Frame original;
  MapTarget target;
  MapOptions options;
  std::optional<FrameMapping> mapping;
};

Access access_from(const std::string& name) {
  if (name == "read") return Access::read;
  if (name == "write") return Access::write;
  if (name == "read_write") return Access::read_write;
  throw nb::value_error(("'" + name + "' is no access; one of: read, write, read_write").c_str());
}

Form form_from(const Frame& frame, const std::string& kind, std::optional<std::string> pixels) {
  Form form = form_of(frame);
  const auto memory = memory_kind(kind);
  if (!memory) throw nb::value_error(("'" + kind + "' is no kind of memory").c_str());
  form.memory = *memory;
  if (pixels) {
    form.pixels = pixel_format(*pixels);
    if (!form.pixels) throw nb::value_error(("'" + *pixels + "' is no pixel format").c_str());
  }
  return form;
}

FrameObject enter(MappedFrame& self) {
  if (self.mapping) throw nb::value_error("the frame is mapped already");
  self.mapping = unwrap(unlocked([&] { return map_to(self.original, self.target, self.options); }));
  FrameObject mapped(self.mapping->frame());
  mapped.frame.pts = self.original.pts;
  mapped.frame.duration = self.original.duration;
  return mapped;
}

void finish(MappedFrame& self) {
  if (!self.mapping) return;
  const auto status = unlocked([&] {
    Status done = self.mapping->finish();
    self.mapping.reset();
    return done;
  });
  if (!status) raise(status.error());
}

}  // namespace

void bind_mapping(nb::module_& module) {
  nb::class_<MappedFrame>(module, "FrameMapping", "A frame in another form, for the time of a `with`.")
      .def("__enter__", &enter)
      .def("__exit__", [](MappedFrame& self, nb::args) { finish(self); })
      .def_prop_ro(
          "plan",
          [](const MappedFrame& self) {
            const auto plan = plan_map(form_of(self.original), self.target.form);
            return plan ? (*plan)->to_string() : plan.error().message;
          },
          "The way that it takes, in words.");

  module.attr("Frame").attr("map") = nb::cpp_function(
      [](FrameObject& self, const std::string& kind, std::optional<std::string> format,
         const std::string& access, bool strict) {
        Frame& frame = self.native();
        MappedFrame mapped{.original = frame, .target = {}, .options = {}, .mapping = {}};
        mapped.target = {
            .form = form_from(frame, kind, format), .access = access_from(access), .context = {}};
        mapped.options.strict_zero_copy = strict;
        return mapped;
      },
      nb::name("map"), nb::scope(module.attr("Frame")), nb::is_method(), nb::arg("kind") = "system",
      nb::arg("format") = nb::none(), nb::arg("access") = "read", nb::arg("strict") = false,
      "The frame in another kind of memory ('opencv', 'cuda', …) or pixel format, over the cheapest way; "
      "what is written "
      "is brought back at the end of the `with`. strict: an error instead of a copy.");

  module.def(
      "plan",
      [](const std::string& from, const std::string& to) {
        return unwrap(unlocked([&]() -> Result<std::string> {
          const auto first = parse_form(from), last = parse_form(to);
          if (!first) return std::unexpected(first.error());
          if (!last) return std::unexpected(last.error());
          const auto plan = plan_map(*first, *last);
          if (!plan) return std::unexpected(plan.error());
          return (*plan)->to_string();
        }));
      },
      nb::arg("source"), nb::arg("target"),
      "The way between two forms in words: plan('system:BGR', 'opencv:BGR').");
}

}  // namespace sightglass::python
