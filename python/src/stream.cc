// The compiled part of sightglass.stream: the client library.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <utility>

#include "python/src/bindings.h"
#include "sightglass/stream/client.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::python {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using stream::ResultRecord;

// How long a call is deaf to Ctrl-C.
constexpr milliseconds slice{100};

milliseconds to_ms(double seconds) { return milliseconds(int64_t(std::clamp(seconds, 0.0, 1e9) * 1000)); }

std::string lower(std::string_view text) {
  std::string made(text);
  std::ranges::transform(made, made.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return made;
}

// --- values
// ---------------------------------------------------------------------------------------------------

nb::object value_to(const stream::Value& value);

struct ValueToPython {
  nb::object operator()(std::monostate) const { return nb::none(); }
  nb::object operator()(bool v) const { return nb::cast(v); }
  nb::object operator()(int64_t v) const { return nb::cast(v); }
  nb::object operator()(double v) const { return nb::cast(v); }
  nb::object operator()(const std::string& v) const { return nb::cast(v); }
  nb::object operator()(const stream::Booleans& v) const {
    nb::list list;
    for (const bool item : v.booleans) list.append(item);
    return list;
  }
  nb::object operator()(const stream::Longs& v) const { return nb::cast(v.longs); }
  nb::object operator()(const stream::Doubles& v) const { return nb::cast(v.doubles); }
  nb::object operator()(const stream::Strings& v) const { return nb::cast(v.strings); }
  nb::object operator()(const stream::Box& v) const {
    return nb::make_tuple(v.xc, v.yc, v.width, v.height, v.angle.value_or(0.f));
  }
  nb::object operator()(const stream::Point& v) const { return nb::make_tuple(v.x, v.y); }
  nb::object operator()(const stream::Boxes& v) const { return list_of(v.boxes); }
  nb::object operator()(const stream::Points& v) const { return list_of(v.points); }
  nb::object operator()(const stream::Polygons& v) const { return list_of(v.polygons); }
  nb::object operator()(const stream::Mask& v) const {
    nb::dict made;
    made["width"] = v.width;
    made["height"] = v.height;
    made["rle"] = nb::cast(v.rle);
    return made;
  }
  nb::object operator()(const stream::Crossing& v) const {
    nb::dict made;
    made["line"] = v.line;
    made["direction"] = v.direction;
    return made;
  }
  nb::object operator()(const stream::Tensor& v) const {
    nb::dict made;
    made["dtype"] = v.dtype;
    made["shape"] = nb::cast(v.shape);
    made["data"] = nb::bytes(v.data.data(), v.data.size());
    return made;
  }
  nb::object operator()(const stream::Opaque& v) const {
    nb::dict made;
    made["type_name"] = v.type_name;
    made["data"] = nb::bytes(v.data.data(), v.data.size());
    return made;
  }

 private:
  template <class T>
  nb::object list_of(const std::vector<T>& items) const {
    nb::list list;
    for (const T& item : items) list.append((*this)(item));
    return list;
  }
};

nb::object value_to(const stream::Value& value) { return std::visit(ValueToPython{}, value); }

stream::Value value_from(nb::handle value) {
  if (value.is_none()) return {};
  if (nb::isinstance<nb::bool_>(value)) return nb::cast<bool>(value);
  if (nb::isinstance<nb::int_>(value)) return nb::cast<int64_t>(value);
  if (nb::isinstance<nb::float_>(value)) return nb::cast<double>(value);
  if (nb::isinstance<nb::str>(value)) return nb::cast<std::string>(value);
  if (nb::isinstance<nb::list>(value) || nb::isinstance<nb::tuple>(value)) {
    if (std::vector<int64_t> longs; nb::try_cast(value, longs)) return stream::Longs{std::move(longs)};
    if (std::vector<double> doubles; nb::try_cast(value, doubles)) return stream::Doubles{std::move(doubles)};
    if (std::vector<std::string> texts; nb::try_cast(value, texts)) return stream::Strings{std::move(texts)};
  }
  throw nb::type_error("a value is None, a bool, a number, a text, or a list of numbers or of texts");
}

stream::Attribute make_attribute(std::string space, std::string name, nb::handle value,
                                 std::optional<float> confidence, bool persistent, bool hidden) {
  return {.namespace_ = std::move(space),
          .name = std::move(name),
          .values = {{.confidence = confidence, .value = value_from(value)}},
          .hint = {},
          .persistent = persistent,
          .hidden = hidden};
}

void bind_values(nb::module_& module) {
  nb::class_<stream::Attribute>(module, "Attribute", "A typed fact of an object or of a frame.")
      .def(
          "__init__",
          [](stream::Attribute* self, std::string space, std::string name, nb::object value,
             std::optional<float> confidence, bool persistent, bool hidden) {
            new (self) stream::Attribute(
                make_attribute(std::move(space), std::move(name), value, confidence, persistent, hidden));
          },
          nb::arg("namespace"), nb::arg("name"), nb::arg("value").none(), nb::arg("confidence") = nb::none(),
          nb::arg("persistent") = true, nb::arg("hidden") = false)
      .def_prop_ro("namespace", [](const stream::Attribute& a) { return a.namespace_; })
      .def_ro("name", &stream::Attribute::name)
      .def_prop_ro(
          "value",
          [](const stream::Attribute& a) {
            return a.values.empty() ? nb::none() : value_to(a.values[0].value);
          },
          "The first value.")
      .def_prop_ro(
          "confidence",
          [](const stream::Attribute& a) { return a.values.empty() ? std::nullopt : a.values[0].confidence; })
      .def_prop_ro(
          "values",
          [](const stream::Attribute& a) {
            nb::list list;
            for (const auto& one : a.values) list.append(value_to(one.value));
            return list;
          },
          nb::sig("def values(self) -> list[typing.Any]"))
      .def_ro("persistent", &stream::Attribute::persistent)
      .def_ro("hidden", &stream::Attribute::hidden)
      .def("__repr__",
           [](const stream::Attribute& a) { return std::format("Attribute({}.{})", a.namespace_, a.name); });
  nb::class_<stream::Object>(module, "Object", "An object in a frame; boxes are in pixels.")
      .def_ro("id", &stream::Object::id)
      .def_ro("parent_id", &stream::Object::parent_id)
      .def_prop_ro("namespace", [](const stream::Object& o) { return o.namespace_; })
      .def_ro("label", &stream::Object::label)
      .def_ro("confidence", &stream::Object::confidence)
      .def_prop_ro(
          "box",
          [](const stream::Object& o) {
            const stream::Box& box = o.detection_box;
            return nb::make_tuple(box.xc - box.width / 2, box.yc - box.height / 2, box.width, box.height);
          },
          "Left, top, width and height, before the box is turned.",
          nb::sig("def box(self) -> tuple[float, float, float, float]"))
      .def_prop_ro(
          "angle", [](const stream::Object& o) { return o.detection_box.angle.value_or(0.f); },
          "Radians, clockwise, about the centre.")
      .def_ro("track_id", &stream::Object::track_id)
      .def_ro("attributes", &stream::Object::attributes)
      .def(
          "attribute",
          [](const stream::Object& o, const std::string& space, const std::string& name) -> nb::object {
            for (const auto& one : o.attributes)
              if (one.namespace_ == space && one.name == name)
                return one.values.empty() ? nb::none() : value_to(one.values[0].value);
            return nb::none();
          },
          nb::arg("namespace"), nb::arg("name"), "The first value of an attribute, or None.")
      .def("__repr__", [](const stream::Object& o) {
        return std::format("Object({} {}.{})", o.id, o.namespace_, o.label);
      });
}

// --- results
// --------------------------------------------------------------------------------------------------

Time to_ns(const stream::VideoFrame& frame, int64_t time) {
  return Time(__int128(time) * frame.time_base.num * 1'000'000'000 / frame.time_base.den);
}

nb::object payload_of(const ResultRecord& record) {
  auto* owner = new stream::Payload(record.payload);
  nb::capsule keeps(owner, [](void* held) noexcept { delete static_cast<stream::Payload*>(held); });
  return nb::cast(nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>(record.payload.bytes.data(),
                                                                     {record.payload.bytes.size()}, keeps));
}

void bind_result(nb::module_& module) {
  const auto of_frame = [](auto read) {
    return [read](const ResultRecord& r) -> nb::object {
      return r.frame() ? nb::cast(read(*r.frame())) : nb::none();
    };
  };
  using stream::VideoFrame;
  nb::class_<ResultRecord>(module, "Result",
                           "A message: a frame with its results, or a note about its stream.")
      .def_prop_ro(
          "kind", [](const ResultRecord& r) { return lower(to_string(r.message->kind)); },
          "'frame', 'end_of_stream', 'stream_update', 'user_data', 'frame_update'.")
      .def_prop_ro("source_id", [](const ResultRecord& r) { return r.source_id(); })
      .def_prop_ro("epoch", [](const ResultRecord& r) { return r.message->epoch; })
      .def_prop_ro("seq", [](const ResultRecord& r) { return r.message->seq; })
      .def_ro("missing", &ResultRecord::missing, "Messages of this source that are missing right before it.")
      .def_prop_ro("is_frame", [](const ResultRecord& r) { return r.frame() != nullptr; })
      .def_prop_ro("end_of_stream", [](const ResultRecord& r) { return r.end_of_stream(); })
      .def_prop_ro("uuid", of_frame([](const VideoFrame& f) { return stream::to_string(f.uuid); }),
                   nb::sig("def uuid(self) -> str | None"))
      .def_prop_ro("pts", of_frame([](const VideoFrame& f) { return to_ns(f, f.pts); }), "Nanoseconds.",
                   nb::sig("def pts(self) -> int | None"))
      .def_prop_ro("width", of_frame([](const VideoFrame& f) { return f.width; }),
                   nb::sig("def width(self) -> int | None"))
      .def_prop_ro("height", of_frame([](const VideoFrame& f) { return f.height; }),
                   nb::sig("def height(self) -> int | None"))
      .def_prop_ro("codec", of_frame([](const VideoFrame& f) { return f.codec.value_or(""); }),
                   nb::sig("def codec(self) -> str | None"))
      .def_prop_ro("keyframe", of_frame([](const VideoFrame& f) { return f.keyframe; }),
                   nb::sig("def keyframe(self) -> bool | None"))
      .def_prop_ro(
          "tags",
          [](const ResultRecord& r) { return r.frame() ? r.frame()->tags : std::vector<std::string>(); })
      .def_prop_ro("objects",
                   [](const ResultRecord& r) {
                     const auto objects = r.objects();
                     return std::vector<stream::Object>(objects.begin(), objects.end());
                   })
      .def_prop_ro("attributes",
                   [](const ResultRecord& r) {
                     if (r.frame()) return r.frame()->attributes;
                     return r.message->user_data ? r.message->user_data->attributes
                                                 : std::vector<stream::Attribute>();
                   })
      .def(
          "attribute",
          [](const ResultRecord& r, const std::string& space, const std::string& name) -> nb::object {
            const stream::Value* found = r.attribute(space, name);
            return found ? value_to(*found) : nb::none();
          },
          nb::arg("namespace"), nb::arg("name"), "The first value of a frame's attribute, or None.")
      .def_prop_ro("payload", &payload_of,
                   "The picture as it was sent, as bytes in a read-only array; may be empty.",
                   nb::sig("def payload(self) -> numpy.ndarray"))
      .def("__repr__", [](const ResultRecord& r) {
        return std::format("Result({} {} {})", lower(to_string(r.message->kind)), r.source_id(),
                           r.message->seq);
      });
}

// --- the two ends
// ---------------------------------------------------------------------------------------------

class Sender {
 public:
  Sender(const std::string& url, const std::string& name, std::optional<double> send_timeout, bool checksum)
      : sender_(unwrap(stream::FrameSender::open(
            url, {.send_timeout = send_timeout ? std::optional(to_ms(*send_timeout)) : std::nullopt,
                  .name = name,
                  .checksum = checksum}))) {}

  nb::object send_frame(const std::string& source_id, nb::handle data, stream::FrameOptions options) {
    Py_buffer view;
    if (PyObject_GetBuffer(data.ptr(), &view, PyBUF_SIMPLE) != 0) throw nb::python_error();
    const auto* first = static_cast<const uint8_t*>(view.buf);
    std::vector<uint8_t> bytes(first, first + view.len);
    PyBuffer_Release(&view);
    return send(source_id, stream::own(std::move(bytes)), options);
  }

  nb::object forward(const ResultRecord& record, const std::vector<stream::Attribute>& attributes,
                     const std::vector<std::string>& tags) {
    const auto uuid = unwrap(unlocked([&] { return sender_.forward(record, attributes, tags); }));
    return uuid ? nb::cast(stream::to_string(*uuid)) : nb::none();
  }

  void end_stream(const std::string& source_id) {
    unwrap(unlocked([&] { return sender_.end_stream(source_id); }));
  }
  void send_user_data(const std::string& source_id, std::vector<stream::Attribute> attributes) {
    unwrap(unlocked([&] { return sender_.send_user_data(source_id, std::move(attributes)); }));
  }
  void finish(double timeout) {
    // In slices, so that Ctrl-C is heard.
    for (milliseconds left = to_ms(timeout);; left -= slice) {
      auto status = unlocked([&] { return sender_.finish(std::min(left, slice)); });
      if (status) return;
      if (left <= slice || status.error().code != ErrorCode::exhausted) raise(status.error());
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
  }
  stream::FrameSender& native() { return sender_; }

 private:
  nb::object send(const std::string& source_id, const stream::Payload& payload,
                  const stream::FrameOptions& options) {
    return nb::cast(
        stream::to_string(unwrap(unlocked([&] { return sender_.send_frame(source_id, payload, options); }))));
  }

  stream::FrameSender sender_;
};

class Receiver {
 public:
  Receiver(const std::string& url, std::vector<std::string> sources, std::string prefix, std::string name)
      : receiver_(unwrap(stream::ResultReceiver::open(
            url,
            {.sources = std::move(sources), .source_prefix = std::move(prefix), .name = std::move(name)}))) {}

  nb::object next(std::optional<double> timeout) {
    const Waiting waiting(is_waiting_);
    native();
    for (milliseconds left = timeout ? to_ms(*timeout) : milliseconds(0);; left -= slice) {
      const milliseconds wait = timeout ? std::min(left, slice) : slice;
      auto result = unwrap(unlocked([&] { return receiver_.next(wait); }));
      if (result) return nb::cast(std::move(*result));
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
      if (is_interrupted_.exchange(false) || (timeout && left <= slice)) return nb::none();
    }
  }
  void interrupt() {
    if (is_closed_) return;
    is_interrupted_ = true;
    receiver_.interrupt();
  }
  void close() {
    if (is_waiting_)
      throw std::runtime_error("close() while another thread is in next(); interrupt() it first");
    if (std::exchange(is_closed_, true)) return;
    unlocked([&] { receiver_.close(); });
  }
  stream::ResultReceiver& native() {
    if (is_closed_) throw nb::value_error("the receiver has been closed");
    return receiver_;
  }

 private:
  struct Waiting {
    explicit Waiting(bool& flag) : is_waiting(flag) { is_waiting = true; }
    ~Waiting() { is_waiting = false; }
    bool& is_waiting;
  };
  stream::ResultReceiver receiver_;
  bool is_closed_ = false, is_waiting_ = false;  // under the interpreter's lock
  std::atomic<bool> is_interrupted_ = false;
};

stream::Uuid uuid_from(const std::string& text) {
  const auto uuid = stream::parse_uuid(text);
  if (!uuid) throw nb::value_error(("'" + text + "' is no UUID").c_str());
  return *uuid;
}

void bind_ends(nb::module_& module) {
  nb::class_<Sender>(module, "FrameSender",
                     "Sends frames to a module: pub, push or dealer. Waits while the reader has no room.")
      .def(nb::init<const std::string&, const std::string&, std::optional<double>, bool>(), nb::arg("url"),
           nb::arg("name") = "", nb::arg("send_timeout") = nb::none(), nb::arg("checksum") = true)
      .def(
          "send_frame",
          [](Sender& self, const std::string& source_id, nb::object data, const std::string& codec,
             std::optional<bool> keyframe, std::optional<int64_t> pts, std::optional<int64_t> duration,
             int width, int height, std::optional<std::pair<int, int>> framerate,
             std::optional<std::string> uuid, std::vector<stream::Attribute> attributes,
             std::vector<std::string> tags) {
            stream::FrameOptions options{.codec = codec,
                                         .keyframe = keyframe,
                                         .pts = pts,
                                         .duration = duration,
                                         .width = width,
                                         .height = height,
                                         .attributes = std::move(attributes),
                                         .tags = std::move(tags)};
            if (framerate) options.framerate = stream::Rational{framerate->first, framerate->second};
            if (uuid) options.uuid = uuid_from(*uuid);
            return self.send_frame(source_id, data, std::move(options));
          },
          nb::arg("source_id"), nb::arg("data"), nb::arg("codec") = "jpeg", nb::arg("keyframe") = nb::none(),
          nb::arg("pts") = nb::none(), nb::arg("duration") = nb::none(), nb::arg("width") = 0,
          nb::arg("height") = 0, nb::arg("framerate") = nb::none(), nb::arg("uuid") = nb::none(),
          nb::arg("attributes") = std::vector<stream::Attribute>(),
          nb::arg("tags") = std::vector<std::string>(),
          "An encoded picture; gives the uuid by which results name it. Times are nanoseconds. What is not "
          "said is "
          "read from the bytes where they tell it.",
          nb::sig("def send_frame(self, source_id: str, data: bytes | bytearray | memoryview | "
                  "numpy.ndarray, codec: "
                  "str = 'jpeg', keyframe: bool | None = None, pts: int | None = None, duration: int | None "
                  "= None, "
                  "width: int = 0, height: int = 0, framerate: tuple[int, int] | None = None, uuid: str | "
                  "None = None, "
                  "attributes: typing.Sequence[Attribute] = (), tags: typing.Sequence[str] = ()) -> str"))
      .def("forward", &Sender::forward, nb::arg("result"),
           nb::arg("attributes") = std::vector<stream::Attribute>(),
           nb::arg("tags") = std::vector<std::string>(),
           "Sends on what was received, with more attributes and tags: uuid, times, objects and the encoded "
           "picture "
           "stay as they are. Ends of streams are sent on as well; what concerns one hop only is not.",
           nb::sig("def forward(self, result: Result, attributes: typing.Sequence[Attribute] = (), tags: "
                   "typing.Sequence[str] = ()) -> str | None"))
      .def("send_user_data", &Sender::send_user_data, nb::arg("source_id"), nb::arg("attributes"),
           "Something that is no picture, in its place among the frames.")
      .def("end_stream", &Sender::end_stream, nb::arg("source_id"))
      .def("finish", &Sender::finish, nb::arg("timeout") = 30.0,
           "Waits until all is sent, on a dealer until all is acknowledged; seconds.")
      .def(
          "cancel", [](Sender& self) { self.native().cancel(); },
          "From another thread: ends calls that wait.")
      .def_prop_ro("url", [](Sender& self) { return self.native().url().to_string(); })
      .def_prop_ro(
          "statistics",
          [](Sender& self) {
            const auto numbers = self.native().statistics();
            nb::dict made;
            made["sent"] = numbers.sent;
            made["bytes"] = numbers.bytes;
            made["dropped"] = numbers.dropped;
            made["acknowledged"] = numbers.acknowledged;
            made["refused"] = numbers.refused;
            made["resent"] = numbers.resent;
            made["waiting"] = numbers.waiting;
            return made;
          },
          nb::sig("def statistics(self) -> dict[str, int]"));
  nb::class_<Receiver>(module, "ResultReceiver", "Receives results of a module: sub, pull or router.")
      .def(nb::init<const std::string&, std::vector<std::string>, std::string, std::string>(), nb::arg("url"),
           nb::arg("sources") = std::vector<std::string>(), nb::arg("source_prefix") = "",
           nb::arg("name") = "")
      .def("next", &Receiver::next, nb::arg("timeout") = nb::none(),
           "The next message; None when the time (seconds) is over or after interrupt().",
           nb::sig("def next(self, timeout: float | None = None) -> Result | None"))
      .def("interrupt", &Receiver::interrupt, "From another thread: next() returns None.")
      .def(
          "close", &Receiver::close,
          "Acknowledges the last result (router), which the next one would have done, and closes the socket. "
          "The end of a `with` does.")
      .def(
          "__enter__", [](nb::handle self) { return nb::borrow(self); },
          nb::sig("def __enter__(self) -> ResultReceiver"))
      .def(
          "__exit__",
          [](Receiver& self, nb::args what) {
            // After an error the last result is not done with: it comes again.
            if (nb::handle(what[0]).is_none()) self.close();
          },
          nb::sig("def __exit__(self, *exception: object) -> None"))
      .def_prop_ro("url", [](Receiver& self) { return self.native().url().to_string(); })
      .def_prop_ro(
          "rejected", [](Receiver& self) { return self.native().rejected(); }, "Messages that were refused.")
      .def(
          "__iter__", [](nb::handle self) { return nb::borrow(self); },
          nb::sig("def __iter__(self) -> ResultReceiver"))
      .def(
          "__next__",
          [](Receiver& self) {
            nb::object result = self.next(std::nullopt);
            if (result.is_none()) throw nb::stop_iteration();
            return result;
          },
          nb::sig("def __next__(self) -> Result"));
}

}  // namespace
}  // namespace sightglass::python

NB_MODULE(_stream, module) {
  using namespace sightglass::python;
  nanobind::set_leak_warnings(false);
  nb::module_::import_("sightglass._core");
  bind_values(module);
  bind_result(module);
  bind_ends(module);
}
