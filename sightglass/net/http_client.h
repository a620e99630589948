// HTTP and HTTPS requests, one after the other, over connections that are kept open between them.
//
//   net::HttpClient client({.tls = tls, .connect_timeout = 2s});
//   auto answer = client.request({.method = "POST", .url = "https://db/_bulk", .body = net::bytes_of(json),
//                                 .headers = {{"Content-Type", "application/x-ndjson"}}});
//   if (!answer) …                 // no answer: not reached, broken off, too slow, too large
//   if (answer->status / 100 != 2) // an answer, and a bad one: net::to_error(*answer)
//
// One object per thread; only cancel() and resume() may come from another. A request blocks its thread until
// the whole answer is there.
//
// Choices: no redirect is followed unless asked for, and then credentials and bodies stay with the origin
// they were meant for. Proxies are used only where an option names one or asks for those of the environment:
// a module does what its file says, wherever it is started. No cookies, no .netrc, no other schemes.
//
// Errors (`error().code`): cancelled; invalid_argument (URL, header or option is wrong); unavailable (name
// not found, no connection, TLS refused); exhausted (answer too large); corrupt (no HTTP, bad compression);
// io (too slow, broken off). `unavailable` and `io` may be tried again. Messages show URLs without secrets.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"

struct sockaddr;

namespace sightglass::net {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Paths of PEM files.
struct Tls {
  std::string ca;           // certificates that the server's is checked against; empty: the system's
  std::string cert, key;    // of this side
  std::string server_name;  // that the certificate must have; empty: the host of the URL
  bool verify = true;
};
// From adapters::TlsParams, whose paths the caller has made absolute.
template <class Params>
Tls tls_of(const Params& params) {
  return {params.tls_ca, params.tls_cert, params.tls_key, params.tls_server_name, params.tls_verify};
}

// AWS signature version 4.
struct AwsSignature {
  std::string region = "us-east-1", service = "s3";
  std::string key_id, secret, session_token;
};

struct HttpOptions {
  Tls tls;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds total_timeout{30'000};  // of one request with its redirects; 0: none
  std::chrono::milliseconds stall_timeout{0};       // longest time without a byte, whole seconds; 0: none
  std::string proxy;                                // "http://host:port"; empty: none
  bool proxy_from_environment = false;
  std::string user_agent = "sightglass";
  // Asked before a connection is made, and again for one that is reused, with the very address that is
  // connected to, so that a name cannot change its meaning in between; false: refused. Not with proxies.
  std::function<bool(const sockaddr* address, std::string_view host)> allow_address;
};

struct HttpAnswer {
  int status = 0;
  Headers headers;   // names in lower case
  std::string body;  // empty where `receive` took it
  std::string url;   // where it came from, after redirects; may hold secrets
  // Null: no such header. The last of several.
  const std::string* header(std::string_view lower_case_name) const;
  uint64_t content_length() const;  // 0: unknown
};
// "https://db/_bulk answers 503 Service Unavailable: <first line of the body>". not_found for 404 and 410,
// invalid_argument for other 4xx but 408, 425 and 429, io for the rest.
Error to_error(const HttpAnswer& answer);

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // user and password in it are sent as basic authentication
  std::span<const std::byte> body;
  Headers headers;
  std::string user, password;  // basic authentication
  std::string bearer;          // "Authorization: Bearer …"
  std::optional<AwsSignature> aws;
  uint64_t max_bytes = uint64_t(64) << 20;  // of the answer's body, uncompressed
  bool compressed = true;                   // gzip and deflate are accepted, and undone
  unsigned max_redirects = 0;
  std::optional<std::chrono::milliseconds> total_timeout;  // instead of the client's
  // Asked before each redirect is followed: an error ends the request with it.
  std::function<Status(const std::string& url)> check_redirect;

  // Streaming: `begin` once, with status and headers, when a 2xx answer begins; then `receive` for each piece
  // of its body. An error of theirs ends the request and is its result. Bodies of other answers are put into
  // the answer, up to 64 KiB.
  std::function<Status(const HttpAnswer& head)> begin;
  std::function<Status(std::span<const std::byte> piece)> receive;
};

class HttpClient {
 public:
  explicit HttpClient(HttpOptions options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  Result<HttpAnswer> request(const HttpRequest& request);

  // From any thread: the request under way and later ones fail with `cancelled`, until resume(). At once,
  // but for a name that is being looked up: that is waited for.
  void cancel();
  void resume();

 private:
  class Transfer;
  std::unique_ptr<Transfer> transfer_;
};

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace sightglass::net
