// The compiled part of sightglass.gst: frames on the buffers of a pad probe. Shares the bridge with the
// GStreamer plug-in, so that results look the same to elements and to Python.
#include <gst/gst.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <set>

#include "python/src/bindings.h"
#include "sightglass/gst/frame_bridge.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::python {
namespace {

// What is remembered from one buffer of a pad to the next: a streaming thread has few pads.
struct Pad {
  gst::CapsPtr caps;  // held, so that its address is not used again
  gst::FrameBridge bridge;
  gst::ResultWriter writer;
};

Pad& pad_of(GstCaps* caps) {
  thread_local Pad pad;
  if (pad.caps.get() != caps) {
    unwrap(pad.bridge.set_caps(caps));
    pad.caps.reset(gst_caps_ref(caps));
  }
  return pad;
}

struct BufferFrame {
  GstBuffer* buffer;
  GstCaps* caps;
  nb::object buffer_owner, caps_owner;  // PyGObject's wrappers, one reference each
  nb::object frame;
  std::vector<Region> regions_before;
  AttributesRef attributes_before;
};

nb::object enter(BufferFrame& self) {
  FrameObject object;
  auto& bridge = pad_of(self.caps).bridge;
  unwrap(bridge.read(self.buffer, true, object.frame));
  if (const TensorsInfo* info = bridge.format().tensors())
    object.info = std::make_shared<const TensorsInfo>(*info);
  self.regions_before = object.frame.regions;
  self.attributes_before = object.frame.attributes;
  self.frame = nb::cast(std::move(object));
  return self.frame;
}

// A buffer may be changed by whoever holds its only reference. In a probe that is the pipeline, on whose
// behalf we are called; but Python's wrapper and our frame hold some as well, which count as nobody's while
// the interpreter's lock keeps them as they are.
class WritableBuffer {
 public:
  WritableBuffer(GstBuffer* buffer, int ours) : object_(GST_MINI_OBJECT_CAST(buffer)), ours_(ours) {
    if (g_atomic_int_get(&object_->refcount) - ours_ != 1) {
      ours_ = 0;
      return;
    }
    g_atomic_int_add(&object_->refcount, -ours_);
    is_writable_ = true;
  }
  ~WritableBuffer() { g_atomic_int_add(&object_->refcount, ours_); }
  explicit operator bool() const { return is_writable_; }

 private:
  GstMiniObject* object_;
  int ours_;
  bool is_writable_ = false;
};

void leave(BufferFrame& self) {
  if (!self.frame.is_valid()) return;
  nb::object held = std::move(self.frame);
  FrameObject& object = nb::cast<FrameObject&>(held);
  Frame& after = object.native();
  const bool unchanged = after.regions == self.regions_before && after.attributes == self.attributes_before;
  if (unchanged) return;
  // The frame's planes lie in memories that keep the buffer, one reference each.
  std::set<const Memory*> memories;
  for (const Tensor& tensor : after.tensors) memories.insert(tensor.memory.get());
  const int ours = 1 + int(memories.size());  // Python's wrapper, and these
  Pad& pad = pad_of(self.caps);
  WritableBuffer writable(self.buffer, ours);
  if (!writable)
    raise({ErrorCode::invalid_argument,
           "the buffer is in use elsewhere, so that its results cannot be changed: behind a tee put a queue "
           "and an "
           "element that copies metadata (identity) in front, and drop other references to the buffer",
           {},
           {}});
  pad.writer.write(self.buffer, pad.bridge.pixel_size(), self.regions_before, self.attributes_before, after);
  object.regions.reset();  // they are numbered now
}

}  // namespace
}  // namespace sightglass::python

NB_MODULE(_gst, module) {
  using namespace sightglass::python;
  nb::module_::import_("sightglass._core");
  if (!gst_is_initialized()) gst_init(nullptr, nullptr);
  sightglass::gst::register_frame_metas();
  nb::class_<BufferFrame>(module, "BufferFrame")
      .def("__init__",
           [](BufferFrame* self, nb::object buffer, nb::object caps) {
             // PyGObject hashes what it wraps by its address.
             new (self) BufferFrame{.buffer = reinterpret_cast<GstBuffer*>(nb::hash(buffer)),
                                    .caps = reinterpret_cast<GstCaps*>(nb::hash(caps)),
                                    .buffer_owner = buffer,
                                    .caps_owner = caps,
                                    .frame = {},
                                    .regions_before = {},
                                    .attributes_before = {}};
           })
      .def("__enter__", &enter, nb::sig("def __enter__(self) -> sightglass.Frame"))
      .def(
          "__exit__",
          [](BufferFrame& self, nb::object type, nb::object, nb::object) {
            if (type.is_none()) leave(self);
            self.frame.reset();
          },
          nb::arg("type").none(), nb::arg("value").none(), nb::arg("traceback").none());
}
