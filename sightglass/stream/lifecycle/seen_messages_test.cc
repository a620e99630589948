#include "sightglass/stream/lifecycle/seen_messages.h"

#include <gtest/gtest.h>

#include "sightglass/stream/lifecycle/machine_test_support.h"

namespace sightglass::stream {
namespace {

using Seen = SeenMessages::Seen;

TEST(L09SeenMessages, KnowsTheWindowBehindTheNewest) {
  SeenMessages seen;
  EXPECT_EQ(seen.check(5, nullptr), Seen::fresh);
  seen.note(5, nullptr);
  EXPECT_EQ(seen.check(5, nullptr), Seen::duplicate);
  EXPECT_EQ(seen.check(4, nullptr), Seen::late);
  seen.note(1000, nullptr);
  EXPECT_EQ(seen.check(5, nullptr), Seen::duplicate);
  EXPECT_EQ(seen.check(6, nullptr), Seen::late);
  seen.note(6, nullptr);
  EXPECT_EQ(seen.check(6, nullptr), Seen::duplicate);
  seen.note(1030, nullptr);
  EXPECT_EQ(seen.check(6, nullptr), Seen::duplicate) << "older than the window";
  EXPECT_EQ(seen.check(1029, nullptr), Seen::late);
  EXPECT_EQ(seen.check(1031, nullptr), Seen::fresh);
}

TEST(L09SeenMessages, ForgetsTheWindowOnAGreatStep) {
  SeenMessages seen;
  for (int64_t i = 0; i < 2000; ++i) seen.note(i, nullptr);
  seen.note(1'000'000, nullptr);
  EXPECT_EQ(seen.check(999'999, nullptr), Seen::late);
  seen.restart();
  EXPECT_EQ(seen.check(0, nullptr), Seen::fresh);
}

TEST(L09SeenMessages, KeepsTheLast4096UuidsAcrossWriters) {
  SeenMessages seen;
  for (uint64_t i = 0; i < 10'000; ++i) {
    const Uuid uuid = uuid_of(i);
    ASSERT_EQ(seen.check(int64_t(i), &uuid), Seen::fresh);
    seen.note(int64_t(i), &uuid);
  }
  seen.restart();
  for (uint64_t i = 0; i < 10'000; ++i) {
    const Uuid uuid = uuid_of(i);
    ASSERT_EQ(seen.knows(uuid), i >= 10'000 - SeenMessages::most_uuids) << i;
  }
  seen.shrink();
  EXPECT_FALSE(seen.knows(uuid_of(9'999)));
}

TEST(L09SeenMessages, SurvivesUuidsThatCollide) {
  SeenMessages seen;
  for (int64_t i = 0; i < 6'000; ++i) {
    Uuid uuid{};  // one bit apart
    uuid[size_t(i) % 16] = uint8_t(1u << (i / 16 % 8));
    uuid[15] = uint8_t(i);
    uuid[14] = uint8_t(i >> 8);
    seen.note(i, &uuid);
    ASSERT_TRUE(seen.knows(uuid));
  }
}

}  // namespace
}  // namespace sightglass::stream
