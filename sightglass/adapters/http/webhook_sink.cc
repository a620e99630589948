// Records to an HTTP endpoint: POST of a JSON list. A 2xx answer means that all of it is stored.
//
//   POST /hook
//   Content-Type: application/json
//   Idempotency-Key: 5c0e…            the same for the same records, so that the endpoint knows a repeat
//   X-Sightglass-Timestamp: 1763812345
//   X-Sightglass-Signature: v1=…      HMAC-SHA-256 of "TIMESTAMP.BODY" with the key of secret_file, in hex
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <format>
#include <mutex>

#include "sightglass/adapters/http/gzip.h"
#include "sightglass/adapters/http/hmac.h"
#include "sightglass/adapters/http/http_params.h"
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/core/masked_url.h"
#include "sightglass/net/http_client.h"
#include "sightglass/net/url.h"

namespace sightglass::adapters {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto most_patience = 1h;  // that an endpoint may ask for

// Seconds, or a date of HTTP.
std::chrono::seconds retry_after(const std::string& text) {
  if (!text.empty() && text.size() < 9 &&
      std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }))
    return std::chrono::seconds(std::stol(text));
  std::tm utc{};
  if (const char* end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &utc); end && !*end)
    return std::max(std::chrono::seconds(timegm(&utc) - std::time(nullptr)), 0s);
  return 0s;
}

