#include "sightglass/net/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <exception>

#include "sightglass/core/masked_url.h"
#include "sightglass/net/url.h"

namespace sightglass::net {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t max_error_body = 64 << 10;
constexpr size_t max_headers = 256 << 10;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::strchr(" \t\r\n", text.front())) text.remove_prefix(1);
  while (!text.empty() && std::strchr(" \t\r\n", text.back())) text.remove_suffix(1);
  return text;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::string_view status_text(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "Content Too Large";
    case 416:
      return "Range Not Satisfiable";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 500:
      return "Internal Server Error";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";
  }
}

ErrorCode code_of(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return ErrorCode::invalid_argument;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
      return ErrorCode::unavailable;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FILESIZE_EXCEEDED:
      return ErrorCode::exhausted;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
      return ErrorCode::corrupt;
    default:
      return ErrorCode::io;
  }
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

void append(List& list, const std::string& line) {
  if (curl_slist* longer = curl_slist_append(list.get(), line.c_str())) {
    (void)list.release();
    list.reset(longer);
  }
}

Status check_header(const std::pair<std::string, std::string>& header) {
  const auto& [name, value] = header;
  const bool bad_name = name.empty() || std::ranges::any_of(name, [](char c) {
                          return c <= ' ' || c == ':' || uint8_t(c) >= 0x7f;
                        });
  const bool bad_value =
      std::ranges::any_of(value, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
  if (bad_name || bad_value)
    return fail(ErrorCode::invalid_argument, "the header \"{}\" has signs in it that no header may have",
                bad_name ? "" : name);
  return {};
}

}  // namespace

const std::string* HttpAnswer::header(std::string_view lower_case_name) const {
  const auto found = std::find_if(headers.rbegin(), headers.rend(),
                                  [&](const auto& header) { return header.first == lower_case_name; });
  return found == headers.rend() ? nullptr : &found->second;
}

uint64_t HttpAnswer::content_length() const {
  uint64_t length = 0;
  if (const std::string* text = header("content-length"))
    std::from_chars(text->data(), text->data() + text->size(), length);
  return length;
}

Error to_error(const HttpAnswer& answer) {
  const int status = answer.status;
  const bool try_again = status == 408 || status == 425 || status == 429;
  const ErrorCode code = status == 404 || status == 410    ? ErrorCode::not_found
                         : status / 100 == 4 && !try_again ? ErrorCode::invalid_argument
                                                           : ErrorCode::io;
  std::string message = std::format("{} answers {}", masked_url(answer.url), status);
  if (const std::string_view text = status_text(status); !text.empty()) message += std::format(" {}", text);
  std::string_view line = trimmed(answer.body);
  line = trimmed(line.substr(0, std::min<size_t>({line.find('\n'), line.size(), 200})));
  const bool printable = std::ranges::none_of(line, [](char c) { return uint8_t(c) < ' ' && c != '\t'; });
  if (!line.empty() && line.front() != '<' && printable) message += std::format(": {}", line);
  return Error{code, std::move(message), {}, {}};
}

class HttpClient::Transfer {
 public:
  explicit Transfer(HttpOptions options) : options_(std::move(options)) {
    // Once, before there is a second thread of libcurl's: thread-safe since 7.84.
    [[maybe_unused]] static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
    multi_ = curl_multi_init();
    easy_ = curl_easy_init();
  }
  ~Transfer() {
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
  }

  Result<HttpAnswer> request(const HttpRequest& request);

  void cancel() {
    cancelled_ = true;
    curl_multi_wakeup(multi_);
  }
  void resume() { cancelled_ = false; }

 private:
  // What a request becomes when it is redirected.
  struct Hop {
    std::string url, method;
    bool with_body = true, with_credentials = true;
  };

  Result<HttpAnswer> perform(const HttpRequest& request, const Hop& hop, milliseconds left);
  Status set_up(const HttpRequest& request, const Hop& hop, milliseconds left);
  Status set_credentials(const HttpRequest& request, const Hop& hop);
  Status set_server_name(const Url& url);
  Result<CURLcode> run();
  Error error_of(CURLcode code, const Hop& hop) const;

