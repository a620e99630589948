#include "sightglass/module/element_slot.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <format>

#include "sightglass/gst/batch/batch_stream.h"
#include "sightglass/gst/bins/stage.h"
#include "sightglass/gst/each_element.h"
#include "sightglass/gst/element.h"
#include "sightglass/gst/frame_probe.h"
#include "sightglass/gst/properties.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/module/accounting.h"
#include "sightglass/module/frame_trace.h"

namespace sightglass::module {
namespace {

constexpr std::chrono::seconds longest_wait{2};
constexpr size_t most_inside = 256;  // frames; there are no more in an instance
constexpr std::string_view postprocess_element = "postprocess_objects";

Time pts_of(GstPadProbeInfo* info) {
  return gst::from_clock_time(GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info)));
}

gst::PadPtr pad_of(GstElement* element, const char* name) {
  return gst::PadPtr(gst_element_get_static_pad(element, name));
}

bool is_event_name(std::string_view name) { return name == "enter" || name == "leave" || name == "cross"; }

}  // namespace

ElementSlot::ElementSlot(const ElementPlan& plan, size_t index, std::string_view source_id,
                         RevisionSwitch& revisions, TicketTable& tickets)
    : plan_(plan),
      index_(index),
      source_id_(source_id),
      revisions_(revisions),
      tickets_(tickets),
      label_(plan.name()),
      tag_(plan.spec->tag) {}

ElementSlot::~ElementSlot() = default;

Status ElementSlot::build(GstBin* bin, std::shared_ptr<const ResolvedSet> set, const StreamInfo& stream) {
  ElementSettings settings{plan_.factory, set->elements[index_].settings};
  if (plan_.kind == ElementKind::function) settings.params.emplace_back("silent", "true");
  for (const BindingPlan& binding : plan_.bindings) {
    followed_.push_back(binding.binding.default_value());
    settings.params.emplace_back(binding.name, std::format("{}", followed_.back()));
  }
  if (plan_.has_object_functions()) {
    auto opened = ObjectFunctions::open(plan_, stream, set->parameters, tickets_);
    if (!opened) return forward_error(opened);
    object_functions_ = std::move(*opened);
    for (auto& [name, text] : settings.params)
      if (name == "preprocess-functions") text = object_functions_->list();
  }
  auto made = gst::make_element(settings);
  if (!made) return forward_error(made);
  element_ = first_ = last_ = made->get();
  gst_object_set_name(GST_OBJECT(element_), plan_.name().c_str());
  gst_bin_add(bin, element_);
  if (!plan_.builtin_postprocess.empty()) {
    auto behind =
        gst::make_element({std::string(postprocess_element),
                           {{"functions", plan_.builtin_postprocess}, {"namespace", plan_.name()}}});
    if (!behind) return forward_error(behind);
    last_ = behind->get();
    gst_bin_add(bin, last_);
    if (!gst_element_link(first_, last_))
      return fail(ErrorCode::not_negotiated, "{} and {} do not link", plan_.factory, postprocess_element);
  }
  if (plan_.function) {
    auto opened = plan_.function->open_stream(stream, set->parameters);
    if (!opened) return forward_error(opened);
    function_ = std::move(*opened);
  }
  for (const FunctionStep& step : plan_.postprocess) {
    if (!step.function) continue;
    auto opened = step.function->open_stream(stream, set->parameters);
    if (!opened) return forward_error(opened);
    behind_.push_back(std::move(*opened));
  }
  set_ = out_set_ = std::move(set);
  inside_.reserve(64);
  add_probes();
  return {};
}

void ElementSlot::add_probes() {
  const gst::PadPtr sink = pad_of(first_, "sink"), src = pad_of(last_, "src");
  if (function_ || !plan_.bindings.empty()) {
    const bool wants_pixels = function_ && plan_.function->wants_pixels();
    const bool writes_pixels = wants_pixels && plan_.function->writes_pixels();
    gst::add_frame_probe(sink.get(),
                         {.results = true, .pixels = wants_pixels, .writes_pixels = writes_pixels},
                         [this](Frame& frame) { return enter(frame.pts, &frame); });
  } else {
    gst_pad_add_probe(
        sink.get(), GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad*, GstPadProbeInfo* info, gpointer self) {
          (void)static_cast<ElementSlot*>(self)->enter(pts_of(info), nullptr);
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
  }
  gst_pad_add_probe(
      src.get(), GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      [](GstPad*, GstPadProbeInfo* info, gpointer self) {
        Time pts = no_time;
        if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_BUFFER) {
          pts = pts_of(info);
        } else if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_GAP) {
          GstClockTime time = GST_CLOCK_TIME_NONE;
          gst_event_parse_gap(GST_PAD_PROBE_INFO_EVENT(info), &time, nullptr);
          pts = gst::from_clock_time(time);
        }
        if (pts != no_time) static_cast<ElementSlot*>(self)->left(pts);
        return GST_PAD_PROBE_OK;
      },
      this, nullptr);
  if (!looks_at_output()) return;
  gst::FrameProbeOptions options;
  for (const FunctionStep& step : plan_.postprocess) {
    if (!step.function) continue;
    options.pixels = options.pixels || step.function->wants_pixels();
    options.writes_pixels = options.writes_pixels || step.function->writes_pixels();
  }
  options.writes_pixels = options.writes_pixels && options.pixels;
  gst::add_frame_probe(src.get(), options, [this](Frame& frame) { return leave(frame); });
}

