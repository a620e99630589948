#include "sightglass/module/element_plan.h"

#include <algorithm>
#include <chrono>
#include <format>
#include <span>

#include "sightglass/bins/bin.h"
#include "sightglass/core/masked_url.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/opencv_meta_overlay/draw_rules.h"
#include "sightglass/gst/factory_info.h"
#include "sightglass/module/diagnostic.h"
#include "sightglass/module/element_types.h"
#include "sightglass/module/references.h"
#include "sightglass/module/schema.h"

namespace sightglass::module {

void PostedWarnings::add(const Log& log, std::string_view about, std::string_view text) {
  const uint64_t count = count_.fetch_add(1, std::memory_order_relaxed) + 1;
  {
    const std::scoped_lock lock(mutex_);
    last_ = masked_url(text);
  }
  if (!limit_.is_due(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1)))
    return;
  log.warning(about, count > 1 ? std::format("{} ({} warnings so far)", text, count) : std::string(text));
}

std::string PostedWarnings::last() const {
  const std::scoped_lock lock(mutex_);
  return last_;
}

namespace {

// Keys under `properties` that are the module's, not the element's.
bool is_module_key(std::string_view key) {
  return key == "max_per_stream" || key == "attributes" || key == "hidden";
}

std::string with_dashes(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '_', '-');
  return text;
}

std::vector<std::string> names_of(std::span<const ParamDesc> params) {
  std::vector<std::string> names;
  for (const ParamDesc& param : params) {
    names.push_back(param.name);
    std::ranges::replace(names.back(), '-', '_');
  }
  return names;
}

std::unexpected<Error> refuse(const ElementSpec& spec, std::string_view key, std::string_view why) {
  auto error = fail(ErrorCode::invalid_argument, "{}: {}", key, why);
  error.error().element = spec.name;
  return error;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::string near = nearest_name(word, known);
  return near.empty() ? "" : std::format("; did you mean '{}'?", near);
}

// Elements of others, known by their class alone.
Result<const gst::FactoryInfo*> foreign_info(const ElementSpec& spec, const std::string& factory) {
  auto info = gst::factory_info(factory);
  if (!info) return refuse(spec, "type", info.error().message);
  if (!(*info)->can_stand_in_line())
    return refuse(
        spec, "type",
        std::format("{} has other pads than one input and one output that are always there", factory));
  return info;
}

// ---- properties

Result<PropertyPlan> plan_property(const ElementPlan& plan, const std::string& key, const Value& value) {
  const ParamDesc* param = plan.find_param(with_dashes(key));
  if (!param || param->is_readable_only)
    return fail(ErrorCode::not_found, "{} has no such property{}", plan.spec->type,
                did_you_mean(key, names_of(plan.params)));
  return PropertyPlan{param->name, param, value, param->is_live};
}

Result<BindingPlan> plan_binding(const PropertyPlan& property) {
  using enum ParamType;
  if (!property.is_live)
    return fail(ErrorCode::invalid_argument,
                "only properties that may change while frames flow can follow an "
                "attribute of the frame");
  const ParamType type = property.param->type;
  const bool whole = type == integer || type == unsigned_integer || type == integer64;
  if (!whole && type != number && type != number32)
    return fail(ErrorCode::invalid_argument, "only numbers can follow an attribute of the frame");
  auto binding = FrameBinding::parse(
      property.value, {.min = property.param->min, .max = property.param->max, .whole = whole});
  if (!binding) return forward_error(binding);
  return BindingPlan{property.name, property.param, *std::move(binding)};
}

// Keys of the element that are properties where it is one of ours.
Status plan_selector(ElementPlan& plan, const char* name, const Value& value) {
  if (value.is_null()) return {};
  if (plan.kind == ElementKind::function) return {};
  const ParamDesc* param = plan.kind == ElementKind::ours ? plan.find_param(name) : nullptr;
  if (!param)
    return std::unexpected(
        refuse(*plan.spec, name, std::format("elements of type {} know no such thing", plan.spec->type))
            .error());
  plan.properties.push_back({name, param, value, param->is_live});
  return {};
}

// A property of the model's decoder that the description says for every output.
bool is_decoder_key(const ElementType& type, std::string_view key) {
  const auto keys = property_keys(type);
  return std::ranges::contains(keys, key, &Key::name);
}

// What `attributes` says of single attributes.
Status plan_attributes(ElementPlan& plan) {
  const Value* hidden = plan.spec->properties.find("hidden");
  plan.hides_all = hidden && hidden->boolean() && *hidden->boolean();
  if (const auto* names = hidden ? hidden->items() : nullptr)
    for (const Value& name : *names)
      if (name.text()) plan.hidden.emplace_back(*name.text());
  const Value* attributes = plan.spec->properties.find("attributes");
  const auto* entries = attributes ? attributes->entries() : nullptr;
  for (const auto& [name, rule] : entries ? *entries : Value::Map{}) {
    const Value* is_hidden = rule.find("hidden");
    if (is_hidden && is_hidden->boolean() && *is_hidden->boolean()) plan.hidden.emplace_back(name);
    if (const Value* threshold = rule.find("threshold")) plan.thresholds.push_back({name, *threshold});
  }
  return {};
}

