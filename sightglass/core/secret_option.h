// Settings of libraries that are passed on as NAME=VALUE (FFmpeg's, librdkafka's): which of them are secrets,
// so that these are neither taken from a command line nor shown.
//
//   holds_secret("decryption_key=00ff")       true
//   holds_secret("[user_agent=x, http_pass=y]")  true: any of a list
//   masked_setting("decryption_key=00ff")     "decryption_key=***"
#pragma once

#include <string>
#include <string_view>

namespace sightglass {

// Wider than is_secret_name(), which is for our own keys: also short words such as "pass", "key", "sig", at
// the end of the name or alone. Names of files ("ssl.key.location") are none.
bool is_secret_option(std::string_view name);

// Also headers that say who asks.
bool holds_secret(std::string_view settings);

// "NAME=***" where that holds one; anything else as masked_url() gives it.
std::string masked_setting(std::string_view setting);

}  // namespace sightglass