  template <class... Args>
  void set(CURLoption option, Args... args) {
    if (const CURLcode error = curl_easy_setopt(easy_, option, args...); error != CURLE_OK && !set_error_)
      set_error_ = error;
  }
  // Callbacks of libcurl must not let exceptions through; they are thrown again behind it.
  template <class Call>
  auto guarded(Call call, decltype(call()) when_thrown) -> decltype(call()) {
    try {
      return call();
    } catch (...) {
      exception_ = std::current_exception();
      return when_thrown;
    }
  }
  size_t take_header(std::string_view line);
  size_t take_body(std::span<const std::byte> piece);
  Status take_piece(std::span<const std::byte> piece);
  bool allows(const sockaddr* address);
  int check_connection(const char* address);

  static size_t on_header(char* data, size_t size, size_t count, void* self) {
    auto& me = *static_cast<Transfer*>(self);
    return me.guarded([&] { return me.take_header({data, size * count}); }, size_t(0));
  }
  static size_t on_body(char* data, size_t size, size_t count, void* self) {
    auto& me = *static_cast<Transfer*>(self);
    return me.guarded([&] { return me.take_body(std::as_bytes(std::span(data, size * count))); }, size_t(0));
  }
  static curl_socket_t on_socket(void* self, curlsocktype, curl_sockaddr* address) {
    auto& me = *static_cast<Transfer*>(self);
    if (!me.guarded([&] { return me.allows(&address->addr); }, false)) return CURL_SOCKET_BAD;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }
  static int on_connection(void* self, char* address, char*, int, int) {
    auto& me = *static_cast<Transfer*>(self);
    return me.guarded([&] { return me.check_connection(address); }, CURL_PREREQFUNC_ABORT);
  }

  HttpOptions options_;
  CURLM* multi_ = nullptr;
  CURL* easy_ = nullptr;
  std::atomic<bool> cancelled_ = false;

  // Of the request under way.
  const HttpRequest* request_ = nullptr;
  std::string host_;
  HttpAnswer answer_;
  uint64_t received_ = 0;
  size_t header_bytes_ = 0;
  bool begun_ = false, refused_ = false;
  Status failure_;  // ours, which ended the transfer
  std::exception_ptr exception_;
  std::optional<CURLcode> set_error_;
  List headers_, connect_to_;
  std::array<char, CURL_ERROR_SIZE> reason_{};
};

bool HttpClient::Transfer::allows(const sockaddr* address) {
  if (!options_.allow_address || options_.allow_address(address, host_)) return true;
  refused_ = true;
  return false;
}

int HttpClient::Transfer::check_connection(const char* text) {
  sockaddr_in6 v6{};
  sockaddr_in v4{};
  v6.sin6_family = AF_INET6, v4.sin_family = AF_INET;
  const std::string_view with_zone = text ? text : "";
  const std::string plain(with_zone.substr(0, with_zone.find('%')));
  const sockaddr* address = nullptr;
  if (inet_pton(AF_INET, plain.c_str(), &v4.sin_addr) == 1) address = reinterpret_cast<sockaddr*>(&v4);
  if (inet_pton(AF_INET6, plain.c_str(), &v6.sin6_addr) == 1) address = reinterpret_cast<sockaddr*>(&v6);
  if (address && allows(address)) return CURL_PREREQFUNC_OK;
  refused_ = true;
  return CURL_PREREQFUNC_ABORT;
}

size_t HttpClient::Transfer::take_header(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > max_headers) {
    failure_ = fail(ErrorCode::exhausted, "{}: more than {} KiB of headers", masked_url(answer_.url),
                    max_headers >> 10);
    return 0;
  }
  // An answer may come after others that are none yet ("100 Continue"): the last one counts.
  if (line.starts_with("HTTP/")) answer_.headers.clear();
  const size_t colon = line.find(':');
  if (colon != line.npos && !line.starts_with("HTTP/"))
    answer_.headers.emplace_back(lower(trimmed(line.substr(0, colon))), trimmed(line.substr(colon + 1)));
  return line.size();
}

size_t HttpClient::Transfer::take_body(std::span<const std::byte> piece) {
  failure_ = take_piece(piece);
  return failure_ ? piece.size() : 0;
}

