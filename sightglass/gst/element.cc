#include "sightglass/gst/element.h"

#include <gst/base/gstbasetransform.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "sightglass/gst/batch/batch_stream.h"
#include "sightglass/gst/caps.h"
#include "sightglass/gst/caps_relax.h"
#include "sightglass/gst/element_lists.h"
#include "sightglass/gst/element_results.h"
#include "sightglass/gst/element_type.h"
#include "sightglass/gst/frame_bridge.h"
#include "sightglass/gst/frame_meta.h"
#include "sightglass/gst/loading.h"
#include "sightglass/gst/properties.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/gst/gst_cuda.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass::gst {
namespace {

struct Wrapper;

struct Class {
  GstBaseTransformClass base;
  const ElementDesc* desc;
};

struct Instance {
  GstBaseTransform base;
  Wrapper* wrapper;
};

GstBaseTransformClass* parent_class = nullptr;  // one for all: the types are leaves of GstBaseTransform

const ElementDesc* desc_of(GstElement* element);

// The C++ side of one element instance.
struct Wrapper final : Output {
  Wrapper(GstBaseTransform* self_, const ElementDesc& desc_)
      : self(self_), desc(desc_), params(desc_.params), results(self_) {
    // What goes on in frames of its own keeps its memory; in-place elements get it back untouched.
    input.show_device_memory(!is_inplace() ||
                             std::ranges::contains(desc.input, MemoryKind::cuda, &FormatSpec::memory));
  }
  ~Wrapper() override { stop(); }

  Status start();
  void stop();
  void post_warnings();
  void apply_live_params();
  Status configure(GstCaps* input, GstCaps* output);
  GstFlowReturn run(GstBuffer* buffer);          // Transform; takes the buffer
  GstFlowReturn run_inplace(GstBuffer* buffer);  // TransformInplace
  GstFlowReturn finish(const Status& status);
  void make_pixels_writable(GstBuffer* buffer);
  Status process_gap(const Gap& gap);

  // Output
  Status allocate(Frame& frame) override;
  Status push(const Frame& frame) override;
  Status gap(const Gap& gap) override;

  Transform* transform() const { return static_cast<Transform*>(element.get()); }
  TransformInplace* inplace() const { return static_cast<TransformInplace*>(element.get()); }
  bool is_inplace() const { return desc.kind == ElementKind::transform_inplace; }

  GstBaseTransform* const self;
  const ElementDesc& desc;

  std::mutex params_mutex;
  ParamSet params;                         // guarded
  std::atomic<bool> live_changed = false;  // params hold values that the element has not seen
  bool stale = false;                      // set in READY: the element has to be made anew; guarded

  std::unique_ptr<Element> element;  // from READY on; set and reset under the lock
  FrameBridge input, output;
  CudaWriting cuda_writing;
  ElementResults results;
  GstBufferList* arrived = nullptr;  // of which the base class was handed the first; no reference
  Frame frame;                       // of the buffer being processed; kept for its capacity
  ListedFrames listed;               // of the list being processed

  bool writes_roi = false;  // the parameter write-roi-meta, where the element has it

