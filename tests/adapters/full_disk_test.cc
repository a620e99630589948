// The outbox of a sink on a file system that is really full: a tmpfs of one megabyte, in a mount namespace of
// a process of its own.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <format>
#include <fstream>
#include <set>
#include <string>

#include "sightglass/adapters/sink_flow_test_support.h"
#include "tests/adapters/resident.h"

namespace sightglass::adapters {
namespace {

using Json = nlohmann::json;
using test::eventually;

constexpr int cannot_mount = 77;
constexpr uint64_t records = 10'000;
constexpr size_t mood_bytes = 1024;  // ten times what fits

void write_line(const char* path, const std::string& text) { std::ofstream(path) << text; }

// A file system of a megabyte at the folder, seen by this process alone.
bool mount_small(const std::string& folder) {
  const uid_t user = geteuid();
  const gid_t group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  write_line("/proc/self/setgroups", "deny");
  write_line("/proc/self/uid_map", std::format("0 {} 1", user));
  write_line("/proc/self/gid_map", std::format("0 {} 1", group));
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
}

// Records come while nobody takes them, and disk and memory are full: the oldest go, and are counted. All the
// others are stored when the server comes.
void outbox_on_a_full_disk(const std::string& folder) {
  auto server = test::ServerProcess::script("webhook_double.py");
  const SinkDesc& desc = *find_sink("webhook");
  auto params = std::make_shared<ParamSet>(desc.params);
  ASSERT_TRUE(params->set_text("url", "http://" + server.address() + "/hook"));
  ASSERT_TRUE(params->set_text("timeout", "2"));
  module::SinkSettings settings{.name = "store", .module = "test", .desc = &desc};
  settings.queue.records = 100;
  settings.queue.policy = module::QueuePolicy::spill;
  settings.spill_folder = folder + "/outbox";
  settings.params = params;
  settings.batch_records = 100;
  settings.batch_bytes = desc.batch_bytes;
  settings.retry_initial = 20'000'000;
  settings.retry_max = 100'000'000;
  auto runner = module::SinkRunner::open(settings);
  ASSERT_TRUE(runner) << runner.error().message;
  server.kill();
  ASSERT_TRUE((*runner)->start());

  std::set<std::string> given;
  test::Resident memory;
  const std::string mood(mood_bytes, 'm');
  for (uint64_t i = 0; i < records; ++i) {
    if (i == records / 10) memory.begin();
    if (i % 100 == 0) memory.look();
    const RecordRef record = testing::frame_record({.seq = int64_t(i), .mood = mood});
    const auto parcel = std::make_shared<const module::Parcel>(record, nullptr, nullptr);
    ASSERT_EQ((*runner)->offer(parcel, 1, [] {}), module::SinkRunner::Offer::taken) << i;
    parcel->done(true);
    given.insert(stream::to_string(record->uuid));
  }
  std::error_code ignored;
  EXPECT_LT(std::filesystem::space(folder, ignored).available, 300u << 10) << "a segment at most is free";
  const module::SinkStatus full = (*runner)->status();
  EXPECT_GT(full.dropped, 0u);
  EXPECT_GT(full.spilled_bytes, 600'000u) << "what fits is kept";
  EXPECT_EQ(full.queued + full.dropped, records);
  EXPECT_LT(memory.growth(), 16u << 20);

  server.restart();
  ASSERT_TRUE(eventually([&] { return (*runner)->is_idle(); })) << (*runner)->status().last_error;
  const module::SinkStatus after = (*runner)->status();
  EXPECT_EQ(after.delivered + after.dropped, records);
  EXPECT_EQ(after.dead_letters, 0u);
  std::set<std::string> stored;
  for (const Json& record : server.control("records"))
    EXPECT_TRUE(stored.insert(record["uuid"]).second) << "twice: " << record["uuid"];
  EXPECT_EQ(stored.size(), after.delivered);
  EXPECT_TRUE(std::ranges::includes(given, stored)) << "invented";
  EXPECT_TRUE(stored.contains(*given.rbegin())) << "it is the oldest that go";
  EXPECT_GT(std::filesystem::space(folder, ignored).available, 900u << 10) << "the disk is free again";

  // And it goes on as if nothing had been.
  const RecordRef last = testing::frame_record({});
  const auto parcel = std::make_shared<const module::Parcel>(last, nullptr, nullptr);
  EXPECT_EQ((*runner)->offer(parcel, 1, [] {}), module::SinkRunner::Offer::taken);
  parcel->done(true);
  EXPECT_TRUE(eventually([&] { return (*runner)->status().delivered == after.delivered + 1; }));
}

TEST(FullDisk, OutboxDropsTheOldestCountsThemAndDeliversTheRest) {
  const test::TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    if (!mount_small(folder.path())) _exit(cannot_mount);
    try {
      outbox_on_a_full_disk(folder.path());
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    std::fflush(nullptr);
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == cannot_mount) GTEST_SKIP() << "this machine lets nobody mount";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace sightglass::adapters
