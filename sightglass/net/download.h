// A file from a URL, in one piece or not at all: it grows beside its place, goes on where it was broken off
// (within a call and with the next one), is checked, and only then renamed.
//
//   auto done = net::download(client, {.url = url, .bearer = token}, "/var/cache/x/face.onnx",
//                             {.check = [](const fs::path& part) { return check_sum(part, wanted); }});
//
// Beside the place lie PLACE.part, and PLACE.part.tag, which says what version of the file the part is of.
// Two processes wait for each other.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>

#include "sightglass/core/result.h"
#include "sightglass/net/http_client.h"

namespace sightglass::net {

struct DownloadProgress {
  uint64_t bytes = 0, total = 0;  // total 0: unknown
  double rate = 0;                // bytes/s of late
};

struct DownloadOptions {
  unsigned attempts = 5;                  // in a row without a byte
  std::chrono::milliseconds pause{1000};  // between them, doubling
  uint64_t max_bytes = uint64_t(64) << 30;
  // Of the whole file, before it gets its name; an error removes it.
  std::function<Status(const std::filesystem::path& part)> check;
  std::function<void(const DownloadProgress&)> on_progress;  // at most four times a second, and at the end
};

// `request` is GET, its `begin`, `receive`, `max_bytes` and range are set here; redirects are as it says.
// When `place` exists nothing is done. Errors: as of HttpClient and to_error(); io for the disk.
Status download(HttpClient& client, HttpRequest request, const std::filesystem::path& place,
                const DownloadOptions& options = {});

}  // namespace sightglass::net
