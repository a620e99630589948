#include "sightglass/gst/meta_aggregate.h"

#include <gst/base/gstaggregator.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "sightglass/bins/aggregate_params.h"
#include "sightglass/core/frame_join.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/element_lists.h"
#include "sightglass/gst/element_type.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/meta_aggregate_join.h"
#include "sightglass/gst/properties.h"

namespace sightglass::gst {
namespace {

// Properties that the element has always had from GstAggregator. All may change while it runs.
struct Inherited {
  GstClockTime latency = 0, min_upstream_latency = 0;  // with max-wait
  // Without effect: the segment is that of the frames.
  int start_time_selection = GST_AGGREGATOR_START_TIME_SELECTION_ZERO;
  GstClockTime start_time = GST_CLOCK_TIME_NONE;
  bool emit_signals = false;
};
enum InheritedId : guint {
  latency_id = 1000,
  min_upstream_latency_id,
  selection_id,
  start_time_id,
  signals_id
};

// What belongs to the pad of a branch. Of its own thread.
struct Input {
  std::shared_ptr<FrameJoin::Branch> branch;
  std::shared_ptr<ResultFormat> format = std::make_shared<ResultFormat>();
  GstSegment segment{};
  Frame arriving;
};

struct Aggregate {
  explicit Aggregate(GstElement* self) : params(aggregate_params()), src(make_src(self)), join(self, src) {}
  static GstPad* make_src(GstElement* self) {
    auto* klass = GST_ELEMENT_GET_CLASS(self);
    return gst_pad_new_from_template(gst_element_class_get_pad_template(klass, "src"), "src");
  }

