// Where payloads that a message only names (content: Location) may be read from: the key `security.location`.
// Nothing unless the file says so, by scheme and by root:
//
//   security:
//     location:
//       schemes: [file, https]
//       roots: [/srv/pictures, https://cdn.example.com/clips/, "https://*.cameras.example.com/"]
//
// A root is a folder, or the beginning of URLs up to a '/'. Its host may be `*`, or `*.` and a domain; such
// hosts, and names in general, have to lie on the internet: a private address may only be that of a URL
// below a root which names the host in full, and an address of this machine or a link-local one (where clouds
// keep their secrets) only one that a root gives as such (127.0.0.1, localhost).
//
// Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/net/address.h"
#include "sightglass/net/url.h"

namespace sightglass::module {

class LocationRules {
 public:
  LocationRules() = default;  // nothing is allowed
  // Relative folders start from `folder`. The error names the key.
  static Result<LocationRules> make(const std::vector<std::string>& schemes,
                                    const std::vector<std::string>& roots, const std::string& folder);
  bool empty() const { return roots_.empty(); }

  struct Place {
    std::filesystem::path root, file;  // `file` below `root`; empty for URLs
    std::string url;
  };
  // The error says why it may not be read. Looks at the text alone, and so never waits.
  Result<Place> find(std::string_view uri) const;
  bool allows(std::string_view uri) const { return find(uri).has_value(); }
  // Of a connection that is about to be made for a URL that find() has let pass.
  bool allows(std::string_view uri, net::AddressKind kind) const;

 private:
  struct Root {
    std::string scheme;
    std::filesystem::path folder;  // of files
    net::Url url;                  // of others
    bool any_host = false;         // url.host is a domain, or empty for all
    bool covers(const net::Url& url) const;
    bool has_host(std::string_view host) const;
  };
  std::vector<Root> roots_;
};

}  // namespace sightglass::module
