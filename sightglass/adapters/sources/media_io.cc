#include "sightglass/adapters/sources/media_io.h"

extern "C" {
#include <libavutil/error.h>
#include <libavutil/log.h>
}

namespace sightglass::adapters {

AVDictionary* media_options(const std::string& location) {
  // What goes wrong is in our errors; FFmpeg's own lines would show URLs with what is secret in them.
  if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
  AVDictionary* options = nullptr;
  if (!location.starts_with("http://") && !location.starts_with("https://")) return options;
  // The caller's deadline bounds these together.
  av_dict_set(&options, "reconnect", "1", 0);
  av_dict_set(&options, "reconnect_on_network_error", "1", 0);
  av_dict_set(&options, "reconnect_on_http_error", "502,503,504", 0);
  av_dict_set(&options, "reconnect_delay_max", "4", 0);
  return options;
}

std::unexpected<Error> media_error(const std::string& shown, int error) {
  if (error == AVERROR_EXIT) return fail(ErrorCode::io, "{}: nothing has come for too long", shown);
  const ErrorCode code = error == AVERROR(ENOENT)              ? ErrorCode::not_found
                         : error == AVERROR_HTTP_NOT_FOUND     ? ErrorCode::not_found
                         : error == AVERROR_PROTOCOL_NOT_FOUND ? ErrorCode::unsupported
                         : error == AVERROR_INVALIDDATA        ? ErrorCode::corrupt
                         : error == AVERROR(ENOMEM)            ? ErrorCode::exhausted
                                                               : ErrorCode::io;
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error, text, sizeof text);
  return fail(code, "{}: {}", shown, text);
}

}  // namespace sightglass::adapters
