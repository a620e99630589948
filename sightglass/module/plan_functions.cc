// What a template does about functions: those that are elements, those in front of models and behind them,
// and that which draws.
#include <algorithm>

#include "sightglass/module/object_functions.h"
#include "sightglass/module/pipeline_plan.h"
#include "sightglass/module/schema.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

bool is_users_own(const Value& value) {
  return value.find("path") || value.find("symbol") || value.find("language");
}

}  // namespace

Result<std::vector<FunctionStep>> PipelinePlan::steps_of(const std::vector<Value>& list) const {
  std::vector<FunctionStep> steps;
  for (const Value& value : list) {
    FunctionStep& step = steps.emplace_back();
    step.is_users = is_users_own(value);
    auto resolved = resolve_defaults(spec_, value);
    if (!resolved) return forward_error(resolved);
    step.value = *std::move(resolved);
    const Value* size = step.is_users ? step.value.find("size") : nullptr;
    if (const auto* sides = size ? size->items() : nullptr;
        sides && sides->size() == 2 && (*sides)[0].integer() && (*sides)[1].integer())
      step.width = int(*(*sides)[0].integer()), step.height = int(*(*sides)[1].integer());
  }
  return steps;
}

// In front of the model: what of it is the bin's business is told to the bin.
Status PipelinePlan::plan_preprocess(ElementPlan& plan) const {
  if (plan.spec->preprocess.empty()) return {};
  if (plan.kind != ElementKind::ours || !plan.find_param("preprocess-functions"))
    return fail(ErrorCode::invalid_argument, "{}: preprocess: an element of type {} has no model",
                plan.name(), plan.spec->type);
  auto steps = steps_of(plan.spec->preprocess);
  if (!steps) return forward_error(steps);
  plan.preprocess = *std::move(steps);
  plan.fixed.emplace_back("preprocess-functions", functions_json(plan.preprocess, {}));
  return {};
}

Status PipelinePlan::plan_postprocess(ElementPlan& plan) const {
  if (plan.spec->postprocess.empty()) return {};
  auto steps = steps_of(plan.spec->postprocess);
  if (!steps) return forward_error(steps);
  plan.postprocess = *std::move(steps);
  Value builtin = Value::list();
  bool is_behind = false;
  for (const FunctionStep& step : plan.postprocess) {
    if (!step.is_users && is_behind)
      return fail(ErrorCode::unsupported,
                  "{}: postprocess: delivered functions stand in front of functions of one's own",
                  plan.name());
    is_behind = is_behind || step.is_users;
    if (!step.is_users) builtin.add(step.value);
  }
  if (builtin.items()) plan.builtin_postprocess = builtin.to_json();
  return {};
}

FunctionOptions PipelinePlan::options_of(const std::string& element) const {
  FunctionOptions options{.element = element, .folder = spec_.folder};
  for (const auto& parameter : spec_.parameters) options.parameters.push_back(parameter.first);
  options.development = spec_.development;
  options.writes_pixels = true;
  return options;
}

Result<std::shared_ptr<FunctionElement>> PipelinePlan::load_step(const ElementSpec& spec, const Value& value,
                                                                 function::Hook hook) const {
  FunctionSpec function;
  read(value, *function_schema(), &function);
  FunctionOptions options = options_of(spec.name);
  options.hook = hook;
  options.on_error = spec.on_error;
  options.budget = spec.budget;
  options.breaker = spec.breaker;
  auto loaded = load_function(function, options);
  if (!loaded) return forward_error(loaded);
  return std::shared_ptr<FunctionElement>(*std::move(loaded));
}

Status PipelinePlan::load_functions() {
  using function::Hook;
  for (const auto& plan : plans_) {
    const ElementSpec& spec = *plan->spec;
    if (plan->kind == ElementKind::function) {
      if (!spec.function)
        return fail(ErrorCode::invalid_argument, "{}: an element of type {} needs a `function`", spec.name,
                    spec.type);
      FunctionOptions options = options_of(spec.name);
      options.on_error = spec.on_error;
      options.budget = spec.budget;
      options.breaker = spec.breaker;
      auto loaded = load_function(*spec.function, options);
      if (!loaded) return forward_error(loaded);
      plan->function = *std::move(loaded);
    }
    for (FunctionStep& step : plan->preprocess) {
      if (!step.is_users) continue;
      auto loaded = load_step(spec, step.value, Hook::prepare);
      if (!loaded) {
        // One that has no prepare says which box is looked at.
        auto other = load_step(spec, step.value, Hook::region);
        if (!other) return forward_error(loaded);
        loaded = std::move(other);
        step.changes_box = true;
      }
      step.function = *std::move(loaded);
    }
    if (plan->has_object_functions())
      for (auto& [name, text] : plan->fixed)
        if (name == "preprocess-functions") text = functions_json(plan->preprocess, {});
    for (FunctionStep& step : plan->postprocess) {
      if (!step.is_users) continue;
      auto loaded = load_step(spec, step.value, Hook::process);
      if (!loaded) return forward_error(loaded);
      step.function = *std::move(loaded);
    }
  }
  return load_draw();
}

Status PipelinePlan::load_draw() {
  if (!spec_.draw.entries() || !encoder_) return {};
  FunctionSpec function;
  read(spec_.draw, *function_schema(), &function);
  FunctionOptions options = options_of("draw");
  options.hook = function::Hook::draw;
  auto loaded = load_function(function, options);
  if (!loaded) return forward_error(loaded);
  draw_function_ = *std::move(loaded);
  return {};
}

}  // namespace sightglass::module
