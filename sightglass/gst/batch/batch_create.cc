#include "sightglass/gst/batch/batch_create.h"

#include <algorithm>
#include <climits>

#include "sightglass/core/param.h"
#include "sightglass/gst/batch/batcher.h"
#include "sightglass/gst/element_type.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/properties.h"

namespace sightglass::gst {
namespace {

struct Params {
  int batch_size = 1;
  int batch_timeout = -1;
  std::string shared_instance_id;
};

const ParamTable& batch_create_params() {
  static const auto table = ParamTable::of<Params>({
      param("batch-size", &Params::batch_size, "buffers in a batch; 0: one").range(0, 1024),
      param(
          "batch-timeout", &Params::batch_timeout,
          "longest wait for a batch to fill; 0: none, -1: two frame periods of the slowest stream, 40 ms if "
          "that is unknown")
          .range(-1, INT_MAX)
          .in("ms")
          .live(),
      param("shared-instance-id", &Params::shared_instance_id,
            "elements with the same id fill the same batches; the first sets the other properties"),
  });
  return table;
}

// Results that a stream may have waiting before its input waits too: two batches, but not too few for bursts.
size_t most_waiting(int batch_size) { return std::max<size_t>(16, 2 * size_t(batch_size)); }

struct Instance;

// The C++ side of one element.
struct Creator final : StreamInlet {
  explicit Creator(GstElement* self_) : self(self_), params(batch_create_params()) {}

  void start();
  void stop();
  void retire() override;
  void bind();
  bool shared() const { return bool(member.stream); }
  GstFlowReturn chain(GstBuffer* buffer);
  bool sink_event(GstEvent* event);
  bool serialized_event(GstEvent* event);
  GstFlowReturn gap(Gap gap);

