#include "sightglass/gst/batch/batch_split.h"

#include <algorithm>
#include <climits>
#include <utility>
#include <vector>

#include "sightglass/gst/batch/batch_order.h"
#include "sightglass/gst/batch/batch_stream.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/element_type.h"
#include "sightglass/gst/frame_bridge.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/memory/gst/gst_memory.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass::gst {
namespace {

// ---- caps

bool is_batched(const TensorInfo& info) { return info.shape.rank() > 1 && info.shape[0] > 1; }

// Of one sample of tensors with these caps.
CapsPtr sample_caps(const GstCaps* caps, const TensorsInfo& info) {
  std::string dimensions;
  for (const auto& tensor : info.tensors) {
    Shape shape = tensor.shape;
    if (is_batched(tensor)) shape[0] = 1;
    dimensions += (dimensions.empty() ? "" : ",") + shape.to_dimensions();
  }
  CapsPtr one(gst_caps_copy(caps));
  gst_caps_set_simple(one.get(), "dimensions", G_TYPE_STRING, dimensions.c_str(), nullptr);
  return one;
}

// Several tensors share their first size: most likely that of a batch.
bool looks_batched(const TensorsInfo* info) {
  return info && !info->tensors.empty() && std::ranges::all_of(info->tensors, [&](const TensorInfo& tensor) {
           return is_batched(tensor) && tensor.shape[0] == info->tensors[0].shape[0];
         });
}

// ---- the element

struct Splitter final : StreamOutlet {
  explicit Splitter(GstElement* self_) : self(self_) {}

  GstFlowReturn chain(GstBuffer* buffer);
  GstFlowReturn split();
  GstFlowReturn put(GstBuffer* buffer, const std::optional<SourceId>& source, const CapsPtr& caps);
  GstFlowReturn put_gap(const Gap& gap);
  GstFlowReturn release_gaps(int before);
  bool sink_event(GstEvent* event);
  bool set_caps(GstCaps* caps);
  void bind(std::shared_ptr<BatchStream> to);
  void set_active(bool to);
  void run();
  void send(StreamItem item);
  void note_fences(GstBuffer* buffer);
  void wait_for_fences();
  bool announce_caps(const CapsPtr& caps);

  void flush_start(GstEvent* event) override;
  void flush_stop(GstEvent* event) override;

  std::shared_ptr<BatchStream> own() {
    std::lock_guard lock(mutex);
    return stream;
  }

  GstElement* const self;
  GstPad *sink = nullptr, *src = nullptr;
  std::mutex mutex;
  std::shared_ptr<BatchStream> stream;  // guarded; null: every result goes out here, at once
  bool active = false;                  // guarded; the source pad is

  // Of the thread that brings results.
  FrameBridge bridge;
  CapsPtr sink_caps, one_sample;
  Frame frame, sample;
  std::vector<Gap> gaps;  // announced, for samples to come
  // Of results that other streams have got but that this pipeline's engine still writes.
  std::vector<Ref<Fence>> fences;

  // Of the thread that sends them on.
  CapsPtr sent_caps;
  std::vector<StreamItem> before_caps;
};

struct Instance {
  GstElement base;
  Splitter* splitter;
};
struct Class {
  GstElementClass base;
};

GstElementClass* parent_class = nullptr;
Splitter& splitter_of(gpointer object) { return *static_cast<Instance*>(object)->splitter; }

// ---- what comes in

bool Splitter::set_caps(GstCaps* caps) {
  if (auto status = bridge.set_caps(caps); !status) {
    post_error(self, status.error());
    return false;
  }
  sink_caps.reset(gst_caps_ref(caps));
  const auto* info = bridge.format().tensors();
  one_sample = info ? sample_caps(caps, *info) : CapsPtr(gst_caps_ref(caps));
  return true;
}

void Splitter::note_fences(GstBuffer* buffer) {
  std::erase_if(fences, [](const Ref<Fence>& fence) { return fence->ready(); });
  for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i) {
    const MemoryRef memory = unwrap_memory(gst_buffer_peek_memory(buffer, i));
    const auto* block = dynamic_cast<const SystemMemory*>(memory.get());
    if (block && block->fence() && !block->fence()->ready()) fences.push_back(block->fence());
  }
}

// An engine that stops gives up what it has not finished, and here others are waiting for it.
void Splitter::wait_for_fences() {
  for (const Ref<Fence>& fence : std::exchange(fences, {})) (void)fence->wait();
}

