#include "sightglass/gst/bins/stage.h"

#include "sightglass/core/registry.h"
#include "sightglass/gst/properties.h"

namespace sightglass::gst {
namespace {

Status set_property(GstElement* element, const std::string& factory, const std::string& name,
                    const std::string& text) {
  auto* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), name.c_str());
  if (!spec) return fail(ErrorCode::invalid_argument, "{} has no property {}", factory, name);
  const auto* desc = find_element(factory);
  const auto* param = desc ? desc->params.find(name) : nullptr;
  if (!param) {
    gst_util_set_object_arg(G_OBJECT(element), name.c_str(), text.c_str());
    return {};
  }
  auto value = param->parse(text);
  if (!value) return fail(ErrorCode::invalid_argument, "{}: {}", factory, value.error().message);
  GValue converted = G_VALUE_INIT;
  g_value_init(&converted, spec->value_type);
  to_gvalue(*param, *value, &converted);
  g_object_set_property(G_OBJECT(element), name.c_str(), &converted);
  g_value_unset(&converted);
  return {};
}

}  // namespace

Result<ElementPtr> make_element(const ElementSettings& settings) {
  auto* made = gst_element_factory_make(settings.element.c_str(), nullptr);
  if (!made) return fail(ErrorCode::unavailable, "the element {} is not installed", settings.element);
  gst_object_ref_sink(made);
  ElementPtr element(made);
  for (const auto& [name, text] : settings.params) {
    if (auto status = set_property(made, settings.element, name, text); !status) return forward_error(status);
  }
  return element;
}

Result<Chain> add_stage(GstBin* bin, const Stage& stage) {
  Chain chain;
  for (const auto& settings : stage) {
    auto element = make_element(settings);
    if (!element) return forward_error(element);
    gst_bin_add(bin, element->get());
    if (!chain.first) chain.first = element->get();
    if (chain.last && !gst_element_link(chain.last, element->get())) {
      return fail(ErrorCode::not_negotiated, "{} and {} do not link", GST_OBJECT_NAME(chain.last),
                  GST_OBJECT_NAME(element->get()));
    }
    chain.last = element->get();
  }
  return chain;
}

ElementSettings queue_of(unsigned buffers) {
  return {"queue",
          {{"max-size-buffers", std::to_string(buffers)}, {"max-size-bytes", "0"}, {"max-size-time", "0"}}};
}

}  // namespace sightglass::gst
