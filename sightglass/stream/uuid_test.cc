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

TEST(Uuid, IsOfTheTimeThatItIsGivenUnlessThatIsBehind) {
  const int64_t now = unix_ms(make_uuid_v7());
  EXPECT_EQ(unix_ms(make_uuid_v7((now + 200) * 1000 + 999)), now + 200);
  EXPECT_GE(unix_ms(make_uuid_v7(now * 1000)), now + 200);
}

// Two processes that count alike still make different ones.
TEST(Uuid, HasRandomBitsThatAreDrawnAnewEachMillisecond) {
  const auto low = [](const Uuid& uuid) {
    uint64_t bits = 0;
    for (size_t i = 8; i < 16; ++i) bits = bits << 8 | uuid[i];
    return bits << 2 >> 2;
  };
  const int64_t begin = unix_ms(make_uuid_v7()) + 400;
  std::set<uint64_t> steps, bits;
  for (int64_t ms = begin; ms < begin + 100; ++ms) {
    const uint64_t one = low(make_uuid_v7(ms * 1000)), next = low(make_uuid_v7(ms * 1000));
    bits.insert({one, next});
    steps.insert((next - one) << 2 >> 2);
  }
  EXPECT_EQ(bits.size(), 200u);
  EXPECT_EQ(steps.size(), 100u);
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
