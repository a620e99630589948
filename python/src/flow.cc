// Flow: built from text or call by call, run, iterated over, pushed to and pulled from.
#include "sightglass/flow/flow.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "python/src/bindings.h"
#include "python/src/interruptible.h"

namespace sightglass::python {
namespace {

// Between the flow's thread and the one that iterates. Bounded, so that a slow loop holds the flow back.
class FrameQueue {
 public:
  static constexpr size_t capacity = 4;

  Status push(const Frame& frame) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return frames_.size() < capacity || closed_; });
    if (closed_) return fail(ErrorCode::cancelled, "nobody takes the frames any more");
    frames_.push_back(frame);
    changed_.notify_all();
    return {};
  }
  void finish(Status status) {
    std::lock_guard lock(mutex_);
    end_ = std::move(status);
    changed_.notify_all();
  }
  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  enum class Outcome : uint8_t { frame, nothing_yet, end };
  // Waits a little, so that who waits can look for signals in between.
  Outcome pop(Frame& frame, Status& end) {
    std::unique_lock lock(mutex_);
    const bool something = changed_.wait_for(lock, std::chrono::milliseconds(50),
                                             [&] { return !frames_.empty() || end_ || closed_; });
    if (!something) return Outcome::nothing_yet;
    if (frames_.empty()) {
      if (end_) end = *end_;
      return Outcome::end;
    }
    frame = std::move(frames_.front());
    frames_.pop_front();
    changed_.notify_all();
    return Outcome::frame;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> frames_;
  std::optional<Status> end_;
  bool closed_ = false;
};

class FlowObject;
// Those that live; guarded by the interpreter's lock. They are ended before the interpreter is.
std::vector<FlowObject*>& living() {
  static std::vector<FlowObject*> list;
  return list;
}

class FlowObject {
 public:
  explicit FlowObject(Flow&& made) : flow_(std::make_unique<Flow>(std::move(made))) {
    living().push_back(this);
  }
  FlowObject(const FlowObject&) = delete;
  ~FlowObject() {
    std::erase(living(), this);
    // Its threads may be waiting for the interpreter.
    unlocked([&] {
      end();
      flow_.reset();
    });
  }

  Flow& flow() { return *flow_; }
  void keep(nb::object element) { elements_.push_back(std::move(element)); }
  void cancel() {
    if (queue_) queue_->close();
    flow_->cancel();
  }
  // Without the interpreter's lock. Afterwards no thread of the flow is left.
  void end() {
    cancel();
    if (waiter_.joinable()) waiter_.join();
    (void)flow_->wait();
  }

  void run(Status (Flow::*how)()) {
    Status status;
    interruptible([&] { status = (flow_.get()->*how)(); }, [&] { cancel(); });
    show_warnings();
    check(status);
  }

  void iterate() {
    if (queue_) return;  // iter() of an iterator is itself
    queue_ = std::make_shared<FrameQueue>();
    flow_->on_frame([queue = queue_](const Frame& frame) { return queue->push(frame); });
    run(&Flow::start);
    waiter_ = std::thread([this, queue = queue_] { queue->finish(flow_->wait()); });
  }
  nb::object next() {
    if (!queue_) throw nb::stop_iteration();
    Frame frame;
    Status status;
    for (;;) {
      const auto outcome = unlocked([&] { return queue_->pop(frame, status); });
      if (outcome == FrameQueue::Outcome::frame) return nb::cast(FrameObject(std::move(frame)));
      if (outcome == FrameQueue::Outcome::end) break;
      if (PyErr_CheckSignals() != 0) {
        nb::python_error interrupt;
        unlocked([&] { end(); });
        throw interrupt;
      }
    }
    unlocked([&] { end(); });
    check(status);
    throw nb::stop_iteration();
  }

  void show_warnings() {
    for (const std::string& warning : unlocked([&] { return flow_->take_warnings(); }))
      if (PyErr_WarnEx(PyExc_UserWarning, warning.c_str(), 1) < 0) throw nb::python_error();
  }

