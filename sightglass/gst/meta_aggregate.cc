#include "sightglass/gst/meta_aggregate.h"

#include <gst/base/gstaggregator.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <mutex>
#include <optional>
#include <utility>

#include "sightglass/bins/aggregate_params.h"
#include "sightglass/core/frame_join.h"
#include "sightglass/gst/caps.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/element_results.h"
#include "sightglass/gst/element_type.h"
#include "sightglass/gst/frame_bridge.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/properties.h"
#include "sightglass/gst/tensor_meta.h"

namespace sightglass::gst {
namespace {

// ---- one pad: the results of a branch

struct Branch {
  FrameBridge bridge;
  Label model;
  std::vector<Label> tensors;
  bool ended_frame = false;  // the frame at the head of the main pad is complete as far as this branch goes

  // Results of regions before the last one of their frame. They do not go through the pad's queue: each would
  // wake the aggregating thread up for nothing, and wait until it has been looked at.
  GstPadChainFunction chain = nullptr;  // into the queue
  struct Held {
    BufferPtr buffer;
    std::optional<Time> time;  // running time in the segment that it came in
    uint64_t frame;            // of which frame of this branch, counted
  };
  std::mutex held_mutex;
  std::vector<Held> held;          // guarded
  uint64_t arrived = 0;            // frames whose last result is in the queue; guarded
  uint64_t joined = 0;             // frames whose last result has left it; guarded
  std::vector<BufferPtr> joining;  // of join_held(), kept for its capacity
  // Of the pad's own thread, which is ahead of the aggregating one.
  Frame arriving;
  GstSegment segment{};
  std::atomic<GstFlowReturn> flow = GST_FLOW_OK;  // what the queue has answered last
  bool warned = false;

  void count_joined() {
    std::lock_guard lock(held_mutex);
    ++joined;
  }
};

// None without a PTS: such buffers are matched by arrival. Outside of the segment time goes on, below 0
// before it.
std::optional<Time> time_in(const GstSegment& segment, GstBuffer* buffer) {
  if (!GST_BUFFER_PTS_IS_VALID(buffer) || segment.format != GST_FORMAT_TIME) return std::nullopt;
  guint64 distance = 0;
  const int sign =
      gst_segment_to_running_time_full(&segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer), &distance);
  if (sign == 0) return std::nullopt;
  return sign > 0 ? Time(distance) : -Time(distance);
}

Branch& branch_of(GstAggregatorPad* pad) {
  static const GQuark key = g_quark_from_static_string("sightglass-branch");
  auto* branch = static_cast<Branch*>(g_object_get_qdata(G_OBJECT(pad), key));
  if (!branch) {
    branch = new Branch;
    g_object_set_qdata_full(G_OBJECT(pad), key, branch,
                            [](gpointer data) { delete static_cast<Branch*>(data); });
  }
  return *branch;
}

// ---- the element

struct Instance;

struct Joiner {
  explicit Joiner(GstAggregator* self_) : self(self_), params(aggregate_params()) {}

  GstFlowReturn aggregate(bool timeout);
  bool gather(GstAggregatorPad* pad, std::optional<Time> now, bool timeout);
  void join_held(GstAggregatorPad* pad, std::optional<Time> now);
  void join_buffer(Branch& branch, GstBuffer* buffer);
  GstFlowReturn send();

  const std::vector<PadPtr>& branches();
  std::optional<Time> running_time(GstAggregatorPad* pad, GstBuffer* buffer) const;
  void warn_of_missing_time();

  GstAggregator* const self;
  std::mutex mutex;
  ParamSet params;                   // guarded
  GstAggregatorPad* main = nullptr;  // a pad of ours; no reference
  unsigned next_pad = 0;