GstFlowReturn Splitter::chain(GstBuffer* buffer) {
  BufferPtr owned(buffer);
  if (!sink_caps) return GST_FLOW_NOT_NEGOTIATED;
  if (is_gap(buffer)) return put_gap(to_gap(buffer));
  if (own()) note_fences(buffer);
  bridge.read_metadata(buffer, false, frame);
  if (frame.batch.empty()) {
    if (auto flow = release_gaps(frame.source ? frame.source->batch_index : 0); flow != GST_FLOW_OK)
      return flow;
    auto* one = owned.release();
    if (frame.source && frame.source->batch_index != 0) {  // it is no batch any more
      one = gst_buffer_make_writable(one);
      set_batch_index(one, 0);
    }
    return put(one, frame.source, sink_caps);
  }
  if (auto status = bridge.read(buffer, false, frame); !status) {
    post_error(self, status.error());
    return GST_FLOW_ERROR;
  }
  const auto flow = split();
  frame.clear();
  sample.clear();
  return flow;
}

// One axis along which the samples lie; what has none is for all.
GstFlowReturn Splitter::split() {
  for (size_t place = 0; place < frame.batch.size(); ++place) {
    const Sample& which = frame.batch[place];
    if (auto flow = release_gaps(which.source.batch_index); flow != GST_FLOW_OK) return flow;
    sample.clear();
    sample.pts = which.pts;
    sample.duration = which.duration;
    sample.source = which.source;
    if (!which.affine.identity()) sample.affine = which.affine;
    bool alone = true;  // whoever reads a tensor of all samples has to know which one is meant
    for (const Tensor& all : frame.tensors) {
      Tensor& one = sample.tensors.emplace_back(all);
      if (all.shape.rank() < 2 || all.shape[0] <= 1) {
        alone &= frame.batch.size() == 1;
        continue;
      }
      if (size_t(all.shape[0]) <= place) {
        post_error(self, Error{ErrorCode::corrupt,
                               std::format("a batch of {} samples came with a tensor for {}",
                                           frame.batch.size(), all.shape[0]),
                               {},
                               {}});
        return GST_FLOW_ERROR;
      }
      one.offset += place * size_t(all.strides[0]);
      one.shape[0] = 1;
    }
    if (alone) sample.source->batch_index = 0;
    if (auto flow = put(bridge.make_buffer(sample), sample.source, one_sample); flow != GST_FLOW_OK)
      return flow;
  }
  return release_gaps(INT_MAX);
}

GstFlowReturn Splitter::release_gaps(int before) {
  while (!gaps.empty() && announced_before(gaps.front()) <= before) {
    Gap gap = gaps.front();
    gaps.erase(gaps.begin());
    gap.source->batch_index = 0;
    if (auto flow = put_gap(gap); flow != GST_FLOW_OK) return flow;
  }
  return GST_FLOW_OK;
}

GstFlowReturn Splitter::put_gap(const Gap& gap) {
  if (announced_before(gap) > 0) {
    gaps.push_back(gap);
    return GST_FLOW_OK;
  }
  if (!own()) {
    if (!announce_caps(looks_batched(bridge.format().tensors()) ? one_sample : sink_caps))
      return GST_FLOW_NOT_NEGOTIATED;
    gst_pad_push_event(src, to_event(gap));
    return GST_FLOW_OK;
  }
  if (auto owner = gap.source ? find_stream(gap.source->stream) : nullptr)
    owner->put(gap.source->stream, {.object{GST_MINI_OBJECT_CAST(to_event(gap))}, .caps{}});
  return GST_FLOW_OK;
}

// Takes the buffer.
GstFlowReturn Splitter::put(GstBuffer* buffer, const std::optional<SourceId>& source, const CapsPtr& caps) {
  BufferPtr owned(buffer);
  if (!own()) {
    if (!announce_caps(caps)) return GST_FLOW_NOT_NEGOTIATED;
    return gst_pad_push(src, owned.release());
  }
  if (auto owner = source ? find_stream(source->stream) : nullptr)
    owner->put(source->stream,
               {.object{GST_MINI_OBJECT_CAST(owned.release())}, .caps{gst_caps_ref(caps.get())}});
  return GST_FLOW_OK;
}