  std::mutex mutex;
  ParamSet params;  // guarded, as are the next ones
  Inherited inherited;
  GstPad* main = nullptr;  // a pad of ours; no reference
  unsigned next_pad = 0;
  GstPad* const src;
  GstSegment segment{};  // of the main pad's thread
  FrameJoin join;
};

struct Instance {
  GstElement base;
  Aggregate* aggregate;
};
struct Class {
  GstElementClass base;
  bool numbered_main;  // gvametaaggregate: the first sink_%u is the main pad
};

GstElementClass* parent_class = nullptr;
Aggregate& aggregate_of(gpointer object) { return *static_cast<Instance*>(object)->aggregate; }
Input& input_of(GstPad* pad) { return *static_cast<Input*>(gst_pad_get_element_private(pad)); }

// None without a time: such buffers are matched by arrival. Outside of the segment time goes on, below 0
// before it.
std::optional<Time> running_time(const GstSegment& segment, GstClockTime pts) {
  if (!GST_CLOCK_TIME_IS_VALID(pts) || segment.format != GST_FORMAT_TIME) return std::nullopt;
  guint64 distance = 0;
  const int sign = gst_segment_to_running_time_full(&segment, GST_FORMAT_TIME, pts, &distance);
  if (sign == 0) return std::nullopt;
  return sign > 0 ? Time(distance) : -Time(distance);
}

bool closes_frame(const std::optional<SourceId>& source) {
  return !source || !source->roi || source->last_roi;
}

// ---- the main pad

GstFlowReturn chain_main(GstPad*, GstObject* parent, GstBuffer* buffer) {
  auto& self = aggregate_of(parent);
  return self.join.put_frame(BufferPtr(buffer), nullptr, running_time(self.segment, GST_BUFFER_PTS(buffer)));
}

gboolean main_event(GstPad*, GstObject* parent, GstEvent* given) {
  auto& self = aggregate_of(parent);
  EventPtr event(given);
  switch (GST_EVENT_TYPE(given)) {
    case GST_EVENT_FLUSH_START:
      self.join.flush_main();
      return gst_pad_push_event(self.src, event.release());
    case GST_EVENT_FLUSH_STOP:
      gst_segment_init(&self.segment, GST_FORMAT_UNDEFINED);
      return self.join.end_main_flush(std::move(event));
    case GST_EVENT_GAP:
      return self.join.put_frame(nullptr, std::move(event),
                                 running_time(self.segment, to_clock_time(to_gap(given).pts))) == GST_FLOW_OK;
    case GST_EVENT_SEGMENT:
      gst_event_copy_segment(given, &self.segment);
      break;
    default:
      break;
  }
  const bool keeps_its_place = gst_event_type_get_flags(GST_EVENT_TYPE(given)) & GST_EVENT_TYPE_SERIALIZED;
  if (!keeps_its_place) return gst_pad_push_event(self.src, event.release());
  return self.join.put_event(std::move(event));
}

gboolean main_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto& self = aggregate_of(parent);
  switch (GST_QUERY_TYPE(query)) {
    case GST_QUERY_CAPS: {
      GstCaps* filter = nullptr;
      gst_query_parse_caps(query, &filter);
      const CapsPtr own(gst_pad_get_pad_template_caps(pad));
      const CapsPtr peer(gst_pad_peer_query_caps(self.src, filter));
      const CapsPtr allowed(gst_caps_intersect_full(peer.get(), own.get(), GST_CAPS_INTERSECT_FIRST));
      gst_query_set_caps_result(query, allowed.get());
      return TRUE;
    }
    case GST_QUERY_ACCEPT_CAPS:
      return gst_pad_peer_query(self.src, query);
    case GST_QUERY_ALLOCATION:
      // Whoever says nothing wants nothing, whatever elements in front of it have added: an answer is needed
      // for a tee in front to ask the other branches.
      if (!self.join.put_query(query)) {
        while (gst_query_get_n_allocation_metas(query) > 0) gst_query_remove_nth_allocation_meta(query, 0);
        while (gst_query_get_n_allocation_pools(query) > 0) gst_query_remove_nth_allocation_pool(query, 0);
        while (gst_query_get_n_allocation_params(query) > 0) gst_query_remove_nth_allocation_param(query, 0);
      }
      return TRUE;
    default:
      return gst_query_type_get_flags(GST_QUERY_TYPE(query)) & GST_QUERY_TYPE_SERIALIZED
                 ? self.join.put_query(query)
                 : gst_pad_query_default(pad, parent, query);
  }
}

// ---- branches

GstFlowReturn chain_branch(GstPad* pad, GstObject* parent, GstBuffer* buffer) {
  auto& input = input_of(pad);
  FrameJoin::Result result;
  result.buffer.reset(buffer);
  result.format = input.format;
  result.time = running_time(input.segment, GST_BUFFER_PTS(buffer));
  input.arriving.clear();
  read_frame_metas(buffer, input.arriving);
  result.closes = closes_frame(input.arriving.source);
  return aggregate_of(parent).join.put_result(*input.branch, std::move(result));
}

bool set_branch_caps(GstElement* self, Input& input, GstEvent* event) {
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  auto format = std::make_shared<ResultFormat>();
  if (auto status = format->bridge.set_caps(caps); !status) {
    post_error(self, status.error());
    return false;
  }
  if (const auto* info = format->bridge.format().tensors()) {
    format->model = Label(info->model);
    format->tensors = tensor_names(*info);
  }
  input.format = std::move(format);
  return true;
}

// Nothing of it goes on: the stream is that of the main pad.
gboolean branch_event(GstPad* pad, GstObject* parent, GstEvent* given) {
  auto& join = aggregate_of(parent).join;
  auto& input = input_of(pad);
  const EventPtr event(given);
  switch (GST_EVENT_TYPE(given)) {
    case GST_EVENT_FLUSH_START:
      join.flush_branch(*input.branch);
      break;
    case GST_EVENT_FLUSH_STOP:
      gst_segment_init(&input.segment, GST_FORMAT_UNDEFINED);
      join.end_flush(*input.branch);
      break;
    case GST_EVENT_STREAM_START:
      join.start_branch(*input.branch, gst_event_get_seqnum(given));
      break;
    case GST_EVENT_CAPS:
      return set_branch_caps(GST_ELEMENT(parent), input, given);
    case GST_EVENT_SEGMENT:
      gst_event_copy_segment(given, &input.segment);
      break;
    case GST_EVENT_GAP: {
      const Gap gap = to_gap(given);
      FrameJoin::Result result;
      result.time = running_time(input.segment, to_clock_time(gap.pts));
      result.closes = closes_frame(gap.source);
      return join.put_result(*input.branch, std::move(result)) == GST_FLOW_OK;
    }
    case GST_EVENT_EOS:
      join.end_branch(*input.branch);
      break;
    default:
      break;
  }
  return TRUE;
}

gboolean branch_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  if (GST_QUERY_TYPE(query) == GST_QUERY_ALLOCATION) return FALSE;
  return gst_pad_query_default(pad, parent, query);
}