  // Caps of the frames being joined. Those of the pad itself run ahead: it has them as soon as they arrive,
  // behind queued frames.
  CapsPtr main_caps;
  std::vector<PadPtr> branch_pads, listed;
  guint32 listed_at = G_MAXUINT32;
  // Of the frame at the head of the main pad; used by the aggregating thread only.
  bool have_frame = false, warned = false;
  bool with_tensors = true, with_roi = false;  // of params
  Frame frame, before, result;
  ResultWriter writer;
};

struct Instance {
  GstAggregator base;
  Joiner* joiner;
};
struct Class {
  GstAggregatorClass base;
  bool numbered_main;  // gvametaaggregate: the first sink_%u is the main pad
};

GstAggregatorClass* parent_class = nullptr;
Joiner& joiner_of(gpointer object) { return *static_cast<Instance*>(object)->joiner; }

// The pads other than the main one, listed anew only when pads have come or gone.
const std::vector<PadPtr>& Joiner::branches() {
  GST_OBJECT_LOCK(self);
  if (listed_at != GST_ELEMENT(self)->pads_cookie) {
    listed_at = GST_ELEMENT(self)->pads_cookie;
    listed.swap(branch_pads);  // their references are dropped without the lock
    branch_pads.clear();
    for (GList* item = GST_ELEMENT(self)->sinkpads; item; item = item->next) {
      if (item->data != main) branch_pads.emplace_back(GST_PAD(gst_object_ref(item->data)));
    }
  }
  GST_OBJECT_UNLOCK(self);
  listed.clear();
  return branch_pads;
}

std::optional<Time> Joiner::running_time(GstAggregatorPad* pad, GstBuffer* buffer) const {
  GST_OBJECT_LOCK(pad);
  const GstSegment segment = pad->segment;
  GST_OBJECT_UNLOCK(pad);
  return time_in(segment, buffer);
}

void Joiner::warn_of_missing_time() {
  if (std::exchange(warned, true)) return;
  GST_ELEMENT_WARNING(self, STREAM, FORMAT,
                      ("%s: buffers come without a time stamp; results are matched to them by their order",
                       GST_OBJECT_NAME(self)),
                      (nullptr));
}

// Raw tensors that a decoder has tagged (tensor_postproc_add_params) are kept or left behind like all others.
static void drop_tensors(AttributesRef& list) {
  const auto is_tensor = [](const Attribute& item) { return item.kind == AttributeKind::tensor; };
  if (!list || std::ranges::none_of(list->items(), is_tensor)) return;
  std::vector<Attribute> kept;
  std::ranges::remove_copy_if(list->items(), std::back_inserter(kept), is_tensor);
  list = kept.empty() ? nullptr : make_ref<const AttributeList>(std::move(kept));
}

void Joiner::join_buffer(Branch& branch, GstBuffer* buffer) {
  if (is_gap(buffer)) return;
  // A repeated result (meta_smooth) comes without tensors.
  const auto* tensors = branch.bridge.format().tensors();
  const bool attach =
      with_tensors && tensors && tensors->model != sound_model && gst_buffer_n_memory(buffer) > 0;
  Status status;
  if (attach)
    status = branch.bridge.read(buffer, true, result);
  else
    branch.bridge.read_metadata(buffer, true, result);
  if (!with_tensors) drop_tensors(result.attributes);
  static const std::vector<Label> none;
  join(result, branch.model, attach && status ? branch.tensors : none, frame);
  result.clear();
  if (!status && !std::exchange(branch.warned, true))
    GST_ELEMENT_WARNING(
        self, STREAM, FORMAT,
        ("%s: raw tensors are left out: %s", GST_OBJECT_NAME(self), status.error().message.c_str()),
        (nullptr));
}

void Joiner::join_held(GstAggregatorPad* pad, std::optional<Time> now) {
  auto& branch = branch_of(pad);
  {
    std::lock_guard lock(branch.held_mutex);
    size_t taken = 0;
    for (; taken < branch.held.size(); ++taken) {
      auto& [buffer, time, frame_of_it] = branch.held[taken];
      const bool by_arrival = !time || !now;
      if (by_arrival ? frame_of_it > branch.joined : *time > *now) break;
      // Else earlier than the frame, whose turn is over.
      if (by_arrival || *time == *now) branch.joining.push_back(std::move(buffer));
    }
    branch.held.erase(branch.held.begin(), branch.held.begin() + ptrdiff_t(taken));
  }
  for (const auto& buffer : branch.joining) join_buffer(branch, buffer.get());
  branch.joining.clear();
}

// Takes what the branch has for the frame at `now`. True when nothing more can come. The buffer that closes
// the frame stays in its queue until the frame is sent: an empty queue would make the base class wait for the
// next one first.
bool Joiner::gather(GstAggregatorPad* pad, std::optional<Time> now, bool timeout) {
  auto& branch = branch_of(pad);
  while (true) {
    BufferPtr head(gst_aggregator_pad_peek_buffer(pad));
    // With a buffer in the queue the segment has arrived as well.
    if (head || (timeout && pad->segment.format == GST_FORMAT_TIME)) join_held(pad, now);
    if (!head) return gst_aggregator_pad_is_eos(pad);
    const auto time = running_time(pad, head.get());
    const bool by_arrival = !time || !now;
    if (!by_arrival && *time > *now) return true;
    Frame& probe = result;
    branch.bridge.read_metadata(head.get(), false, probe);
    const bool of_region = probe.source && probe.source->roi;
    const bool closes = !of_region || probe.source->last_roi;
    probe.clear();
    if (by_arrival || *time == *now) {
      if (closes) {
        branch.ended_frame = true;
        return true;
      }
      join_buffer(branch, head.get());
    }  // else: earlier than the frame, whose turn is over
    head.reset();
    gst_aggregator_pad_drop_buffer(pad);
    if (closes) branch.count_joined();
  }
}

// Everything is there: the results of the closing buffers, then the frame goes on.
GstFlowReturn Joiner::send() {
  for (const auto& pad : branches()) {
    auto* aggregator_pad = GST_AGGREGATOR_PAD(pad.get());
    auto& branch = branch_of(aggregator_pad);
    if (!std::exchange(branch.ended_frame, false)) continue;
    if (BufferPtr closing{gst_aggregator_pad_pop_buffer(aggregator_pad)}) join_buffer(branch, closing.get());
    branch.count_joined();
  }
  have_frame = false;
  GstBuffer* buffer = gst_aggregator_pad_pop_buffer(main);
  if (!buffer) return GST_FLOW_OK;
  if (is_gap(buffer)) {
    const Gap gap{frame.pts, frame.duration, frame.source};
    gst_buffer_unref(buffer);
    gst_pad_push_event(GST_AGGREGATOR_SRC_PAD(self), to_event(gap));
    return GST_FLOW_OK;
  }
  buffer = gst_buffer_make_writable(buffer);
  const auto size = branch_of(main).bridge.pixel_size();
  writer.write(buffer, size, before.regions, before.attributes, frame);
  warn_of_dropped_objects(GST_ELEMENT(self), writer);
  write_tensor_metas(GST_AGGREGATOR_SRC_PAD(self), frame, buffer);
  if (with_roi) writer.write_roi(buffer, size, frame.regions);
  frame.clear();
  return gst_aggregator_finish_buffer(self, buffer);
}

GstFlowReturn Joiner::aggregate(bool timeout) {
  if (!main) return GST_FLOW_EOS;
  {
    std::lock_guard lock(mutex);
    with_tensors = params.as<AggregateParams>().attach_tensor_data;
    with_roi = params.as<AggregateParams>().write_roi_meta;
  }
  BufferPtr head(gst_aggregator_pad_peek_buffer(main));
  if (!head) return gst_aggregator_pad_is_eos(main) ? GST_FLOW_EOS : GST_AGGREGATOR_FLOW_NEED_DATA;
  if (!have_frame) {
    branch_of(main).bridge.read_metadata(head.get(), true, frame);
    before.regions.assign(frame.regions.begin(), frame.regions.end());
    before.attributes = frame.attributes;
    have_frame = true;
  }
  const auto now = running_time(main, head.get());
  if (!now) warn_of_missing_time();
  head.reset();
  bool complete = true;
  for (const auto& pad : branches()) complete &= gather(GST_AGGREGATOR_PAD(pad.get()), now, timeout);
  return complete || timeout ? send() : GST_AGGREGATOR_FLOW_NEED_DATA;
}

// ---- GstAggregator

gboolean sink_event(GstAggregator* self, GstAggregatorPad* pad, GstEvent* event) {
  auto& joiner = joiner_of(self);
  const bool is_main = pad == joiner.main;
  if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
    GstCaps* caps = nullptr;
    gst_event_parse_caps(event, &caps);
    auto& branch = branch_of(pad);
    if (auto status = branch.bridge.set_caps(caps); !status) post_error(GST_ELEMENT(self), status.error());
    if (const auto* info = branch.bridge.format().tensors()) {
      branch.model = Label(info->model);
      branch.tensors = tensor_names(*info);
    }
    if (is_main) {
      joiner.main_caps.reset(gst_caps_ref(caps));
      gst_aggregator_set_src_caps(self, caps);
    }
  } else if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT && is_main) {
    const GstSegment* segment = nullptr;
    gst_event_parse_segment(event, &segment);
    gst_aggregator_update_segment(self, segment);
  } else if (GST_EVENT_TYPE(event) == GST_EVENT_TAG && !is_main) {
    gst_event_unref(event);  // those of the main pad are the stream's
    return TRUE;
  }
  return GST_AGGREGATOR_CLASS(parent_class)->sink_event(self, pad, event);
}

