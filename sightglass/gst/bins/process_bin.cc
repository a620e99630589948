#include "sightglass/gst/bins/process_bin.h"

#include <algorithm>
#include <array>
#include <mutex>

#include "sightglass/core/registry.h"
#include "sightglass/gst/bins/stage.h"
#include "sightglass/gst/caps.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/element_type.h"
#include "sightglass/gst/loading.h"
#include "sightglass/gst/properties.h"

namespace sightglass::gst {
namespace {

constexpr guint first_stage_id = 1, first_queue_id = first_stage_id + stage_count,
                first_param_id = first_queue_id + stage_count;

struct State {
  explicit State(const BinDesc& desc_) : desc(desc_), params(desc_.params) {}
  const BinDesc& desc;
  std::mutex mutex;
  ParamSet params;                            // guarded
  std::array<ElementPtr, stage_count> user;   // stages set by the user; guarded
  std::array<int, stage_count> queue_size{};  // -1 no queue, 0 unlimited or the bin's own choice; guarded
  std::array<bool, stage_count> queue_set{};
  std::shared_ptr<void> keep_alive;
  bool complete = false;
  // Of a running bin whose first stage depends on the memory that frames come in; streaming thread only.
  std::function<Result<MemoryStage>(MemoryKind)> preprocess_for;
  MemoryKind preprocess_memory = MemoryKind::system;
  Chain preprocess_chain;
  std::vector<MemoryKind> other_memories;  // usable here; guarded by the state of the element
  // Whose source pad the frames go on from, as they came; null: the bin's. As above.
  GstElement* frames_out = nullptr;
  bool passes_frames = false;  // as above
};

struct Instance {
  GstBin base;
  State* state;
};
struct Class {
  GstBinClass base;
  const BinDesc* desc;
};

GstBinClass* parent_class = nullptr;
State& state_of(gpointer object) { return *static_cast<Instance*>(object)->state; }

GstPad* ghost(GstElement* self, const char* name) { return gst_element_get_static_pad(self, name); }

// Which of the elements are not registered.
std::vector<std::string> missing_elements(const Stage& stage) {
  std::vector<std::string> missing;
  for (const auto& settings : stage) {
    auto* factory = gst_element_factory_find(settings.element.c_str());
    if (factory)
      gst_object_unref(factory);
    else if (!std::ranges::contains(missing, settings.element))
      missing.push_back(settings.element);
  }
  return missing;
}

// Builds the graph of one bin.
class Builder {
 public:
  Builder(GstElement* self, State& state) : bin_(GST_BIN(self)), state_(state) {}

  // True when the bin does something, false when it passes through because stages are missing.
  Result<bool> build() {
    {
      std::lock_guard lock(state_.mutex);
      for (size_t i = 0; i < stage_count; ++i)
        user_[i].reset(state_.user[i] ? GST_ELEMENT(gst_object_ref(state_.user[i].get())) : nullptr);
      if (state_.desc.build) {
        auto generated = state_.desc.build(state_.params);
        if (!generated) return forward_error(generated);
        generated_ = std::move(*generated);
      }
    }
    for (const auto& warning : generated_.warnings) warn(warning);
    state_.keep_alive = generated_.keep_alive;
    for (size_t i = 0; i < stage_count; ++i) {
      if (user_[i]) continue;
      if (auto missing = missing_elements(generated_.stages[i]); !missing.empty()) {
        BackendNeeds needs = i == preprocess ? generated_.needs : BackendNeeds{};
        if (needs.asked.empty()) needs.asked = std::string("the stage ") + stage_names[i];
        return std::unexpected(not_usable(needs, missing));
      }
    }
    const bool three = has(preprocess) && has(process) && has(postprocess);
    const bool partly = has(preprocess) || has(process) || has(postprocess) || has(aggregate);
    state_.passes_frames = has(aggregate) || !partly;
    if (three && has(aggregate)) return done(branched());
    if (three) return done(linear({preprocess, process, postprocess, postaggregate}));
    if (has(postaggregate) && !partly) return done(linear({postaggregate}));
    if (state_.desc.build) return std::unexpected(no_model_error());
    if (auto status = done(add_stage(bin_, {{"identity", {{"silent", "true"}}}}).and_then([&](Chain chain) {
          return expose(chain, chain);
        }));
        !status) {
      return status;
    }
    return false;
  }