// ---- the source pad

gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  if (!gst_pad_query_default(pad, parent, query)) return FALSE;
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return TRUE;
  auto& self = aggregate_of(parent);
  gboolean is_live = FALSE;
  GstClockTime least = 0, most = 0;
  gst_query_parse_latency(query, &is_live, &least, &most);
  if (is_live) {
    std::lock_guard lock(self.mutex);
    least = std::max(least, self.inherited.min_upstream_latency) + self.inherited.latency;
    if (GST_CLOCK_TIME_IS_VALID(most)) most = std::max(most + self.inherited.latency, least);
    gst_query_set_latency(query, is_live, least, most);
  }
  self.join.set_latency(is_live, Time(least));
  return TRUE;
}

// ---- pads that come and go

GstPad* make_pad(GstElement* self, GstPadTemplate* templ, const char* name, bool is_main) {
  auto& aggregate = aggregate_of(self);
  auto* pad = gst_pad_new_from_template(templ, name);
  if (is_main) {
    gst_pad_set_chain_function(pad, chain_main);
    gst_pad_set_event_function(pad, main_event);
    gst_pad_set_query_function(pad, main_query);
    aggregate.join.add_main();
    aggregate.main = pad;
  } else {
    auto* input = new Input;
    input->branch = aggregate.join.add_branch();
    gst_pad_set_element_private(pad, input);
    static const GQuark key = g_quark_from_static_string("sightglass-branch");
    g_object_set_qdata_full(G_OBJECT(pad), key, input,
                            [](gpointer data) { delete static_cast<Input*>(data); });
    gst_pad_set_chain_function(pad, chain_branch);
    gst_pad_set_event_function(pad, branch_event);
    gst_pad_set_query_function(pad, branch_query);
  }
  gst_pad_set_chain_list_function(pad, chain_one_by_one);
  return pad;
}

bool has_pad(GstElement* self, const std::string& name) {
  return bool(PadPtr(gst_element_get_static_pad(self, name.c_str())));
}

GstPad* request_pad(GstElement* self, GstPadTemplate* templ, const gchar* requested, const GstCaps*) {
  auto& aggregate = aggregate_of(self);
  std::unique_lock lock(aggregate.mutex);
  std::string name = requested ? requested : "";
  if (name.empty() || name.find('%') != std::string::npos) {
    const std::string stem = GST_PAD_TEMPLATE_NAME_TEMPLATE(templ);
    do name = stem.substr(0, stem.find('%')) + std::to_string(aggregate.next_pad++);
    while (has_pad(self, name));
  } else {
    if (has_pad(self, name)) return nullptr;
    ++aggregate.next_pad;
  }
  const auto* klass = reinterpret_cast<Class*>(G_OBJECT_GET_CLASS(self));
  auto* pad = make_pad(self, templ, name.c_str(), klass->numbered_main && !aggregate.main);
  lock.unlock();
  if (GST_STATE_TARGET(self) > GST_STATE_READY) gst_pad_set_active(pad, TRUE);
  gst_element_add_pad(self, pad);
  return pad;
}

// Whoever is inside of a pad's chain keeps what it needs; it is not waited for, since it may be held up
// downstream.
void release_pad(GstElement* self, GstPad* pad) {
  auto& aggregate = aggregate_of(self);
  std::unique_lock lock(aggregate.mutex);
  const bool is_main = aggregate.main == pad;
  if (is_main) aggregate.main = nullptr;
  lock.unlock();
  if (is_main)
    aggregate.join.remove_main();
  else
    aggregate.join.remove_branch(input_of(pad).branch);
  gst_element_remove_pad(self, pad);
}

// ---- GObject and GstElement