Status HttpClient::Transfer::take_piece(std::span<const std::byte> piece) {
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  answer_.status = int(status);
  const bool good = status / 100 == 2;
  if (!good && (request_->receive || is_redirect(int(status)))) {
    const size_t room = max_error_body - std::min(max_error_body, answer_.body.size());
    answer_.body.append(reinterpret_cast<const char*>(piece.data()), std::min(room, piece.size()));
    received_ += piece.size();
    // A bad answer without end is not waited for.
    if (received_ > request_->max_bytes)
      return fail(ErrorCode::exhausted, "{}: the answer has more than {} bytes", masked_url(answer_.url),
                  request_->max_bytes);
    return {};
  }
  if (!begun_) {
    begun_ = true;
    if (request_->begin)
      if (Status wanted = request_->begin(answer_); !wanted) return wanted;
    if (answer_.content_length() > request_->max_bytes)
      return fail(ErrorCode::exhausted, "{}: the answer has {} bytes, more than the {} allowed",
                  masked_url(answer_.url), answer_.content_length(), request_->max_bytes);
  }
  received_ += piece.size();
  if (received_ > request_->max_bytes)
    return fail(ErrorCode::exhausted, "{}: the answer has more than the {} bytes allowed",
                masked_url(answer_.url), request_->max_bytes);
  if (request_->receive) return request_->receive(piece);
  answer_.body.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return {};
}

// libcurl takes the name for SNI and for the check from the URL: that gets the certificate's name, and the
// connection goes where the URL says.
Status HttpClient::Transfer::set_server_name(const Url& url) {
  const std::string& name = options_.tls.server_name;
  if (name.empty() || url.scheme != "https" || name == url.host) return {};
  const auto bracketed = [](const std::string& host) {
    return host.find(':') == host.npos ? host : '[' + host + ']';
  };
  append(connect_to_, std::format("{}:{}:{}:{}", bracketed(name), url.port, bracketed(url.host), url.port));
  Url renamed = url;
  renamed.host = lower(name);
  set(CURLOPT_URL, to_string(renamed).c_str());
  set(CURLOPT_CONNECT_TO, connect_to_.get());
  const bool has_host = std::ranges::any_of(request_->headers,
                                            [](const auto& header) { return lower(header.first) == "host"; });
  if (!has_host)
    append(headers_, url.port == 443 ? std::format("Host: {}", bracketed(url.host))
                                     : std::format("Host: {}:{}", bracketed(url.host), url.port));
  return {};
}

Status HttpClient::Transfer::set_credentials(const HttpRequest& request, const Hop& hop) {
  if (!hop.with_credentials) return {};
  if (request.aws) {
    const AwsSignature& aws = *request.aws;
    set(CURLOPT_AWS_SIGV4, std::format("aws:amz:{}:{}", aws.region, aws.service).c_str());
    set(CURLOPT_USERNAME, aws.key_id.c_str());
    set(CURLOPT_PASSWORD, aws.secret.c_str());
    if (!aws.session_token.empty()) append(headers_, "x-amz-security-token: " + aws.session_token);
    return {};
  }
  if (!request.user.empty()) {
    set(CURLOPT_HTTPAUTH, long(CURLAUTH_BASIC));
    set(CURLOPT_USERNAME, request.user.c_str());
    set(CURLOPT_PASSWORD, request.password.c_str());
  } else if (!request.bearer.empty()) {
    if (auto good = check_header({"Authorization", request.bearer}); !good) return good;
    append(headers_, "Authorization: Bearer " + request.bearer);
  }
  return {};
}