  BufferPoolPtr pool;  // where outputs are taken from
  bool pool_ready = false;
  HeldBuffers held;                // parts of a frame that go on together
  GstBuffer* allocated = nullptr;  // by allocate(), until it is pushed
  const Memory* allocated_memory = nullptr;
  GstFlowReturn flow = GST_FLOW_OK;  // what downstream has answered
};

Status Wrapper::start() {
  std::unique_lock lock(params_mutex);
  auto made = desc.create(params);
  if (!made) return forward_error(made);
  stale = live_changed = false;
  lock.unlock();  // whoever handles the messages may look at values
  {
    Loading loading(GST_ELEMENT(self));
    if (auto status = (*made)->start(); !status) {
      loading.fail(status.error());
      return status;
    }
  }
  lock.lock();
  element = std::move(*made);
  const auto roi = desc.params.find("write-roi-meta") ? params.get("write-roi-meta") : ParamValue(false);
  writes_roi = roi && std::get<bool>(*roi);
  lock.unlock();
  post_warnings();
  return {};
}

void Wrapper::stop() {
  frame.clear();
  if (element) element->stop();
  post_warnings();
  std::lock_guard lock(params_mutex);  // somebody may be reading a value
  element.reset();
}

void Wrapper::post_warnings() {
  if (!element) return;
  for (const auto& warning : element->take_warnings()) {
    GST_ELEMENT_WARNING(self, LIBRARY, SETTINGS, ("%s: %s", GST_OBJECT_NAME(self), warning.c_str()),
                        (nullptr));
  }
}

void Wrapper::apply_live_params() {
  if (!live_changed.exchange(false)) return;
  {
    std::lock_guard lock(params_mutex);
    element->update(params);
  }
  post_warnings();
}

Status Wrapper::configure(GstCaps* input_caps, GstCaps* output_caps) {
  results.set_followers(followers_of(self, &desc_of));
  if (auto status = input.set_caps(input_caps); !status) return status;
  if (auto status = output.set_caps(output_caps); !status) return status;
  pool.reset();
  pool_ready = false;
  const auto status = element->configure(input.format(), output.format());
  post_warnings();
  return status;
}

GstFlowReturn Wrapper::finish(const Status& status) {
  if (status) return GST_FLOW_OK;
  if (flow != GST_FLOW_OK) return flow;
  if (status.error().code == ErrorCode::cancelled) return GST_FLOW_FLUSHING;
  post_error(GST_ELEMENT(self), status.error());
  return GST_FLOW_ERROR;
}

Status Wrapper::process_gap(const Gap& gap) {
  if (!is_inplace()) return transform()->gap(gap, *this);
  inplace()->gap(gap);
  return {};
}

GstFlowReturn Wrapper::run(GstBuffer* buffer) {
  BufferPtr owned(buffer);
  apply_live_params();
  flow = GST_FLOW_OK;
  Status status;
  if (auto* list = std::exchange(arrived, nullptr)) {
    status = listed.run(list, input, desc.reads_results, *transform(), *this);
  } else if (is_gap(buffer)) {
    status = process_gap(to_gap(buffer));
  } else {
    status = input.read(buffer, desc.reads_results, frame);
    if (status) status = transform()->process(frame, *this);
    frame.clear();
  }
  if (allocated) gst_buffer_unref(std::exchange(allocated, nullptr));  // taken but not pushed
  post_warnings();
  return finish(status);
}

// Replaces memory that other buffers share by a copy.
void Wrapper::make_pixels_writable(GstBuffer* buffer) {
  for (guint i = 0; i < gst_buffer_n_memory(buffer); ++i) {
    if (gst_buffer_is_memory_range_writable(buffer, i, 1)) continue;
    GstMapInfo map;
    if (gst_buffer_map_range(buffer, i, 1, &map, GST_MAP_READWRITE)) gst_buffer_unmap(buffer, &map);
  }
}

GstFlowReturn Wrapper::run_inplace(GstBuffer* buffer) {
  if (is_gap(buffer)) {
    inplace()->gap(to_gap(buffer));
    return GST_FLOW_OK;
  }
  apply_live_params();
  const bool writes_device = desc.writes_pixels && input.format().memory == MemoryKind::cuda;
  if (writes_device) {
    if (auto status = cuda_writing.own(buffer, input.video_info()); !status) return finish(status);
  } else if (desc.writes_pixels) {
    make_pixels_writable(buffer);
  }
  const auto read = desc.writes_pixels ? input.read_for_writing(buffer, desc.reads_results, frame)
                                       : input.read(buffer, desc.reads_results, frame);
  if (!read) return finish(read);
  results.remember(frame);
  const AttributesRef attributes_before = frame.attributes;

  flow = GST_FLOW_OK;
  auto verdict = inplace()->process(frame);
  if (writes_device)
    if (auto status = CudaWriting::hand_over(buffer, frame); !status && verdict)
      verdict = std::unexpected(status.error());
  frame.tensors.clear();  // they hold references that would make the buffer read-only
  post_warnings();
  if (!verdict) return finish(std::unexpected(verdict.error()));
  if (*verdict == Verdict::gap) {
    const auto status = gap({frame.pts, frame.duration, frame.source});
    return status ? GST_BASE_TRANSFORM_FLOW_DROPPED : finish(status);
  }
  if (*verdict == Verdict::drop) return GST_BASE_TRANSFORM_FLOW_DROPPED;
  results.write_changes(frame, attributes_before, input, desc.reads_results, writes_roi, buffer);
  return GST_FLOW_OK;
}

// ---- Output

Status Wrapper::allocate(Frame& out) {
  if (!pool) {
    const size_t bytes = output.frame_bytes();
    if (bytes == 0) return fail(ErrorCode::not_negotiated, "the output has no fixed size");
    Ref<MemoryPool> blocks;
    if (output.format().memory == MemoryKind::cuda) {
      auto device = cuda_context(cuda_device_beyond(self->sinkpad));  // that of the pictures
      auto on_device = device ? make_cuda_pool(*device, bytes) : forward_error(device);
      if (!on_device) return forward_error(on_device);
      blocks = *std::move(on_device);
    } else {
      blocks = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = bytes});
    }
    pool.reset(make_buffer_pool(blocks));
  }
  if (!pool_ready) {
    auto* config = gst_buffer_pool_get_config(pool.get());
    CapsPtr caps(gst_pad_get_current_caps(self->srcpad));
    gst_buffer_pool_config_set_params(config, caps.get(), guint(output.frame_bytes()), 0, 0);
    if (!gst_buffer_pool_is_active(pool.get()))
      gst_buffer_pool_set_config(pool.get(), config);
    else
      gst_structure_free(config);
    if (!gst_buffer_pool_set_active(pool.get(), TRUE))
      return fail(ErrorCode::exhausted, "the buffer pool does not start");
    pool_ready = true;
  }
  if (allocated) gst_buffer_unref(std::exchange(allocated, nullptr));
  flow = gst_buffer_pool_acquire_buffer(pool.get(), &allocated, nullptr);
  if (flow == GST_FLOW_ERROR) {
    flow = GST_FLOW_OK;  // it is ours to report
    return fail(ErrorCode::exhausted, "there is no {} memory for an output of {} bytes",
                to_string(output.format().memory), output.frame_bytes());
  }
  if (flow != GST_FLOW_OK) return fail(ErrorCode::cancelled, "no output buffer: {}", gst_flow_get_name(flow));
  if (auto status = output.attach_output(allocated, out); !status) return status;
  allocated_memory = out.tensors.empty() ? nullptr : out.tensors[0].memory.get();
  return {};
}

