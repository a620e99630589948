// Objects of S3 and of stores that speak like it, as HTTP requests.
//
//   s3://bucket/folder/name.onnx
//
// Without an endpoint that is AWS (https://BUCKET.s3.REGION.amazonaws.com/KEY), with one ENDPOINT/BUCKET/KEY.
// Without a key the request is not signed, which is enough for what is public.
#pragma once

#include <string>
#include <string_view>

#include "sightglass/core/result.h"
#include "sightglass/net/http_client.h"

namespace sightglass::net {

struct S3Options {
  std::string endpoint, region = "us-east-1";
  std::string key_id, secret, session_token;
};

// GET; the caller changes what it likes.
Result<HttpRequest> s3_request(std::string_view url, const S3Options& options);

}  // namespace sightglass::net
