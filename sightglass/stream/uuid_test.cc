#include "sightglass/stream/uuid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>
#include <vector>

namespace sightglass::stream {
namespace {

TEST(Uuid, IsVersionSevenOfNow) {
  const Uuid uuid = make_uuid_v7();
  EXPECT_EQ(uuid[6] >> 4, 7);
  EXPECT_EQ(uuid[8] >> 6, 2);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_NEAR(double(unix_ms(uuid)),
              double(std::chrono::duration_cast<std::chrono::milliseconds>(now).count()), 5000);
}

TEST(Uuid, GrowsWithinAProcessAndIsUniqueAcrossThreads) {
  std::vector<std::vector<Uuid>> made(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : made) {
      threads.emplace_back([&mine] {
        for (int i = 0; i < 20'000; ++i) mine.push_back(make_uuid_v7());
      });
    }
  }
  std::set<Uuid> all;
  for (const auto& mine : made) {
    EXPECT_TRUE(std::ranges::is_sorted(mine));
    all.insert(mine.begin(), mine.end());
  }
  EXPECT_EQ(all.size(), 80'000u);
}

TEST(Uuid, HasATextForm) {
  const Uuid uuid = make_uuid_v7();
  EXPECT_EQ(parse_uuid(to_string(uuid)), uuid);
  EXPECT_EQ(to_string(*parse_uuid("0199C1A0-5F3E-7ABC-8DEF-0123456789AB")),
            "0199c1a0-5f3e-7abc-8def-0123456789ab");
  for (const char* text : {"", "0199c1a0-5f3e-7abc-8def-0123456789a", "0199c1a0-5f3e-7abc-8def-0123456789ag",
                           "0199c1a005f3e-7abc-8def-0123456789ab", "0199c1a0-5f3e-7abc-8def-0123456789abc"}) {
    EXPECT_EQ(parse_uuid(text), std::nullopt) << text;
  }
  EXPECT_TRUE(is_zero({}));
  EXPECT_FALSE(is_zero(uuid));
}

}  // namespace
}  // namespace sightglass::stream
