#include "sightglass/gst/element.h"

namespace sightglass::gst {

void post_error(GstElement* element, const Error& error) {
  GQuark domain = GST_STREAM_ERROR;
  gint code = GST_STREAM_ERROR_FAILED;
  switch (error.code) {
    case ErrorCode::invalid_argument:
      domain = GST_LIBRARY_ERROR, code = GST_LIBRARY_ERROR_SETTINGS;
      break;
    case ErrorCode::not_found:
      domain = GST_RESOURCE_ERROR, code = GST_RESOURCE_ERROR_NOT_FOUND;
      break;
    case ErrorCode::io:
      domain = GST_RESOURCE_ERROR, code = GST_RESOURCE_ERROR_FAILED;
      break;
    case ErrorCode::exhausted:
      domain = GST_RESOURCE_ERROR, code = GST_RESOURCE_ERROR_NO_SPACE_LEFT;
      break;
    case ErrorCode::unavailable:
      domain = GST_CORE_ERROR, code = GST_CORE_ERROR_MISSING_PLUGIN;
      break;
    case ErrorCode::not_negotiated:
      domain = GST_CORE_ERROR, code = GST_CORE_ERROR_NEGOTIATION;
      break;
    case ErrorCode::corrupt:
      code = GST_STREAM_ERROR_DECODE;
      break;
    default:
      break;
  }
  const std::string text = std::string(GST_OBJECT_NAME(element)) + ": " + error.message;
  gst_element_message_full(element, GST_MESSAGE_ERROR, domain, code, g_strdup(text.c_str()), nullptr,
                           __FILE__, "sightglass", __LINE__);
}

}  // namespace sightglass::gst
