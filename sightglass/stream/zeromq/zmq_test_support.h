// What the tests of sockets share: folders, addresses, waiting until something is so.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "sightglass/stream/zeromq/url.h"
#include "tests/temporary_folder.h"

namespace sightglass::stream {

using namespace std::chrono_literals;

struct TempFolder {
  const test::TemporaryFolder temporary{};
  const std::string path = temporary.path();
};

// An address of its own for every call. `what`: "pull+bind".
inline Url test_url(std::string_view what, std::string_view transport, const std::string& folder) {
  static std::atomic<int> number{0};
  const int n = number++;
  std::string place = "tcp://127.0.0.1:*";
  if (transport == "ipc") place = std::format("ipc://{}/{}.sock", folder, n);
  if (transport == "inproc") place = std::format("inproc://{}{}", folder, n);
  return *parse_url(std::format("{}:{}", what, place));
}

// Asks until it is so, at most a minute.
template <class Predicate>
bool soon(Predicate predicate) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace sightglass::stream