GstFlowReturn chain_branch(GstPad* pad, GstObject* parent, GstBuffer* buffer) {
  auto& branch = branch_of(GST_AGGREGATOR_PAD(pad));
  branch.arriving.clear();
  read_frame_metas(buffer, branch.arriving);
  const auto& source = branch.arriving.source;
  const bool held = source && source->roi && !source->last_roi;
  if (held && branch.flow == GST_FLOW_OK) {
    std::lock_guard lock(branch.held_mutex);
    branch.held.push_back({BufferPtr(buffer), time_in(branch.segment, buffer), branch.arrived});
    return GST_FLOW_OK;
  }
  if (!held) {
    std::lock_guard lock(branch.held_mutex);
    ++branch.arrived;
  }
  return branch.flow = branch.chain(pad, parent, buffer);
}

// Nothing overtakes what is held of a frame that has not ended.
void queue_held(GstAggregator* self, GstAggregatorPad* pad) {
  auto& branch = branch_of(pad);
  std::vector<BufferPtr> open;
  {
    std::lock_guard lock(branch.held_mutex);
    const auto first = std::ranges::find(branch.held, branch.arrived, &Branch::Held::frame);
    for (auto held = first; held != branch.held.end(); ++held) open.push_back(std::move(held->buffer));
    branch.held.erase(first, branch.held.end());
  }
  for (auto& buffer : open) branch.chain(GST_PAD(pad), GST_OBJECT(self), buffer.release());
}

