#include "sightglass/module/pipeline_template.h"

#include <dlfcn.h>
#include <gst/gst.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <format>

#include "sightglass/elements/selection/selector.h"
#include "sightglass/gst/bins/stage.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/module/decoder_table.h"
#include "sightglass/module/pipeline_plan.h"
#include "sightglass/module/references.h"
#include "sightglass/module/units.h"

namespace sightglass::module {
namespace {

// GStreamer with our plug-in, which lies beside our libraries where nothing else says where it is.
Status start_gstreamer() {
  GError* error = nullptr;
  if (!gst_init_check(nullptr, nullptr, &error)) {
    const std::string reason = error ? error->message : "unknown reason";
    g_clear_error(&error);
    return fail(ErrorCode::unavailable, "GStreamer does not start: {}", reason);
  }
  const auto find = [] {
    auto* plugin = gst_registry_find_plugin(gst_registry_get(), "sightglass");
    if (plugin) gst_object_unref(plugin);
    return plugin != nullptr;
  };
  if (find()) return {};
  Dl_info library{};
  if (dladdr(reinterpret_cast<const void*>(&prepare_template), &library) && library.dli_fname) {
    std::error_code ignored;
    const auto folder = std::filesystem::canonical(library.dli_fname, ignored).parent_path();
    for (const auto& place : {folder / "gstreamer-1.0", folder.parent_path() / "gstreamer-1.0"})
      if (std::filesystem::is_directory(place, ignored))
        gst_registry_scan_path(gst_registry_get(), place.c_str());
  }
  if (find()) return {};
  return fail(ErrorCode::unavailable,
              "the GStreamer plug-in libgstsightglass.so was not found; set GST_PLUGIN_PATH to its folder");
}

// Whether any selector in the tree asks for what only the stream knows.
bool asks_for_stream(const Value& value) {
  if (const auto* entries = value.entries())
    return std::ranges::any_of(*entries, [](const auto& entry) {
      return entry.first == "source" || entry.first == "keyframe" || entry.first == "queue_fill" ||
             asks_for_stream(entry.second);
    });
  if (const auto* items = value.items()) return std::ranges::any_of(*items, asks_for_stream);
  return false;
}

template <class T>
T property_or(const ModuleSpec& spec, const ElementSpec& element, std::string_view key, T otherwise) {
  const Value* value = element.properties.find(key);
  if (!value) return otherwise;
  auto resolved = resolve_defaults(spec, *value);
  double number = 0;
  return resolved && resolved->number(number) ? T(number) : otherwise;
}

// "10ms", or a number of milliseconds.
Time duration_or(const ModuleSpec& spec, const ElementSpec& element, std::string_view key, Time otherwise) {
  const Value* value = element.properties.find(key);
  if (!value) return otherwise;
  auto resolved = resolve_defaults(spec, *value);
  double milliseconds = 0;
  if (resolved && resolved->number(milliseconds)) return Time(milliseconds * 1e6);
  if (!resolved || !resolved->text()) return otherwise;
  return parse_duration(*resolved->text()).value_or(otherwise);
}

// The error of an element that has no pipeline to post it in.
class ErrorCatcher {
 public:
  explicit ErrorCatcher(GstElement* element) : bus_(gst_bus_new()) { gst_element_set_bus(element, bus_); }
  ~ErrorCatcher() { gst_object_unref(bus_); }
  std::string text() const {
    auto* message = gst_bus_pop_filtered(bus_, GST_MESSAGE_ERROR);
    if (!message) return {};
    GError* error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    std::string text = error->message;
    g_clear_error(&error);
    gst_message_unref(message);
    return text;
  }

