#include "sightglass/cli/pipeline_text.h"

#include <algorithm>
#include <regex>
#include <vector>

#include "sightglass/cli/gst_setup.h"
#include "sightglass/cli/text.h"
#include "sightglass/model/spelling.h"

namespace sightglass::cli {
namespace {

// The class of an element as parse errors name it: by its own name, or by its kind.
class NamedElement {
 public:
  NamedElement(GstElement* parsed, const std::string& name) : kind_(name) {
    if (parsed && GST_IS_BIN(parsed)) element_.reset(gst_bin_get_by_name(GST_BIN(parsed), name.c_str()));
    if (!element_) {
      element_.reset(gst_element_factory_make(name.c_str(), nullptr));
      if (!element_) return;
      gst_object_ref_sink(element_.get());
    }
    if (auto* factory = gst_element_get_factory(element_.get())) kind_ = GST_OBJECT_NAME(factory);
  }
  GObjectClass* object_class() const { return element_ ? G_OBJECT_GET_CLASS(element_.get()) : nullptr; }
  const std::string& kind() const { return kind_; }

 private:
  gst::ElementPtr element_;
  std::string kind_;
};

std::string no_such_property(const NamedElement& element, const std::string& property,
                             const std::string& name) {
  std::vector<std::string> known;
  guint count = 0;
  GParamSpec** specs =
      element.object_class() ? g_object_class_list_properties(element.object_class(), &count) : nullptr;
  for (guint i = 0; i < count; ++i)
    if (specs[i]->flags & G_PARAM_WRITABLE) known.emplace_back(specs[i]->name);
  g_free(specs);
  const bool is_ours = std::ranges::binary_search(plugin_elements(), element.kind());
  return std::format("{}: no property {}{}; `{} {}` lists them", name, property,
                     did_you_mean(property, known), is_ours ? "sightglass inspect" : "gst-inspect-1.0",
                     element.kind());
}

// What the value of a property has to be, for the message about one that it cannot be.
std::string wanted_text(const NamedElement& element, const std::string& property) {
  auto* spec = element.object_class() ? g_object_class_find_property(element.object_class(), property.c_str())
                                      : nullptr;
  if (!spec) return {};
  if (!G_IS_PARAM_SPEC_ENUM(spec)) return std::format("; it takes a {}", g_type_name(spec->value_type));
  std::vector<std::string> nicks;
  auto* klass = G_PARAM_SPEC_ENUM(spec)->enum_class;
  for (guint i = 0; i < klass->n_values; ++i) nicks.emplace_back(klass->values[i].value_nick);
  return "; one of: " + joined(nicks);
}

std::string parse_error_text(GstElement* parsed, const GError& error) {
  const std::string text = one_line(error.message);
  std::smatch part;
  switch (error.domain == GST_PARSE_ERROR ? error.code : -1) {
    case GST_PARSE_ERROR_NO_SUCH_ELEMENT:
      if (std::regex_search(text, part, std::regex("no element \"([^\"]*)\""))) {
        const std::string name = part[1];
        return std::format("no element {}{}; `sightglass doctor {}` says more", name,
                           did_you_mean(name, all_gst_elements()), name);
      }
      break;
    case GST_PARSE_ERROR_NO_SUCH_PROPERTY:
      if (std::regex_search(text, part, std::regex("no property \"([^\"]*)\" in element \"([^\"]*)\"")))
        return no_such_property(NamedElement(parsed, part[2]), part[1], part[2]);
      break;
    case GST_PARSE_ERROR_COULD_NOT_SET_PROPERTY:
      if (std::regex_search(text, part,
                            std::regex("property \"([^\"]*)\" in element \"([^\"]*)\" to \"([^\"]*)\"")))
        return std::format("{}: {}={} is not possible{}", part[2].str(), part[1].str(), part[3].str(),
                           wanted_text(NamedElement(parsed, part[2]), part[1]));
      break;
    case GST_PARSE_ERROR_SYNTAX:
      return "the pipeline cannot be read: " + text;
    default:
      break;
  }
  return text;
}

// GObject only prints when a number is out of range, and keeps the old value.
void collect(const gchar* domain, GLogLevelFlags level, const gchar* message, gpointer data) {
  auto* lines = static_cast<std::vector<std::string>*>(data);
  if (level & (G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING)) lines->push_back(one_line(message));
  if (level & G_LOG_FLAG_FATAL) g_log_default_handler(domain, level, message, nullptr);
}

std::string printed_text(const std::string& line) {
  std::smatch part;
  if (std::regex_search(line, part,
                        std::regex("value \"([^\"]*)\" of type .* out of range for property '([^']*)'")))
    return std::format("{}={} is out of range; `sightglass inspect ELEMENT` shows the ranges", part[2].str(),
                       part[1].str());
  return line;
}

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const auto from = text.find_last_of('\n');
  return one_line(from == text.npos ? std::string_view() : text.substr(from + 1));
}

// What a user can do about errors of GStreamer's own elements that do not say it.
std::string_view advice(std::string_view text) {
  static constexpr std::pair<std::string_view, std::string_view> known[] = {
      {"not-negotiated",
       "two neighbouring elements have no format in common; a videoconvert between them often helps"},
      {"not-linked", "the output of an element goes nowhere; the stream may have no video"},
      {"No space left", "the disk is full; what was written so far stays readable"},
      {"File too large", "a size limit was reached; what was written so far stays readable"},
      {"no suitable plugins found", "`sightglass doctor` shows which plug-ins are missing"},
      {"Could not determine type of stream", "this is no video or picture that can be decoded"},
      {"doesn't contain enough data", "this is no video or picture that can be decoded"},
  };
  for (const auto& [sign, what] : known)
    if (text.contains(sign)) return what;
  return {};
}

}  // namespace