  // Raises what has gone wrong, with the exception of a Python element as its cause.
  void check(const Status& status) {
    if (status) return;
    for (const nb::object& element : elements_) {
      nb::object cause = nb::getattr(element, "_exception", nb::none());
      if (cause.is_none()) continue;
      try {
        raise(status.error());
      } catch (nb::python_error& raised) {
        raised.value().attr("__cause__") = cause;
        throw;
      }
    }
    raise(status.error());
  }

 private:
  std::unique_ptr<Flow> flow_;
  std::vector<nb::object> elements_;  // written in Python
  std::shared_ptr<FrameQueue> queue_;
  std::thread waiter_;
};

Flow::Settings settings_from(nb::list pairs) {
  Flow::Settings settings;
  for (nb::handle pair : pairs)
    settings.emplace_back(nb::cast<std::string>(pair[0]), nb::cast<std::string>(pair[1]));
  return settings;
}

nb::dict to_dict(const Flow::NodeStats& stats) {
  nb::dict made;
  made["name"] = stats.name;
  made["element"] = stats.element;
  made["frames_in"] = stats.frames_in;
  made["frames_out"] = stats.frames_out;
  made["gaps"] = stats.gaps;
  made["busy"] = double(stats.busy.count()) / 1e9;
  made["queued"] = stats.queued;
  made["queue_size"] = stats.queue_size;
  return made;
}

nb::dict to_dict(const CopyLedger::Entry& entry) {
  nb::dict made;
  made["name"] = entry.name;
  made["copies"] = entry.copies;
  made["bytes_copied"] = entry.bytes_copied;
  made["shares"] = entry.shares;
  made["bytes_shared"] = entry.bytes_shared;
  return made;
}

void on_frame(FlowObject& self, nb::object callback) {
  // Let go of by whatever thread drops the flow.
  std::shared_ptr<nb::object> held(new nb::object(std::move(callback)), [](nb::object* object) {
    release_object(*object);
    delete object;
  });
  self.flow().on_frame([held](const Frame& frame) -> Status {
    if (!interpreter_is_running()) return fail(ErrorCode::cancelled, "Python has ended");
    nb::gil_scoped_acquire lock;
    try {
      (*held)(FrameObject(frame));
      return {};
    } catch (nb::python_error& raised) {
      Error error = to_error(raised);
      error.element = "on_frame";
      return std::unexpected(std::move(error));
    }
  });
}

void push(FlowObject& self, const std::string& name, FrameObject& object) {
  const Frame frame = object.native();
  Status status;
  interruptible([&] { status = self.flow().push(name, frame); }, [&] { self.cancel(); });
  self.check(status);
}

nb::object pull(FlowObject& self, const std::string& name) {
  Result<std::optional<Frame>> frame;
  interruptible([&] { frame = self.flow().pull(name); }, [&] { self.cancel(); });
  if (!frame) self.check(std::unexpected(frame.error()));
  if (!*frame) return nb::none();
  return nb::cast(FrameObject(std::move(**frame)));
}

}  // namespace