bool Splitter::sink_event(GstEvent* event) {
  const auto* fields = gst_event_get_structure(event);
  const bool custom = GST_EVENT_TYPE(event) == GST_EVENT_CUSTOM_DOWNSTREAM && fields;
  if (custom && gst_structure_has_name(fields, routed_event_name)) {
    guint64 id = 0;
    GstEvent* carried = nullptr;
    gst_structure_get(fields, "stream-id", G_TYPE_UINT64, &id, "event", GST_TYPE_EVENT, &carried, nullptr);
    release_gaps(INT_MAX);
    if (auto owner = find_stream(id))
      owner->put(id, {.object{GST_MINI_OBJECT_CAST(carried)}, .caps{}});
    else
      gst_event_unref(carried);
    gst_event_unref(event);
    return true;
  }
  auto bound = own();
  if (custom && gst_structure_has_name(fields, drained_event_name)) {
    release_gaps(INT_MAX);
    wait_for_fences();
    if (bound) bound->note_drained();
    gst_event_unref(event);
    return true;
  }
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_CAPS: {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(event, &caps);
      release_gaps(INT_MAX);
      const bool good = set_caps(caps);
      gst_event_unref(event);
      // Later ones come with the results that have them. Those of a batch are known when it comes.
      if (good && bound)
        bound->put(
            bound->id(),
            {.object{},
             .caps{gst_caps_ref((looks_batched(bridge.format().tensors()) ? one_sample : sink_caps).get())}});
      return good;
    }
    case GST_EVENT_STREAM_START:
    case GST_EVENT_SEGMENT:
    case GST_EVENT_EOS:
      if (!bound) break;
      gst_event_unref(event);  // come by way of the batches
      return true;
    case GST_EVENT_GAP: {
      const Gap gap = to_gap(event);
      gst_event_unref(event);
      return put_gap(gap) == GST_FLOW_OK;
    }
    case GST_EVENT_FLUSH_START:
    case GST_EVENT_FLUSH_STOP:
      if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP) gaps.clear();
      return gst_pad_push_event(src, event);
    default:
      break;
  }
  if (bound || !GST_EVENT_IS_SERIALIZED(event)) return gst_pad_push_event(src, event);
  release_gaps(INT_MAX);
  // The caps depend on the first result, and a segment must not come before them.
  if (GST_EVENT_TYPE(event) != GST_EVENT_STREAM_START && !sent_caps &&
      GST_EVENT_TYPE(event) != GST_EVENT_EOS) {
    before_caps.push_back({.object{GST_MINI_OBJECT_CAST(event)}, .caps{}});
    return true;
  }
  if (GST_EVENT_TYPE(event) == GST_EVENT_EOS && sink_caps)
    announce_caps(looks_batched(bridge.format().tensors()) ? one_sample : sink_caps);
  return gst_pad_push_event(src, event);
}

// ---- what goes out

bool Splitter::announce_caps(const CapsPtr& caps) {
  if (caps &&
      (!sent_caps || (caps.get() != sent_caps.get() && !gst_caps_is_equal(caps.get(), sent_caps.get())))) {
    if (!gst_pad_push_event(src, gst_event_new_caps(caps.get())) && !GST_PAD_IS_FLUSHING(src)) return false;
    sent_caps.reset(gst_caps_ref(caps.get()));
  }
  for (auto& item : std::exchange(before_caps, {}))
    gst_pad_push_event(src, GST_EVENT_CAST(item.object.release()));
  return true;
}

// In the thread of a bound stream.
void Splitter::send(StreamItem item) {
  const auto bound = own();
  const auto report = [&](GstFlowReturn flow) {
    if (bound) bound->set_flow(flow);
  };
  const auto* event =
      item.object && GST_IS_EVENT(item.object.get()) ? GST_EVENT_CAST(item.object.get()) : nullptr;
  if (!event) {
    if (!announce_caps(item.caps)) return report(GST_FLOW_NOT_NEGOTIATED);
    if (item.object) report(gst_pad_push(src, GST_BUFFER_CAST(item.object.release())));
    return;
  }
  const auto type = GST_EVENT_TYPE(event);
  const bool first = type == GST_EVENT_STREAM_START || type == GST_EVENT_EOS;
  if (!first && !sent_caps) {
    before_caps.push_back(std::move(item));
    return;
  }
  if (type == GST_EVENT_EOS) announce_caps(nullptr);
  gst_pad_push_event(src, GST_EVENT_CAST(item.object.release()));
}

void Splitter::run() {
  StreamItem item;
  const auto bound = own();
  if (bound && bound->take(item)) return send(std::move(item));
  gst_pad_pause_task(src);
}

// Called by the thread of batch_create, perhaps while this element stops.
void Splitter::bind(std::shared_ptr<BatchStream> to) {
  std::lock_guard lock(mutex);
  if (!active || stream == to) return;
  if (stream) stream->bind(nullptr);
  stream = std::move(to);
  stream->bind(this);
  gst_pad_start_task(src, [](gpointer data) { static_cast<Splitter*>(data)->run(); }, this, nullptr);
}