class WebhookSink final : public Sink {
 public:
  WebhookSink(WebhookParams params, const SinkContext& context)
      : params_(std::move(params)),
        folder_(context.folder),
        most_bytes_(std::max<uint64_t>(context.batch_bytes, 1024)),
        client_(http_options()) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    WebhookParams params = set.as<WebhookParams>();
    if (params.url.empty())
      return fail(ErrorCode::invalid_argument, "{}: url is missing, as in https://host/hook", context.name);
    const auto parts = net::parse_url(params.url);
    if (!parts || (parts->scheme != "http" && parts->scheme != "https"))
      return fail(ErrorCode::invalid_argument, "{}: url: '{}' is no http:// or https:// address",
                  context.name, masked_url(params.url));
    if (parts->scheme != "https")
      if (Status used = refuse_unused_tls(params, context.name, "https"); !used) return forward_error(used);
    if (!params.token_file.empty() && !params.user.empty())
      return fail(ErrorCode::invalid_argument, "{}: user and token-file exclude each other", context.name);
    for (std::string* path : {&params.tls_ca, &params.tls_cert, &params.tls_key})
      *path = path_from(context.folder, *path);
    auto sink = std::make_unique<WebhookSink>(std::move(params), context);
    if (Status read = sink->read_secrets(); !read) {
      read.error().message = context.name + ": " + read.error().message;
      return forward_error(read);
    }
    return sink;
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    refusal_.clear();
    if (!wait_until(not_before_)) return fail(ErrorCode::cancelled, "cancelled");
    for (size_t begin = 0; begin < records.size();) {
      const size_t end = make_body(records, begin);
      Status sent = send(records, begin, end, outcome);
      if (!sent) {
        std::fill(outcome.begin() + ptrdiff_t(begin), outcome.end(), Stored::retry);
        if (begin == 0) return sent;
        refusal_ = sent.error().message;
        return {};
      }
      begin = end;
    }
    return {};
  }

  std::string refusal() const override { return refusal_; }

  void cancel() override {
    {
      const std::lock_guard lock(mutex_);
      is_cancelled_ = true;
    }
    wake_.notify_all();
    client_.cancel();
  }

 private:
  net::HttpOptions http_options() const {
    net::HttpOptions options;
    options.tls = net::tls_of(params_);
    options.total_timeout = std::chrono::milliseconds(int64_t(params_.timeout * 1000));
    return options;
  }

  Status read_secrets() {
    struct File {
      const std::string& name;
      const char* key;
      std::string& into;
    };
    for (const File& file : {File{params_.password_file, "password-file", password_},
                             File{params_.token_file, "token-file", token_},
                             File{params_.secret_file, "secret-file", secret_}}) {
      if (file.name.empty()) continue;
      auto read = read_secret(folder_, file.name, file.key);
      if (!read) return forward_error(read);
      file.into = std::move(*read);
    }
    return {};
  }

  // Where the endpoint has asked for patience. False: cancelled.
  bool wait_until(Clock::time_point time) {
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, time, [&] { return is_cancelled_; });
    return !is_cancelled_;
  }

  // Up to the size of a request; the first record that is not in it.
  size_t make_body(std::span<const RecordRef> records, size_t begin) {
    body_ = "[";
    size_t end = begin;
    for (; end < records.size(); ++end) {
      if (records[end]->kind != RecordKind::frame && !params_.notes) continue;
      const size_t before = body_.size();
      if (before > 1) body_ += ',';
      write_record_json(*records[end], body_);
      if (before > 1 && body_.size() > most_bytes_) {
        body_.resize(before);
        break;
      }
    }
    body_ += ']';
    return end;
  }

  Status send(std::span<const RecordRef> records, size_t begin, size_t end, std::span<Stored> outcome) {
    if (body_.size() <= 2) return {};
    net::HttpRequest request{.method = "POST", .url = params_.url};
    request.user = params_.user;
    request.password = password_;
    request.bearer = token_;
    request.max_bytes = 1 << 20;
    request.headers = {{"Content-Type", "application/json"},
                       {"Idempotency-Key", key_of(records, begin, end)}};
    if (!secret_.empty()) {
      const std::string time = std::to_string(std::time(nullptr));
      request.headers.emplace_back("X-Sightglass-Timestamp", time);
      request.headers.emplace_back("X-Sightglass-Signature",
                                   "v1=" + hmac_sha256_hex(secret_, time + "." + body_));
    }
    std::string_view sent = body_;
    if (params_.gzip) {
      if (Status done = gzip_.compress(body_, compressed_); !done) return done;
      request.headers.emplace_back("Content-Encoding", "gzip");
      sent = compressed_;
    }
    request.body = net::bytes_of(sent);
    const auto answer = client_.request(request);
    if (!answer) return std::unexpected(answer.error());
    if (answer->status / 100 == 2) return {};
    Error error = net::to_error(*answer);
    const int status = answer->status;
    if (status == 429 || status == 503)
      if (const std::string* after = answer->header("retry-after"))
        not_before_ = Clock::now() + std::min<std::chrono::seconds>(retry_after(*after), most_patience);
    if (status == 401 || status == 403) (void)read_secrets();  // held until somebody mends it
    const bool is_final = status / 100 == 4 && status != 401 && status != 403 && status != 404 &&
                          status != 407 && status != 408 && status != 409 && status != 423 && status != 425 &&
                          status != 429;
    if (!is_final) return std::unexpected(std::move(error));
    // Which one it does not like is found by sending them by themselves.
    if (end - begin == 1) {
      outcome[begin] = Stored::never;
      refusal_ = error.message;
      return {};
    }
    const size_t middle = begin + (end - begin) / 2;
    for (const auto& [from, to] : {std::pair(begin, middle), std::pair(middle, end)}) {
      make_body(records.first(to), from);
      if (Status done = send(records, from, to, outcome); !done) {
        std::fill(outcome.begin() + ptrdiff_t(from), outcome.begin() + ptrdiff_t(end), Stored::retry);
        refusal_ = done.error().message;
        if (from == begin) return done;
        return {};
      }
    }
    return {};
  }

  // Of the uuids, not of the text: that may differ between tries.
  static std::string key_of(std::span<const RecordRef> records, size_t begin, size_t end) {
    std::string uuids;
    for (size_t i = begin; i < end; ++i)
      uuids.append(reinterpret_cast<const char*>(records[i]->uuid.data()), records[i]->uuid.size());
    return sha256_hex(uuids).substr(0, 32);
  }

  const WebhookParams params_;
  const std::string folder_;
  const uint64_t most_bytes_;
  net::HttpClient client_;
  Gzip gzip_;
  std::string body_, compressed_, password_, token_, secret_, refusal_;
  Clock::time_point not_before_{};
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_cancelled_ = false;
};

const ModuleSink registration("webhook", &WebhookSink::create);

}  // namespace
}  // namespace sightglass::adapters