GstStateChangeReturn change_state(GstElement* self, GstStateChange change) {
  auto& aggregate = aggregate_of(self);
  auto& join = aggregate.join;
  switch (change) {
    case GST_STATE_CHANGE_READY_TO_PAUSED: {
      std::lock_guard lock(aggregate.mutex);
      const auto& params = aggregate.params.as<AggregateParams>();
      gst_segment_init(&aggregate.segment, GST_FORMAT_UNDEFINED);
      join.start({.attach_tensors = params.attach_tensor_data,
                  .write_roi = params.write_roi_meta,
                  .max_frames = params.max_size_buffers,
                  .max_time = params.max_size_time,
                  .max_wait = params.max_wait < 0 ? -1 : params.max_wait * Time(GST_MSECOND)});
      break;
    }
    case GST_STATE_CHANGE_PAUSED_TO_PLAYING:
      join.set_playing(true);
      break;
    case GST_STATE_CHANGE_PLAYING_TO_PAUSED:
      join.set_playing(false);
      break;
    case GST_STATE_CHANGE_PAUSED_TO_READY:
      join.stop();
      break;
    default:
      break;
  }
  const auto result = parent_class->change_state(self, change);
  const bool failed = change == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE;
  if (failed) join.stop();
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY || failed) join.finish();
  return result;
}

void set_inherited(GObject* object, guint id, const GValue* value) {
  auto& aggregate = aggregate_of(object);
  {
    std::lock_guard lock(aggregate.mutex);
    auto& inherited = aggregate.inherited;
    switch (id) {
      case latency_id:
        inherited.latency = g_value_get_uint64(value);
        break;
      case min_upstream_latency_id:
        inherited.min_upstream_latency = g_value_get_uint64(value);
        break;
      case selection_id:
        inherited.start_time_selection = g_value_get_enum(value);
        break;
      case start_time_id:
        inherited.start_time = g_value_get_uint64(value);
        break;
      default:
        inherited.emit_signals = g_value_get_boolean(value);
    }
  }
  if (id == latency_id || id == min_upstream_latency_id)
    gst_element_post_message(GST_ELEMENT(object), gst_message_new_latency(GST_OBJECT(object)));
}