 private:
  static Result<bool> done(const Status& status) {
    return status ? Result<bool>(true) : std::unexpected(status.error());
  }
  bool has(StageIndex stage) const { return user_[stage] || !generated_.stages[stage].empty(); }
  void warn(const std::string& text) {
    GST_ELEMENT_WARNING(bin_, LIBRARY, SETTINGS, ("%s: %s", GST_OBJECT_NAME(bin_), text.c_str()), (nullptr));
  }

  Result<Chain> stage(StageIndex index) {
    if (auto& user = user_[index]) {
      gst_bin_add(bin_, user.get());
      return Chain{user.get(), user.get()};
    }
    auto chain = add_stage(bin_, generated_.stages[index]);
    if (chain && index == (has(preprocess) ? preprocess : postaggregate) && generated_.preprocess_for) {
      state_.preprocess_for = generated_.preprocess_for;
      state_.preprocess_memory = MemoryKind::system;
      state_.preprocess_chain = *chain;
      for (MemoryKind memory : {MemoryKind::va, MemoryKind::cuda, MemoryKind::dmabuf}) {
        const auto other = state_.preprocess_for(memory);
        if (other && !other->downloads && other->needs.missing.empty() &&
            missing_elements(other->stage).empty())
          state_.other_memories.push_back(memory);
      }
    }
    return chain;
  }

  // The queue before a stage: the user's size, else the bin's own, else none.
  std::optional<ElementSettings> queue_of_stage(StageIndex index) {
    int64_t size = generated_.queues[index] ? int64_t(*generated_.queues[index]) : -1;
    if (state_.queue_size[index] > 0 || (state_.queue_set[index] && state_.queue_size[index] < 0))
      size = state_.queue_size[index];
    else if (size < 0 && !state_.desc.build)
      size = 0;  // processbin: 0 is unlimited
    if (index == preprocess && generated_.leaky) {
      auto settings = queue_of(1);
      settings.params.emplace_back("leaky", "downstream");
      return settings;
    }
    if (size < 0) return std::nullopt;
    auto settings = queue_of(unsigned(size));
    if (index == aggregate && size == 0) {
      settings.params[2].second = "2000000000";  // frames are large: two seconds of them at most
      if (state_.queue_set[index])
        warn("aggregate-queue-size=0: unlimited means two seconds of frames, which are large");
    }
    return settings;
  }
  Result<Chain> queue_before(StageIndex index) {
    const auto settings = queue_of_stage(index);
    return settings ? add_stage(bin_, {*settings}) : Chain{};
  }

  // Whether somebody has said how many frames may wait in it.
  static bool has_limits(GstElement* join) {
    return std::ranges::any_of(std::array{"max-size-buffers", "max-size-time"}, [&](const char* name) {
      auto* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(join), name);
      if (!spec) return false;
      GValue value = G_VALUE_INIT;
      g_object_get_property(G_OBJECT(join), name, &value);
      const bool is_default = g_param_value_defaults(spec, &value);
      g_value_unset(&value);
      return !is_default;
    });
  }

  // The queue in front of the aggregate only holds frames until their results are there. Ours does that
  // itself, without a thread in between.
  Result<Chain> frames_before(GstElement* join) {
    const auto* factory = gst_element_get_factory(join);
    const std::string_view name = factory ? GST_OBJECT_NAME(factory) : "";
    if (name != "meta_aggregate" && name != "gvametaaggregate") return queue_before(aggregate);
    const bool is_as_written = user_[aggregate] && !state_.queue_set[aggregate] && has_limits(join);
    if (const auto settings = is_as_written ? std::nullopt : queue_of_stage(aggregate)) {
      for (const auto& [property, text] : settings->params)
        if (g_object_class_find_property(G_OBJECT_GET_CLASS(join), property.c_str()))
          gst_util_set_object_arg(G_OBJECT(join), property.c_str(), text.c_str());
    }
    return Chain{};
  }