bool ElementSlot::looks_at_output() const {
  return !plan_.spec->tag.empty() || (plan_.writes_regions && !plan_.spec->keep.is_null()) ||
         object_functions_ || !behind_.empty();
}

// ---- the way in

Result<Verdict> ElementSlot::enter(Time pts, Frame* frame) {
  if (auto set = revisions_.changed(pts, set_.get())) {
    take_over(*set);
    set_ = std::move(set);
  }
  if (!std::exchange(has_thresholds_, true) && !plan_.thresholds.empty())
    set_thresholds(set_->elements[index_]);  // the bin has its elements now
  if (frame && !plan_.bindings.empty()) follow(*frame);
  plan_.counters.frames.fetch_add(1, std::memory_order_relaxed);
  std::shared_ptr<ElementTrace> trace;
  if (auto followed = tickets_.trace_of(pts))
    trace = std::make_shared<ElementTrace>(std::move(followed), plan_.name(), steady_now_ns());
  {
    std::lock_guard lock(mutex_);
    if (inside_.size() >= most_inside) {  // it lets nothing out, so nobody has looked after them
      inside_.erase(inside_.begin());
      plan_.counters.dropped.fetch_add(1, std::memory_order_relaxed);
    }
    inside_.push_back({pts, steady_now_ns(), trace});
  }
  if (trace && !std::exchange(watches_models_, true)) watch_models();
  if (!function_) return Verdict::pass;
  auto verdict = call_function(*frame);
  if (verdict && *verdict == Verdict::pass) return verdict;
  left(pts, verdict ? "dropped" : "failed");  // it does not get to the way out
  if (!verdict) {
    plan_.counters.errors.fetch_add(1, std::memory_order_relaxed);
    return verdict;
  }
  plan_.counters.dropped.fetch_add(1, std::memory_order_relaxed);
  tickets_.drop(pts, "function");
  return verdict;
}

// What the models inside infer is of the frame that comes to them just then, on that very thread; in front of
// them there may be queues.
void ElementSlot::watch_models() {
  if (!GST_IS_BIN(element_)) return;
  static const GQuark is_watched = g_quark_from_static_string("sightglass-is-watched");
  gst::each_element(GST_BIN(element_), [this](GstElement* child) {
    auto* factory = gst_element_get_factory(child);
    if (factory && std::string_view(GST_OBJECT_NAME(factory)).ends_with("tensor_inference"))
      if (const gst::PadPtr sink = pad_of(child, "sink");
          sink && !g_object_get_qdata(G_OBJECT(sink.get()), is_watched)) {
        g_object_set_qdata(G_OBJECT(sink.get()), is_watched, this);
        gst_pad_add_probe(
            sink.get(), GST_PAD_PROBE_TYPE_BUFFER,
            [](GstPad*, GstPadProbeInfo* info, gpointer self) {
              watch_samples(static_cast<ElementSlot*>(self)->trace_inside(pts_of(info)));
              return GST_PAD_PROBE_OK;
            },
            this, nullptr);
      }
  });
}

std::shared_ptr<ElementTrace> ElementSlot::trace_inside(Time pts) const {
  if (!tickets_.is_tracing()) return nullptr;
  std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(inside_, pts, &Inside::pts);
  return found == inside_.end() ? nullptr : found->trace;
}

// False when the element keeps its frames: values are set nevertheless, rather than not at all.
bool ElementSlot::wait_until_empty() {
  {
    std::lock_guard lock(mutex_);
    if (inside_.empty()) return true;
    if (plan_.kind == ElementKind::foreign) return false;  // it may drop frames, or hold them back
  }
  // What waits for a full batch leaves at once.
  const gst::PadPtr sink = pad_of(first_, "sink");
  gst_pad_send_event(sink.get(), gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM,
                                                      gst_structure_new_empty(gst::drained_event_name)));
  std::unique_lock lock(mutex_);
  return emptied_.wait_for(lock, longest_wait, [&] { return inside_.empty() || is_cancelled_; });
}

