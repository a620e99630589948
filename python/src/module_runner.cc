// The compiled part of sightglass.Module: a module inside a Python program. Loads GStreamer, so it is an
// extension of its own that is imported when the first module is made.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <mutex>

#include "python/src/bindings.h"
#include "python/src/interruptible.h"
#include "sightglass/module/module.h"
#include "sightglass/module/module_file.h"
#include "sightglass/stream/bitstream.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::python {
namespace {

using adapters::RecordRef;
using module::Module;

struct RecordObject {
  RecordRef record;
};

std::string kind_name(adapters::RecordKind kind) {
  constexpr const char* names[] = {"frame", "frame_update", "stream_update", "end_of_stream", "user_data"};
  return names[size_t(kind)];
}

nb::object payload_of(const RecordObject& object) {
  auto* owner = new RecordRef(object.record);
  nb::capsule keeps(owner, [](void* held) noexcept { delete static_cast<RecordRef*>(held); });
  const auto& bytes = object.record->payload.bytes;
  return nb::cast(nb::ndarray<nb::numpy, const uint8_t, nb::ndim<1>>(bytes.data(), {bytes.size()}, keeps));
}

// Something to be called by threads of the module, for as long as Python runs.
class Callback {
 public:
  explicit Callback(nb::object function) : function_(std::move(function)) {}
  ~Callback() { release_object(function_); }
  template <class... Args>
  void operator()(const Args&... args) const {
    if (!interpreter_is_running()) return;
    nb::gil_scoped_acquire lock;
    try {
      function_(args...);
    } catch (nb::python_error& error) {
      error.discard_as_unraisable(function_);
    } catch (const std::exception&) {
    }
  }

 private:
  nb::object function_;
};

class ModuleObject {
 public:
  // JSON is YAML.
  static std::unique_ptr<ModuleObject> from_text(const std::string& text, const std::string& name,
                                                 const std::string& folder) {
    return unlocked([&] { return make(module::load_module_text(text, name, folder)); });
  }
  static std::unique_ptr<ModuleObject> from_file(const std::string& path) {
    return unlocked([&] { return make(module::load_module(path)); });
  }
  ~ModuleObject() {
    if (!interpreter_is_running()) return;
    unlocked([&] {
      subscriptions_.clear();
      module_.reset();
    });
  }

  void start() {
    done(unlocked([&] { return module_->start(); }));
  }

  nb::object push(const std::string& source_id, nb::handle data, const std::string& codec,
                  std::optional<bool> keyframe, std::optional<int64_t> pts, std::optional<int64_t> duration,
                  int width, int height, std::optional<std::pair<int, int>> framerate,
                  std::vector<std::string> tags, std::optional<double> timeout) {
    Py_buffer view;
    if (PyObject_GetBuffer(data.ptr(), &view, PyBUF_SIMPLE) != 0) throw nb::python_error();
    const auto* first = static_cast<const uint8_t*>(view.buf);
    stream::Payload payload = stream::own({first, first + view.len});
    PyBuffer_Release(&view);

    auto message = std::make_shared<stream::Message>();
    message->kind = stream::Kind::frame;
    message->source_id = source_id;
    auto& frame = message->frame.emplace();
    frame.uuid = stream::make_uuid_v7();
    frame.created_us = message->sent_us = now_us();
    frame.codec = codec;
    frame.width = width;
    frame.height = height;
    if (const auto size = stream::picture_size(codec, payload.bytes); size && width == 0) {
      frame.width = size->width;
      frame.height = size->height;
    }
    const auto is_key = keyframe ? keyframe : stream::is_keyframe(codec, payload.bytes);
    if (!is_key) throw nb::value_error(("keyframe: missing, and " + codec + " is not looked into").c_str());
    frame.keyframe = *is_key;
    if (framerate) frame.framerate = stream::Rational{framerate->first, framerate->second};
    frame.duration = duration;
    frame.tags = std::move(tags);
    stream::set_part(frame, payload.bytes, false);
    {
      std::lock_guard lock(mutex_);
      Source& source = sources_[source_id];
      if (frame.width == 0) std::tie(frame.width, frame.height) = source.size;
      if (frame.width <= 0 || frame.height <= 0)
        throw nb::value_error(
            ("width and height: missing, and the " + codec + " does not tell them").c_str());
      source.size = {frame.width, frame.height};
      if (source.seq == 0) source.begin_us = frame.created_us;
      frame.pts = pts.value_or((frame.created_us - source.begin_us) * 1000);
      number(*message, source);
    }
    nb::object uuid = nb::cast(stream::to_string(frame.uuid));
    const int64_t epoch = message->epoch, seq = message->seq;
    deliver(std::move(message), std::move(payload), timeout, [&] {
      // Not taken: the number is for the next one, which would look like one behind a gap otherwise.
      Source& source = sources_[source_id];
      if (source.epoch == epoch && source.seq == seq + 1) source.seq = seq;
    });
    return uuid;
  }

