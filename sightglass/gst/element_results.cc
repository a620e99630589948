#include "sightglass/gst/element_results.h"

#include <string_view>
#include <utility>
#include <variant>

#include "sightglass/gst/element.h"
#include "sightglass/gst/tensor_meta.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {
namespace {

const char* plugin_of(gpointer element) {
  auto* factory = gst_element_get_factory(GST_ELEMENT(element));
  return factory ? gst_plugin_feature_get_plugin_name(GST_PLUGIN_FEATURE(factory)) : nullptr;
}

bool is_named(GstElement* element, const char* factory_name) {
  auto* factory = gst_element_get_factory(element);
  return factory && std::string_view(GST_OBJECT_NAME(factory)) == factory_name;
}

// Tensors of the buffer that have become results of it.
void let_go_of_buffer(const AttributesRef& attributes) {
  if (!attributes) return;
  for (const auto& item : attributes->items())
    if (item.tensor) BufferMemories::let_go_of_buffer(*item.tensor.memory);
}

}  // namespace

Followers followers_of(GstBaseTransform* self, const ElementDesc* (*desc_of)(GstElement*)) {
  GstObject* const bin = GST_OBJECT_PARENT(self);
  const char* const ours = plugin_of(self);
  if (!bin || !ours || !plugin_of(bin) || std::string_view(plugin_of(bin)) != ours) return {};
  bool queued = false, takes_lists = false;
  PadPtr pad(GST_PAD(gst_object_ref(self->srcpad)));
  for (bool first = true;;) {
    const PadPtr peer(gst_pad_get_peer(pad.get()));
    const ElementPtr next(peer ? gst_pad_get_parent_element(peer.get()) : nullptr);
    if (!next || GST_OBJECT_PARENT(next.get()) != bin) return {};
    if (const ElementDesc* desc = desc_of(next.get())) {
      const bool inplace = desc->kind == ElementKind::transform_inplace;
      // Pictures in a list are a batch, where batches are made.
      if (std::exchange(first, false))
        takes_lists = queued && (inplace || std::holds_alternative<TensorsSpec>(desc->input.at(0).media));
      if (!inplace) return {Readers::ours, takes_lists};
    } else if (is_named(next.get(), "meta_aggregate")) {
      return {Readers::ours, takes_lists};
    } else if (is_named(next.get(), "queue")) {
      queued = true;
    } else {
      return {};
    }
    pad.reset(gst_element_get_static_pad(next.get(), "src"));
    if (!pad) return {};
  }
}

void ElementResults::remember(const Frame& frame) {
  regions_before_.assign(frame.regions.begin(), frame.regions.end());
  json_before_.assign(frame.json);
}

void ElementResults::write_changes(Frame& frame, const AttributesRef& attributes_before,
                                   const FrameBridge& input, bool reads_results, bool writes_roi,
                                   GstBuffer* buffer) {
  if (reads_results) {
    for (const auto& region : frame.regions) let_go_of_buffer(region.attributes);
    if (frame.attributes != attributes_before) let_go_of_buffer(frame.attributes);
    if (followers_.readers == Readers::ours) {
      if (frame.regions != regions_before_ || frame.attributes != attributes_before)
        write_compact_results(frame, buffer);
    } else {
      writer_.write(buffer, input.pixel_size(), regions_before_, attributes_before, frame);
      warn_of_dropped_objects(GST_ELEMENT(self_), writer_);
      write_tensor_metas(self_->srcpad, frame, buffer);
    }
  }
  if (writes_roi) writer_.write_roi(buffer, input.pixel_size(), frame.regions);
  if (frame.json != json_before_) write_json(frame, buffer);
}

void ElementResults::write_new(const Frame& frame, const FrameBridge& output, GstBuffer* buffer) {
  const bool is_ours = followers_.readers == Readers::ours;
  write_frame_metas(frame, buffer, followers_.readers);
  if (!is_ours && frame.regions.empty() && !frame.attributes) return;
  numbered_.pts = frame.pts;
  numbered_.regions.assign(frame.regions.begin(), frame.regions.end());
  numbered_.attributes = frame.attributes;
  for (auto& region : numbered_.regions) region.id = region.parent = -1;
  if (is_ours)
    write_compact_results(numbered_, buffer);
  else
    writer_.write(buffer, output.pixel_size(), {}, nullptr, numbered_);
}

void warn_of_dropped_objects(GstElement* element, ResultWriter& results) {
  if (!results.take_first_drop()) return;
  GST_ELEMENT_WARNING(element, STREAM, FAILED,
                      ("%s: a frame has more than %zu objects; those of the highest confidence are kept",
                       GST_OBJECT_NAME(element), max_objects),
                      (nullptr));
}

}  // namespace sightglass::gst