void Splitter::set_active(bool to) {
  std::shared_ptr<BatchStream> was;
  {
    std::lock_guard lock(mutex);
    active = to;
    if (!to) was.swap(stream);
  }
  if (!was) return;
  was->bind(nullptr);
  gst_pad_stop_task(src);
}

void Splitter::flush_start(GstEvent* event) {
  gst_pad_push_event(src, event);
  gst_pad_pause_task(src);
}

void Splitter::flush_stop(GstEvent* event) {
  before_caps.clear();
  gst_pad_push_event(src, event);
  gst_pad_start_task(src, [](gpointer data) { static_cast<Splitter*>(data)->run(); }, this, nullptr);
}

// ---- GObject and GstElement

GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* buffer) {
  return splitter_of(parent).chain(buffer);
}

gboolean sink_event(GstPad*, GstObject* parent, GstEvent* event) {
  return splitter_of(parent).sink_event(event);
}

gboolean sink_query(GstPad* pad, GstObject* parent, GstQuery* query) {
  switch (GST_QUERY_TYPE(query)) {
    case GST_QUERY_CUSTOM: {
      const auto* fields = gst_query_get_structure(query);
      if (!fields || !gst_structure_has_name(fields, binding_query_name)) break;
      gpointer stream = nullptr;
      gst_structure_get(fields, "stream", G_TYPE_POINTER, &stream, nullptr);
      splitter_of(parent).bind(*static_cast<std::shared_ptr<BatchStream>*>(stream));
      return TRUE;
    }
    case GST_QUERY_ALLOCATION:
      return FALSE;  // what is written is cut up before it goes on
    default:
      break;
  }
  return gst_pad_query_default(pad, parent, query);
}

// By hand, so that the thread of a bound stream ends with its pad.
gboolean activate_src(GstPad*, GstObject* parent, GstPadMode mode, gboolean active) {
  if (mode != GST_PAD_MODE_PUSH) return FALSE;
  splitter_of(parent).set_active(active);
  return TRUE;
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange change) {
  auto& splitter = splitter_of(element);
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) {
    if (const auto bound = splitter.own()) bound->retire();
  }
  const auto result = GST_ELEMENT_CLASS(parent_class)->change_state(element, change);
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) {
    splitter.sink_caps.reset();
    splitter.one_sample.reset();
    splitter.sent_caps.reset();
    splitter.gaps.clear();
    splitter.fences.clear();
    splitter.before_caps.clear();
  }
  return result;
}

void finalize(GObject* object) {
  delete static_cast<Instance*>(static_cast<gpointer>(object))->splitter;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

void class_init(gpointer klass, gpointer) {
  parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(klass));
  G_OBJECT_CLASS(klass)->finalize = finalize;
  auto* element = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_static_metadata(
      element, "Batch splitter", "Generic",
      "Hands the results of a batch to the streams that its samples came from", "Sightglass");
  CapsPtr tensors(gst_caps_from_string("other/tensors(ANY)"));
  gst_element_class_add_pad_template(
      element, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, tensors.get()));
  gst_element_class_add_pad_template(element,
                                     gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, tensors.get()));
  element->change_state = change_state;
}

void instance_init(GTypeInstance* instance, gpointer klass) {
  auto* self = GST_ELEMENT(instance);
  auto* splitter = new Splitter(self);
  reinterpret_cast<Instance*>(instance)->splitter = splitter;
  auto* element_class = static_cast<GstElementClass*>(klass);
  splitter->sink =
      gst_pad_new_from_template(gst_element_class_get_pad_template(element_class, "sink"), "sink");
  splitter->src = gst_pad_new_from_template(gst_element_class_get_pad_template(element_class, "src"), "src");
  gst_pad_set_chain_function(splitter->sink, chain);
  gst_pad_set_event_function(splitter->sink, sink_event);
  gst_pad_set_query_function(splitter->sink, sink_query);
  gst_pad_set_activatemode_function(splitter->src, activate_src);
  gst_element_add_pad(self, splitter->sink);
  gst_element_add_pad(self, splitter->src);
}

}  // namespace

bool register_batch_split(GstPlugin* plugin) {
  return register_element_type<Class, Instance>(plugin, "batch_split", GST_TYPE_ELEMENT, class_init, nullptr,
                                                instance_init);
}

}  // namespace sightglass::gst
