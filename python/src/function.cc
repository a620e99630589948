// Functions of modules in Python: what one call is given and gives back, the worker's end of its socket, and
// calls in the process of the module. sightglass/_function.py does the rest.
#include <fcntl.h>
#include <nanobind/stl/string.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <thread>

#include "python/src/bindings.h"
#include "sightglass/function/inline_call.h"
#include "sightglass/function/wire.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/wrapped_memory.h"

namespace sightglass::python {
namespace {

using function::Hook;

// One call, for Python.
struct FunctionCall {
  Hook hook = Hook::process;
  uint32_t object = 0;
  std::string text;
  function::StreamInfo stream;
  function::FrameFacts facts;
  int region = -1;
  bool has_frame = false, writes_pixels = false;
  nb::object frame;  // FrameObject

  bool drops = false, accepted = true, pixels_changed = false;
  Box box;
  std::string answer;
};

// Whether Python has changed regions or attributes, which it may have only where it has looked at them.
bool has_results(const FrameObject& object, const Frame& before) {
  return object.regions.is_valid() || object.frame.attributes != before.attributes;
}

// The socket and the shared memory of a worker.
class Worker {
 public:
  Worker(int socket, int memory) : socket_(socket), memory_(memory) {
    // What the function starts has no business with them.
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    fcntl(memory, F_SETFD, FD_CLOEXEC);
    // The end of the module is the end of its workers, whatever they are doing.
    std::thread([socket] {
      pollfd hung_up{.fd = socket, .events = POLLRDHUP, .revents = 0};
      while (poll(&hung_up, 1, -1) < 0 && errno == EINTR) {
      }
      _exit(0);
    }).detach();
  }

  nb::object receive() {
    const bool is_there = unlocked([&] {
      uint32_t size = 0;
      if (!read(&size, sizeof size)) return false;
      body_.resize(size);
      return read(body_.data(), size);
    });
    if (!is_there) return nb::none();
    auto request = unwrap(function::read_request(body_, names_));
    before_ = request.frame;
    FunctionCall call{.hook = request.hook,
                      .object = request.object,
                      .text = std::move(request.text),
                      .stream = std::move(request.stream),
                      .facts = request.facts,
                      .region = request.region,
                      .has_frame = request.has_frame,
                      .writes_pixels = request.writes_pixels};
    if (request.has_frame) {
      if (request.has_picture && request.frame.video) add_picture(request.frame);
      call.frame = nb::cast(FrameObject(std::move(request.frame)));
    }
    return nb::cast(std::move(call));
  }

  // `error`: empty where all went well.
  void answer(FunctionCall& call, const std::string& error) {
    function::Answer answer{.ok = error.empty(),
                            .text = error.empty() ? call.answer : error,
                            .verdict = call.drops ? Verdict::drop : Verdict::pass,
                            .accepted = call.accepted,
                            .pixels_changed = call.pixels_changed,
                            .box = call.box};
    const Frame* results = nullptr;
    if (answer.ok && call.frame.is_valid()) {
      auto& object = nb::cast<FrameObject&>(call.frame);
      if (has_results(object, before_)) {
        results = &object.native();
        if (auto fine = function::check_results(*results); !fine) {
          answer.ok = false;
          answer.text = fine.error().message;
          results = nullptr;
        }
      }
    }
    function::write_answer(answer, results, before_, out_);
    if (out_.size() > function::wire_limits.message_bytes) {
      answer.ok = false;
      answer.text = std::format("its results take {} bytes, at most {} are taken", out_.size(),
                                function::wire_limits.message_bytes);
      function::write_answer(answer, nullptr, before_, out_);
    }
    unlocked([&] {
      for (size_t sent = 0; sent < out_.size();) {
        const ssize_t now = send(socket_, out_.data() + sent, out_.size() - sent, MSG_NOSIGNAL);
        if (now < 0 && errno != EINTR) return;
        if (now > 0) sent += size_t(now);
      }
    });
  }

 private:
  struct Shared {
    std::byte* data;
    size_t size;
    ~Shared() { munmap(data, size); }
  };

  bool read(void* into, size_t size) {
    auto* next = static_cast<uint8_t*>(into);
    while (size > 0) {
      const ssize_t got = recv(socket_, next, size, 0);
      if (got == 0 || (got < 0 && errno != EINTR)) return false;
      if (got > 0) {
        next += got;
        size -= size_t(got);
      }
    }
    return true;
  }