void ElementSlot::take_over(const ResolvedSet& set) {
  const auto& now = set_->elements[index_].settings;
  const auto& next = set.elements[index_].settings;
  bool waited = false;
  for (const auto& property : plan_.properties) {
    if (!property.is_live) continue;  // takes effect with the next instance
    const auto named = [&](const auto& setting) { return setting.first == property.name; };
    const auto was = std::ranges::find_if(now, named), is = std::ranges::find_if(next, named);
    if (is == next.end() || (was != now.end() && was->second == is->second)) continue;
    if (!std::exchange(waited, true)) wait_until_empty();
    set_property(property.name, is->second);
  }
  if (set.elements[index_].thresholds != set_->elements[index_].thresholds) {
    if (!waited) wait_until_empty();
    set_thresholds(set.elements[index_]);
  }
  if (function_ && set.parameters) function_->apply(set.parameters);
  if (object_functions_ && set.parameters) object_functions_->apply(set.parameters);
}

// Of the decoders inside the bin, by the attribute that they write.
void ElementSlot::set_thresholds(const ResolvedElement& element) {
  gst::each_element(GST_BIN(element_), [&](GstElement* inside) {
    auto* child = G_OBJECT(inside);
    auto* klass = G_OBJECT_GET_CLASS(child);
    if (g_object_class_find_property(klass, "attribute-name") &&
        g_object_class_find_property(klass, "threshold")) {
      char* attribute = nullptr;
      g_object_get(child, "attribute-name", &attribute, nullptr);
      for (const auto& [name, threshold] : element.thresholds)
        if (attribute && name == attribute) g_object_set(child, "threshold", threshold, nullptr);
      g_free(attribute);
    }
  });
}

void ElementSlot::set_property(const std::string& name, const std::string& text) {
  const auto* param = plan_.kind == ElementKind::ours ? plan_.find_param(name) : nullptr;
  auto value = param ? param->parse(text) : Result<ParamValue>(fail(ErrorCode::not_found, ""));
  if (!value) return gst_util_set_object_arg(G_OBJECT(element_), name.c_str(), text.c_str());
  auto* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element_), name.c_str());
  GValue converted = G_VALUE_INIT;
  g_value_init(&converted, spec->value_type);
  gst::to_gvalue(*param, *value, &converted);
  g_object_set_property(G_OBJECT(element_), name.c_str(), &converted);
  g_value_unset(&converted);
}

// Properties that follow an attribute of this frame.
void ElementSlot::follow(const Frame& frame) {
  bool waited = false;
  for (size_t i = 0; i < plan_.bindings.size(); ++i) {
    const BindingPlan& bound = plan_.bindings[i];
    const auto reading = bound.binding.evaluate(frame);
    if (reading.is_default) bound.defaults->fetch_add(1, std::memory_order_relaxed);
    if (reading.value == followed_[i]) continue;
    if (!std::exchange(waited, true)) wait_until_empty();
    followed_[i] = reading.value;
    GValue value = G_VALUE_INIT;
    g_value_init(&value, G_TYPE_DOUBLE);
    g_value_set_double(&value, reading.value);
    g_object_set_property(G_OBJECT(element_), bound.name.c_str(), &value);
    g_value_unset(&value);
  }
}

// ---- functions

Result<Verdict> ElementSlot::call_function(Frame& frame) {
  const FrameFacts facts = facts_of(tickets_, frame.pts);
  const ResolvedElement& rules = set_->elements[index_];
  const SelectionContext context{.source = source_id_,
                                 .keyframe = facts.keyframe,
                                 .queue_fill = float(facts.queue_fill),
                                 .frame_number = frame_number_++};
  if (!rules.when.matches(frame, context)) return Verdict::pass;
  auto verdict = Result<Verdict>(Verdict::pass);
  if (rules.select.everything() || rules.select.whole_frame()) {
    if (!rules.select.matches(frame, context)) return Verdict::pass;
    verdict = function_->process(frame, facts);
  } else {
    // Those that are not selected are not there for the function.
    unselected_.clear();
    const auto rest = std::ranges::stable_partition(
        frame.regions, [&](const Region& region) { return rules.select.matches(frame, region, context); });
    unselected_.assign(rest.begin(), rest.end());
    frame.regions.erase(rest.begin(), rest.end());
    if (!frame.regions.empty()) verdict = function_->process(frame, facts);
    frame.regions.insert(frame.regions.end(), unselected_.begin(), unselected_.end());
    std::ranges::stable_sort(frame.regions, {}, [](const Region& region) { return uint32_t(region.id); });
  }
  return told(std::move(verdict));
}