 private:
  GstBus* bus_;
};

std::string joined(const std::vector<ParameterError>& errors) {
  std::string text;
  for (const ParameterError& error : errors)
    text += std::format("{}{}: {}", text.empty() ? "" : "; ", error.path, error.message);
  return text;
}

}  // namespace

Status PipelinePlan::prepare(const PrepareOptions& options) {
  if (auto status = start_gstreamer(); !status) return status;
  if (auto status = plan_elements(); !status) return status;
  std::vector<ParameterError> errors;
  if (!resolve(spec_, plans_, nullptr, {}, errors))
    return fail(ErrorCode::invalid_argument, "{}", joined(errors));
  if (auto status = choose_output(); !status) return status;
  if (auto status = load_models(options); !status) return status;
  choose_devices();
  if (!options.load_models) return {};
  if (auto status = load_functions(); !status) return status;
  return check_elements();
}

Status PipelinePlan::plan_elements() {
  for (const ElementSpec& spec : spec_.pipeline.elements) {
    auto plan = plan_element(spec);
    if (!plan) return forward_error(plan);
    needs_stream_facts_ = needs_stream_facts_ || asks_for_stream(spec.select) || asks_for_stream(spec.when);
    if (auto status = plan_preprocess(**plan); !status) return status;
    if (auto status = plan_postprocess(**plan); !status) return status;
    plans_.push_back(*std::move(plan));
  }
  return {};
}

Status PipelinePlan::choose_output() {
  const std::string& codec = spec_.output_frame.codec;
  if (codec == "none" || codec == "copy" || codec == "raw") return {};
  auto choice = choose_encoder(spec_.output_frame);
  if (!choice) return forward_error(choice);
  if (!choice->warning.empty()) warnings_.push_back(choice->warning);
  encoder_ = *std::move(choice);
  return {};
}

Status PipelinePlan::load_models(const PrepareOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  size_t wanted = 0;
  for (const auto& [name, model] : spec_.models)
    wanted += std::ranges::contains(spec_.pipeline.elements, name, &ElementSpec::model);
  for (const auto& [name, model] : spec_.models) {
    SessionWishes wishes{0, 0, spec_.batching.batch_timeout};
    bool is_used = false;
    for (const ElementSpec& element : spec_.pipeline.elements) {
      if (element.model != name) continue;
      is_used = true;
      wishes.batch_size = std::max(
          wishes.batch_size, property_or<unsigned>(spec_, element, "batch_size", spec_.batching.batch_size));
      wishes.max_per_stream =
          std::max(wishes.max_per_stream,
                   property_or<unsigned>(spec_, element, "max_per_stream", spec_.batching.max_per_stream));
      wishes.batch_timeout = duration_or(spec_, element, "batch_timeout", wishes.batch_timeout);
    }
    if (!is_used) continue;
    // Half of a model's share is for getting it, half for loading it.
    const double share = 1 / double(wanted), before = double(models_.size()) * share;
    bool is_fetched = false;
    const ModelProgress progress = [&](const Progress& of_model) {
      if (!options.on_progress) return;
      Progress whole = of_model;
      whole.done = before + share / 2 * (is_fetched ? 1 + of_model.done : of_model.done);
      const Time passed = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
      if (whole.remaining == no_time && before > 0)
        whole.remaining = Time(double(passed) * (1 - before) / before);
      options.on_progress(whole);
    };
    auto plan = ModelPlan::find(name, model, spec_, options.load_models, progress);
    if (!plan) return forward_error(plan);
    is_fetched = true;
    if (options.load_models)
      if (auto status = (*plan)->load(wishes, warnings_, progress); !status) return status;
    models_.push_back(*std::move(plan));
  }
  if (options.on_progress) options.on_progress({.step = "checking elements", .done = 1, .remaining = 0});

  for (const auto& plan : plans_) {
    if (plan->spec->model.empty()) continue;
    const auto model =
        std::ranges::find(models_, plan->spec->model, [](const auto& one) { return one->name(); });
    if (model == models_.end())
      return fail(ErrorCode::not_found, "{}: there is no model '{}'", plan->name(), plan->spec->model);
    const Value* attributes = plan->spec->properties.find("attributes");
    auto decoder = resolve_defaults(spec_, plan->decoder_keys);
    auto by_attribute = resolve_defaults(spec_, attributes ? *attributes : Value());
    if (!decoder || !by_attribute) return decoder ? forward_error(by_attribute) : forward_error(decoder);
    auto document = (*model)->document_for(*plan->spec, *decoder, *by_attribute);
    if (!document) return forward_error(document);
    plan->fixed.emplace_back("model", (*model)->path());
    plan->fixed.emplace_back("model-instance-id", (*model)->instance_id());
    plan->fixed.emplace_back("model-proc", *document);
  }
  // Raw tensors are for who asks for them.
  for (const auto& plan : plans_) {
    const auto is_set = [&](std::string_view name) {
      return std::ranges::contains(plan->properties, name, &PropertyPlan::name);
    };
    if (plan->kind != ElementKind::ours) continue;
    if (plan->find_param("attach-tensor-data") && !is_set("attach-tensor-data"))
      plan->fixed.emplace_back("attach-tensor-data", "false");
    if (plan->find_param("model-name")) plan->fixed.emplace_back("model-name", plan->name());
    if (plan->find_param("write-states") && !is_set("write-states"))
      plan->fixed.emplace_back("write-states", "true");
  }
  return {};
}

// Where all models are that run on CUDA devices. Where there is no such device it is those of the first of
// them: another one that finds its frames elsewhere says so.
void PipelinePlan::choose_devices() {
  std::vector<int> common;
  for (const auto& plan : plans_) {
    const auto model =
        std::ranges::find(models_, plan->spec->model, [](const auto& one) { return one->name(); });
    if (model == models_.end()) continue;
    const std::vector<int> devices = (*model)->cuda_devices();
    if (devices.empty()) continue;
    std::vector<int> both = common.empty() ? devices : common;
    std::erase_if(both, [&](int device) { return !std::ranges::contains(devices, device); });
    if (!both.empty()) common = std::move(both);
  }
  if (!common.empty()) cuda_devices_ = std::move(common);
  decoders_ = std::make_unique<StreamSpread>(cuda_devices_.size());
}

// Every element once, with the default parameters, as far as it can be told without a frame: models that do
// not fit their element, back-ends that are not there.
Status PipelinePlan::check_elements() const {
  std::vector<ParameterError> errors;
  const auto set = resolve(spec_, plans_, nullptr, {}, errors);
  if (!set) return fail(ErrorCode::invalid_argument, "{}", joined(errors));
  for (size_t i = 0; i < plans_.size(); ++i) {
    const ElementPlan& plan = *plans_[i];
    if (plan.kind == ElementKind::function) continue;
    auto element = gst::make_element({plan.factory, set->elements[i].settings});
    if (!element) {
      Error error = element.error();
      error.element = plan.name();
      return std::unexpected(std::move(error));
    }
    gst_object_set_name(GST_OBJECT(element->get()), plan.name().c_str());
    const ErrorCatcher catcher(element->get());
    const auto change = gst_element_set_state(element->get(), GST_STATE_READY);
    gst_element_set_state(element->get(), GST_STATE_NULL);
    gst_element_set_bus(element->get(), nullptr);
    if (change != GST_STATE_CHANGE_FAILURE) continue;
    const std::string text = catcher.text();
    auto error = fail(ErrorCode::unavailable, "{}", text.empty() ? "the element does not start" : text);
    error.error().element = plan.name();
    return error;
  }
  return {};
}

std::vector<ElementState> PipelinePlan::elements() const {
  std::vector<ElementState> states;
  for (const auto& plan : plans_) {
    const ElementCounters& counters = plan->counters;
    ElementState state{.name = plan->name(), .type = plan->spec->type};
    const auto model =
        std::ranges::find(spec_.models, plan->spec->model, &std::pair<std::string, ModelSpec>::first);
    if (model != spec_.models.end()) state.device = model->second.device;
    state.frames = counters.frames;
    state.dropped = counters.dropped;
    state.errors = counters.errors;
    for (const BindingPlan& bound : plan->bindings) {
      state.binding_defaults_of.emplace_back(bound.name, *bound.defaults);
      state.binding_defaults += *bound.defaults;
    }
    state.ended_behind = counters.ended_behind;
    state.times = counters.times.counts();
    state.seconds = double(state.times.sum) * 1e-9;
    state.warnings = plan->posted.count();
    state.last_warning = plan->posted.last();
    const auto add = [&](const FunctionElement& element) {
      const FunctionCounters function = element.counters();
      state.overruns += function.overruns;
      state.is_open = state.is_open || function.is_open;
      state.hang_seconds = std::max(state.hang_seconds, function.hang_seconds);
      if (!function.last_error.empty()) state.last_error = function.last_error;
      return function.errors;
    };
    if (plan->function) state.errors = add(*plan->function);
    for (const auto* steps : {&plan->preprocess, &plan->postprocess})
      for (const FunctionStep& step : *steps)
        if (step.function) state.errors += add(*step.function);
    states.push_back(std::move(state));
  }
  if (draw_function_) {
    const FunctionCounters function = draw_function_->counters();
    states.push_back({.name = "draw",
                      .type = "function",
                      .frames = function.frames,
                      .dropped = function.dropped,
                      .errors = function.errors,
                      .overruns = function.overruns,
                      .seconds = function.seconds,
                      .is_open = function.is_open,
                      .hang_seconds = function.hang_seconds,
                      .last_error = function.last_error});
  }
  const auto add_posted = [&](std::string name, const PostedWarnings& posted) {
    if (const uint64_t count = posted.count())
      states.push_back(
          {.name = std::move(name), .type = "stream", .warnings = count, .last_warning = posted.last()});
  };
  add_posted("decoder", decoder_warnings_);
  add_posted("output_frame", output_warnings_);
  return states;
}

std::vector<ModelState> PipelinePlan::models() const {
  std::vector<ModelState> states;
  states.reserve(models_.size());
  for (const auto& model : models_) states.push_back(model->state());
  return states;
}

ParameterEffect PipelinePlan::effect_of(std::string_view parameter) const {
  ParameterEffect effect = ParameterEffect::none;
  const auto see = [&](const Value& value, ParameterEffect what) {
    if (std::ranges::contains(referenced_parameters(value), parameter)) effect = std::max(effect, what);
  };
  for (const auto& plan : plans_) {
    for (const PropertyPlan& property : plan->properties)
      see(property.value, property.is_live ? ParameterEffect::live : ParameterEffect::recycle);
    for (const auto& threshold : plan->thresholds) see(threshold.second, ParameterEffect::live);
    see(plan->spec->keep, ParameterEffect::live);
    see(plan->spec->select, ParameterEffect::live);
    see(plan->spec->when, ParameterEffect::live);
    see(plan->decoder_keys, ParameterEffect::restart);
    for (const Value& function : plan->spec->preprocess) see(function, ParameterEffect::restart);
    for (const Value& function : plan->spec->postprocess) see(function, ParameterEffect::restart);
    for (const char* key : {"batch_size", "max_per_stream"})
      if (const Value* value = plan->spec->properties.find(key)) see(*value, ParameterEffect::restart);
  }
  for (const auto& [name, group] : spec_.groups) see(group.enabled, ParameterEffect::recycle);
  for (const auto& [name, model] : spec_.models) see(model.document, ParameterEffect::restart);
  see(spec_.output_frame.when, ParameterEffect::live);
  see(spec_.draw, ParameterEffect::live);
  return effect;
}

std::vector<ParameterError> PipelinePlan::check(std::shared_ptr<const ParameterSet> parameters,
                                                std::string_view source_id) const {
  std::vector<ParameterError> errors;
  (void)resolve(spec_, plans_, std::move(parameters), source_id, errors);
  return errors;
}

Result<std::shared_ptr<PipelineTemplate>> prepare_template(const ModuleSpec& spec,
                                                           const PrepareOptions& options) {
  auto plan = std::make_shared<PipelinePlan>(spec);
  if (auto status = plan->prepare(options); !status) return forward_error(status);
  return plan;
}

}  // namespace sightglass::module