void forget_held(GstAggregatorPad* pad) {
  auto& branch = branch_of(pad);
  std::lock_guard lock(branch.held_mutex);
  branch.held.clear();
  branch.arrived = branch.joined = 0;
  branch.flow = GST_FLOW_OK;
}

// The base class would make a buffer without our fields of a GAP.
GstFlowReturn sink_event_pre_queue(GstAggregator* self, GstAggregatorPad* pad, GstEvent* event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP)
    forget_held(pad);
  else if (gst_event_type_get_flags(GST_EVENT_TYPE(event)) & GST_EVENT_TYPE_SERIALIZED &&
           GST_EVENT_TYPE(event) != GST_EVENT_GAP)
    queue_held(self, pad);
  if (GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT) gst_event_copy_segment(event, &branch_of(pad).segment);
  if (GST_EVENT_TYPE(event) != GST_EVENT_GAP) {
    return GST_AGGREGATOR_CLASS(parent_class)->sink_event_pre_queue(self, pad, event);
  }
  auto* buffer = to_buffer(to_gap(event));
  gst_event_unref(event);
  return gst_pad_chain(GST_PAD(pad), buffer);
}

gboolean sink_query(GstAggregator* self, GstAggregatorPad* pad, GstQuery* query) {
  if (pad == joiner_of(self).main) {
    if (GST_QUERY_TYPE(query) == GST_QUERY_CAPS) {
      GstCaps *filter = nullptr, *allowed = nullptr;
      gst_query_parse_caps(query, &filter);
      CapsPtr own(gst_pad_get_pad_template_caps(GST_PAD(pad)));
      CapsPtr peer(gst_pad_peer_query_caps(GST_AGGREGATOR_SRC_PAD(self), filter));
      allowed = gst_caps_intersect_full(peer.get(), own.get(), GST_CAPS_INTERSECT_FIRST);
      gst_query_set_caps_result(query, allowed);
      gst_caps_unref(allowed);
      return TRUE;
    }
    if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS)
      return gst_pad_peer_query(GST_AGGREGATOR_SRC_PAD(self), query);
  }
  return GST_AGGREGATOR_CLASS(parent_class)->sink_query(self, pad, query);
}