Status Wrapper::push(const Frame& out) {
  GstBuffer* buffer = nullptr;
  if (allocated && !out.tensors.empty() && out.tensors[0].memory.get() == allocated_memory) {
    BufferMemories::release(*out.tensors[0].memory);
    buffer = std::exchange(allocated, nullptr);
    GST_BUFFER_PTS(buffer) = to_clock_time(out.pts);
    GST_BUFFER_DURATION(buffer) = to_clock_time(out.duration);
  } else {
    buffer = output.wrap(out);
  }
  results.write_new(out, output, buffer);
  const bool more = results.takes_lists() && out.source && out.source->roi && !out.source->last_roi;
  flow = held.push(self->srcpad, buffer, more);
  if (flow != GST_FLOW_OK) return fail(ErrorCode::cancelled, "downstream: {}", gst_flow_get_name(flow));
  return {};
}

Status Wrapper::gap(const Gap& gap) {
  if (const auto sent = held.send(self->srcpad); sent != GST_FLOW_OK) {
    flow = sent;
    return fail(ErrorCode::cancelled, "downstream: {}", gst_flow_get_name(flow));
  }
  gst_pad_push_event(self->srcpad, to_event(gap));
  return {};
}

// ---- GObject and GstBaseTransform

GstStateChangeReturn change_state(GstElement* element, GstStateChange change);

// Of an element that is wrapped here; null: another one.
const ElementDesc* desc_of(GstElement* element) {
  auto* klass = GST_ELEMENT_GET_CLASS(element);
  return klass->change_state == change_state ? reinterpret_cast<const Class*>(klass)->desc : nullptr;
}

Wrapper& wrapper_of(gpointer object) { return *static_cast<Instance*>(object)->wrapper; }

void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
  auto& wrapper = wrapper_of(object);
  const auto& desc = wrapper.desc.params.params[id - 1];
  if (GST_STATE(object) > GST_STATE_READY && !desc.is_live) {
    GST_ELEMENT_WARNING(object, LIBRARY, SETTINGS,
                        ("%s: %s can only be set before the pipeline runs; the value is unchanged",
                         GST_OBJECT_NAME(object), spec->name),
                        (nullptr));
    return;
  }
  std::lock_guard lock(wrapper.params_mutex);
  if (auto status = wrapper.params.set(desc.name, from_gvalue(desc, value)); !status) {
    g_critical("%s: %s", GST_OBJECT_NAME(object), status.error().message.c_str());
    return;
  }
  wrapper.stale = true;
  wrapper.live_changed = true;
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec*) {
  auto& wrapper = wrapper_of(object);
  const auto& desc = wrapper.desc.params.params[id - 1];
  std::lock_guard lock(wrapper.params_mutex);
  const bool of_element = desc.is_readable_only && wrapper.element;
  const auto param = of_element ? wrapper.element->value(desc.name) : wrapper.params.get(desc.name);
  if (param) to_gvalue(desc, *param, value);
}