  Status link(GstElement* from, GstElement* to) {
    if (!from || !to || gst_element_link(from, to)) return {};
    return fail(ErrorCode::not_negotiated, "{} and {} do not link: their caps have nothing in common",
                GST_OBJECT_NAME(from), GST_OBJECT_NAME(to));
  }

  // gst_element_link() gives up where both ends have request pads only.
  Status link_frames(GstElement* tee, GstElement* to) {
    PadPtr src(gst_element_request_pad_simple(tee, "src_%u"));
    PadPtr sink(src ? gst_element_get_compatible_pad(to, src.get(), nullptr) : nullptr);
    if (sink && gst_pad_link(src.get(), sink.get()) == GST_PAD_LINK_OK) return {};
    return fail(ErrorCode::not_negotiated, "{} and {} do not link: their caps have nothing in common",
                GST_OBJECT_NAME(tee), GST_OBJECT_NAME(to));
  }

  // To whatever pad of the join takes what the branch gives. Where that is not known yet, or is no tensors,
  // to one that takes anything: GStreamer would go by the templates and take the first, which is for tensors.
  Status link_results(GstElement* from, GstElement* join) {
    PadPtr src(gst_element_get_static_pad(from, "src"));
    CapsPtr caps(src ? gst_pad_query_caps(src.get(), nullptr) : gst_caps_new_any());
    const CapsPtr tensors = to_caps(FormatSpec{TensorsSpec{}});
    auto* of_all = gst_element_get_pad_template(join, "meta_%u");
    if (src && of_all &&
        (gst_caps_is_any(caps.get()) || !gst_caps_can_intersect(caps.get(), tensors.get()))) {
      PadPtr sink(gst_element_request_pad(join, of_all, nullptr, nullptr));
      if (sink && gst_pad_link(src.get(), sink.get()) == GST_PAD_LINK_OK) return {};
      if (sink) gst_element_release_request_pad(join, sink.get());
    }
    return link(from, join);
  }

  // Stages one behind the other, each with its queue; those that are not there are left out.
  Result<Chain> row(std::initializer_list<StageIndex> stages) {
    Chain all;
    for (auto index : stages) {
      if (!has(index)) continue;
      const bool first_of_linear = !all.first && index == postaggregate;
      auto queue = first_of_linear ? Result<Chain>(Chain{}) : queue_before(index);
      if (!queue) return queue;
      auto elements = stage(index);
      if (!elements) return elements;
      for (const Chain& part : {*queue, *elements}) {
        if (!part.first) continue;
        if (auto status = link(all.last, part.first); !status) return forward_error(status);
        if (!all.first) all.first = part.first;
        all.last = part.last;
      }
    }
    return all;
  }

  Status linear(std::initializer_list<StageIndex> stages) {
    return row(stages).and_then([&](Chain chain) { return expose(chain, chain); });
  }

  Status branched() {
    auto tee = add_stage(bin_, {{"tee", {}}});
    if (!tee) return forward_error(tee);
    auto branch = row({preprocess, process, postprocess});
    if (!branch) return forward_error(branch);
    auto joined = stage(aggregate);
    if (!joined) return forward_error(joined);
    auto frames = frames_before(joined->first);
    if (!frames) return forward_error(frames);
    state_.frames_out = joined->last;
    auto after = row({postaggregate});
    if (!after) return forward_error(after);

    // The frames first, so that they get the main pad; then the results, to whatever pad of the aggregate
    // takes them.
    auto* frames_first = frames->first ? frames->first : joined->first;
    if (auto status = link_frames(tee->last, frames_first); !status) return status;
    if (frames->last) {
      if (auto status = link(frames->last, joined->first); !status) return status;
    }
    if (auto status = link(tee->last, branch->first); !status) return status;
    if (auto status = link_results(branch->last, joined->first); !status) return status;
    if (!after->first) return expose(*tee, *joined);
    if (auto queue = queue_before(postaggregate); queue && queue->first) {
      if (auto status = link(joined->last, queue->first); !status) return status;
      if (auto status = link(queue->last, after->first); !status) return status;
    } else if (auto status = link(joined->last, after->first); !status) {
      return status;
    }
    return expose(*tee, *after);
  }

