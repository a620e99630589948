// Elements written in Python, as the flow sees them. The calls take the interpreter's lock; what Python
// raises becomes an Error that carries the name of the element and the text of the exception.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "python/src/bindings.h"
#include "python/src/runner.h"

namespace sightglass::python {
namespace {

// The Python object, shared by the kinds of element below.
class Script {
 public:
  Script(nb::object self, std::string name) : self_(std::move(self)), name_(std::move(name)) {}
  ~Script() { release_object(self_); }

  // Calls `work(self)` with the lock held.
  template <class F>
  auto call(F work) const -> Result<decltype(work(nb::object()))> {
    if (!interpreter_is_running()) return fail(ErrorCode::cancelled, "Python has ended");
    nb::gil_scoped_acquire lock;
    try {
      if constexpr (std::is_void_v<decltype(work(nb::object()))>) {
        work(self_);
        return {};
      } else {
        return work(self_);
      }
    } catch (nb::python_error& raised) {
      Error error = to_error(raised);
      error.element = name_;
      // For `raise … from`: the traceback is worth more than the text.
      nb::setattr(self_, "_exception", raised.value());
      return std::unexpected(std::move(error));
    } catch (const std::exception& wrong) {
      return std::unexpected(Error{ErrorCode::internal, wrong.what(), name_, {}});
    }
  }
  Status method(const char* name) const {
    return call([&](nb::object self) { self.attr(name)(); });
  }
  Status configure(const Format& input, const Format& output) const {
    return call([&](nb::object self) { self.attr("configure")(input, output); });
  }
  const std::string& name() const { return name_; }

 private:
  nb::object self_;
  std::string name_;
};

std::shared_ptr<const TensorsInfo> info_of(const Format& format) {
  return format.tensors() ? std::make_shared<const TensorsInfo>(*format.tensors()) : nullptr;
}

// What a frame may not differ in from what was agreed.
Status expect(const Frame& frame, const Format& format) {
  Format given;
  if (frame.video) {
    given.media = *frame.video;
    const VideoInfo* video = format.video();
    if (video && video->format == frame.video->format && video->width == frame.video->width &&
        video->height == frame.video->height)
      return {};
  } else {
    TensorsInfo info;
    for (const Tensor& tensor : frame.tensors)
      info.tensors.push_back({.type = tensor.type, .shape = tensor.shape, .layout = tensor.layout});
    const TensorsInfo* agreed = format.tensors();
    const bool fits =
        agreed && std::ranges::equal(agreed->tensors, info.tensors, [](const auto& a, const auto& b) {
          return a.type == b.type && a.shape == b.shape;
        });
    if (fits) return {};
    given.media = std::move(info);
  }
  return fail(ErrorCode::not_negotiated, "returned a frame of {}; agreed was {}", to_string(given),
              to_string(format));
}

// Hands every frame of what process() has returned to `take`: nothing, a frame, or many.
void each_frame(nb::object returned, auto take) {
  if (returned.is_none()) return;
  if (nb::isinstance<FrameObject>(returned)) return take(nb::cast<FrameObject&>(returned));
  if (!nb::hasattr(returned, "__iter__"))
    throw nb::type_error("process() returns a Frame, None, or an iterable of frames");
  for (nb::handle item : returned) {
    if (!nb::isinstance<FrameObject>(item)) throw nb::type_error("process() may only give frames");
    take(nb::cast<FrameObject&>(item));
  }
}

class ScriptTransform final : public Transform {
 public:
  ScriptTransform(nb::object self, std::string name, std::vector<FormatSpec> input,
                  std::vector<FormatSpec> output)
      : script_(std::move(self), std::move(name)),
        input_specs_(std::move(input)),
        output_specs_(std::move(output)) {}

  Status start() override { return script_.method("start"); }
  void stop() override { (void)script_.method("stop"); }

  std::vector<FormatSpec> transform_format(Direction from, const FormatSpec& spec) const override {
    if (from == Direction::output) return input_specs_;
    const auto input = fixed(spec);
    if (!input) return output_specs_;
    // Of a known input Python says what it makes of it.
    auto output =
        script_.call([&](nb::object self) { return specs_from(self.attr("output_format")(*input)); });
    return output ? *output : std::vector<FormatSpec>();
  }

  Status configure(const Format& input, const Format& output) override {
    output_ = output;
    info_ = info_of(input);
    return script_.configure(input, output);
  }

  Status process(const Frame& frame, Output& output) override {
    return give(
        output, [&](nb::object self) { return self.attr("process")(FrameObject(frame, info_)); }, &frame);
  }
  Status drain(Output& output) override {
    return give(output, [](nb::object self) { return self.attr("drain")(); }, nullptr);
  }

 private:
  // A format where the set holds one only.
  static std::optional<Format> fixed(const FormatSpec& spec) {
    Format format;
    format.memory = spec.memory;
    if (const auto* video = std::get_if<VideoSpec>(&spec.media)) {
      if (video->formats.size() != 1 || !video->width.fixed() || !video->height.fixed()) return {};
      format.media =
          VideoInfo{.format = video->formats[0], .width = video->width.min, .height = video->height.min};
      return format;
    }
    const auto* tensors = std::get_if<TensorsSpec>(&spec.media);
    if (!tensors || tensors->tensors.empty()) return {};
    TensorsInfo info{.model = tensors->model};
    for (const TensorSpec& one : tensors->tensors) {
      if (one.types.size() != 1 || one.shape.empty() || !one.shape.fixed()) return {};
      info.tensors.push_back(
          {.type = one.types[0], .shape = one.shape, .layout = one.layout, .name = one.name});
    }
    format.media = std::move(info);
    return format;
  }

