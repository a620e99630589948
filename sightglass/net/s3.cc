#include "sightglass/net/s3.h"

#include "sightglass/core/masked_url.h"
#include "sightglass/net/url.h"

namespace sightglass::net {

Result<HttpRequest> s3_request(std::string_view url, const S3Options& options) {
  const auto object = parse_url(url);
  if (!object) return std::unexpected(object.error());
  if (object->scheme != "s3" || object->host.empty() || object->path.size() < 2)
    return fail(ErrorCode::invalid_argument, "{}: an object is written s3://BUCKET/KEY", masked_url(url));
  HttpRequest request;
  if (options.endpoint.empty()) {
    request.url = std::format("https://{}.s3.{}.amazonaws.com{}", object->host, options.region, object->path);
  } else {
    std::string_view endpoint = options.endpoint;
    while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
    request.url = std::format("{}/{}{}", endpoint, object->host, object->path);
  }
  if (!options.key_id.empty())
    request.aws = AwsSignature{.region = options.region,
                               .service = "s3",
                               .key_id = options.key_id,
                               .secret = options.secret,
                               .session_token = options.session_token};
  return request;
}

}  // namespace sightglass::net