Status plan_properties(ElementPlan& plan) {
  const auto* entries = plan.spec->properties.entries();
  for (const auto& [key, value] : entries ? *entries : Value::Map{}) {
    if (value.is_null() || (plan.kind == ElementKind::ours && is_module_key(key)) ||
        (plan.kind == ElementKind::function && key == "hidden"))
      continue;
    const std::string path = "properties." + key;
    if (plan.kind == ElementKind::function)
      return refuse(*plan.spec, path, "a function has `args`, not properties");
    if (plan.type && !property_param(*plan.type, key) && plan.type->takes_model &&
        is_decoder_key(*plan.type, key)) {
      plan.decoder_keys.set(key, value);
      continue;
    }
    auto property = plan_property(plan, key, value);
    if (!property) return refuse(*plan.spec, path, property.error().message);
    if (FrameBinding::is_binding(value)) {
      auto binding = plan_binding(*property);
      if (!binding) return refuse(*plan.spec, path, binding.error().message);
      plan.bindings.push_back(*std::move(binding));
    } else {
      plan.properties.push_back(*std::move(property));
    }
  }
  if (plan.spec->reuse_growth > 0) {
    const ParamDesc* param = plan.find_param("reuse-growth");
    if (!param)
      return refuse(*plan.spec, "reuse_growth", "only elements that infer on tracks can reuse results");
    plan.properties.push_back({"reuse-growth", param, Value(plan.spec->reuse_growth), param->is_live});
  }
  if (auto status = plan_selector(plan, "select", plan.spec->select); !status) return status;
  return plan_selector(plan, "when", plan.spec->when);
}

// ---- resolving

// The parameters of a set or, without one, as the description has them by default.
class Scope {
 public:
  Scope(const ModuleSpec& spec, const ParameterSet* set, std::string_view source_id)
      : spec_(spec), set_(set), source_id_(source_id) {
    scope_.module_name = spec.name;
    scope_.source_id = std::string(source_id.empty() ? "source" : source_id);
    scope_.parameter = [this](std::string_view name) { return find(name); };
  }
  Result<Value> operator()(const Value& value) const { return module::resolve(value, scope_); }

 private:
  const Value* find(std::string_view name) const {
    if (const auto* found = set_ ? set_->find(name, source_id_) : nullptr) return &found->value;
    const auto declared =
        std::ranges::find(spec_.parameters, name, &std::pair<std::string, ParameterSpec>::first);
    return declared == spec_.parameters.end() ? nullptr : &declared->second.default_value;
  }

  const ModuleSpec& spec_;
  const ParameterSet* set_;
  std::string source_id_;
  ReferenceScope scope_;
};

// Shapes by name; those under a pattern of source ids only where it matches.
Value shapes_of(const Value& shapes, std::string_view source_id) {
  const auto* entries = shapes.entries();
  if (!entries) return shapes;
  Value flat = Value::map();
  for (const auto& [name, shape] : *entries) {
    const auto* of_pattern = shape.entries();
    if (!of_pattern)
      flat.set(name, shape);
    else if (source_id.empty() || stream::matches(name, source_id))
      for (const auto& [own, points] : *of_pattern) flat.set(own, points);
  }
  return flat;
}

Result<std::string> property_text(const PropertyPlan& property, const Value& value) {
  auto checked = param_value(*property.param, value);
  if (!checked) return forward_error(checked);
  return property.param->to_text(*checked);
}

Result<Selector> selector(const Scope& scope, const Value& value, std::string_view name,
                          Selector::Scope kind) {
  if (value.is_null()) return Selector();
  auto resolved = scope(value);
  if (!resolved) return forward_error(resolved);
  return Selector::parse(resolved->text() ? *resolved->text() : resolved->to_json(), name, kind);
}

bool is_true(const Value& value) {
  if (const bool* boolean = value.boolean()) return *boolean;
  const auto* text = value.text();
  return value.is_null() || (text && *text != "false" && *text != "off" && *text != "no");
}

}  // namespace

Result<Value> resolve_defaults(const ModuleSpec& spec, const Value& value) {
  return Scope(spec, nullptr, {})(value);
}

const ParamDesc* ElementPlan::find_param(std::string_view property) const {
  const auto found = std::ranges::find(params, property, &ParamDesc::name);
  return found == params.end() ? nullptr : &*found;
}