void finalize(GObject* object) {
  delete static_cast<Instance*>(static_cast<gpointer>(object))->wrapper;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

GstStateChangeReturn change_state(GstElement* element, GstStateChange change) {
  auto& wrapper = wrapper_of(element);
  const bool to_ready = change == GST_STATE_CHANGE_NULL_TO_READY;
  // Without an element where an earlier start has failed.
  if (to_ready || (change == GST_STATE_CHANGE_READY_TO_PAUSED && (wrapper.stale || !wrapper.element))) {
    wrapper.stop();
    if (auto status = wrapper.start(); !status) {
      post_error(element, status.error());
      return GST_STATE_CHANGE_FAILURE;
    }
  }
  // A frame that waits for something gives it up; stop_streaming() makes the element ready for use again.
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY && wrapper.element) wrapper.element->cancel();
  const auto result = GST_ELEMENT_CLASS(parent_class)->change_state(element, change);
  if (change == GST_STATE_CHANGE_READY_TO_NULL) wrapper.stop();
  return result;
}

// Field values that a change of format leaves as they are.
void carry_fields(const GstStructure* from, GstCaps* to) {
  for (guint i = 0; i < gst_caps_get_size(to); ++i) {
    auto* structure = gst_caps_get_structure(to, i);
    const bool both_video =
        gst_structure_has_name(from, "video/x-raw") && gst_structure_has_name(structure, "video/x-raw");
    for (const char* field : {"framerate", "pixel-aspect-ratio", "colorimetry", "interlace-mode"}) {
      const bool carried = both_video || g_str_equal(field, "framerate");
      const GValue* value = carried ? gst_structure_get_value(from, field) : nullptr;
      if (value) gst_structure_set_value(structure, field, value);
    }
  }
}

GstCaps* transform_caps(GstBaseTransform* self, GstPadDirection direction, GstCaps* caps, GstCaps* filter) {
  auto& wrapper = wrapper_of(self);
  const bool from_input = direction == GST_PAD_SINK;
  GstCaps* result = nullptr;
  if (!wrapper.element || gst_caps_is_any(caps)) {
    result = to_caps(from_input ? wrapper.desc.output : wrapper.desc.input).release();
  } else {
    result = gst_caps_new_empty();
    for (guint i = 0; i < gst_caps_get_size(caps); ++i) {
      const auto* structure = gst_caps_get_structure(caps, i);
      const auto* features = gst_caps_get_features(caps, i);
      const auto from = from_input ? Direction::input : Direction::output;
      for (const auto& spec : wrapper.transform()->transform_format(from, to_spec(structure, features))) {
        if (std::holds_alternative<AnySpec>(spec.media)) {  // passed through as it is
          gst_caps_append_structure_full(result, gst_structure_copy(structure),
                                         gst_caps_features_copy(features));
          continue;
        }
        auto one = to_caps(spec);
        carry_fields(structure, one.get());
        result = gst_caps_merge(result, one.release());
      }
    }
  }
  if (filter) {
    auto* filtered = gst_caps_intersect_full(filter, result, GST_CAPS_INTERSECT_FIRST);
    gst_caps_unref(result);
    result = filtered;
  }
  return result;
}

gboolean query(GstBaseTransform* self, GstPadDirection direction, GstQuery* query) {
  const auto& inputs = wrapper_of(self).desc.input;
  GstPad* const asked = direction == GST_PAD_SINK ? self->sinkpad : self->srcpad;
  if (std::ranges::contains(inputs, MemoryKind::cuda, &FormatSpec::memory) &&
      answer_cuda_context(query, asked))
    return TRUE;
  return GST_BASE_TRANSFORM_CLASS(parent_class)->query(self, direction, query);
}

gboolean set_caps(GstBaseTransform* self, GstCaps* input, GstCaps* output) {
  if (auto status = wrapper_of(self).configure(input, output); !status) {
    post_error(GST_ELEMENT(self), status.error());
    return FALSE;
  }
  return TRUE;
}