void get_inherited(const Inherited& inherited, guint id, GValue* value) {
  switch (id) {
    case latency_id:
      return g_value_set_uint64(value, inherited.latency);
    case min_upstream_latency_id:
      return g_value_set_uint64(value, inherited.min_upstream_latency);
    case selection_id:
      return g_value_set_enum(value, inherited.start_time_selection);
    case start_time_id:
      return g_value_set_uint64(value, inherited.start_time);
    default:
      g_value_set_boolean(value, inherited.emit_signals);
  }
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  if (id >= latency_id) return set_inherited(object, id, value);
  auto& aggregate = aggregate_of(object);
  const auto& desc = aggregate_params().params[id - 1];
  if (GST_STATE(object) > GST_STATE_READY && !desc.is_live) {
    GST_ELEMENT_WARNING(object, LIBRARY, SETTINGS,
                        ("%s: %s can only be set before the pipeline runs; the value is unchanged",
                         GST_OBJECT_NAME(object), spec->name),
                        (nullptr));
    return;
  }
  std::lock_guard lock(aggregate.mutex);
  if (auto status = aggregate.params.set(desc.name, from_gvalue(desc, value)); !status) {
    g_critical("%s: %s", GST_OBJECT_NAME(object), status.error().message.c_str());
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec*) {
  auto& aggregate = aggregate_of(object);
  std::lock_guard lock(aggregate.mutex);
  if (id >= latency_id) return get_inherited(aggregate.inherited, id, value);
  const auto& desc = aggregate_params().params[id - 1];
  if (auto param = aggregate.params.get(desc.name)) to_gvalue(desc, *param, value);
}

void finalize(GObject* object) {
  delete static_cast<Instance*>(static_cast<gpointer>(object))->aggregate;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

void install_inherited(GObjectClass* object) {
  const auto flags = GParamFlags(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS);
  const auto nanoseconds = [&](InheritedId id, const char* name, const char* doc, guint64 value) {
    g_object_class_install_property(object, id,
                                    g_param_spec_uint64(name, name, doc, 0, G_MAXUINT64, value, flags));
  };
  nanoseconds(latency_id, "latency", "added to max-wait and to the latency of a live pipeline [ns]", 0);
  nanoseconds(min_upstream_latency_id, "min-upstream-latency",
              "least latency that upstream is taken to have where it is live [ns]", 0);
  auto* aggregator = g_type_class_ref(GST_TYPE_AGGREGATOR);
  const auto* selection = g_object_class_find_property(G_OBJECT_CLASS(aggregator), "start-time-selection");
  g_object_class_install_property(
      object, selection_id,
      g_param_spec_enum("start-time-selection", "start-time-selection",
                        "no effect: time is that of the frames", G_PARAM_SPEC_VALUE_TYPE(selection),
                        GST_AGGREGATOR_START_TIME_SELECTION_ZERO, flags));
  g_type_class_unref(aggregator);
  nanoseconds(start_time_id, "start-time", "no effect: time is that of the frames", G_MAXUINT64);
  g_object_class_install_property(
      object, signals_id,
      g_param_spec_boolean("emit-signals", "emit-signals", "no effect: there are no signals", FALSE, flags));
}

constexpr const char* media_caps = "video/x-raw(ANY); audio/x-raw";
constexpr const char* result_caps = "other/tensors(ANY); video/x-raw(ANY); audio/x-raw";

void add_template(GstElementClass* klass, const char* name, GstPadDirection direction,
                  GstPadPresence presence, const char* text) {
  CapsPtr caps(gst_caps_from_string(text));
  gst_element_class_add_pad_template(klass, gst_pad_template_new(name, direction, presence, caps.get()));
}

void class_init(gpointer data, gpointer numbered_main) {
  auto* klass = static_cast<Class*>(data);
  klass->numbered_main = numbered_main != nullptr;
  parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(klass));
  auto* object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  install_properties(object, aggregate_params(), "meta_aggregate");
  install_inherited(object);

  auto* element = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_static_metadata(
      element, "Result aggregator", "Muxer/Metadata",
      "Joins the results of branches to the frames that they were computed from", "Sightglass");
  add_template(element, "src", GST_PAD_SRC, GST_PAD_ALWAYS, media_caps);
  if (klass->numbered_main) {
    add_template(element, "sink_%u", GST_PAD_SINK, GST_PAD_REQUEST, result_caps);
  } else {
    add_template(element, "sink", GST_PAD_SINK, GST_PAD_ALWAYS, media_caps);
    add_template(element, "tensor_%u", GST_PAD_SINK, GST_PAD_REQUEST, "other/tensors(ANY)");
    add_template(element, "meta_%u", GST_PAD_SINK, GST_PAD_REQUEST, result_caps);
    add_template(element, "sink_%u", GST_PAD_SINK, GST_PAD_REQUEST, result_caps);
  }
  element->request_new_pad = request_pad;
  element->release_pad = release_pad;
  element->change_state = change_state;
}

void instance_init(GTypeInstance* instance, gpointer klass) {
  auto* self = reinterpret_cast<GstElement*>(instance);
  auto* aggregate = new Aggregate(self);
  reinterpret_cast<Instance*>(instance)->aggregate = aggregate;
  gst_pad_set_query_function(aggregate->src, src_query);
  gst_element_add_pad(self, aggregate->src);
  if (static_cast<Class*>(klass)->numbered_main) return;
  auto* templ = gst_element_class_get_pad_template(static_cast<GstElementClass*>(klass), "sink");
  gst_element_add_pad(self, make_pad(self, templ, "sink", true));
}

bool register_as(GstPlugin* plugin, const char* name, bool numbered_main) {
  return register_element_type<Class, Instance>(plugin, name, GST_TYPE_ELEMENT, class_init,
                                                numbered_main ? name : nullptr, instance_init);
}

}  // namespace

bool register_meta_aggregate(GstPlugin* plugin) {
  return register_as(plugin, "meta_aggregate", false) && register_as(plugin, "gvametaaggregate", true);
}

}  // namespace sightglass::gst
