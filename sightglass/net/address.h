// What kind of place an address is, for those who must not let strangers reach into their own network.
#pragma once

#include <cstdint>
#include <string_view>

struct sockaddr;

namespace sightglass::net {

enum class AddressKind : uint8_t {
  open,        // of the internet
  local_net,   // private networks: 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7
  loopback,    // this machine
  link_local,  // 169.254/16, fe80::/10: among others the metadata of cloud machines
  unusable,    // nothing to connect to: 0/8, multicast, reserved, another family
};
std::string_view to_string(AddressKind kind);  // "a private address", …

// An IPv4 address inside of an IPv6 one (mapped, NAT64, 6to4) counts as what it is.
AddressKind kind_of(const sockaddr* address);

// Whether the host of a URL is an address and no name.
bool is_address(std::string_view host);

}  // namespace sightglass::net