gboolean propose_allocation(GstAggregator* self, GstAggregatorPad* pad, GstQuery*, GstQuery* query) {
  if (pad != joiner_of(self).main) return FALSE;
  // Whoever says nothing wants nothing, whatever elements in front of it have added: an answer is needed for
  // a tee in front to ask the other branches.
  if (!gst_pad_peer_query(GST_AGGREGATOR_SRC_PAD(self), query)) {
    while (gst_query_get_n_allocation_metas(query) > 0) gst_query_remove_nth_allocation_meta(query, 0);
    while (gst_query_get_n_allocation_pools(query) > 0) gst_query_remove_nth_allocation_pool(query, 0);
    while (gst_query_get_n_allocation_params(query) > 0) gst_query_remove_nth_allocation_param(query, 0);
  }
  return TRUE;
}

GstFlowReturn update_src_caps(GstAggregator* self, GstCaps*, GstCaps** result) {
  const auto& caps = joiner_of(self).main_caps;
  if (!caps) return GST_AGGREGATOR_FLOW_NEED_DATA;
  *result = gst_caps_ref(caps.get());
  return GST_FLOW_OK;
}

GstClockTime next_time(GstAggregator* self) {
  auto& joiner = joiner_of(self);
  int wait;
  {
    std::lock_guard lock(joiner.mutex);
    wait = joiner.params.as<AggregateParams>().max_wait;
  }
  if (wait < 0 || !joiner.main) return GST_CLOCK_TIME_NONE;
  BufferPtr head(gst_aggregator_pad_peek_buffer(joiner.main));
  if (!head) return GST_CLOCK_TIME_NONE;
  const auto time = joiner.running_time(joiner.main, head.get());
  return time && *time >= 0 ? GstClockTime(*time) + GstClockTime(wait) * GST_MSECOND : GST_CLOCK_TIME_NONE;
}

GstFlowReturn flush(GstAggregator* self) {
  auto& joiner = joiner_of(self);
  joiner.have_frame = false;
  joiner.frame.clear();
  for (const auto& pad : joiner.branches()) {
    branch_of(GST_AGGREGATOR_PAD(pad.get())).ended_frame = false;
    forget_held(GST_AGGREGATOR_PAD(pad.get()));
  }
  return GST_FLOW_OK;
}

GstAggregatorPad* create_new_pad(GstAggregator* self, GstPadTemplate* templ, const gchar* requested,
                                 const GstCaps*) {
  auto& joiner = joiner_of(self);
  std::string name = requested ? requested : "";
  if (name.empty() || name.find('%') != std::string::npos) {
    const std::string stem = GST_PAD_TEMPLATE_NAME_TEMPLATE(templ);
    name = stem.substr(0, stem.find('%')) + std::to_string(joiner.next_pad);
  }
  ++joiner.next_pad;
  auto* pad = GST_AGGREGATOR_PAD(g_object_new(GST_TYPE_AGGREGATOR_PAD, "name", name.c_str(), "direction",
                                              GST_PAD_SINK, "template", templ, nullptr));
  auto* klass = reinterpret_cast<Class*>(G_OBJECT_GET_CLASS(self));
  if (klass->numbered_main && !joiner.main) {
    joiner.main = pad;
  } else {
    branch_of(pad).chain = GST_PAD_CHAINFUNC(pad);
    gst_pad_set_chain_function(GST_PAD(pad), chain_branch);
  }
  return pad;
}

