// Brings requests to a collector, one after the other: one thread's connection and what its answers mean.
//
//   CollectorClient client("http://collector:4318/v1/traces");
//   switch (client.send(bytes).kind) …
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sightglass/net/http_client.h"

namespace sightglass::telemetry {

struct Sent {
  enum class Kind : uint8_t {
    taken,
    again,    // not now: 429, 502, 503, 504, or nobody answers
    refused,  // for good
  };
  Kind kind = Kind::taken;
  uint64_t rejected = 0;       // of those taken: a partial success
  int64_t retry_after_ms = 0;  // as the answer says; 0: it does not
  std::string error;           // without secrets; of a partial success as well
};

class CollectorClient {
 public:
  static Status check(std::string_view url);  // that it is an address of HTTP
  explicit CollectorClient(std::string url);
  Sent send(std::string_view body);
  // From any thread, for good: the request under way and later ones come to nothing.
  void cancel() { client_.cancel(); }

 private:
  const std::string url_;
  net::HttpClient client_;
};

}  // namespace sightglass::telemetry
