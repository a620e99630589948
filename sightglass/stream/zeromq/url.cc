#include "sightglass/stream/zeromq/url.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace sightglass::stream {
namespace {

constexpr std::array types = {"pub", "sub", "push", "pull", "dealer", "router"};
constexpr std::array transports = {"tcp", "ipc", "inproc"};
constexpr size_t longest = 512;
// sockaddr_un holds 108 bytes with the final zero.
constexpr size_t longest_path = 107;

bool alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Text of unknown origin, fit for one line of a message.
std::string shown(std::string_view text) {
  constexpr size_t longest_shown = 160;
  std::string out;
  for (const char c : text) {
    if (out.size() >= longest_shown) return out + "…";
    const bool printable = c >= ' ' && c <= '~';
    if (printable) {
      out += c;
    } else {
      out += std::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

struct Parser {
  std::string_view text, option;

  template <class... Args>
  std::unexpected<Error> refuse(std::format_string<Args...> format, Args&&... args) const {
    return fail(ErrorCode::invalid_argument, "{}: '{}': {}", option, shown(text),
                std::format(format, std::forward<Args>(args)...));
  }

  Result<Url> parse() const {
    Url url;
    if (text.size() > longest) return refuse("longer than {} characters", longest);
    const size_t plus = text.find('+'), colon = text.find(':');
    if (plus == text.npos || colon == text.npos || colon < plus) {
      return refuse(
          "expected TYPE+bind:TRANSPORT or TYPE+connect:TRANSPORT, as in push+connect:tcp://host:5560");
    }
    const std::string_view type = text.substr(0, plus);
    const auto found = std::ranges::find(types, type);
    if (found == types.end()) {
      return refuse("unknown socket type '{}'; one of pub, sub, push, pull, dealer, router", shown(type));
    }
    url.type = static_cast<SocketType>(found - types.begin());
    const std::string_view side = text.substr(plus + 1, colon - plus - 1);
    if (side != "bind" && side != "connect") {
      return refuse("'{}' after the type; one of bind, connect", shown(side));
    }
    url.bind = side == "bind";
    return transport(std::move(url), text.substr(colon + 1));
  }

  Result<Url> transport(Url url, std::string_view rest) const {
    const size_t end = rest.find("://");
    const std::string_view name = end == rest.npos ? rest : rest.substr(0, end);
    const auto found = std::ranges::find(transports, name);
    if (end == rest.npos || found == transports.end()) {
      return refuse("unknown transport '{}'; one of tcp://HOST:PORT, ipc://PATH, inproc://NAME", shown(name));
    }
    url.transport = static_cast<Transport>(found - transports.begin());
    const std::string_view place = rest.substr(end + 3);
    if (url.transport == Transport::tcp) return tcp(std::move(url), place);

    const bool ipc = url.transport == Transport::ipc;
    if (place.empty()) return refuse("{} without a {}", name, ipc ? "path" : "name");
    if (ipc && place.size() > longest_path) {
      return refuse("the path has {} bytes; at most {}", place.size(), longest_path);
    }
    if (std::ranges::any_of(place, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; })) {
      return refuse("control character in the {}", ipc ? "path" : "name");
    }
    // ZeroMQ takes these for "choose one", which nobody could connect to.
    if (place == "*" || place == "@" || place.back() == '/') {
      return refuse("'{}' is no {}", shown(place), ipc ? "file" : "name");
    }
    url.path = place;
    return url;
  }

  Result<Url> tcp(Url url, std::string_view place) const {
    const size_t colon = place.rfind(':');
    const bool brackets = place.starts_with('[');
    const size_t bracket = place.find(']');
    if (brackets && bracket == place.npos) return refuse("'[' without ']'");
    if (colon == place.npos || (brackets && colon < bracket)) {
      return refuse("tcp without a port, as in tcp://host:5560");
    }
    std::string_view host = place.substr(0, colon);
    if (brackets) {
      if (bracket + 1 != colon)
        return refuse("'{}' between ']' and the port", shown(host.substr(bracket + 1)));
      host = host.substr(1, bracket - 1);
    }
    if (auto reason = bad_host(host, brackets, url.bind)) return refuse("{}", *reason);
    url.host = host;

    const std::string_view port = place.substr(colon + 1);
    if (port == "*" && url.bind) return url;
    unsigned number = 0;
    const auto [stop, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || stop != port.data() + port.size() || number < 1 || number > 65535) {
      return refuse("port '{}'; 1 to 65535{}", shown(port), url.bind ? ", or * for a free one" : "");
    }
    url.port = static_cast<uint16_t>(number);
    return url;
  }

  static std::optional<std::string> bad_host(std::string_view host, bool brackets, bool bind) {
    if (host.empty()) return "tcp without a host";
    if (host == "*" && !brackets) {
      if (bind) return std::nullopt;
      return "'*' stands for every interface and is for bind only";
    }
    if (host.size() > 253) return "the host is longer than 253 characters";
    if (!brackets && host.contains(':')) {
      return std::format("IPv6 addresses stand in brackets: [{}]", shown(host));
    }
    if (brackets && !host.contains(':')) {
      return std::format("'{}' in brackets is no IPv6 address", shown(host));
    }
    const std::string_view others = brackets ? ":.%" : ".-_";
    const auto odd =
        std::ranges::find_if(host, [&](char c) { return !alphanumeric(c) && !others.contains(c); });
    if (odd != host.end()) return std::format("'{}' in the host", shown({odd, odd + 1}));
    return std::nullopt;
  }
};

Result<Url> parse_for(std::string_view text, std::string_view option, bool writer) {
  auto url = parse_url(text, option);
  if (url && is_writer(url->type) != writer) {
    return fail(ErrorCode::invalid_argument, "{}: '{}': {} {}; one of {}", option, shown(text),
                to_string(url->type), writer ? "reads, and this end writes" : "writes, and this end reads",
                writer ? "pub, push, dealer" : "sub, pull, router");
  }
  return url;
}

}  // namespace

std::string_view to_string(SocketType type) { return types[static_cast<size_t>(type)]; }
std::string_view to_string(Transport transport) { return transports[static_cast<size_t>(transport)]; }

bool Url::local() const {
  if (transport != Transport::tcp || host == "localhost" || host == "::1") return true;
  // 127.0.0.0/8 as numbers only: "127.example.org" is a name.
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

std::string Url::endpoint() const {
  if (transport != Transport::tcp) return std::format("{}://{}", stream::to_string(transport), path);
  const std::string place = host.contains(':') ? std::format("[{}]", host) : host;
  return port == 0 ? std::format("tcp://{}:*", place) : std::format("tcp://{}:{}", place, port);
}

std::string Url::to_string() const {
  return std::format("{}+{}:{}", stream::to_string(type), bind ? "bind" : "connect", endpoint());
}

Result<Url> parse_url(std::string_view text, std::string_view option) { return Parser{text, option}.parse(); }
Result<Url> parse_writer_url(std::string_view text, std::string_view option) {
  return parse_for(text, option, true);
}
Result<Url> parse_reader_url(std::string_view text, std::string_view option) {
  return parse_for(text, option, false);
}

}  // namespace sightglass::stream