gboolean propose_allocation(GstBaseTransform* self, GstQuery* decided, GstQuery* query) {
  auto& wrapper = wrapper_of(self);
  if (wrapper.input.format().video()) gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  if (wrapper.is_inplace()) {
    if (!decided) return GST_BASE_TRANSFORM_CLASS(parent_class)->propose_allocation(self, decided, query);
    return gst_pad_peer_query(self->srcpad, query);  // whoever comes next gets the same memory
  }
  // Surfaces of a decoder are given back when the device has read them, which is found out when the next one
  // comes: a decoder with fewer than are held so would wait for ever. From here on decoders of GStreamer take
  // as many, and two more.
  if (wrapper.input.format().video() && wrapper.input.format().memory == MemoryKind::cuda) {
    constexpr guint most_held_surfaces = 6;  // DevicePass's; beyond it one is at work and one waits
    gst_query_add_allocation_pool(query, nullptr, guint(wrapper.input.frame_bytes()), most_held_surfaces, 0);
    return TRUE;
  }
  if (auto blocks = wrapper.transform()->input_pool()) {
    BufferPoolPtr pool(make_buffer_pool(blocks));
    GstAllocationParams align;
    gst_allocation_params_init(&align);
    align.align = 63;
    gst_query_add_allocation_param(query, memory_allocator(), &align);
    gst_query_add_allocation_pool(query, pool.get(), guint(blocks->block_size()), 0, 0);
  }
  return TRUE;
}

// Takes what downstream offers; a pool of our own is made when the first output is needed.
gboolean decide_allocation(GstBaseTransform* self, GstQuery* query) {
  auto& wrapper = wrapper_of(self);
  wrapper.pool.reset();
  wrapper.pool_ready = false;
  if (wrapper.is_inplace()) return TRUE;
  for (guint i = 0; i < gst_query_get_n_allocation_pools(query); ++i) {
    GstBufferPool* pool = nullptr;
    guint size = 0;
    gst_query_parse_nth_allocation_pool(query, i, &pool, &size, nullptr, nullptr);
    if (pool && size >= wrapper.output.frame_bytes() && size > 0 && !wrapper.pool) {
      wrapper.pool.reset(pool);
    } else if (pool) {
      gst_object_unref(pool);
    }
  }
  return TRUE;
}

GstFlowReturn generate_output(GstBaseTransform* self, GstBuffer** out) {
  *out = nullptr;
  auto* buffer = std::exchange(self->queued_buf, nullptr);
  return buffer ? wrapper_of(self).run(buffer) : GST_FLOW_OK;
}

GstFlowReturn transform_inplace(GstBaseTransform* self, GstBuffer* buffer) {
  return wrapper_of(self).run_inplace(buffer);
}

// A list goes the way of its first buffer, so that the base class does what it does for each.
GstFlowReturn chain_list(GstPad* pad, GstObject* parent, GstBufferList* list) {
  auto& wrapper = wrapper_of(parent);
  GstFlowReturn flow = GST_FLOW_OK;
  if (gst_buffer_list_length(list) > 0) {
    wrapper.arrived = list;
    flow = GST_PAD_CHAINFUNC(pad)(pad, parent, gst_buffer_ref(gst_buffer_list_get(list, 0)));
    wrapper.arrived = nullptr;
  }
  gst_buffer_list_unref(list);
  return flow;
}

gboolean sink_event(GstBaseTransform* self, GstEvent* event) {
  auto& wrapper = wrapper_of(self);
  if (!wrapper.element) return GST_BASE_TRANSFORM_CLASS(parent_class)->sink_event(self, event);
  if (GST_EVENT_TYPE(event) == GST_EVENT_FLUSH_STOP)
    wrapper.held.drop();
  else if (GST_EVENT_IS_SERIALIZED(event))
    wrapper.held.send(
        self->srcpad);  // nothing overtakes it; what downstream answers, it answers to the next as well
  Status status;
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_GAP: {
      wrapper.flow = GST_FLOW_OK;
      const Gap gap = to_gap(event);
      if (wrapper.is_inplace()) {
        wrapper.inplace()->gap(gap);
        break;
      }
      gst_event_unref(event);
      return wrapper.finish(wrapper.transform()->gap(gap, wrapper)) == GST_FLOW_OK;
    }
    case GST_EVENT_EOS:
      wrapper.flow = GST_FLOW_OK;
      status = wrapper.is_inplace() ? wrapper.inplace()->drain() : wrapper.transform()->drain(wrapper);
      wrapper.held.send(self->srcpad);
      wrapper.finish(status);  // the error is on the bus; the end still has to arrive
      break;
    case GST_EVENT_CUSTOM_DOWNSTREAM:
      // Others wait for what is under way here: nothing more will come to fill a batch.
      if (!wrapper.is_inplace() && gst_event_has_name(event, drained_event_name))
        status = wrapper.transform()->drain(wrapper);
      wrapper.held.send(self->srcpad);
      break;
    case GST_EVENT_FLUSH_START:
      wrapper.element->cancel();
      break;
    case GST_EVENT_FLUSH_STOP:
      if (wrapper.is_inplace())
        wrapper.inplace()->flush();
      else
        wrapper.transform()->flush();
      break;
    default:
      break;
  }
  return GST_BASE_TRANSFORM_CLASS(parent_class)->sink_event(self, event);
}