Result<std::unique_ptr<ElementPlan>> plan_element(const ElementSpec& spec) {
  auto plan = std::make_unique<ElementPlan>();
  plan->spec = &spec;
  plan->type = find_element_type(spec.type);
  if (plan->type && plan->type->takes_function) {
    plan->kind = ElementKind::function;
    plan->factory = "identity";
    plan->writes_regions = true;
  } else if (plan->type) {
    plan->factory = plan->type->element;
    plan->writes_regions = plan->type->finds_objects;
    if (const auto* bin = find_bin(plan->factory))
      plan->params = bin->params.params;
    else if (const auto* element = find_element(plan->factory))
      plan->params = element->params.params;
  } else if (spec.type.starts_with(gst_prefix)) {
    plan->kind = ElementKind::foreign;
    plan->factory = spec.type.substr(gst_prefix.size());
    plan->writes_regions = true;
    auto info = foreign_info(spec, plan->factory);
    if (!info) return forward_error(info);
    plan->params = (*info)->params;
  } else {
    std::vector<std::string> known;
    for (const ElementType& one : element_types()) known.push_back(one.name);
    return refuse(spec, "type", std::format("'{}' is no type{}", spec.type, did_you_mean(spec.type, known)));
  }
  if (!spec.keep.is_null() && !plan->writes_regions)
    return refuse(spec, "keep", std::format("elements of type {} find no objects", spec.type));
  if (auto status = plan_properties(*plan); !status) return forward_error(status);
  if (auto status = plan_attributes(*plan); !status) return forward_error(status);
  return plan;
}

std::shared_ptr<const ResolvedSet> resolve(const ModuleSpec& spec, const ElementPlans& plans,
                                           std::shared_ptr<const ParameterSet> parameters,
                                           std::string_view source_id, std::vector<ParameterError>& errors) {
  auto set = std::make_shared<ResolvedSet>();
  const Scope scope(spec, parameters.get(), source_id);
  const size_t before = errors.size();
  const auto wrong = [&](std::string path, const Error& error) {
    errors.push_back({std::move(path), error.message, {}});
  };
  const auto take = [&](Selector& target, const Value& value, const std::string& path, Selector::Scope kind) {
    auto read = selector(scope, value, path.substr(path.rfind('.') + 1), kind);
    if (read)
      target = *std::move(read);
    else
      wrong(path, read.error());
  };
  for (const auto& plan : plans) {
    ResolvedElement& element = set->elements.emplace_back();
    const std::string path = plan->name() + ".";
    if (!plan->spec->group.empty()) {
      const auto group =
          std::ranges::find(spec.groups, plan->spec->group, &std::pair<std::string, GroupSpec>::first);
      auto enabled = scope(group == spec.groups.end() ? Value(true) : group->second.enabled);
      element.is_enabled = enabled && is_true(*enabled);
    }
    element.settings = plan->fixed;
    for (const PropertyPlan& property : plan->properties) {
      auto text = scope(property.value).and_then([&](const Value& value) {
        const bool shapes =
            plan->factory == "object_analytics" && (property.name == "zones" || property.name == "lines");
        return property_text(property, shapes ? shapes_of(value, source_id) : value);
      });
      std::string key = property.name;
      std::ranges::replace(key, '-', '_');
      if (!text)
        wrong(path + key, text.error());
      else
        element.settings.emplace_back(property.name, *std::move(text));
    }
    for (const auto& [attribute, value] : plan->thresholds) {
      auto threshold = scope(value);
      double number = 0;
      if (!threshold)
        wrong(std::format("{}attributes.{}.threshold", path, attribute), threshold.error());
      else if (!threshold->number(number) || number < 0 || number > 1)
        wrong(std::format("{}attributes.{}.threshold", path, attribute),
              fail(ErrorCode::invalid_argument, "expected a number from 0 to 1").error());
      element.thresholds.emplace_back(attribute, number);
    }
    if (plan->kind == ElementKind::function) {
      take(element.select, plan->spec->select, path + "select", Selector::Scope::object);
      take(element.when, plan->spec->when, path + "when", Selector::Scope::frame);
    }
    take(element.keep, plan->spec->keep, path + "keep", Selector::Scope::object);
  }
  take(set->output_when, spec.output_frame.when, "output_frame.when", Selector::Scope::frame);
  auto draw = scope(spec.draw);
  if (draw && draw->items())
    if (auto rules = parse_draw_rules(draw->to_json()); !rules) draw = forward_error(rules);
  if (draw)
    set->draw = *std::move(draw);
  else
    wrong("draw", draw.error());
  if (errors.size() > before) return nullptr;
  set->revision = parameters ? parameters->revision() : 0;
  set->parameters = std::move(parameters);
  return set;
}

}  // namespace sightglass::module
