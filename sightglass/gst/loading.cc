#include "sightglass/gst/loading.h"

#include <string>
#include <utility>

namespace sightglass::gst {
namespace {

constexpr const char* code = "load-model";

void post(GstElement* element, GstProgressType type, const char* text) {
  gst_element_post_message(element, gst_message_new_progress(GST_OBJECT(element), type, code, text));
}

}  // namespace

void Loading::tell(std::string_view text) {
  const std::string line(text);
  g_message("%s: %s", GST_OBJECT_NAME(element_), line.c_str());
  post(element_, has_begun_ ? GST_PROGRESS_TYPE_CONTINUE : GST_PROGRESS_TYPE_START, line.c_str());
  has_begun_ = true;
}

void Loading::fail(const Error& error) {
  if (std::exchange(has_begun_, false)) post(element_, GST_PROGRESS_TYPE_ERROR, error.message.c_str());
}

Loading::~Loading() {
  if (has_begun_) post(element_, GST_PROGRESS_TYPE_COMPLETE, "the model is loaded");
}

}  // namespace sightglass::gst
