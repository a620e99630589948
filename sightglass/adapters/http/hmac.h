// SHA-256 and HMAC with it, in hex, as signatures of requests are written. From OpenSSL, which HTTPS needs
// anyhow.
#pragma once

#include <string>
#include <string_view>

namespace sightglass::adapters {

std::string sha256_hex(std::string_view text);
std::string hmac_sha256_hex(std::string_view key, std::string_view text);

}  // namespace sightglass::adapters
