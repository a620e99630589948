#include "sightglass/gst/bins/process_bin.h"

#include <mutex>

#include "sightglass/core/registry.h"
#include "sightglass/gst/bins/stage.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/element_type.h"
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

// Builds the graph of one bin.
class Builder {
 public:
  Builder(GstElement* self, State& state) : bin_(GST_BIN(self)), state_(state) {}

  // True when the bin does something, false when it passes through because stages are missing.
  Result<bool> build() {
    if (state_.desc.build) {
      std::lock_guard lock(state_.mutex);
      auto generated = state_.desc.build(state_.params);
      if (!generated) return forward_error(generated);
      generated_ = std::move(*generated);
    }
    for (const auto& warning : generated_.warnings) {
      GST_ELEMENT_WARNING(bin_, LIBRARY, SETTINGS, ("%s: %s", GST_OBJECT_NAME(bin_), warning.c_str()),
                          (nullptr));
    }
    state_.keep_alive = generated_.keep_alive;
    const bool three = has(preprocess) && has(process) && has(postprocess);
    const bool partly = has(preprocess) || has(process) || has(postprocess) || has(aggregate);
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
  bool has(StageIndex stage) const { return state_.user[stage] || !generated_.stages[stage].empty(); }

  Result<Chain> stage(StageIndex index) {
    if (auto& user = state_.user[index]) {
      gst_bin_add(bin_, user.get());
      return Chain{user.get(), user.get()};
    }
    return add_stage(bin_, generated_.stages[index]);
  }

  // The queue before a stage: the user's size, else the bin's own, else none.
  Result<Chain> queue_before(StageIndex index) {
    std::optional<unsigned> size = generated_.queues[index];
    if (state_.queue_set[index] && state_.queue_size[index] < 0)
      size.reset();
    else if (state_.queue_size[index] > 0)
      size = unsigned(state_.queue_size[index]);
    else if (!size && (state_.queue_set[index] || !state_.desc.build))
      size = 0;  // processbin: 0 is unlimited
    if (!size) return Chain{};
    auto settings = queue_of(*size);
    if (index == aggregate && *size == 0)
      settings.params[2].second = "2000000000";  // frames are large: two seconds of them at most
    return add_stage(bin_, {settings});
  }

  Status link(GstElement* from, GstElement* to) {
    if (!from || !to || gst_element_link(from, to)) return {};
    return fail(ErrorCode::not_negotiated, "{} and {} do not link: their caps have nothing in common",
                GST_OBJECT_NAME(from), GST_OBJECT_NAME(to));
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
    auto frames = queue_before(aggregate);
    if (!frames) return forward_error(frames);
    auto joined = stage(aggregate);
    if (!joined) return forward_error(joined);
    auto after = row({postaggregate});
    if (!after) return forward_error(after);

    // The frames first, so that they get the main pad; then the results, to whatever pad of the aggregate
    // takes them.
    auto* frames_first = frames->first ? frames->first : joined->first;
    if (auto status = link(tee->last, frames_first); !status) return status;
    if (frames->last) {
      if (auto status = link(frames->last, joined->first); !status) return status;
    }
    if (auto status = link(tee->last, branch->first); !status) return status;
    if (auto status = link(branch->last, joined->first); !status) return status;
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
  state_of(self).keep_alive = nullptr;
}

GstStateChangeReturn change_state(GstElement* self, GstStateChange change) {
  auto& state = state_of(self);
  if (change == GST_STATE_CHANGE_NULL_TO_READY) {
    auto built = Builder(self, state).build();
    if (!built) {
      post_error(self, built.error());
      take_apart(self);
      return GST_STATE_CHANGE_FAILURE;
    }
    state.complete = *built;
  } else if (change == GST_STATE_CHANGE_PAUSED_TO_PLAYING && !state.complete) {
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
  while (gst_iterator_next(elements, &item) == GST_ITERATOR_OK) {
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
}

}  // namespace

bool register_bin(GstPlugin* plugin, const BinDesc& desc) {
  return register_element_type<Class, Instance>(plugin, desc.name, GST_TYPE_BIN, class_init, &desc,
                                                instance_init);
}

const BinDesc& processbin_desc() {
  struct None {};
  static const BinDesc desc{"processbin",
                            "Processing bin",
                            "Bin/Analyzer",
                            "Sends a copy of each buffer through preprocess, process and postprocess, and "
                            "joins the results to it in aggregate",
                            ParamTable::of<None>({}),
                            nullptr,
                            nullptr};
  return desc;
}

}  // namespace sightglass::gst