  void end_stream(const std::string& source_id, std::optional<double> timeout) {
    auto message = std::make_shared<stream::Message>();
    message->kind = stream::Kind::end_of_stream;
    message->source_id = source_id;
    {
      std::lock_guard lock(mutex_);
      Source& source = sources_[source_id];
      message->end_of_stream = stream::EndOfStream{.reason = stream::EndReason::end, .frames = source.seq};
      number(*message, source);
      ++source.epoch;
      source.seq = 0;
    }
    const int64_t epoch = message->epoch, seq = message->seq;
    deliver(std::move(message), {}, timeout, [&] {
      Source& source = sources_[source_id];
      if (source.epoch == epoch + 1 && source.seq == 0) source.epoch = epoch, source.seq = seq;
    });
  }

  nb::object subscribe(nb::object callback) {
    auto call = std::make_shared<Callback>(std::move(callback));
    auto subscription = unlocked([&] {
      return module_->subscribe([call](const RecordRef& record) { (*call)(RecordObject{record}); });
    });
    std::lock_guard lock(mutex_);
    subscriptions_[++next_] = std::move(subscription);
    return nb::cast(next_);
  }
  void unsubscribe(uint64_t number) {
    std::unique_ptr<module::Subscription> subscription;
    {
      std::lock_guard lock(mutex_);
      const auto found = subscriptions_.find(number);
      if (found == subscriptions_.end()) return;
      subscription = std::move(found->second);
      subscriptions_.erase(found);
    }
    unlocked([&] { subscription.reset(); });
  }

  void set_parameters(const std::string& json, const std::string& source_id) {
    const module::Value values = module::value_from_json_or_null(json);
    std::vector<module::ParameterChange> changes;
    if (const auto* entries = values.entries())
      for (const auto& [name, value] : *entries)
        changes.push_back({.name = name, .source_id = source_id, .value = value, .persist = false});
    const auto outcome = unlocked([&] { return module_->parameters().change(changes, "program"); });
    using module::ChangeResult;
    if (outcome.result == ChangeResult::applied || outcome.result == ChangeResult::unchanged) return;
    std::string text;
    for (const auto& error : outcome.errors)
      text += std::format("{}{}: {}", text.empty() ? "" : "; ", error.path, error.message);
    raise({outcome.result == ChangeResult::not_found ? ErrorCode::not_found : ErrorCode::invalid_argument,
           text.empty() ? "the parameters were not changed" : text,
           {},
           {}});
  }
  nb::object parameter(const std::string& name, const std::string& source_id) {
    const auto current = module_->parameters().current();
    const auto* found = current->find(name, source_id);
    if (!found) raise({ErrorCode::not_found, std::format("there is no parameter '{}'", name), {}, {}});
    return nb::module_::import_("json").attr("loads")(found->value.to_json());
  }