void bind_flow(nb::module_& module) {
  nb::class_<FlowObject>(module, "Flow")
      .def(
          "__init__",
          [](FlowObject* self, const std::string& pipeline, bool strict_zero_copy, uint64_t frame_limit) {
            const FlowOptions options{.strict_zero_copy = strict_zero_copy, .frame_limit = frame_limit};
            if (pipeline.empty())
              new (self) FlowObject(Flow(options));
            else
              new (self) FlowObject(unwrap(unlocked([&] { return Flow::parse(pipeline, options); })));
          },
          nb::arg("pipeline") = "", nb::arg("strict_zero_copy") = false, nb::arg("frame_limit") = 0,
          "strict_zero_copy: an error where a link would copy. frame_limit: each source ends after so many; "
          "0: none.")
      .def("_add",
           [](FlowObject& self, const std::string& element, nb::list settings, const std::string& name) {
             const auto given = settings_from(settings);
             return unwrap(self.flow().add(element, given, name));
           })
      .def("_add_user",
           [](FlowObject& self, nb::object element, const std::string& name) {
             auto made = make_user_element(element);
             self.keep(element);
             return unwrap(self.flow().add(std::move(made.element), std::move(made.desc), name));
           })
      .def("_link", [](FlowObject& self, size_t from, size_t to) { unwrap(self.flow().link(from, to)); })
      .def(
          "node", [](FlowObject& self, const std::string& name) { return unwrap(self.flow().node(name)); },
          nb::arg("name"), "The node of that name, to be linked.")
      .def("on_frame", &on_frame, nb::arg("callback"),
           "Called with every frame that leaves the last element, in the flow's own thread.",
           nb::sig("def on_frame(self, callback: typing.Callable[[Frame], object]) -> None"))
      .def(
          "start", [](FlowObject& self) { self.run(&Flow::start); },
          "Agrees on formats and starts the threads.")
      .def(
          "wait", [](FlowObject& self) { self.run(&Flow::wait); },
          "For the end; raises the first error of any element.")
      .def(
          "run", [](FlowObject& self) { self.run(&Flow::run); }, "start() and wait().")
      .def(
          "cancel", [](FlowObject& self) { unlocked([&] { self.cancel(); }); },
          "Ends it, from any thread; wait() then raises Cancelled.")
      .def(
          "finish", [](FlowObject& self) { unlocked([&] { self.flow().finish(); }); },
          "Ends all sources; what is under way is finished.")
      .def("_set",
           [](FlowObject& self, const std::string& name, const std::string& parameter,
              const std::string& value) {
             if (auto status = unlocked([&] { return self.flow().set(name, parameter, value); }); !status)
               raise(status.error());
           })
      .def_prop_ro("running", [](FlowObject& self) { return self.flow().running(); })
      .def("push", &push, nb::arg("source"), nb::arg("frame"),
           "Hands a frame to the frame_source of that name; waits while its queue is full.")
      .def(
          "end",
          [](FlowObject& self, const std::string& name) {
            const auto status = unlocked([&] { return self.flow().end(name); });
            self.check(status);
          },
          nb::arg("source"), "The end of that frame_source.")
      .def("pull", &pull, nb::arg("sink"), "The next frame of the frame_sink of that name; None at the end.",
           nb::sig("def pull(self, sink: str) -> Frame | None"))
      .def(
          "stats",
          [](FlowObject& self) {
            nb::list list;
            for (const auto& one : unlocked([&] { return self.flow().stats(); })) list.append(to_dict(one));
            return list;
          },
          nb::sig("def stats(self) -> list[dict[str, typing.Any]]"),
          "Per element: frames, gaps, seconds busy, queue.")
      .def(
          "ledger",
          [](FlowObject& self) {
            nb::list list;
            for (const auto& one : self.flow().ledger().snapshot()) list.append(to_dict(one));
            return list;
          },
          nb::sig("def ledger(self) -> list[dict[str, typing.Any]]"), "Bytes copied and shared, per link.")
      .def(
          "explain", [](FlowObject& self) { return unlocked([&] { return self.flow().explain(); }); },
          "Per link the format, the memory and the way between them.")
      .def(
          "__iter__",
          [](nb::handle self) {
            nb::cast<FlowObject&>(self).iterate();
            return nb::borrow(self);
          },
          nb::sig("def __iter__(self) -> Flow"),
          "Starts the flow; gives the frames that leave its last element.")
      .def("__next__", &FlowObject::next, nb::sig("def __next__(self) -> Frame"));

  module.def("_end_all_flows", [] {
    const auto list = living();
    for (FlowObject* flow : list) unlocked([&] { flow->end(); });
  });
}

}  // namespace sightglass::python