  GstElement* const self;
  GstPad *sink = nullptr, *src = nullptr;
  mutable std::mutex mutex;
  ParamSet params;                   // guarded
  std::shared_ptr<Batcher> batcher;  // from READY on; set and reset under the lock
  BatchMember member;
};

struct Instance {
  GstElement base;
  Creator* creator;
};
struct Class {
  GstElementClass base;
};

GstElementClass* parent_class = nullptr;
Creator& creator_of(gpointer object) { return *static_cast<Instance*>(object)->creator; }

void Creator::start() {
  std::unique_lock lock(mutex);
  const Params& values = params.as<Params>();
  const bool alone = values.shared_instance_id.empty();
  Batcher::Options options;
  if (alone || params.is_set("batch-size")) options.batch_size = values.batch_size;
  if (alone || params.is_set("batch-timeout")) options.timeout = values.batch_timeout;
  batcher = Batcher::shared(values.shared_instance_id, options);
  const std::string different = batcher->difference(options);
  const std::string id = values.shared_instance_id;
  lock.unlock();
  if (!different.empty()) {
    GST_ELEMENT_WARNING(self, LIBRARY, SETTINGS,
                        ("%s: shared-instance-id=%s has %s already, which counts here too",
                         GST_OBJECT_NAME(self), id.c_str(), different.c_str()),
                        (nullptr));
  }
  member.src = src;
  if (alone) {
    member.id = new_stream_id();
  } else {
    member.stream = std::make_shared<BatchStream>(*this);
    member.stream->open(member.stream);
    member.id = member.stream->id();
  }
  batcher->join(member);
}

void Creator::stop() {
  if (!batcher) return;
  if (member.stream) {
    member.stream->inlet_gone();
    member.stream->close();
  }
  batcher->leave(member);
  member.stream.reset();
  member.caps.reset();
  member.key.reset();
  std::lock_guard lock(mutex);
  batcher.reset();
}

// Of a stream that shares: called from its batch_split, which stops before this element does.
void Creator::retire() { batcher->retire(member); }

// Finds the batch_split behind this element.
void Creator::bind() {
  if (!shared() || member.stream->bound()) return;
  auto* query = gst_query_new_custom(
      GST_QUERY_CUSTOM,
      gst_structure_new(binding_query_name, "stream", G_TYPE_POINTER, &member.stream, nullptr));
  gst_pad_peer_query(src, query);
  gst_query_unref(query);
}

GstFlowReturn Creator::chain(GstBuffer* buffer) {
  if (is_gap(buffer)) {
    const Gap skipped = to_gap(buffer);
    gst_buffer_unref(buffer);
    return gap(skipped);
  }
  if (shared()) {
    const GstFlowReturn flow = member.stream->wait_for_room(most_waiting(batcher->batch_size()));
    if (flow != GST_FLOW_OK) {
      gst_buffer_unref(buffer);
      return flow;
    }
  }
  buffer = gst_buffer_make_writable(buffer);
  set_stream(buffer, member.id);
  return batcher->append(member, buffer);
}

GstFlowReturn Creator::gap(Gap gap) {
  if (!gap.source) gap.source.emplace().pts = gap.pts;
  gap.source->stream = member.id;
  if (shared()) {
    const GstFlowReturn flow = member.stream->wait_for_room(most_waiting(batcher->batch_size()));
    if (flow != GST_FLOW_OK) return flow;
  }
  return batcher->append_gap(member, to_buffer(gap));
}

bool Creator::serialized_event(GstEvent* event) {
  const bool routed = shared() && member.stream->bound();
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_CAPS:
      return batcher->push_caps(member, event);
    case GST_EVENT_SEGMENT:
      if (routed) batcher->route_event(member, gst_event_ref(event));
      if (!batcher->push_event(member, event) && !routed) return false;
      batcher->set_ready(member);
      return true;
    case GST_EVENT_STREAM_START: {
      if (routed) batcher->route_event(member, gst_event_ref(event));
      return batcher->push_event(member, event);
    }
    case GST_EVENT_EOS:
      if (!routed && shared()) {
        batcher->send_partial(member);
        batcher->retire(member);  // its pad takes nothing behind the end
      }
      [[fallthrough]];
    default:
      if (!routed) return batcher->push_event(member, event);
      batcher->route_event(member, event);
      return true;
  }
}

bool Creator::sink_event(GstEvent* event) {
  if (!batcher) {
    gst_event_unref(event);
    return false;
  }
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_FLUSH_START:
      if (shared() && member.stream->bound())
        member.stream->flush_start(event);
      else
        gst_pad_push_event(src, event);
      batcher->set_flushing(member, true);
      return true;
    case GST_EVENT_FLUSH_STOP:
      if (shared() && member.stream->bound()) {
        member.stream->flush_stop(event, member.stream);
      } else {
        if (shared()) member.stream->open(member.stream);
        gst_pad_push_event(src, event);
      }
      batcher->set_flushing(member, false);
      return true;
    case GST_EVENT_GAP: {
      const Gap skipped = to_gap(event);
      gst_event_unref(event);
      return gap(skipped) == GST_FLOW_OK;
    }
    default:
      bind();
      if (GST_EVENT_IS_SERIALIZED(event)) return serialized_event(event);
      return gst_pad_push_event(src, event);
  }
}

// ---- GObject and GstElement

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  return creator_of(parent).chain(buffer);
}

gboolean sink_event(GstPad*, GstObject* parent, GstEvent* event) {
  return creator_of(parent).sink_event(event);
}

gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  auto& creator = creator_of(parent);
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY) return gst_pad_query_default(pad, parent, query);
  if (!gst_pad_peer_query(creator.sink, query)) return FALSE;
  std::shared_ptr<Batcher> batcher;
  {
    std::lock_guard lock(creator.mutex);
    batcher = creator.batcher;
  }
  gboolean live = FALSE;
  GstClockTime least = 0, most = 0;
  gst_query_parse_latency(query, &live, &least, &most);
  const GstClockTime wait = batcher ? batcher->wait_time() : 0;
  if (GST_CLOCK_TIME_IS_VALID(most)) most += wait;
  gst_query_set_latency(query, live, least + wait, most);
  return TRUE;
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange change) {
  auto& creator = creator_of(element);
  if (change == GST_STATE_CHANGE_READY_TO_PAUSED) creator.start();
  // Nobody waits for a member that makes a pause or goes.
  if (change == GST_STATE_CHANGE_PLAYING_TO_PAUSED && creator.shared())
    creator.batcher->send_partial(creator.member);
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY && creator.shared()) {
    creator.batcher->set_flushing(creator.member, true);
    creator.member.stream->close();
    creator.batcher->retire(creator.member);
  }
  const auto result = GST_ELEMENT_CLASS(parent_class)->change_state(element, change);
  const bool failed = change == GST_STATE_CHANGE_READY_TO_PAUSED && result == GST_STATE_CHANGE_FAILURE;
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY || failed) creator.stop();
  return result;
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  auto& creator = creator_of(object);
  const auto& desc = batch_create_params().params[id - 1];
  if (GST_STATE(object) > GST_STATE_READY && !desc.is_live) {
    GST_ELEMENT_WARNING(object, LIBRARY, SETTINGS,
                        ("%s: %s can only be set before the pipeline runs; the value is unchanged",
                         GST_OBJECT_NAME(object), spec->name),
                        (nullptr));
    return;
  }
  std::lock_guard lock(creator.mutex);
  if (auto status = creator.params.set(desc.name, from_gvalue(desc, value)); !status) {
    g_critical("%s: %s", GST_OBJECT_NAME(object), status.error().message.c_str());
    return;
  }
  if (desc.is_live && creator.batcher)
    creator.batcher->set_timeout(creator.params.as<Params>().batch_timeout);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec*) {
  auto& creator = creator_of(object);
  const auto& desc = batch_create_params().params[id - 1];
  std::lock_guard lock(creator.mutex);
  if (auto param = creator.params.get(desc.name)) to_gvalue(desc, *param, value);
}

void finalize(GObject* object) {
  delete static_cast<Instance*>(static_cast<gpointer>(object))->creator;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

void class_init(gpointer klass, gpointer) {
  parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(klass));
  auto* object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  install_properties(object, batch_create_params(), "batch_create");
  auto* element = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_static_metadata(element, "Batch maker", "Generic",
                                        "Collects buffers of one stream or of several into batches",
                                        "Sightglass");
  CapsPtr any(gst_caps_new_any());
  gst_element_class_add_pad_template(element,
                                     gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, any.get()));
  gst_element_class_add_pad_template(element,
                                     gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, any.get()));
  element->change_state = change_state;
}

void instance_init(GTypeInstance* instance, gpointer klass) {
  auto* self = GST_ELEMENT(instance);
  auto* creator = new Creator(self);
  reinterpret_cast<Instance*>(instance)->creator = creator;
  auto* element_class = static_cast<GstElementClass*>(klass);
  creator->sink =
      gst_pad_new_from_template(gst_element_class_get_pad_template(element_class, "sink"), "sink");
  creator->src = gst_pad_new_from_template(gst_element_class_get_pad_template(element_class, "src"), "src");
  gst_pad_set_chain_function(creator->sink, chain);
  gst_pad_set_event_function(creator->sink, sink_event);
  gst_pad_set_query_function(creator->src, src_query);
  for (auto* pad : {creator->sink, creator->src}) GST_PAD_SET_PROXY_CAPS(pad);
  GST_PAD_SET_PROXY_ALLOCATION(creator->sink);
  gst_element_add_pad(self, creator->sink);
  gst_element_add_pad(self, creator->src);
}

}  // namespace

bool register_batch_create(GstPlugin* plugin) {
  return register_element_type<Class, Instance>(plugin, "batch_create", GST_TYPE_ELEMENT, class_init, nullptr,
                                                instance_init);
}

}  // namespace sightglass::gst
