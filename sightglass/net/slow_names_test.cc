// Limits of time hold while a name server is silent. The program has a getaddrinfo() of its own, which the
// libraries it loads call instead of the C library's.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <thread>

#include "sightglass/net/http_client.h"

namespace {

std::mutex mutex;
std::condition_variable changed;
int asking = 0;         // for names that nobody answers
bool gives_up = false;  // on them

}  // namespace

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** found) {
  if (!name || !std::string_view(name).ends_with(".silent")) {
    static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
    return real(name, service, hints, found);
  }
  std::unique_lock lock(mutex);
  ++asking;
  changed.notify_all();
  changed.wait(lock, [] { return gives_up; });
  --asking;
  changed.notify_all();
  return EAI_AGAIN;
}

namespace sightglass::net {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Far more than any limit here, and less than a resolver takes to give up.
constexpr auto long_time = 60s;

class SlowNames : public testing::Test {
 protected:
  SlowNames() {
    const std::lock_guard lock(mutex);
    gives_up = false;
  }
  // Had anybody waited for the answers, the test would hang here; the threads that ask end before it does.
  ~SlowNames() override {
    std::unique_lock lock(mutex);
    gives_up = true;
    changed.notify_all();
    EXPECT_TRUE(changed.wait_for(lock, long_time, [] { return asking == 0; }));
  }
  static void wait_until_asked(int count = 1) {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, long_time, [&] { return asking >= count; }));
  }
};

TEST_F(SlowNames, RequestEndsInItsTimeAndTheNextOneToo) {
  HttpClient client({.total_timeout = 200ms});
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.request({.url = "http://name.silent/"});
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::io) << answer.error().message;
  }
  wait_until_asked(3);
}

TEST_F(SlowNames, RequestIsGivenUpOnAtOnce) {
  HttpClient client({.total_timeout = 0ms});
  std::jthread canceller([&] {
    wait_until_asked();
    client.cancel();
  });
  const auto answer = client.request({.url = "http://name.silent/"});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::cancelled);
}

TEST_F(SlowNames, OtherNamesAreFoundMeanwhile) {
  HttpClient client({.total_timeout = 200ms});
  EXPECT_FALSE(client.request({.url = "http://name.silent/"}));
  const auto answer = client.request({.url = "http://localhost:1/", .total_timeout = 10s});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::unavailable);  // found, but nobody listens
}

}  // namespace
}  // namespace sightglass::net
