// F-19: a configuration watch that goes silently stale. A real etcd on loopback, or the one at
// SIGHTGLASS_TEST_ETCD.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <format>
#include <thread>

#include "sightglass/module/parameters.h"
#include "tests/servers/server_process.h"

namespace sightglass::module {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

class F19 : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(std::system("command -v etcd etcdctl >/dev/null"), 0) << "etcd is part of the environment";
    ASSERT_EQ(run("del --prefix /sightglass/gate/"), 0);
    ParameterSpec rate{.type = ParameterType::integer, .default_value = Value(1)};
    rate.per_source = true;
    rate.min = 0, rate.max = 1000;
    auto opened = ParameterStore::open({{"rate", rate}}, {.module_name = "gate",
                                                          .etcd_url = server.url(),
                                                          .etcd_prefix = "/sightglass",
                                                          .environment = {{"UNUSED", ""}}});
    ASSERT_TRUE(opened);
    store = std::move(*opened);
    ASSERT_TRUE(store->start_watching());
  }

  int run(const std::string& command) const {
    return std::system(
        std::format("ETCDCTL_API=3 etcdctl --command-timeout=5s --endpoints={} {} >/dev/null 2>&1",
                    server.url(), command)
            .c_str());
  }
  void put(const std::string& key, const std::string& value) const {
    ASSERT_EQ(run(std::format("put /sightglass/gate/{} -- {}", key, value)), 0);
  }
  int64_t value(const std::string& source = {}) const {
    const auto set = store->current();
    return *set->find("rate", source)->value.integer();
  }
  // How long it took; over a minute: it did not.
  std::chrono::duration<double> until(int64_t wanted, const std::string& source = {}) const {
    const auto begin = Clock::now();
    while (value(source) != wanted && Clock::now() - begin < 60s) std::this_thread::sleep_for(5ms);
    return Clock::now() - begin;
  }

  test::ServerUnderTest server{"ETCD", "http://", &test::ServerProcess::etcd};
  std::unique_ptr<ParameterStore> store;
};

TEST_F(F19, ChangesArriveAndKeysForOneSourceBeatTheModules) {
  put("rate", "2");
  EXPECT_LT(until(2), 5s);
  put("rate@cam-1", "3");
  EXPECT_LT(until(3, "cam-1"), 5s);
  EXPECT_EQ(value(), 2);
  EXPECT_EQ(run("del --prefix /sightglass/gate/"), 0);
  EXPECT_LT(until(1), 5s);
  EXPECT_LT(until(1, "cam-1"), 5s);
}

TEST_F(F19, WhatIsReadAtTheStartOnlyIsThereAtTheStartAndWaitsLater) {
  put("rate", "7");
  ParameterSpec rate{.type = ParameterType::integer, .default_value = Value(1)};
  auto opened =
      ParameterStore::open({{"rate", rate}}, {.module_name = "gate",
                                              .etcd_url = server.url(),
                                              .etcd_prefix = "/sightglass",
                                              .needs_restart = [](std::string_view) { return true; },
                                              .environment = {{"UNUSED", ""}}});
  ASSERT_TRUE(opened);
  store = std::move(*opened);
  EXPECT_EQ(value(), 7);
  ASSERT_TRUE(store->start_watching());
  put("rate", "8");
  const auto begin = Clock::now();
  while (store->pending().empty() && Clock::now() - begin < 60s) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(store->pending().size(), 1u);
  EXPECT_EQ(value(), 7);
}

TEST(Etcd, AServerThatIsAwayHoldsUpTheStartForTwoSecondsAtMost) {
  const auto begin = Clock::now();
  auto opened = ParameterStore::open({{"rate", {.type = ParameterType::integer, .default_value = Value(1)}}},
                                     {.module_name = "gate",
                                      .etcd_url = std::format("http://127.0.0.1:{}", test::free_port()),
                                      .etcd_prefix = "/sightglass",
                                      .environment = {{"UNUSED", ""}}});
  ASSERT_TRUE(opened);
  EXPECT_LT(Clock::now() - begin, 10s);
  EXPECT_EQ((*opened)->warnings().size(), 1u);
}

TEST_F(F19, ValueThatIsNoneLeavesTheLastGoodOne) {
  put("rate", "2");
  EXPECT_LT(until(2), 5s);
  put("rate", "many");
  put("rate@cam-1", "7");
  EXPECT_LT(until(7, "cam-1"), 5s);
  EXPECT_EQ(value(), 2);
  EXPECT_THAT(store->warnings(), testing::Contains(testing::HasSubstr("a whole number")));
}

TEST_F(F19, AfterARestartWithCompactionTheValuesEqualTheStore) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server);
  put("rate", "2");
  ASSERT_LT(until(2), 5s);
  server.process().kill();
  for (const auto deadline = Clock::now() + 60s; store->etcd_is_current() && Clock::now() < deadline;)
    std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(store->etcd_is_current());
  EXPECT_EQ(value(), 2);  // the last values hold
  server.process().restart();
  for (int i = 3; i < 20; ++i) put("rate", std::to_string(i));
  EXPECT_EQ(run("compact 15"), 0);
  EXPECT_LT(until(19), 5s);
  EXPECT_TRUE(store->etcd_is_current());
}

TEST_F(F19, AServerThatOnlyHangsIsNoticed) {
  SIGHTGLASS_ON_DOUBLE_ONLY(server);
  put("rate", "2");
  ASSERT_LT(until(2), 5s);
  server.process().pause();
  for (const auto deadline = Clock::now() + 60s; store->etcd_is_current() && Clock::now() < deadline;)
    std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(store->etcd_is_current());
  server.process().go_on();
  put("rate", "4");
  EXPECT_LT(until(4), 5s);
}

}  // namespace
}  // namespace sightglass::module
