#include "sightglass/cli/pipeline_plan.h"

#include <map>

#include "sightglass/cli/text.h"

namespace sightglass::cli {
namespace {

Result<gst::ElementPtr> make(const PlannedElement& planned) {
  gst::ElementPtr element(gst_element_factory_make(planned.factory.c_str(),
                                                   planned.name.empty() ? nullptr : planned.name.c_str()));
  if (!element) {
    return fail(ErrorCode::unavailable, "GStreamer has no element {} on this machine{}", planned.factory,
                planned.package.empty() ? "; `sightglass doctor` says what is missing"
                                        : "; install " + planned.package);
  }
  gst_object_ref_sink(element.get());
  for (const auto& [name, value] : planned.settings) {
    auto* spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element.get()), name.c_str());
    if (!spec) return fail(ErrorCode::internal, "{}: no property {}", planned.factory, name);
    // Text is set as it is; the general way would take quotation marks out of file names.
    if (spec->value_type == G_TYPE_STRING)
      g_object_set(element.get(), name.c_str(), value.c_str(), nullptr);
    else
      gst_util_set_object_arg(G_OBJECT(element.get()), name.c_str(), value.c_str());
  }
  return element;
}

bool makes_pads_later(GstElement* element) {
  for (auto* item = gst_element_get_pad_template_list(element); item; item = item->next) {
    auto* pad = GST_PAD_TEMPLATE(item->data);
    if (GST_PAD_TEMPLATE_DIRECTION(pad) == GST_PAD_SRC && GST_PAD_TEMPLATE_PRESENCE(pad) == GST_PAD_SOMETIMES)
      return true;
  }
  return false;
}

void on_pad_added(GstElement*, GstPad* pad, gpointer next) {
  gst::PadPtr target(gst_element_get_static_pad(GST_ELEMENT(next), "sink"));
  if (gst_pad_is_linked(target.get())) return;
  gst::CapsPtr caps(gst_pad_get_current_caps(pad));
  if (!caps) caps.reset(gst_pad_query_caps(pad, nullptr));
  if (gst_caps_get_size(caps.get()) == 0) return;
  const std::string_view type = gst_structure_get_name(gst_caps_get_structure(caps.get(), 0));
  if (type.starts_with("video/")) gst_pad_link(pad, target.get());
}

void on_no_more_pads(GstElement* from, gpointer next) {
  gst::PadPtr target(gst_element_get_static_pad(GST_ELEMENT(next), "sink"));
  if (!gst_pad_is_linked(target.get()))
    GST_ELEMENT_ERROR(from, STREAM, WRONG_TYPE, ("there is no video in this stream"), (nullptr));
}

Status link(GstElement* from, GstElement* to) {
  if (makes_pads_later(from)) {
    g_signal_connect_object(from, "pad-added", G_CALLBACK(on_pad_added), to, GConnectFlags(0));
    g_signal_connect_object(from, "no-more-pads", G_CALLBACK(on_no_more_pads), to, GConnectFlags(0));
    return {};
  }
  if (gst_element_link(from, to)) return {};
  return fail(ErrorCode::internal, "{} and {} do not link", GST_OBJECT_NAME(from), GST_OBJECT_NAME(to));
}

}  // namespace

PlannedElement caps_filter(std::string caps) { return {"capsfilter", {{"caps", std::move(caps)}}}; }

std::string to_text(const PipelinePlan& plan) {
  std::string text;
  for (const auto& element : plan) {
    if (!element.after.empty())
      text += "  " + element.after + ". ! ";
    else if (!text.empty())
      text += " ! ";
    if (element.factory == "capsfilter") {
      text += shell_quoted(element.settings.front().second);
      continue;
    }
    text += element.factory;
    if (!element.name.empty()) text += " name=" + element.name;
    for (const auto& [name, value] : element.settings) text += " " + name + "=" + shell_quoted(value);
  }
  return text;
}

Result<gst::ElementPtr> build_pipeline(const PipelinePlan& plan) {
  gst::ElementPtr pipeline(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new("pipeline"))));
  std::map<std::string, GstElement*> named;
  GstElement* previous = nullptr;
  for (const auto& planned : plan) {
    auto made = make(planned);
    if (!made) return forward_error(made);
    GstElement* element = made->get();
    gst_bin_add(GST_BIN(pipeline.get()), element);  // takes a reference of its own
    if (!planned.after.empty()) previous = named.at(planned.after);
    if (previous) {
      if (auto status = link(previous, element); !status) return forward_error(status);
    }
    if (!planned.name.empty()) named[planned.name] = element;
    previous = element;
  }
  return pipeline;
}

bool has_element(const std::string& factory) {
  auto* found = gst_element_factory_find(factory.c_str());
  if (found) gst_object_unref(found);
  return found;
}

}  // namespace sightglass::cli