  nb::dict status() {
    const auto status = unlocked([&] { return module_->status(); });
    nb::dict made;
    made["name"] = status.name;
    made["state"] = status.state;
    made["revision"] = status.revision;
    nb::list streams;
    for (const auto& one : status.streams) {
      nb::dict stream;
      stream["id"] = one.id;
      stream["state"] = one.state;
      stream["codec"] = one.codec;
      stream["last_error"] = one.last_error;
      stream["epoch"] = one.epoch;
      stream["width"] = one.width;
      stream["height"] = one.height;
      stream["fps"] = one.fps;
      stream["lag"] = one.lag;
      stream["received"] = one.received;
      stream["stored"] = one.stored;
      stream["queued"] = one.queued;
      nb::dict dropped;
      for (const auto& [reason, count] : one.dropped) dropped[reason.c_str()] = count;
      stream["dropped"] = dropped;
      streams.append(stream);
    }
    made["streams"] = streams;
    return made;
  }
  bool ready() {
    return unlocked([&] { return module_->health().ready; });
  }
  std::vector<std::string> reasons() {
    return unlocked([&] { return module_->health().reasons; });
  }
  void wait_for_sources() {
    interruptibly([&](const Module::GivesUp& gives_up) { return module_->wait_for_sources(gives_up); });
  }

  int shutdown(bool now, double deadline) {
    int exit_code = 0;
    interruptible(
        [&] {
          exit_code = module_
                          ->shutdown({.mode = now ? module::ShutdownMode::now : module::ShutdownMode::drain,
                                      .deadline_ms = to_ms(deadline)})
                          .exit_code;
        },
        [&] { module_->shutdown({.mode = module::ShutdownMode::now}); });
    return exit_code;
  }

 private:
  struct Source {
    int64_t epoch = 1, seq = 0, begin_us = 0;
    std::pair<int, int> size{0, 0};
  };

  static int to_ms(double seconds) {
    if (!(seconds > 0)) return 0;
    return int(std::min(seconds * 1000, double(std::numeric_limits<int>::max())));
  }
  // What waits, and asks every 100 ms whether it is to go on: Ctrl-C is heard then.
  template <class F>
  static void interruptibly(F&& work) {
    bool is_interrupted = false;
    Status status = unlocked([&] {
      return work([&] {
        nb::gil_scoped_acquire lock;
        return is_interrupted = PyErr_CheckSignals() != 0;
      });
    });
    if (is_interrupted) throw nb::python_error();
    done(std::move(status));
  }
  static int64_t now_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  static void done(Status status) {
    if (!status) raise(status.error());
  }
  static std::unique_ptr<ModuleObject> make(const module::Loaded& loaded) {
    auto spec = loaded.result();
    Result<std::unique_ptr<Module>> made =
        spec ? Module::create(*spec) : Result<std::unique_ptr<Module>>(std::unexpected(spec.error()));
    if (!made) {
      nb::gil_scoped_acquire lock;
      raise(made.error());
    }
    auto object = std::make_unique<ModuleObject>();
    object->module_ = std::move(*made);
    return object;
  }
  void number(stream::Message& message, Source& source) const {
    message.producer = producer_;
    message.epoch = source.epoch;
    message.seq = source.seq++;
  }
  // `on_failure` runs under the lock where the module has not taken it.
  template <class F>
  void deliver(std::shared_ptr<const stream::Message> message, stream::Payload payload,
               std::optional<double> timeout, F&& on_failure) {
    stream::Delivery delivery{.message = std::move(message),
                              .received_ns = std::chrono::steady_clock::now().time_since_epoch().count()};
    if (!payload.bytes.empty()) delivery.payloads.push_back(std::move(payload));
    interruptibly([&](const Module::GivesUp& gives_up) {
      Status taken = module_->push(std::move(delivery), timeout ? to_ms(*timeout) : -1, gives_up);
      if (!taken) {
        std::lock_guard lock(mutex_);
        on_failure();
      }
      return taken;
    });
  }