gboolean stop_streaming(GstBaseTransform* self) {
  auto& wrapper = wrapper_of(self);
  wrapper.held.drop();
  if (wrapper.pool && wrapper.pool_ready) gst_buffer_pool_set_active(wrapper.pool.get(), FALSE);
  wrapper.pool.reset();
  wrapper.pool_ready = false;
  if (wrapper.element && wrapper.is_inplace())
    wrapper.inplace()->flush();
  else if (wrapper.element)
    wrapper.transform()->flush();
  return TRUE;
}

void add_pad_template(GstElementClass* klass, const char* name, GstPadDirection direction,
                      const std::vector<FormatSpec>& specs) {
  auto caps = to_caps(specs);
  gst_element_class_add_pad_template(klass,
                                     gst_pad_template_new(name, direction, GST_PAD_ALWAYS, caps.get()));
}

void class_init(gpointer klass, gpointer data) {
  const auto& desc = *static_cast<const ElementDesc*>(data);
  static_cast<Class*>(klass)->desc = &desc;
  parent_class = static_cast<GstBaseTransformClass*>(g_type_class_peek_parent(klass));

  auto* object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  install_properties(object, desc.params, desc.name);

  auto* element = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_metadata(element, desc.title.c_str(), desc.klass.c_str(), desc.doc.c_str(),
                                 "Sightglass");
  const bool inplace = desc.kind == ElementKind::transform_inplace;
  add_pad_template(element, "sink", GST_PAD_SINK, desc.input);
  add_pad_template(element, "src", GST_PAD_SRC, inplace ? desc.input : desc.output);
  element->change_state = change_state;

  auto* base = GST_BASE_TRANSFORM_CLASS(klass);
  base->set_caps = set_caps;
  base->propose_allocation = propose_allocation;
  base->decide_allocation = decide_allocation;
  base->sink_event = sink_event;
  base->stop = stop_streaming;
  base->query = query;
  if (inplace) {
    base->transform_ip = transform_inplace;
    base->transform_ip_on_passthrough = TRUE;
    // An element for the sake of its caps alone, which the library knows nothing of.
    if (desc.name == "capsrelax") base->query = relaxing_query;
  } else {
    base->transform_caps = transform_caps;
    base->generate_output = generate_output;
    base->get_unit_size = [](GstBaseTransform*, GstCaps*, gsize* size) -> gboolean {
      return *size = 1, TRUE;
    };
    // Never called, but its presence says that outputs are new buffers.
    base->transform = [](GstBaseTransform*, GstBuffer*, GstBuffer*) { return GST_FLOW_NOT_SUPPORTED; };
  }
}

void instance_init(GTypeInstance* instance, gpointer klass) {
  auto* self = GST_BASE_TRANSFORM(instance);
  const auto& desc = *static_cast<Class*>(klass)->desc;
  reinterpret_cast<Instance*>(instance)->wrapper = new Wrapper(self, desc);
  if (desc.kind == ElementKind::transform)
    gst_pad_set_chain_list_function(self->sinkpad, chain_list);
  else
    gst_pad_set_chain_list_function(self->sinkpad, chain_one_by_one);
}

}  // namespace

bool register_element(GstPlugin* plugin, const ElementDesc& desc) {
  return register_element_type<Class, Instance>(plugin, desc.name, GST_TYPE_BASE_TRANSFORM, class_init, &desc,
                                                instance_init);
}

}  // namespace sightglass::gst