  Status expose(const Chain& input, const Chain& output) {
    for (auto [name, element] : {std::pair("sink", input.first), std::pair("src", output.last)}) {
      PadPtr pad(gst_element_get_static_pad(element, name)), outside(ghost(GST_ELEMENT(bin_), name));
      if (!pad || !gst_ghost_pad_set_target(GST_GHOST_PAD(outside.get()), pad.get())) {
        return fail(ErrorCode::not_negotiated, "{} cannot be the {} of the bin", GST_OBJECT_NAME(element),
                    name);
      }
    }
    return {};
  }

  GstBin* bin_;
  State& state_;
  std::array<ElementPtr, stage_count> user_;
  Stages generated_;
};

// Back to an empty bin. Stages of the user are kept for the next time.
void take_apart(GstElement* self) {
  for (const char* name : {"sink", "src"}) {
    PadPtr pad(ghost(self, name));
    gst_ghost_pad_set_target(GST_GHOST_PAD(pad.get()), nullptr);
  }
  while (GList* first = GST_BIN(self)->children) {
    auto* child = GST_ELEMENT(first->data);
    gst_element_set_state(child, GST_STATE_NULL);
    gst_bin_remove(GST_BIN(self), child);
  }
  auto& state = state_of(self);
  state.keep_alive = nullptr;
  state.preprocess_for = nullptr;
  state.preprocess_chain = {};
  state.other_memories.clear();
  state.frames_out = nullptr;
  state.passes_frames = false;
  state.complete = false;
}

// Whether the user's stages are enough for a graph by now.
bool may_be_complete(State& state) {
  std::lock_guard lock(state.mutex);
  const auto& user = state.user;
  return user[postaggregate] || (user[preprocess] && user[process] && user[postprocess]);
}

// Stages that were set after the bin had started as a passage: before the first frame it is built anew.
void complete_late(GstElement* self, State& state) {
  if (state.complete || state.desc.build || !may_be_complete(state)) return;
  take_apart(self);
  auto built = Builder(self, state).build();
  if (!built) return post_error(self, built.error());
  state.complete = *built;
  gst_bin_sync_children_states(GST_BIN(self));
}

// Puts the stage for frames in `memory` in the place of the first stage.
Status replace_preprocess(GstElement* self, State& state, MemoryKind memory) {
  auto made = state.preprocess_for(memory);
  if (!made) return forward_error(made);
  if (auto missing = missing_elements(made->stage); !missing.empty())
    return std::unexpected(not_usable(made->needs, missing));
  PadPtr sink(gst_element_get_static_pad(state.preprocess_chain.first, "sink")),
      src(gst_element_get_static_pad(state.preprocess_chain.last, "src"));
  PadPtr before(gst_pad_get_peer(sink.get())), after(gst_pad_get_peer(src.get()));
  std::vector<GstElement*> old;  // from the last one to the first
  for (auto* element = state.preprocess_chain.last; element;) {
    old.push_back(element);
    if (element == state.preprocess_chain.first) break;
    PadPtr in(gst_element_get_static_pad(element, "sink"));
    PadPtr peer(gst_pad_get_peer(in.get()));
    element = peer ? GST_ELEMENT(GST_OBJECT_PARENT(peer.get())) : nullptr;
  }
  for (auto* element : old) {
    gst_element_set_locked_state(element, TRUE);
    gst_element_set_state(element, GST_STATE_NULL);
  }
  if (before) gst_pad_unlink(before.get(), sink.get());
  if (after) gst_pad_unlink(src.get(), after.get());
  for (auto* element : old) gst_bin_remove(GST_BIN(self), element);
  sink.reset();
  src.reset();

  auto chain = add_stage(GST_BIN(self), made->stage);
  if (!chain) return forward_error(chain);
  state.preprocess_chain = *chain;
  state.preprocess_memory = memory;
  gst_bin_sync_children_states(GST_BIN(self));
  PadPtr new_sink(gst_element_get_static_pad(chain->first, "sink")),
      new_src(gst_element_get_static_pad(chain->last, "src"));
  if ((after && gst_pad_link(new_src.get(), after.get()) != GST_PAD_LINK_OK) ||
      (before && gst_pad_link(before.get(), new_sink.get()) != GST_PAD_LINK_OK))
    return fail(ErrorCode::not_negotiated, "{}: its elements do not link", made->needs.asked);
  return {};
}

// The format is known: the first stage for it, where that depends on the memory that frames come in.
GstPadProbeReturn see_event(GstPad*, GstPadProbeInfo* info, gpointer self) {
  auto* event = GST_PAD_PROBE_INFO_EVENT(info);
  auto* element = GST_ELEMENT(self);
  auto& state = state_of(self);
  const auto type = GST_EVENT_TYPE(event);
  if (type != GST_EVENT_STREAM_START && type != GST_EVENT_CAPS) return GST_PAD_PROBE_OK;
  complete_late(element, state);
  if (type != GST_EVENT_CAPS || !state.preprocess_for) return GST_PAD_PROBE_OK;
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  const MemoryKind memory = to_spec(gst_caps_get_structure(caps, 0), gst_caps_get_features(caps, 0)).memory;
  if (memory == state.preprocess_memory) return GST_PAD_PROBE_OK;
  if (auto status = replace_preprocess(element, state, memory); !status) {
    post_error(element, status.error());
    return GST_PAD_PROBE_DROP;
  }
  return GST_PAD_PROBE_OK;
}

// Whether who gets the frames takes them in this memory, where it could have them in system memory as well.
bool goes_on(GstElement* self, const State& state, MemoryKind memory) {
  if (!state.passes_frames) return true;
  const PadPtr out(gst_element_get_static_pad(state.frames_out ? state.frames_out : self, "src"));
  if (!out) return true;
  const CapsPtr wanted = to_caps(FormatSpec{VideoSpec{}, memory});
  const CapsPtr either(
      gst_caps_merge(to_caps(FormatSpec{VideoSpec{}}).release(), gst_caps_copy(wanted.get())));
  const CapsPtr taken(gst_pad_peer_query_caps(out.get(), either.get()));
  return !taken || gst_caps_can_intersect(taken.get(), wanted.get());
}

// Upstream may also give what the first stage could be replaced for.
GstPadProbeReturn see_query(GstPad*, GstPadProbeInfo* info, gpointer self) {
  auto* query = GST_PAD_PROBE_INFO_QUERY(info);
  const auto type = GST_QUERY_TYPE(query);
  const auto& state = state_of(self);
  const bool is_answer = GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_PULL;
  if (!is_answer || type != GST_QUERY_CAPS || !state.preprocess_for) return GST_PAD_PROBE_OK;
  GstCaps *answer = nullptr, *filter = nullptr;
  gst_query_parse_caps_result(query, &answer);
  gst_query_parse_caps(query, &filter);
  if (!answer || gst_caps_is_any(answer)) return GST_PAD_PROBE_OK;
  CapsPtr all(gst_caps_copy(answer));
  const auto add = [&](MemoryKind memory) {
    const CapsPtr other = to_caps(FormatSpec{VideoSpec{}, memory});
    all.reset(gst_caps_merge(all.release(),
                             filter ? gst_caps_intersect(filter, other.get()) : gst_caps_ref(other.get())));
  };
  for (MemoryKind memory : state.other_memories)
    if (goes_on(GST_ELEMENT(self), state, memory)) add(memory);
  // Where upstream has nothing else, its caps event is let in: the answer to that says what is missing. Who
  // asks without a filter, to know whether something could be linked, may have nothing else.
  if (!filter || gst_caps_is_empty(all.get()))
    for (MemoryKind memory : {MemoryKind::va, MemoryKind::cuda, MemoryKind::dmabuf}) add(memory);
  gst_query_set_caps_result(query, all.get());
  return GST_PAD_PROBE_OK;
}

GstStateChangeReturn change_state(GstElement* self, GstStateChange change) {
  auto& state = state_of(self);
  if (change == GST_STATE_CHANGE_NULL_TO_READY) {
    const auto built = [&] {
      Loading loading(self);
      auto result = Builder(self, state).build();
      if (!result) loading.fail(result.error());
      return result;
    }();
    if (!built) {
      post_error(self, built.error());
      take_apart(self);
      return GST_STATE_CHANGE_FAILURE;
    }
    state.complete = *built;
  } else if (change == GST_STATE_CHANGE_PAUSED_TO_PLAYING && !state.complete && !may_be_complete(state)) {
    post_error(self, Error{ErrorCode::invalid_argument,
                           "incomplete: set preprocess, process and postprocess (and aggregate to keep the "
                           "frames), or postaggregate alone",
                           {},
                           {}});
    return GST_STATE_CHANGE_FAILURE;
  }
  const auto result = GST_ELEMENT_CLASS(parent_class)->change_state(self, change);
  if (change == GST_STATE_CHANGE_NULL_TO_READY) {
    state.keep_alive = nullptr;
    if (result == GST_STATE_CHANGE_FAILURE) take_apart(self);
  }
  if (change == GST_STATE_CHANGE_READY_TO_NULL) take_apart(self);
  return result;
}

// Brings live values to the elements of a running bin.
void update(GstBin* bin, const BinDesc& desc, const ParamSet& params) {
  auto* elements = gst_bin_iterate_elements(bin);
  GValue item = G_VALUE_INIT;
  for (auto found = GST_ITERATOR_OK; found == GST_ITERATOR_OK || found == GST_ITERATOR_RESYNC;) {
    found = gst_iterator_next(elements, &item);
    if (found == GST_ITERATOR_RESYNC) gst_iterator_resync(elements);
    if (found != GST_ITERATOR_OK) continue;
    auto* element = GST_ELEMENT(g_value_get_object(&item));
    auto* factory = gst_element_get_factory(element);
    const auto* kind = factory ? find_element(GST_OBJECT_NAME(factory)) : nullptr;
    for (const auto& [name, text] : kind ? desc.live(params, *kind) : Settings{})
      gst_util_set_object_arg(G_OBJECT(element), name.c_str(), text.c_str());
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(elements);
}

void set_param(GObject* object, const ParamDesc& desc, const GValue* value) {
  auto& state = state_of(object);
  const bool running = GST_STATE(object) > GST_STATE_NULL;
  if (running && !desc.is_live) {
    GST_ELEMENT_WARNING(object, LIBRARY, SETTINGS,
                        ("%s: %s can only be set before the pipeline starts; the value is unchanged",
                         GST_OBJECT_NAME(object), desc.name.c_str()),
                        (nullptr));
    return;
  }
  std::unique_lock lock(state.mutex);
  if (auto status = state.params.set(desc.name, from_gvalue(desc, value)); !status) {
    g_critical("%s: %s", GST_OBJECT_NAME(object), status.error().message.c_str());
    return;
  }
  const ParamSet now = state.params;
  lock.unlock();
  if (running && state.desc.live) update(GST_BIN(object), state.desc, now);
}

void set_property(GObject* object, guint id, const GValue* value, GParamSpec*) {
  auto& state = state_of(object);
  if (id >= first_param_id) return set_param(object, state.desc.params.params[id - first_param_id], value);
  if (GST_STATE(object) > GST_STATE_NULL && (state.complete || state.desc.build)) {
    GST_ELEMENT_WARNING(object, LIBRARY, SETTINGS,
                        ("%s: stages and queue sizes can only be set before the pipeline starts; the value "
                         "is unchanged",
                         GST_OBJECT_NAME(object)),
                        (nullptr));
    return;
  }
  std::lock_guard lock(state.mutex);
  if (id >= first_queue_id) {
    state.queue_size[id - first_queue_id] = g_value_get_int(value);
    state.queue_set[id - first_queue_id] = true;
    return;
  }
  auto* element = static_cast<GstElement*>(g_value_get_object(value));
  state.user[id - first_stage_id].reset(element ? GST_ELEMENT(gst_object_ref_sink(element)) : nullptr);
}

void get_property(GObject* object, guint id, GValue* value, GParamSpec*) {
  auto& state = state_of(object);
  std::lock_guard lock(state.mutex);
  if (id >= first_param_id) {
    const auto& desc = state.desc.params.params[id - first_param_id];
    if (auto param = state.params.get(desc.name)) to_gvalue(desc, *param, value);
  } else if (id >= first_queue_id) {
    g_value_set_int(value, state.queue_size[id - first_queue_id]);
  } else {
    g_value_set_object(value, state.user[id - first_stage_id].get());
  }
}

void finalize(GObject* object) {
  delete static_cast<Instance*>(static_cast<gpointer>(object))->state;
  G_OBJECT_CLASS(parent_class)->finalize(object);
}

void class_init(gpointer klass, gpointer data) {
  const auto& desc = *static_cast<const BinDesc*>(data);
  static_cast<Class*>(klass)->desc = &desc;
  parent_class = static_cast<GstBinClass*>(g_type_class_peek_parent(klass));
  auto* object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  object->get_property = get_property;
  object->finalize = finalize;
  const auto flags = GParamFlags(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
  for (size_t i = 0; i < stage_count; ++i) {
    const char* queue = g_intern_string((std::string(stage_names[i]) + "-queue-size").c_str());
    g_object_class_install_property(
        object, guint(first_stage_id + i),
        g_param_spec_object(stage_names[i], stage_names[i], "element or bin of this stage", GST_TYPE_ELEMENT,
                            flags));
    g_object_class_install_property(
        object, guint(first_queue_id + i),
        g_param_spec_int(
            queue, queue,
            "buffers in the queue before this stage: -1 no queue, 0 the bin's own size, or unlimited", -1,
            G_MAXINT, 0, flags));
  }
  install_properties(object, desc.params, desc.name, first_param_id);

  auto* element = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_metadata(element, desc.title.c_str(), desc.klass.c_str(), desc.doc.c_str(),
                                 "Sightglass");
  CapsPtr caps(gst_caps_from_string(desc.build ? "video/x-raw(ANY)" : "ANY"));
  gst_element_class_add_pad_template(element,
                                     gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, caps.get()));
  gst_element_class_add_pad_template(element,
                                     gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, caps.get()));
  element->change_state = change_state;
}

void instance_init(GTypeInstance* instance, gpointer klass) {
  reinterpret_cast<Instance*>(instance)->state = new State(*static_cast<Class*>(klass)->desc);
  for (const char* name : {"sink", "src"}) {
    auto* templ = gst_element_class_get_pad_template(static_cast<GstElementClass*>(klass), name);
    gst_element_add_pad(GST_ELEMENT(instance), gst_ghost_pad_new_no_target_from_template(name, templ));
  }
  PadPtr sink(gst_element_get_static_pad(reinterpret_cast<GstElement*>(instance), "sink"));
  gst_pad_add_probe(sink.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, see_event, instance, nullptr);
  gst_pad_add_probe(sink.get(), GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, see_query, instance, nullptr);
}

}  // namespace

bool register_bin(GstPlugin* plugin, const BinDesc& desc) {
  return register_element_type<Class, Instance>(plugin, desc.name, GST_TYPE_BIN, class_init, &desc,
                                                instance_init);
}

}  // namespace sightglass::gst
