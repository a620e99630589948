// Owning pointers for GStreamer's counted structures.
#pragma once

#include <gst/gst.h>

#include <memory>

#include "sightglass/core/frame.h"

namespace sightglass::gst {

struct Unref {
  void operator()(GstBuffer* buffer) const { gst_buffer_unref(buffer); }
  void operator()(GstCaps* caps) const { gst_caps_unref(caps); }
  template <class Object>
  void operator()(Object* object) const {
    gst_object_unref(object);
  }
};

using BufferPtr = std::unique_ptr<GstBuffer, Unref>;
using BufferPoolPtr = std::unique_ptr<GstBufferPool, Unref>;
using CapsPtr = std::unique_ptr<GstCaps, Unref>;
using ElementPtr = std::unique_ptr<GstElement, Unref>;
using PadPtr = std::unique_ptr<GstPad, Unref>;

inline Time from_clock_time(GstClockTime time) {
  return GST_CLOCK_TIME_IS_VALID(time) ? Time(time) : no_time;
}
inline GstClockTime to_clock_time(Time time) {
  return time == no_time ? GST_CLOCK_TIME_NONE : GstClockTime(time);
}

}  // namespace sightglass::gst
