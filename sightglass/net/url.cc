#include "sightglass/net/url.h"

#include <curl/curl.h>

#include <memory>

#include "sightglass/core/masked_url.h"

namespace sightglass::net {
namespace {

struct Free {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
  void operator()(char* text) const { curl_free(text); }
};
using Handle = std::unique_ptr<CURLU, Free>;

// Empty where the URL has no such part.
std::string part(const Handle& url, CURLUPart what, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), what, &text, flags) != CURLUE_OK || !text) return {};
  const std::unique_ptr<char, Free> owner(text);
  return text;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return text;
}

Result<Handle> parsed(std::string_view text) {
  Handle url(curl_url());
  if (!url) return fail(ErrorCode::exhausted, "no memory for a URL");
  const std::string copy(text);
  // libcurl would stop at a NUL and see another URL than we do.
  if (copy.find('\0') != copy.npos) return fail(ErrorCode::invalid_argument, "a URL with a NUL byte in it");
  if (const CURLUcode error = curl_url_set(url.get(), CURLUPART_URL, copy.c_str(), CURLU_NON_SUPPORT_SCHEME);
      error != CURLUE_OK)
    return fail(ErrorCode::invalid_argument, "{}: {}", masked_url(text), curl_url_strerror(error));
  return url;
}

}  // namespace

Result<Url> parse_url(std::string_view text) {
  auto handle = parsed(text);
  if (!handle) return forward_error(handle);
  Url url;
  url.scheme = lower(part(*handle, CURLUPART_SCHEME));
  url.user = part(*handle, CURLUPART_USER, CURLU_URLDECODE);
  url.password = part(*handle, CURLUPART_PASSWORD, CURLU_URLDECODE);
  url.host = lower(part(*handle, CURLUPART_HOST));
  if (url.host.starts_with('[') && url.host.ends_with(']'))
    url.host = url.host.substr(1, url.host.size() - 2);
  // "example.com." is the same host, and must not be another one to a list of hosts.
  if (url.host.size() > 1 && url.host.ends_with('.')) url.host.pop_back();
  const std::string port = part(*handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (!port.empty()) url.port = uint16_t(std::stoul(port));
  url.path = part(*handle, CURLUPART_PATH);
  url.query = part(*handle, CURLUPART_QUERY);
  return url;
}

std::string to_string(const Url& url) {
  std::string text = url.scheme + "://";
  text += url.host.find(':') == url.host.npos ? url.host : '[' + url.host + ']';
  const bool usual =
      url.port == 0 || (url.scheme == "http" && url.port == 80) || (url.scheme == "https" && url.port == 443);
  if (!usual) text += std::format(":{}", url.port);
  text += url.path;
  if (!url.query.empty()) text += '?' + url.query;
  return text;
}

Result<std::string> resolve_url(std::string_view base, std::string_view reference) {
  auto handle = parsed(base);
  if (!handle) return forward_error(handle);
  // Credentials of the base are no part of what it refers to.
  curl_url_set(handle->get(), CURLUPART_USER, nullptr, 0);
  curl_url_set(handle->get(), CURLUPART_PASSWORD, nullptr, 0);
  const std::string copy(reference);
  if (const CURLUcode error =
          curl_url_set(handle->get(), CURLUPART_URL, copy.c_str(), CURLU_NON_SUPPORT_SCHEME);
      error != CURLUE_OK)
    return fail(ErrorCode::invalid_argument, "{}: {}", masked_url(reference), curl_url_strerror(error));
  return part(*handle, CURLUPART_URL);
}

Result<std::string> percent_decoded(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const bool room = i + 2 < text.size();
    const int high = room ? digit(text[i + 1]) : -1;
    const int low = room ? digit(text[i + 2]) : -1;
    if (high < 0 || low < 0 || (high == 0 && low == 0))
      return fail(ErrorCode::invalid_argument, "{}: a '%' that no byte follows", masked_url(text));
    out += char(high << 4 | low);
    i += 2;
  }
  return out;
}

}  // namespace sightglass::net
