#include "sightglass/gst/frame_probe.h"

#include <vector>

#include "sightglass/gst/element.h"
#include "sightglass/gst/frame_bridge.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

struct FrameProbe {
  FrameProbeOptions options;
  FrameFunction function;
  FrameBridge bridge;
  ResultWriter writer;
  Frame frame;  // this and the next are kept for their capacity
  std::vector<Region> regions_before;
  bool has_caps = false;
};

// The element that a pad belongs to, for messages.
ElementPtr element_of(GstPad* pad) { return ElementPtr(gst_pad_get_parent_element(pad)); }

// Ends the flow with the error, in place of the buffer.
GstPadProbeReturn end_flow(GstPad* pad, GstPadProbeInfo* info, const Error& error) {
  gst_buffer_unref(GST_PAD_PROBE_INFO_BUFFER(info));
  GST_PAD_PROBE_INFO_DATA(info) = nullptr;
  const bool is_fault = error.code != ErrorCode::cancelled;
  if (const ElementPtr element = element_of(pad); element && is_fault) post_error(element.get(), error);
  GST_PAD_PROBE_INFO_FLOW_RETURN(info) = is_fault ? GST_FLOW_ERROR : GST_FLOW_FLUSHING;
  return GST_PAD_PROBE_HANDLED;
}

// Replaces memory that other buffers share by a copy.
void make_pixels_writable(GstBuffer* buffer) {
  for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i) {
    GstMapInfo map;
    if (!gst_buffer_is_memory_range_writable(buffer, i, 1) &&
        gst_buffer_map_range(buffer, i, 1, &map, GST_MAP_READWRITE))
      gst_buffer_unmap(buffer, &map);
  }
}

// Tensors of the buffer that have become results of it would keep it for ever.
void let_go_of_buffer(const AttributesRef& attributes) {
  if (!attributes) return;
  for (const auto& item : attributes->items())
    if (item.tensor) BufferMemories::let_go_of_buffer(*item.tensor.memory);
}

void write_back(FrameProbe& probe, const AttributesRef& attributes_before, GstPadProbeInfo* info) {
  Frame& frame = probe.frame;
  const bool changed = frame.attributes != attributes_before || frame.regions != probe.regions_before;
  if (!changed) return;
  for (const auto& region : frame.regions) let_go_of_buffer(region.attributes);
  let_go_of_buffer(frame.attributes);
  auto* buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
  GST_PAD_PROBE_INFO_DATA(info) = buffer;
  probe.writer.write(buffer, probe.bridge.pixel_size(), probe.regions_before, attributes_before, frame);
}

GstPadProbeReturn see_buffer(GstPad* pad, GstPadProbeInfo* info, FrameProbe& probe) {
  if (is_gap(GST_PAD_PROBE_INFO_BUFFER(info))) return GST_PAD_PROBE_OK;
  if (!probe.has_caps)
    return end_flow(pad, info, {ErrorCode::not_negotiated, "a frame without a format", {}, {}});
  Frame& frame = probe.frame;
  if (probe.options.writes_pixels) {
    auto* writable = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
    GST_PAD_PROBE_INFO_DATA(info) = writable;
    make_pixels_writable(writable);
  }
  auto* buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  if (probe.options.pixels || probe.options.writes_pixels) {
    if (auto status = probe.bridge.read(buffer, probe.options.results, frame); !status)
      return end_flow(pad, info, status.error());
  } else {
    probe.bridge.read_metadata(buffer, probe.options.results, frame);
    if (const auto* video = probe.bridge.format().video()) frame.video = *video;
  }
  probe.regions_before.assign(frame.regions.begin(), frame.regions.end());
  const AttributesRef attributes_before = frame.attributes;

  const Result<Verdict> verdict = probe.function(frame);
  frame.tensors.clear();  // they hold references that would make the buffer read-only
  GstPadProbeReturn answer = GST_PAD_PROBE_OK;
  if (!verdict) {
    answer = end_flow(pad, info, verdict.error());
  } else if (*verdict == Verdict::pass) {
    if (probe.options.results) write_back(probe, attributes_before, info);
  } else {
    if (*verdict == Verdict::gap) {
      auto* event = to_event({frame.pts, frame.duration, frame.source});
      if (GST_PAD_IS_SRC(pad))
        gst_pad_push_event(pad, event);
      else
        gst_pad_send_event(pad, event);
    }
    answer = GST_PAD_PROBE_DROP;
  }
  frame.clear();
  probe.regions_before.clear();
  return answer;
}

GstPadProbeReturn see(GstPad* pad, GstPadProbeInfo* info, gpointer data) {
  auto& probe = *static_cast<FrameProbe*>(data);
  if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER) return see_buffer(pad, info, probe);
  auto* event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) != GST_EVENT_CAPS) return GST_PAD_PROBE_OK;
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  const auto status = probe.bridge.set_caps(caps);
  probe.has_caps = status.has_value();
  if (!status) {
    if (const ElementPtr element = element_of(pad)) post_error(element.get(), status.error());
    return GST_PAD_PROBE_DROP;
  }
  return GST_PAD_PROBE_OK;
}

}  // namespace

gulong add_frame_probe(GstPad* pad, const FrameProbeOptions& options, FrameFunction function) {
  auto* probe = new FrameProbe{.options = options, .function = std::move(function)};
  return gst_pad_add_probe(pad,
                           GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
                           see, probe, [](gpointer data) { delete static_cast<FrameProbe*>(data); });
}

}  // namespace sightglass::gst
