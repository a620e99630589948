#include "sightglass/telemetry/sender.h"

#include <charconv>

#include "sightglass/core/masked_url.h"
#include "sightglass/net/url.h"
#include "sightglass/telemetry/otlp_message.h"

namespace sightglass::telemetry {
namespace {

using namespace std::chrono_literals;

// Seconds; the form with a date is not looked at.
int64_t retry_after_ms(const net::HttpAnswer& answer) {
  const std::string* text = answer.header("retry-after");
  int64_t seconds = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), seconds);
  return seconds > 0 && seconds <= 3600 ? seconds * 1000 : 0;
}

}  // namespace

Status CollectorClient::check(std::string_view url) {
  auto parsed = net::parse_url(url);
  if (!parsed) return forward_error(parsed);
  if ((parsed->scheme != "http" && parsed->scheme != "https") || parsed->host.empty())
    return fail(ErrorCode::invalid_argument,
                "'{}' is no address of a collector, such as http://host:4318/v1/traces", masked_url(url));
  return {};
}

CollectorClient::CollectorClient(std::string url)
    : url_(std::move(url)), client_({.connect_timeout = 5s, .total_timeout = 10s}) {}

Sent CollectorClient::send(std::string_view body) {
  const auto answer = client_.request({.method = "POST",
                                       .url = url_,
                                       .body = net::bytes_of(body),
                                       .headers = {{"Content-Type", "application/x-protobuf"}},
                                       .max_bytes = 1 << 20});
  if (!answer) {
    const bool is_wrong = answer.error().code == ErrorCode::invalid_argument;
    return {.kind = is_wrong ? Sent::Kind::refused : Sent::Kind::again, .error = answer.error().message};
  }
  if (answer->status / 100 == 2) {
    Sent sent;
    // What is no OTLP comes from something in between; it was taken all the same.
    if (const auto partial = read_answer(answer->body)) {
      sent.rejected = partial->rejected;
      sent.error = partial->message;
    }
    return sent;
  }
  const bool is_temporary =
      answer->status == 429 || answer->status == 502 || answer->status == 503 || answer->status == 504;
  return {.kind = is_temporary ? Sent::Kind::again : Sent::Kind::refused,
          .retry_after_ms = retry_after_ms(*answer),
          .error = net::to_error(*answer).message};
}

}  // namespace sightglass::telemetry
