// Addresses of sockets. What is accepted has to read the same when it is written again, and errors are one
// line.
#include <cstdlib>
#include <string_view>

#include "sightglass/stream/zeromq/url.h"

using namespace sightglass::stream;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto url = parse_url(text);
  if (!url) {
    if (url.error().message.contains('\n') || url.error().message.size() > 1024) std::abort();
    return 0;
  }
  const auto again = parse_url(url->to_string());
  if (!again || *again != *url) std::abort();
  (void)url->local();
  return 0;
}