void release_pad(GstElement* element, GstPad* pad) {
  auto& joiner = joiner_of(element);
  if (GST_PAD(joiner.main) == pad) joiner.main = nullptr;
  GST_ELEMENT_CLASS(parent_class)->release_pad(element, pad);
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  auto& joiner = joiner_of(object);
  const auto& desc = aggregate_params().params[id - 1];
  if (GST_STATE(object) > GST_STATE_READY && !desc.is_live) {
    GST_ELEMENT_WARNING(object, LIBRARY, SETTINGS,
                        ("%s: %s can only be set before the pipeline runs; the value is unchanged",
                         GST_OBJECT_NAME(object), spec->name),
                        (nullptr));
    return;
  }
  std::lock_guard lock(joiner.mutex);
  if (auto status = joiner.params.set(desc.name, from_gvalue(desc, value)); !status) {
    g_critical("%s: %s", GST_OBJECT_NAME(object), status.error().message.c_str());
  }
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec*) {
  auto& joiner = joiner_of(object);
  const auto& desc = aggregate_params().params[id - 1];
  std::lock_guard lock(joiner.mutex);
  if (auto param = joiner.params.get(desc.name)) to_gvalue(desc, *param, value);
}

void finalize(GObject* object) {
  delete static_cast<Instance*>(static_cast<gpointer>(object))->joiner;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

constexpr const char* media_caps = "video/x-raw(ANY); audio/x-raw";
constexpr const char* result_caps = "other/tensors(ANY); video/x-raw(ANY); audio/x-raw";

void add_template(GstElementClass* klass, const char* name, GstPadDirection direction,
                  GstPadPresence presence, const char* text) {
  CapsPtr caps(gst_caps_from_string(text));
  gst_element_class_add_pad_template(
      klass, gst_pad_template_new_with_gtype(name, direction, presence, caps.get(), GST_TYPE_AGGREGATOR_PAD));
}

void class_init(gpointer data, gpointer numbered_main) {
  auto* klass = static_cast<Class*>(data);
  klass->numbered_main = numbered_main != nullptr;
  parent_class = static_cast<GstAggregatorClass*>(g_type_class_peek_parent(klass));
  auto* object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  install_properties(object, aggregate_params(), "meta_aggregate");

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
  element->release_pad = release_pad;

  auto* base = &klass->base;
  base->aggregate = [](GstAggregator* self, gboolean timeout) { return joiner_of(self).aggregate(timeout); };
  base->sink_event = sink_event;
  base->sink_event_pre_queue = sink_event_pre_queue;
  base->sink_query = sink_query;
  base->propose_allocation = propose_allocation;
  base->update_src_caps = update_src_caps;
  base->get_next_time = next_time;
  base->flush = flush;
  base->stop = [](GstAggregator* self) -> gboolean { return flush(self) == GST_FLOW_OK; };
  base->create_new_pad = create_new_pad;
}

void instance_init(GTypeInstance* instance, gpointer klass) {
  auto* self = GST_AGGREGATOR(instance);
  auto* joiner = new Joiner(self);
  reinterpret_cast<Instance*>(instance)->joiner = joiner;
  if (static_cast<Class*>(klass)->numbered_main) return;
  auto* templ = gst_element_class_get_pad_template(static_cast<GstElementClass*>(klass), "sink");
  joiner->main = GST_AGGREGATOR_PAD(g_object_new(GST_TYPE_AGGREGATOR_PAD, "name", "sink", "direction",
                                                 GST_PAD_SINK, "template", templ, nullptr));
  gst_element_add_pad(GST_ELEMENT(self), GST_PAD(joiner->main));
}

bool register_as(GstPlugin* plugin, const char* name, bool numbered_main) {
  return register_element_type<Class, Instance>(plugin, name, GST_TYPE_AGGREGATOR, class_init,
                                                numbered_main ? name : nullptr, instance_init);
}

}  // namespace

bool register_meta_aggregate(GstPlugin* plugin) {
  return register_as(plugin, "meta_aggregate", false) && register_as(plugin, "gvametaaggregate", true);
}

}  // namespace sightglass::gst
