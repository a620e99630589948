#include "sightglass/cli/frame_counter.h"

#include <gst/analytics/analytics.h>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::cli {
namespace {

bool is_ours(GstElement* element) {
  auto* factory = gst_element_get_factory(element);
  const char* plugin = factory ? gst_plugin_feature_get_plugin_name(GST_PLUGIN_FEATURE(factory)) : nullptr;
  return plugin && std::string_view(plugin) == "sightglass";
}

// Calls f(item) for each; iterators of objects give a reference with each value.
template <class F>
void each(GstIterator* items, F f) {
  GValue value = G_VALUE_INIT;
  while (gst_iterator_next(items, &value) == GST_ITERATOR_OK) {
    f(g_value_get_object(&value));
    g_value_reset(&value);
  }
  g_value_unset(&value);
  gst_iterator_free(items);
}

std::vector<GstPad*> pads(GstElement* element, GstPadDirection direction) {
  std::vector<GstPad*> found;  // owned by the element
  auto* items = direction == GST_PAD_SINK ? gst_element_iterate_sink_pads(element)
                                          : gst_element_iterate_src_pads(element);
  each(items, [&](gpointer pad) { found.push_back(GST_PAD(pad)); });
  return found;
}

// Whether one of our elements comes before a sink pad, or after a source pad.
bool reaches_ours(GstPad* pad, int depth = 0) {
  gst::PadPtr peer(gst_pad_get_peer(pad));
  if (!peer || depth > 64) return false;
  gst::ElementPtr element(gst_pad_get_parent_element(peer.get()));
  if (!element) return false;
  if (is_ours(element.get())) return true;
  for (GstPad* next : pads(element.get(), GST_PAD_DIRECTION(pad)))
    if (reaches_ours(next, depth + 1)) return true;
  return false;
}

bool is_encoder_or_muxer(GstElement* element) {
  auto* factory = gst_element_get_factory(element);
  return factory && gst_element_factory_list_is_type(
                        factory, GST_ELEMENT_FACTORY_TYPE_ENCODER | GST_ELEMENT_FACTORY_TYPE_MUXER);
}

// Where frames are still frames, upstream of a sink: in front of its encoders, or of its muxer, so that files
// are finished when the stream ends there; nothing when there is neither.
void find_encoders(GstPad* sink_pad, std::vector<GstPad*>& found, int depth = 0) {
  gst::PadPtr peer(gst_pad_get_peer(sink_pad));
  gst::ElementPtr element(peer ? gst_pad_get_parent_element(peer.get()) : nullptr);
  if (!element || depth > 64) return;
  for (GstPad* pad : pads(element.get(), GST_PAD_SINK)) {
    const size_t before = found.size();
    find_encoders(pad, found, depth + 1);
    if (found.size() == before && is_encoder_or_muxer(element.get())) found.push_back(pad);
  }
}

}  // namespace

void FrameCounter::attach(GstElement* pipeline, uint64_t limit, OnFrame on_frame) {
  limit_ = limit;
  on_frame_ = std::move(on_frame);
  std::vector<GstPad*> first, last;
  each(gst_bin_iterate_recurse(GST_BIN(pipeline)), [&](gpointer item) {
    auto* element = GST_ELEMENT(item);
    if (!is_ours(element)) return;
    for (GstPad* pad : pads(element, GST_PAD_SINK))
      if (!reaches_ours(pad)) first.push_back(pad);
    for (GstPad* pad : pads(element, GST_PAD_SRC))
      if (!reaches_ours(pad)) last.push_back(pad);
  });
  if (first.empty() || last.empty()) {
    first.clear();
    each(gst_bin_iterate_sinks(GST_BIN(pipeline)), [&](gpointer item) {
      for (GstPad* pad : pads(GST_ELEMENT(item), GST_PAD_SINK)) {
        const size_t before = first.size();
        find_encoders(pad, first);
        if (first.size() == before) first.push_back(pad);
      }
    });
    last = first;
  }
  constexpr auto what = GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST);
  for (GstPad* pad : first) {
    entries_.push_back(std::make_unique<Entry>(this));
    gst_pad_add_probe(pad, what, enter, entries_.back().get(), nullptr);
  }
  for (GstPad* pad : last) gst_pad_add_probe(pad, what, leave, this, nullptr);
}