  std::unique_ptr<Module> module_;
  const stream::Uuid producer_ = stream::make_uuid_v7();
  std::mutex mutex_;
  std::map<std::string, Source> sources_;
  std::map<uint64_t, std::unique_ptr<module::Subscription>> subscriptions_;
  uint64_t next_ = 0;
};

}  // namespace
}  // namespace sightglass::python

NB_MODULE(_module_runner, module) {
  using namespace sightglass::python;
  namespace adapters = sightglass::adapters;
  nanobind::set_leak_warnings(false);
  nb::module_::import_("sightglass._core");
  nb::class_<RecordObject>(module, "Record", "What has become of one frame, or a note about its stream.")
      .def_prop_ro("kind", [](const RecordObject& r) { return kind_name(r.record->kind); })
      .def_prop_ro("source_id", [](const RecordObject& r) { return r.record->source_id; })
      .def_prop_ro("uuid",
                   [](const RecordObject& r) { return sightglass::stream::to_string(r.record->uuid); })
      .def_prop_ro("epoch", [](const RecordObject& r) { return r.record->epoch; })
      .def_prop_ro("seq", [](const RecordObject& r) { return r.record->seq; })
      .def_prop_ro(
          "pts",
          [](const RecordObject& r) -> nb::object {
            return r.record->pts == sightglass::no_time ? nb::object(nb::none()) : nb::cast(r.record->pts);
          },
          nb::sig("def pts(self) -> int | None"))
      .def_prop_ro("keyframe", [](const RecordObject& r) { return r.record->keyframe; })
      .def_prop_ro(
          "results", [](const RecordObject& r) { return FrameObject(r.record->results); },
          nb::sig("def results(self) -> sightglass.Frame"), "Objects and attributes, without a picture.")
      .def_prop_ro("payload", &payload_of, nb::sig("def payload(self) -> numpy.ndarray"),
                   "The picture as it goes to the sinks, encoded, read-only; may be empty.")
      .def_prop_ro(
          "json",
          [](const RecordObject& r) {
            std::string text;
            adapters::write_record_json(*r.record, text);
            return text;
          },
          "The record as sinks write it.");
  nb::class_<ModuleObject>(module, "ModuleRunner")
      .def_static("from_text", &ModuleObject::from_text, nb::arg("text"), nb::arg("name"), nb::arg("folder"))
      .def_static("from_file", &ModuleObject::from_file, nb::arg("path"))
      .def("start", &ModuleObject::start)
      .def(
          "push", &ModuleObject::push, nb::arg("source_id"), nb::arg("data"), nb::arg("codec"),
          nb::arg("keyframe").none(), nb::arg("pts").none(), nb::arg("duration").none(), nb::arg("width"),
          nb::arg("height"), nb::arg("framerate").none(), nb::arg("tags"), nb::arg("timeout").none(),
          nb::sig(
              "def push(self, source_id: str, data: typing.Any, codec: str, keyframe: bool | None, pts: int "
              "| "
              "None, duration: int | None, width: int, height: int, framerate: tuple[int, int] | None, tags: "
              "typing.Sequence[str], timeout: float | None) -> str"))
      .def("end_stream", &ModuleObject::end_stream, nb::arg("source_id"), nb::arg("timeout").none())
      .def("subscribe", &ModuleObject::subscribe, nb::arg("callback"),
           nb::sig("def subscribe(self, callback: typing.Callable[[Record], object]) -> int"))
      .def("unsubscribe", &ModuleObject::unsubscribe, nb::arg("number"))
      .def("set_parameters", &ModuleObject::set_parameters, nb::arg("json"), nb::arg("source_id"))
      .def("parameter", &ModuleObject::parameter, nb::arg("name"), nb::arg("source_id"))
      .def("status", &ModuleObject::status, nb::sig("def status(self) -> dict[str, typing.Any]"))
      .def("ready", &ModuleObject::ready)
      .def("reasons", &ModuleObject::reasons)
      .def("wait_for_sources", &ModuleObject::wait_for_sources)
      .def("shutdown", &ModuleObject::shutdown, nb::arg("now"), nb::arg("deadline"));
}