  void add_picture(Frame& frame) {
    const FrameLayout layout = FrameLayout::of(*frame.video);
    if (!shared_ || shared_->size < layout.bytes) {
      struct stat facts{};
      fstat(memory_, &facts);
      void* address = mmap(nullptr, size_t(facts.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
      if (address == MAP_FAILED || size_t(facts.st_size) < layout.bytes)
        raise({ErrorCode::exhausted, "the picture cannot be mapped", {}, {}});
      shared_ = std::make_shared<Shared>(static_cast<std::byte*>(address), size_t(facts.st_size));
    }
    auto memory = wrap_memory(shared_->data, shared_->size, [keep = shared_]() noexcept {});
    frame.tensors = frame_in(std::move(memory), *frame.video, layout).tensors;
  }

  const int socket_, memory_;
  std::vector<uint8_t> body_, out_;
  function::NameCache names_{std::numeric_limits<size_t>::max()};  // the module's own, which it has as well
  Frame before_;
  std::shared_ptr<Shared> shared_;
};

// `dispatch(target, call)` gives the text of an error, or None.
void call_inline(nb::handle dispatch, nb::handle target, nb::capsule capsule) {
  auto* given =
      static_cast<function::InlineCall*>(PyCapsule_GetPointer(capsule.ptr(), function::InlineCall::capsule));
  if (!given) throw nb::python_error();
  function::Call& native = *given->call;
  FunctionCall made{.hook = native.hook,
                    .text = std::string(native.text),
                    .region = native.region,
                    .has_frame = native.frame != nullptr,
                    .writes_pixels = native.writes_pixels};
  if (native.stream) made.stream = *native.stream;
  if (native.frame) {
    made.facts = native.facts ? *native.facts : function::FrameFacts{.pts = native.frame->pts};
    made.frame = nb::cast(FrameObject(*native.frame));
  }
  nb::object held = nb::cast(std::move(made));
  nb::object error = dispatch(target, held);
  auto& call = nb::cast<FunctionCall&>(held);
  if (!error.is_none()) {
    given->outcome = {function::Fault::error, nb::cast<std::string>(error)};
    return;
  }
  if (native.frame) {
    auto& object = nb::cast<FrameObject&>(call.frame);
    if (has_results(object, *native.frame)) {
      Frame& results = object.native();
      if (auto fine = function::check_results(results); !fine) {
        given->outcome = {function::Fault::error, fine.error().message};
        return;
      }
      native.frame->regions = std::move(results.regions);
      native.frame->attributes = results.attributes;
      results.regions.clear();
    }
    // A frame that Python keeps must not keep the picture: it goes back to its pool.
    object.frame.tensors.clear();
  }
  native.verdict = call.drops ? Verdict::drop : Verdict::pass;
  native.accepted = call.accepted;
  native.box = call.box;
  native.answer = std::move(call.answer);
}

}  // namespace

void bind_function(nb::module_& module) {
  nb::class_<FunctionCall>(module, "_FunctionCall")
      .def_prop_ro("hook", [](const FunctionCall& c) { return std::string(to_string(c.hook)); })
      .def_ro("object", &FunctionCall::object)
      .def_ro("text", &FunctionCall::text)
      .def_prop_ro(
          "frame", [](const FunctionCall& c) { return c.frame; }, nb::sig("def frame(self) -> Frame"))
      .def_ro("region", &FunctionCall::region)
      .def_ro("writes_pixels", &FunctionCall::writes_pixels)
      .def_prop_ro("keyframe", [](const FunctionCall& c) { return c.facts.keyframe; })
      .def_prop_ro("seq", [](const FunctionCall& c) { return c.facts.seq; })
      .def_prop_ro(
          "pts", [](const FunctionCall& c) { return time_to(c.facts.pts); },
          nb::sig("def pts(self) -> int | None"))
      .def_prop_ro("param_revision", [](const FunctionCall& c) { return c.facts.param_revision; })
      .def_prop_ro("queue_fill", [](const FunctionCall& c) { return c.facts.queue_fill; })
      .def_prop_ro("source_id", [](const FunctionCall& c) { return c.stream.source_id; })
      .def_prop_ro("codec", [](const FunctionCall& c) { return c.stream.codec; })
      .def_prop_ro("epoch", [](const FunctionCall& c) { return c.stream.epoch; })
      .def_prop_ro("width", [](const FunctionCall& c) { return c.stream.width; })
      .def_prop_ro("height", [](const FunctionCall& c) { return c.stream.height; })
      .def_prop_ro(
          "framerate",
          [](const FunctionCall& c) {
            return nb::make_tuple(c.stream.framerate.num, c.stream.framerate.den);
          },
          nb::sig("def framerate(self) -> tuple[int, int]"))
      .def_rw("drops", &FunctionCall::drops)
      .def_rw("accepted", &FunctionCall::accepted)
      .def_rw("pixels_changed", &FunctionCall::pixels_changed)
      .def_rw("box", &FunctionCall::box)
      .def_rw("answer", &FunctionCall::answer);
  nb::class_<Worker>(module, "_FunctionWorker")
      .def(nb::init<int, int>(), nb::arg("socket"), nb::arg("memory"))
      .def("receive", &Worker::receive, nb::sig("def receive(self) -> _FunctionCall | None"))
      .def("answer", &Worker::answer, nb::arg("call"), nb::arg("error"));
  module.def("_call_inline", &call_inline, nb::arg("dispatch"), nb::arg("target"), nb::arg("call"),
             nb::sig("def _call_inline(dispatch: typing.Any, target: typing.Any, call: typing.Any) -> None"));
  module.def("_set_worker_python", &function::set_worker_python, nb::arg("program"));
}

}  // namespace sightglass::python