GstPadProbeReturn FrameCounter::enter(GstPad* pad, GstPadProbeInfo* info, gpointer data) {
  auto& entry = *static_cast<Entry*>(data);
  auto& self = *entry.counter;
  const uint64_t before = entry.frames++;
  if (before == 0) {
    std::lock_guard lock(self.mutex_);
    if (self.first_ == Clock::time_point{}) self.first_ = self.last_ = Clock::now();
  }
  if (!self.is_stopped_ && (self.limit_ == 0 || before < self.limit_)) return GST_PAD_PROBE_OK;
  // The end, as if the source had no more; upstream hears of it by the flow return and stops.
  if (!entry.is_ended.exchange(true)) gst_pad_send_event(pad, gst_event_new_eos());
  gst_mini_object_unref(GST_MINI_OBJECT(info->data));
  GST_PAD_PROBE_INFO_FLOW_RETURN(info) = GST_FLOW_EOS;
  return GST_PAD_PROBE_HANDLED;
}

GstPadProbeReturn FrameCounter::leave(GstPad* pad, GstPadProbeInfo* info, gpointer data) {
  auto& self = *static_cast<FrameCounter*>(data);
  if (auto* buffer = GST_PAD_PROBE_INFO_BUFFER(info); info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    self.count(pad, buffer);
  } else if (auto* list = GST_PAD_PROBE_INFO_BUFFER_LIST(info)) {
    for (guint i = 0; i < gst_buffer_list_length(list); ++i) self.count(pad, gst_buffer_list_get(list, i));
  }
  return GST_PAD_PROBE_OK;
}

void FrameCounter::count(GstPad* pad, GstBuffer* buffer) {
  if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_HEADER)) return;
  std::lock_guard lock(mutex_);
  ++frames_;
  last_ = Clock::now();
  if (GST_BUFFER_PTS_IS_VALID(buffer)) position_ = double(GST_BUFFER_PTS(buffer)) / GST_SECOND;
  of_frame_.clear();
  if (auto* meta = gst_buffer_get_analytics_relation_meta(buffer)) {
    gpointer state = nullptr;
    GstAnalyticsMtd mtd;
    while (gst_analytics_relation_meta_iterate(meta, &state, gst_analytics_od_mtd_get_mtd_type(), &mtd)) {
      ++objects_;
      ++of_frame_[gst_analytics_od_mtd_get_obj_type(&mtd)];
    }
    state = nullptr;
    while (
        gst_analytics_relation_meta_iterate(meta, &state, gst_analytics_tracking_mtd_get_mtd_type(), &mtd)) {
      guint64 id = 0;
      GstClockTime first_seen = 0, last_seen = 0;
      gboolean is_lost = FALSE;
      if (gst_analytics_tracking_mtd_get_info(&mtd, &id, &first_seen, &last_seen, &is_lost))
        tracks_.insert(id);
    }
  }
  for (const auto& [label, times] : of_frame_) classes_[label] += times;
  if (!on_frame_) return;
  Tally tally;
  for (const auto& [label, times] : of_frame_)
    tally.emplace_back(label ? g_quark_to_string(label) : "object", times);
  on_frame_(pad, buffer, tally);
}

Totals FrameCounter::totals() const {
  std::lock_guard lock(mutex_);
  Totals totals{frames_,  objects_, tracks_.size(), {}, std::chrono::duration<double>(last_ - first_).count(),
                position_};
  for (const auto& [label, times] : classes_)
    totals.classes.emplace_back(label ? g_quark_to_string(label) : "object", times);
  return totals;
}

}  // namespace sightglass::cli
