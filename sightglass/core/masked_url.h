// Takes secrets out of URLs before they are shown: in errors, logs and answers of the API.
#pragma once

#include <string>
#include <string_view>

namespace sightglass {

// Whether something of this name is a secret: has a word such as "password" or "token" in it and does not
// name a file ("password_file").
bool is_secret_name(std::string_view name);

// "rtsp://user:hunter2@cam/1?token=abc" → "rtsp://user:***@cam/1?token=***". Any text may be given; what is
// no URL comes back as it is.
std::string masked_url(std::string_view text);

}  // namespace sightglass