Status HttpClient::Transfer::set_up(const HttpRequest& request, const Hop& hop, milliseconds left) {
  auto url = parse_url(hop.url);
  if (!url) return forward_error(url);
  if (url->scheme != "http" && url->scheme != "https")
    return fail(ErrorCode::invalid_argument, "{}: not an http:// or https:// URL", masked_url(hop.url));
  host_ = url->host;
  answer_ = HttpAnswer{};
  answer_.url = hop.url;
  received_ = 0, header_bytes_ = 0;
  begun_ = refused_ = false;
  failure_ = {};
  exception_ = nullptr;
  set_error_.reset();
  headers_.reset();
  connect_to_.reset();
  reason_[0] = 0;

  curl_easy_reset(easy_);
  set(CURLOPT_URL, hop.url.c_str());
  // Those of a URL stay when it becomes another: that of the certificate's name, or of a redirect.
  if (request.user.empty() && !request.aws) {
    const auto first = parse_url(request.url);
    const Url& from = url->user.empty() && hop.with_credentials && first ? *first : *url;
    if (!from.user.empty()) {
      set(CURLOPT_USERNAME, from.user.c_str());
      set(CURLOPT_PASSWORD, from.password.c_str());
    }
  }
  set(CURLOPT_ERRORBUFFER, reason_.data());
  set(CURLOPT_NOSIGNAL, 1L);
  // Names are asked for on threads of libcurl's, which it would otherwise wait for beyond all limits: until a
  // name server that is silent has been given up on.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_USERAGENT, options_.user_agent.c_str());
  if (!options_.proxy_from_environment || !options_.proxy.empty()) {
    set(CURLOPT_PROXY, options_.proxy.c_str());
    set(CURLOPT_NOPROXY, "");
  }
  set(CURLOPT_CONNECTTIMEOUT_MS, long(options_.connect_timeout.count()));
  if (left.count() > 0) set(CURLOPT_TIMEOUT_MS, long(left.count()));
  if (const long seconds = long((options_.stall_timeout.count() + 999) / 1000); seconds > 0) {
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, seconds);
  }
  const Tls& tls = options_.tls;
  if (!tls.ca.empty()) set(CURLOPT_CAINFO, tls.ca.c_str());
  if (!tls.cert.empty()) set(CURLOPT_SSLCERT, tls.cert.c_str());
  if (!tls.key.empty()) set(CURLOPT_SSLKEY, tls.key.c_str());
  set(CURLOPT_SSL_VERIFYPEER, long(tls.verify));
  set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);

  if (hop.method == "HEAD")
    set(CURLOPT_NOBODY, 1L);
  else if (hop.with_body && (!request.body.empty() || hop.method == "POST" || hop.method == "PUT")) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.empty() ? "" : reinterpret_cast<const char*>(request.body.data()));
  }
  if (hop.method != "GET" || (hop.with_body && !request.body.empty()))
    if (hop.method != "HEAD") set(CURLOPT_CUSTOMREQUEST, hop.method.c_str());
  if (request.compressed) set(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
  for (const auto& header : request.headers) {
    if (auto good = check_header(header); !good) return good;
    const std::string name = lower(header.first);
    if (!hop.with_credentials && (name == "authorization" || name == "cookie")) continue;
    // libcurl's spelling of a header without a value.
    append(headers_, header.second.empty() ? header.first + ";" : header.first + ": " + header.second);
  }
  // Neither a pause before bodies nor a made-up type.
  append(headers_, "Expect:");
  if (std::ranges::none_of(request.headers, [](const auto& h) { return lower(h.first) == "content-type"; }))
    append(headers_, "Content-Type:");
  if (auto good = set_credentials(request, hop); !good) return good;
  if (auto good = set_server_name(*url); !good) return good;
  set(CURLOPT_HTTPHEADER, headers_.get());

  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  if (options_.allow_address) {
    set(CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_socket);
    set(CURLOPT_OPENSOCKETDATA, this);
    set(CURLOPT_PREREQFUNCTION, &Transfer::on_connection);
    set(CURLOPT_PREREQDATA, this);
  }
  if (set_error_)
    return fail(ErrorCode::invalid_argument, "{}: {}", masked_url(hop.url), curl_easy_strerror(*set_error_));
  return {};
}

