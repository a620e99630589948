#include "sightglass/module/location_rules.h"

#include <algorithm>
#include <array>

#include "sightglass/core/masked_url.h"

namespace sightglass::module {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> readable = {"file", "http", "https"};

std::unexpected<Error> refuse(std::string_view key, std::string_view text, std::string_view why) {
  return fail(ErrorCode::invalid_argument, "security.location.{}: {}: {}", key, masked_url(text), why);
}

// What servers may take for something else than what was compared: parts that go up, and escapes that stand
// for separators.
bool is_plain_path(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') return false;
    if (path[i] != '%') continue;
    const std::string_view code = path.substr(i + 1, 2);
    if (code == "2e" || code == "2E" || code == "2f" || code == "2F" || code == "5c" || code == "5C" ||
        code == "00")
      return false;
  }
  return !path.contains("/../") && !path.ends_with("/..");
}

}  // namespace

bool LocationRules::Root::has_host(std::string_view host) const {
  if (!any_host) return host == url.host;
  return url.host.empty() || (host.size() > url.host.size() + 1 && host.ends_with(url.host) &&
                              host[host.size() - url.host.size() - 1] == '.');
}

bool LocationRules::Root::covers(const net::Url& other) const {
  if (scheme != other.scheme || url.port != other.port || !has_host(other.host)) return false;
  if (!other.path.starts_with(url.path)) return false;
  return url.path.ends_with('/') || other.path.size() == url.path.size() ||
         other.path[url.path.size()] == '/';
}

Result<LocationRules> LocationRules::make(const std::vector<std::string>& schemes,
                                          const std::vector<std::string>& roots, const std::string& folder) {
  for (const std::string& scheme : schemes)
    if (!std::ranges::contains(readable, scheme))
      return refuse("schemes", scheme,
                    scheme == "s3" ? "objects are read over https, by URLs that are signed; there are: file, "
                                     "http, https"
                                   : "there are: file, http, https");
  LocationRules rules;
  for (const std::string& text : roots) {
    Root root;
    const size_t scheme_end = text.find("://");
    if (scheme_end == text.npos || text.starts_with("file://")) {
      root.scheme = "file";
      const fs::path path = scheme_end == text.npos ? text : text.substr(scheme_end + 3);
      std::error_code error;
      root.folder = fs::absolute(fs::path(folder) / path, error).lexically_normal();
      if (!root.folder.has_filename()) root.folder = root.folder.parent_path();
    } else {
      std::string parsed = text;
      if (const size_t host = scheme_end + 3; parsed.substr(host).starts_with('*')) {
        root.any_host = true;
        const bool has_domain = parsed.substr(host + 1).starts_with('.');
        // A sign that no host may have; the name stands in for it while the URL is taken apart.
        parsed.replace(host, has_domain ? 2 : 1, has_domain ? "" : "any");
        const char next = host + 1 < text.size() ? text[host + 1] : '/';
        if (!has_domain && next != '/' && next != ':')
          return refuse("roots", text, "'*' stands for a whole host, or for what is in front of a domain");
      }
      const auto url = net::parse_url(parsed);
      if (!url) return refuse("roots", text, url.error().message);
      root.url = *url;
      if (root.any_host && text[scheme_end + 4] != '.') root.url.host.clear();
      root.scheme = url->scheme;
      if (!is_plain_path(url->path) || !url->query.empty() || !url->user.empty())
        return refuse("roots", text, "has to be a scheme, a host and a plain path");
    }
    if (!std::ranges::contains(schemes, root.scheme))
      return refuse("roots", text, std::format("its scheme {} is not in `schemes`", root.scheme));
    rules.roots_.push_back(std::move(root));
  }
  for (const std::string& scheme : schemes)
    if (!roots.empty() &&
        std::ranges::none_of(rules.roots_, [&](const Root& r) { return r.scheme == scheme; }))
      return refuse("schemes", scheme, "no root has it, so nothing is read by it");
  return rules;
}

Result<LocationRules::Place> LocationRules::find(std::string_view uri) const {
  auto url = net::parse_url(uri);
  if (!url) return forward_error(url);
  const auto denied = [&](std::string_view why) {
    return fail(ErrorCode::invalid_argument, "{}: {}", masked_url(uri), why);
  };
  if (url->scheme == "file") {
    if (!url->host.empty() && url->host != "localhost") return denied("a file of another machine");
    auto decoded = net::percent_decoded(url->path);
    if (!decoded) return forward_error(decoded);
    const fs::path path = *decoded;
    if (std::ranges::any_of(path, [](const fs::path& part) { return part == ".." || part == "."; }))
      return denied("a path that goes up");
    // The longest: its folder itself may be a link of the operator's.
    const Root* best = nullptr;
    fs::path below;
    for (const Root& root : roots_) {
      if (root.scheme != "file") continue;
      const auto [in_root, in_path] = std::ranges::mismatch(root.folder, path);
      if (in_root != root.folder.end() || in_path == path.end()) continue;
      if (best && best->folder.native().size() >= root.folder.native().size()) continue;
      best = &root;
      below.clear();
      for (auto part = in_path; part != path.end(); ++part) below /= *part;
    }
    if (!best || below.empty() || !below.has_filename()) return denied("not below a root that may be read");
    return Place{.root = best->folder, .file = std::move(below), .url = {}};
  }
  if (url->scheme != "http" && url->scheme != "https") return denied("its scheme may not be read");
  if (!is_plain_path(url->path)) return denied("its path may not be read");
  if (std::ranges::none_of(roots_, [&](const Root& root) { return root.covers(*url); }))
    return denied("not below a root that may be read");
  return Place{.root = {}, .file = {}, .url = std::string(uri)};
}

bool LocationRules::allows(std::string_view uri, net::AddressKind kind) const {
  if (kind == net::AddressKind::unusable) return false;
  if (kind == net::AddressKind::open) return true;
  const auto url = net::parse_url(uri);
  if (!url) return false;
  // By a root that names the host: what another one with `*` allows has to lie on the internet.
  const bool is_named = std::ranges::any_of(
      roots_, [&](const Root& root) { return root.scheme != "file" && !root.any_host && root.covers(*url); });
  if (!is_named) return false;
  if (kind == net::AddressKind::local_net || net::is_address(url->host)) return true;
  return kind == net::AddressKind::loopback && url->host == "localhost";
}

}  // namespace sightglass::module
