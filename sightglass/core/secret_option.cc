#include "sightglass/core/secret_option.h"

#include <algorithm>
#include <array>

#include "sightglass/core/masked_url.h"

namespace sightglass {
namespace {

// What FFmpeg and librdkafka call secrets that has no longer word in it.
constexpr std::array<std::string_view, 14> short_words = {
    "key",    "keys", "sig",    "signature", "auth",   "pwd",     "pass",
    "passwd", "pswd", "apikey", "cryptokey", "cookie", "cookies", "pem"};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return result;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

bool is_secret_setting(std::string_view text) {
  const size_t equals = text.find('=');
  return equals != text.npos && is_name(text.substr(0, equals)) && is_secret_option(text.substr(0, equals));
}

}  // namespace

bool is_secret_option(std::string_view given) {
  const std::string name = lower(given);
  const std::string_view last = std::string_view(name).substr(name.find_last_of("_-.") + 1);
  if (last == "file" || last == "path" || last == "location") return false;
  return is_secret_name(name) || name.starts_with("srtp_") || name.ends_with("signature") ||
         std::ranges::contains(short_words, last);
}

bool holds_secret(std::string_view settings) {
  if (lower(settings).contains("authorization")) return true;
  while (!settings.empty()) {
    const size_t end = std::min(settings.find_first_of(" ,[]{}\"'\r\n"), settings.size());
    if (is_secret_setting(settings.substr(0, end))) return true;
    settings.remove_prefix(std::min(end + 1, settings.size()));
  }
  return false;
}

std::string masked_setting(std::string_view setting) {
  const size_t equals = setting.find('=');
  if (equals != setting.npos && is_name(setting.substr(0, equals)) && holds_secret(setting))
    return std::string(setting.substr(0, equals)) + "=***";
  return masked_url(setting);
}

}  // namespace sightglass