Result<CURLcode> HttpClient::Transfer::run() {
  if (CURLMcode error = curl_multi_add_handle(multi_, easy_); error != CURLM_OK)
    return fail(ErrorCode::internal, "libcurl: {}", curl_multi_strerror(error));
  struct Remove {
    CURLM* multi;
    CURL* easy;
    ~Remove() { curl_multi_remove_handle(multi, easy); }
  } remove{multi_, easy_};
  for (;;) {
    if (cancelled_) return fail(ErrorCode::cancelled, "{}: given up on request", masked_url(answer_.url));
    int running = 0;
    if (CURLMcode error = curl_multi_perform(multi_, &running); error != CURLM_OK)
      return fail(ErrorCode::internal, "libcurl: {}", curl_multi_strerror(error));
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left))
      if (message->msg == CURLMSG_DONE) return message->data.result;
    curl_multi_poll(multi_, nullptr, 0, 1000, nullptr);
  }
}

Error HttpClient::Transfer::error_of(CURLcode code, const Hop& hop) const {
  const std::string url = masked_url(hop.url);
  if (refused_)
    return Error{ErrorCode::invalid_argument, std::format("{}: its address is not allowed", url), {}, {}};
  const std::string reason = reason_[0] ? masked_url(reason_.data()) : std::string(curl_easy_strerror(code));
  return Error{code_of(code), std::format("{}: {}", url, reason), {}, {}};
}

Result<HttpAnswer> HttpClient::Transfer::perform(const HttpRequest& request, const Hop& hop,
                                                 milliseconds left) {
  request_ = &request;
  if (auto ready = set_up(request, hop, left); !ready) return forward_error(ready);
  const auto code = run();
  if (exception_) std::rethrow_exception(exception_);
  if (!code) return std::unexpected(code.error());
  if (!failure_) return std::unexpected(failure_.error());
  if (*code != CURLE_OK) return std::unexpected(error_of(*code, hop));
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  answer_.status = int(status);
  // A good answer without a body begins as well.
  if (status / 100 == 2 && !begun_ && request.begin)
    if (auto begun = request.begin(answer_); !begun) return forward_error(begun);
  return std::move(answer_);
}

Result<HttpAnswer> HttpClient::Transfer::request(const HttpRequest& request) {
  if (!multi_ || !easy_) return fail(ErrorCode::exhausted, "libcurl has no memory");
  const milliseconds total = request.total_timeout.value_or(options_.total_timeout);
  const auto deadline = Clock::now() + total;
  const auto first = parse_url(request.url);
  Hop hop{.url = request.url, .method = request.method};
  for (unsigned redirects = 0;; ++redirects) {
    milliseconds left{0};
    if (total.count() > 0) {
      left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
      if (left.count() <= 0)
        return fail(ErrorCode::io, "{}: no answer in {} ms", masked_url(request.url), total.count());
    }
    auto answer = perform(request, hop, left);
    if (!answer || !is_redirect(answer->status) || request.max_redirects == 0) return answer;
    const std::string* target = answer->header("location");
    if (!target) return answer;
    if (redirects >= request.max_redirects)
      return fail(ErrorCode::exhausted, "{}: more than {} redirects", masked_url(request.url),
                  request.max_redirects);
    auto next = resolve_url(hop.url, *target);
    if (!next) return forward_error(next);
    if (request.check_redirect)
      if (auto allowed = request.check_redirect(*next); !allowed) return forward_error(allowed);
    const auto next_url = parse_url(*next);
    if (!next_url) return std::unexpected(next_url.error());
    const bool same_origin = first && first->same_origin(*next_url);
    hop.with_credentials = hop.with_credentials && same_origin;
    const bool becomes_get =
        answer->status == 303 || ((answer->status == 301 || answer->status == 302) && hop.method == "POST");
    if (becomes_get && hop.method != "HEAD") hop.method = "GET", hop.with_body = false;
    if (hop.with_body && !request.body.empty() && !same_origin)
      return fail(ErrorCode::invalid_argument, "{}: redirected to {}, which does not get what was sent",
                  masked_url(request.url), masked_url(*next));
    hop.url = std::move(*next);
  }
}

HttpClient::HttpClient(HttpOptions options) : transfer_(std::make_unique<Transfer>(std::move(options))) {}
HttpClient::~HttpClient() = default;

Result<HttpAnswer> HttpClient::request(const HttpRequest& request) { return transfer_->request(request); }
void HttpClient::cancel() { transfer_->cancel(); }
void HttpClient::resume() { transfer_->resume(); }

}  // namespace sightglass::net