Result<Verdict> ElementSlot::told(Result<Verdict> verdict) {
  if (!verdict && verdict.error().code == ErrorCode::cancelled) {
    failed_module_ = true;
    verdict.error().code = ErrorCode::internal;  // cancelled would end the flow without a word
  }
  return verdict;
}

// Those behind the element; the first that drops the frame is the last that sees it.
Result<Verdict> ElementSlot::call_behind(Frame& frame) {
  if (behind_.empty()) return Verdict::pass;
  const FrameFacts facts = facts_of(tickets_, frame.pts);
  for (const auto& function : behind_)
    if (auto verdict = told(function->process(frame, facts)); !verdict || *verdict != Verdict::pass)
      return verdict;
  return Verdict::pass;
}

void ElementSlot::stop_function(std::string_view reason) {
  if (function_) function_->stop(reason);
  function_ = nullptr;
  if (object_functions_) object_functions_->stop(reason);
  for (const auto& function : behind_) function->stop(reason);
  behind_.clear();
}

// ---- the way out

void ElementSlot::left(Time pts, std::string_view error) {
  const int64_t now = steady_now_ns();
  std::lock_guard lock(mutex_);
  // Those before it that have not come out never will.
  const auto behind = std::ranges::find_if(inside_, [&](const Inside& one) { return one.pts > pts; });
  for (auto one = inside_.begin(); one != behind; ++one) {
    const bool has_come_out = one->pts == pts;
    if (!has_come_out)
      plan_.counters.dropped.fetch_add(1, std::memory_order_relaxed);
    else if (error.empty())
      plan_.counters.times.observe(uint64_t(now - one->since_ns));
    if (one->trace) one->trace->left(now, has_come_out ? error : "it did not come out");
  }
  inside_.erase(inside_.begin(), behind);
  if (inside_.empty()) emptied_.notify_all();
}

Result<Verdict> ElementSlot::leave(Frame& frame) {
  if (auto set = revisions_.changed(frame.pts, out_set_.get())) {
    out_set_ = std::move(set);
    if (out_set_->parameters)
      for (const auto& function : behind_) function->apply(out_set_->parameters);
  }
  if (object_functions_ && object_functions_->settle(frame) == Verdict::drop) return drop(frame.pts);
  if (plan_.writes_regions) keep_selected(frame);
  if (!plan_.spec->tag.empty()) set_tag(frame);
  auto verdict = call_behind(frame);
  if (verdict && *verdict == Verdict::drop) return drop(frame.pts);
  if (!verdict) plan_.counters.ended_behind.fetch_add(1, std::memory_order_relaxed);
  return verdict;
}

Verdict ElementSlot::drop(Time pts) {
  plan_.counters.ended_behind.fetch_add(1, std::memory_order_relaxed);
  plan_.counters.dropped.fetch_add(1, std::memory_order_relaxed);
  tickets_.drop(pts, "function");
  return Verdict::drop;
}

void ElementSlot::keep_selected(Frame& frame) const {
  const Selector& keep = out_set_->elements[index_].keep;
  if (keep.everything()) return;
  const SelectionContext context{.source = source_id_};
  const auto unwanted = [&](const Region& region) {
    return region.model == label_ && !keep.matches(frame, region, context);
  };
  for (const Region& region : frame.regions) {
    if (!unwanted(region)) continue;
    // First those that stay are chosen, since parents and children are looked at as well.
    std::vector<Region> kept;
    for (const Region& one : frame.regions)
      if (!unwanted(one)) kept.push_back(one);
    frame.regions = std::move(kept);
    for (Region& one : frame.regions)
      if (one.parent >= 0 && !std::ranges::contains(frame.regions, one.parent, &Region::id)) one.parent = -1;
    return;
  }
}

void ElementSlot::set_tag(Frame& frame) const {
  static const Label tags(tag_model);
  if (!frame.attributes) return;
  const auto& items = frame.attributes->items();
  const bool has_event = std::ranges::any_of(items, [&](const Attribute& attribute) {
    return attribute.model == label_ && is_event_name(attribute.name.view());
  });
  if (!has_event) return;
  frame.attributes =
      with(frame.attributes, {.name = tag_, .kind = AttributeKind::number, .number = 1, .model = tags});
}

bool ElementSlot::owns(GstObject* object) const {
  for (const GstElement* one : {first_, last_})
    if (one && (object == GST_OBJECT(one) || gst_object_has_as_ancestor(object, GST_OBJECT(one))))
      return true;
  return false;
}

void ElementSlot::cancel() {
  std::lock_guard lock(mutex_);
  is_cancelled_ = true;
  emptied_.notify_all();
}

int64_t ElementSlot::oldest_ns() const {
  std::lock_guard lock(mutex_);
  return inside_.empty() ? 0 : inside_.front().since_ns;
}

}  // namespace sightglass::module