Result<gst::ElementPtr> parse_pipeline(std::string_view text) {
  std::vector<std::string> printed;
  const auto before = g_log_set_default_handler(collect, &printed);
  GError* error = nullptr;
  gst::ElementPtr parsed(gst_parse_launch(std::string(text).c_str(), &error));
  g_log_set_default_handler(before, nullptr);
  if (parsed) gst_object_ref_sink(parsed.get());
  if (error) {
    const std::string reason = parse_error_text(parsed.get(), *error);
    g_clear_error(&error);
    return fail(ErrorCode::invalid_argument, "{}", reason);
  }
  if (!parsed) return fail(ErrorCode::invalid_argument, "the pipeline is empty");
  if (!printed.empty()) return fail(ErrorCode::invalid_argument, "{}", printed_text(printed.front()));
  if (GST_IS_PIPELINE(parsed.get())) return parsed;
  gst::ElementPtr pipeline(GST_ELEMENT(gst_object_ref_sink(gst_pipeline_new(nullptr))));
  gst_bin_add(GST_BIN(pipeline.get()), parsed.get());
  return pipeline;
}

std::string message_text(std::string_view element, std::string_view text, std::string_view debug) {
  std::string line = one_line(text);
  if (line.starts_with(std::string(element) + ":")) return line;  // one of ours: complete as it is
  std::string detail = last_line(debug);
  if (line.ends_with('.')) line.pop_back();
  if (line.contains(detail) || detail.contains("/Gst")) detail.clear();
  const std::string what(advice(line + " " + std::string(debug)));
  return std::format("{}: {}{}{}", element, line, detail.empty() ? "" : " (" + detail + ")",
                     what.empty() ? "" : "; " + what);
}

Error message_error(GstMessage* message) {
  GError* error = nullptr;
  gchar* debug = nullptr;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING)
    gst_message_parse_warning(message, &error, &debug);
  else
    gst_message_parse_error(message, &error, &debug);
  Error result{ErrorCode::internal,
               message_text(GST_MESSAGE_SRC_NAME(message), error->message, debug ? debug : ""),
               {},
               {}};
  g_clear_error(&error);
  g_free(debug);
  return result;
}

}  // namespace sightglass::cli
