#include "sightglass/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <string>

namespace sightglass::net {
namespace {

struct Range4 {
  uint32_t address;
  int bits;
  AddressKind kind;
};
constexpr uint32_t v4(uint32_t a, uint32_t b, uint32_t c = 0, uint32_t d = 0) {
  return a << 24 | b << 16 | c << 8 | d;
}
constexpr std::array<Range4, 14> special = {{
    {v4(0, 0), 8, AddressKind::unusable},
    {v4(10, 0), 8, AddressKind::local_net},
    {v4(100, 64), 10, AddressKind::local_net},
    {v4(127, 0), 8, AddressKind::loopback},
    {v4(169, 254), 16, AddressKind::link_local},
    {v4(172, 16), 12, AddressKind::local_net},
    {v4(192, 0, 0), 24, AddressKind::unusable},
    {v4(192, 0, 2), 24, AddressKind::unusable},
    {v4(192, 168), 16, AddressKind::local_net},
    {v4(198, 18), 15, AddressKind::unusable},
    {v4(198, 51, 100), 24, AddressKind::unusable},
    {v4(203, 0, 113), 24, AddressKind::unusable},
    {v4(224, 0), 4, AddressKind::unusable},
    {v4(240, 0), 4, AddressKind::unusable},
}};

AddressKind kind_of_v4(uint32_t address) {
  for (const Range4& range : special)
    if ((address ^ range.address) >> (32 - range.bits) == 0) return range.kind;
  return AddressKind::open;
}

AddressKind kind_of_v6(const in6_addr& address) {
  const uint8_t* const bytes = address.s6_addr;
  const auto v4_at = [&](size_t i) { return v4(bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]); };
  const auto is_zero = [&](size_t begin, size_t end) {
    return std::all_of(bytes + begin, bytes + end, [](uint8_t byte) { return byte == 0; });
  };
  if (is_zero(0, 10) && bytes[10] == 0xff && bytes[11] == 0xff) return kind_of_v4(v4_at(12));  // mapped
  if (is_zero(0, 15) && bytes[15] == 1) return AddressKind::loopback;
  if (is_zero(0, 12)) return AddressKind::unusable;  // unspecified, and an old way to write IPv4
  if (v4_at(0) == 0x0064ff9b && is_zero(4, 12)) return kind_of_v4(v4_at(12));  // NAT64
  if (bytes[0] == 0x20 && bytes[1] == 0x02) return kind_of_v4(v4_at(2));       // 6to4
  if ((bytes[0] & 0xfe) == 0xfc) return AddressKind::local_net;
  if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) return AddressKind::link_local;
  // What is in use of the internet is 2000::/3; tunnels (2001::/32) and documentation are not to be reached.
  if ((bytes[0] & 0xe0) != 0x20 || v4_at(0) == 0x20010000 || v4_at(0) == 0x20010db8)
    return AddressKind::unusable;
  return AddressKind::open;
}

}  // namespace

std::string_view to_string(AddressKind kind) {
  switch (kind) {
    case AddressKind::open:
      return "an address of the internet";
    case AddressKind::local_net:
      return "a private address";
    case AddressKind::loopback:
      return "an address of this machine";
    case AddressKind::link_local:
      return "a link-local address";
    case AddressKind::unusable:
      return "a reserved address";
  }
  return "";
}

AddressKind kind_of(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return kind_of_v4(ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr));
  if (address->sa_family == AF_INET6)
    return kind_of_v6(reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
  return AddressKind::unusable;
}

bool is_address(std::string_view host) {
  const std::string text(host.substr(0, host.find('%')));
  in6_addr v6_address;
  in_addr v4_address;
  return inet_pton(AF_INET, text.c_str(), &v4_address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &v6_address) == 1;
}

}  // namespace sightglass::net
