#include "sightglass/adapters/sources/live/stream_url.h"

#include <algorithm>
#include <cctype>
#include <format>
#include <utility>

#include "sightglass/adapters/tls_params.h"
#include "sightglass/core/masked_url.h"

namespace sightglass::adapters {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || std::string_view("-._~").contains(c))
      out += c;
    else
      out += std::format("%{:02X}", byte);
  }
  return out;
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = char(std::tolower(static_cast<unsigned char>(c)));
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += char(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

Result<StreamUrl> StreamUrl::parse(std::string_view text) {
  const size_t colon = text.find("://");
  if (colon == 0 || colon == text.npos || colon + 3 == text.size())
    // What it is instead may be a secret.
    return fail(ErrorCode::invalid_argument, "url: is no URL, as rtsp://HOST/PATH");
  StreamUrl url;
  url.scheme_ = text.substr(0, colon);
  std::ranges::transform(url.scheme_, url.scheme_.begin(),
                         [](unsigned char c) { return char(std::tolower(c)); });
  if (!std::ranges::all_of(url.scheme_, [](unsigned char c) { return std::isalnum(c) || c == '+'; }))
    return fail(ErrorCode::invalid_argument, "url: its protocol is no name");
  if (std::ranges::any_of(text, [](unsigned char c) { return c < 0x21 || c == 0x7f; }))
    return fail(ErrorCode::invalid_argument, "url: '{}' contains blanks or control characters",
                masked_url(text).substr(0, 80));
  text.remove_prefix(colon + 3);
  // Passwords with a `/` or `@` of their own are seen in the wild: the last `@` in front of the path counts.
  const size_t path = text.find_first_of("/?#");
  const size_t at = text.substr(0, path).rfind('@');
  if (at != text.npos) {
    const std::string_view credentials = text.substr(0, at);
    const size_t separator = credentials.find(':');
    url.user = unescaped(credentials.substr(0, separator));
    if (separator != credentials.npos) url.password = unescaped(credentials.substr(separator + 1));
    text.remove_prefix(at + 1);
  }
  url.rest_ = text;
  return url;
}

std::string StreamUrl::host() const {
  std::string_view host = std::string_view(rest_).substr(0, rest_.find_first_of("/?#"));
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return std::string(host.substr(0, host.rfind(':')));
}

std::string StreamUrl::with_credentials() const {
  if (user.empty() && password.empty()) return plain();
  return std::format("{}://{}:{}@{}", scheme_, escaped(user), escaped(password), rest_);
}

std::string StreamUrl::shown() const { return masked_url(plain()); }

Result<StreamUrl> stream_url(const UrlParams& params, const SourceContext& context) {
  std::string text = params.url;
  if (!params.url_file.empty()) {
    auto read = read_secret(context.folder, params.url_file, context.name + ": url-file");
    if (!read) return forward_error(read);
    text = std::move(*read);
  }
  if (text.empty()) return fail(ErrorCode::invalid_argument, "{}: url is missing", context.name);
  auto url = StreamUrl::parse(text);
  if (!url) {
    url.error().message = context.name + ": " + url.error().message;
    return url;
  }
  if (!params.user.empty()) url->user = params.user;
  if (!params.password_file.empty()) {
    auto password = read_secret(context.folder, params.password_file, context.name + ": password-file");
    if (!password) return forward_error(password);
    url->password = std::move(*password);
  }
  if (url->user.find_first_of("\r\n") != url->user.npos)
    return fail(ErrorCode::invalid_argument, "{}: user: may not span lines", context.name);
  return url;
}

}  // namespace sightglass::adapters