  Status give(Output& output, auto call, const Frame* from) {
    // The frames are collected with the lock and sent on without it: what is downstream may take long, or be
    // Python as well.
    auto frames = script_.call([&](nb::object self) {
      std::vector<Frame> list;
      each_frame(call(self), [&](FrameObject& object) {
        Frame frame = object.native();
        if (from && frame.pts == no_time) frame.pts = from->pts, frame.duration = from->duration;
        if (from && !frame.source) frame.source = from->source;
        if (from && !frame.affine) frame.affine = from->affine;
        list.push_back(std::move(frame));
      });
      return list;
    });
    if (!frames) return forward_error(frames);
    for (const Frame& frame : *frames) {
      if (auto status = expect(frame, output_); !status) {
        status.error().element = script_.name();
        return status;
      }
      if (auto status = output.push(frame); !status) return status;
    }
    return {};
  }

  Script script_;
  std::vector<FormatSpec> input_specs_, output_specs_;
  Format output_;
  std::shared_ptr<const TensorsInfo> info_;
};

class ScriptInplace final : public TransformInplace {
 public:
  ScriptInplace(nb::object self, std::string name) : script_(std::move(self), std::move(name)) {}
  Status start() override { return script_.method("start"); }
  void stop() override { (void)script_.method("stop"); }
  Status configure(const Format& input, const Format& output) override {
    info_ = info_of(input);
    return script_.configure(input, output);
  }
  Status drain() override { return script_.method("drain"); }

  Result<Verdict> process(Frame& frame) override {
    return script_.call([&](nb::object self) {
      nb::object given = nb::cast(FrameObject(frame, info_));
      nb::object returned = self.attr("process")(given);
      if (returned.is(nb::handle(Py_False))) return Verdict::drop;
      if (!returned.is_none() && !returned.is(nb::handle(Py_True)) && !returned.is(given))
        throw nb::type_error(
            "process() of an element that works in place returns None or the frame, or False to drop it");
      Frame& changed = nb::cast<FrameObject&>(given).native();
      frame.regions = changed.regions;
      frame.attributes = changed.attributes;
      frame.crop = changed.crop;
      frame.pts = changed.pts;
      frame.duration = changed.duration;
      return Verdict::pass;
    });
  }

 private:
  Script script_;
  std::shared_ptr<const TensorsInfo> info_;
};

class ScriptSource final : public Source {
 public:
  ScriptSource(nb::object self, std::string name) : script_(std::move(self), std::move(name)) {}
  Status start() override { return script_.method("start"); }
  void stop() override { (void)script_.method("stop"); }
  Status configure(const Format& input, const Format& output) override {
    output_ = output;
    return script_.configure(input, output);
  }
  void cancel() override { (void)script_.method("cancel"); }

  Result<std::vector<Format>> formats() override {
    return script_.call([](nb::object self) {
      nb::object given = self.attr("formats")();
      if (nb::isinstance<Format>(given)) return std::vector<Format>{nb::cast<Format>(given)};
      return nb::cast<std::vector<Format>>(given);
    });
  }
  Result<bool> read(Frame& frame, Output&) override {
    auto more = script_.call([&](nb::object self) {
      nb::object given = self.attr("process")();
      if (given.is_none()) return false;
      if (!nb::isinstance<FrameObject>(given))
        throw nb::type_error("process() of a source returns a Frame, or None at the end");
      frame = nb::cast<FrameObject&>(given).native();
      return true;
    });
    if (!more || !*more || frame.video) return more;  // a picture may change its format, tensors may not
    if (auto status = expect(frame, output_); !status) return std::unexpected(status.error());
    return true;
  }

 private:
  Script script_;
  Format output_;
};

class ScriptSink final : public Sink {
 public:
  ScriptSink(nb::object self, std::string name) : script_(std::move(self), std::move(name)) {}
  Status start() override { return script_.method("start"); }
  void stop() override { (void)script_.method("stop"); }
  Status configure(const Format& input, const Format& output) override {
    info_ = info_of(input);
    return script_.configure(input, output);
  }
  Status drain() override { return script_.method("drain"); }
  Status write(const Frame& frame) override {
    return script_.call([&](nb::object self) { self.attr("process")(FrameObject(frame, info_)); });
  }

 private:
  Script script_;
  std::shared_ptr<const TensorsInfo> info_;
};

}  // namespace

UserElement make_user_element(nb::object element) {
  UserElement made;
  ElementDesc& desc = made.desc;
  desc.name = nb::cast<std::string>(element.attr("name"));
  const auto kind = nb::cast<std::string>(element.attr("_kind"));
  desc.title = desc.name;
  desc.klass = "Filter";
  desc.input = specs_from(element.attr("input"));
  desc.params = ParamTable{};
  nb::object output = element.attr("output");
  desc.output = output.is_none() ? desc.input : specs_from(output);
  desc.reads_results = true;
  if (kind == "transform") {
    desc.kind = ElementKind::transform;
    made.element = std::make_unique<ScriptTransform>(element, desc.name, desc.input, desc.output);
  } else if (kind == "transform_inplace") {
    desc.kind = ElementKind::transform_inplace;
    desc.output = desc.input;
    desc.writes_pixels = nb::cast<bool>(element.attr("writes_pixels"));
    made.element = std::make_unique<ScriptInplace>(element, desc.name);
  } else if (kind == "source") {
    desc.kind = ElementKind::source;
    desc.input.clear();
    made.element = std::make_unique<ScriptSource>(element, desc.name);
  } else {
    desc.kind = ElementKind::sink;
    desc.output.clear();
    made.element = std::make_unique<ScriptSink>(element, desc.name);
  }
  return made;
}

}  // namespace sightglass::python
