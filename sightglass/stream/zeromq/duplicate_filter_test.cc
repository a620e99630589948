#include "sightglass/stream/zeromq/duplicate_filter.h"

#include <gtest/gtest.h>

namespace sightglass::stream {
namespace {

using Verdict = DuplicateFilter::Verdict;
constexpr Uuid a{1}, b{2};

Uuid uuid(uint32_t n) {
  Uuid out{};
  for (size_t i = 0; i < 4; ++i) out[12 + i] = static_cast<uint8_t>(n >> (8 * i));
  out[0] = 9;
  return out;
}

TEST(DuplicateFilter, CountsWhatIsMissing) {
  DuplicateFilter filter;
  EXPECT_EQ(filter.check(a, "cam", 0, 7).missing, 0);  // joined in the middle
  EXPECT_EQ(filter.check(a, "cam", 0, 8).missing, 0);
  EXPECT_EQ(filter.check(a, "cam", 0, 12).missing, 3);
  EXPECT_EQ(filter.check(a, "cam", 0, 10).missing, 0);
  EXPECT_EQ(filter.check(a, "cam", 0, 13).missing, 0);
}

TEST(DuplicateFilter, DropsWhatItHasSeen) {
  DuplicateFilter filter;
  for (int64_t seq = 0; seq < 5000; ++seq)
    ASSERT_EQ(filter.check(a, "cam", 0, seq).verdict, Verdict::fresh) << seq;
  for (int64_t seq = 0; seq < 5000; ++seq)
    ASSERT_EQ(filter.check(a, "cam", 0, seq).verdict, Verdict::duplicate) << seq;
  EXPECT_EQ(filter.check(b, "cam", 0, 3).verdict, Verdict::fresh);
  EXPECT_EQ(filter.check(a, "cam-1", 0, 3).verdict, Verdict::fresh);
}

TEST(DuplicateFilter, TakesGapsFilledLaterWithinTheWindow) {
  DuplicateFilter filter;
  filter.check(a, "cam", 0, 0);
  for (int64_t seq = 2; seq < 1000; ++seq) filter.check(a, "cam", 0, seq);
  EXPECT_EQ(filter.check(a, "cam", 0, 1).verdict, Verdict::fresh);
  EXPECT_EQ(filter.check(a, "cam", 0, 1).verdict, Verdict::duplicate);
  EXPECT_EQ(filter.check(a, "cam", 0, 1003).missing, 3);
  // Too old: counts as seen.
  EXPECT_EQ(filter.check(a, "cam", 0, 1'000'000).verdict, Verdict::fresh);
  EXPECT_EQ(filter.check(a, "cam", 0, 1001).verdict, Verdict::duplicate);
  EXPECT_EQ(filter.check(a, "cam", 0, 999'999).verdict, Verdict::fresh);
  EXPECT_EQ(filter.check(a, "cam", 0, 999'999).verdict, Verdict::duplicate);
}

TEST(DuplicateFilter, KnowsPicturesOfARestartedAdapterByTheirUuid) {
  DuplicateFilter filter;
  EXPECT_EQ(filter.check(a, "cam", 0, 5, uuid(5)).verdict, Verdict::fresh);
  const auto again = filter.check(b, "cam", 0, 0, uuid(5));
  EXPECT_EQ(again.verdict, Verdict::duplicate);
  EXPECT_TRUE(again.by_uuid);
  EXPECT_EQ(filter.check(b, "cam", 0, 1, uuid(6)).verdict, Verdict::fresh);
  EXPECT_EQ(filter.check(b, "other", 0, 0, uuid(5)).verdict, Verdict::fresh);
}

TEST(DuplicateFilter, RemembersTheLast4096Uuids) {
  UuidMemory memory;
  for (uint32_t n = 0; n < 10'000; ++n) ASSERT_TRUE(memory.add(uuid(n)));
  for (uint32_t n = 10'000 - 4096; n < 10'000; ++n) ASSERT_FALSE(memory.add(uuid(n))) << n;
  EXPECT_TRUE(memory.add(uuid(10'000 - 4097)));
  memory.remove(uuid(9'999));
  EXPECT_TRUE(memory.add(uuid(9'999)));
}

TEST(DuplicateFilter, NextEpochStartsAnewAndAnEarlierOneIsLate) {
  DuplicateFilter filter;
  filter.check(a, "cam", 3, 0);
  EXPECT_EQ(filter.check(a, "cam", 4, 0).verdict, Verdict::fresh);
  EXPECT_EQ(filter.check(a, "cam", 3, 0).verdict, Verdict::duplicate);
  EXPECT_EQ(filter.check(a, "cam", 3, 1).verdict, Verdict::fresh);  // sent again, not seen before
  EXPECT_EQ(filter.check(a, "cam", 2, 9).verdict, Verdict::late);
  for (int64_t epoch = 5; epoch < 20; ++epoch) filter.check(a, "cam", epoch, 0);
  EXPECT_EQ(filter.check(a, "cam", 4, 1).verdict, Verdict::late);
}

TEST(DuplicateFilter, WhatWasRefusedForNowMayComeAgain) {
  DuplicateFilter filter;
  for (int64_t seq = 0; seq < 10; ++seq) filter.check(a, "cam", 0, seq, uuid(static_cast<uint32_t>(seq)));
  filter.forget(a, "cam", 0, 4, uuid(4));
  EXPECT_EQ(filter.check(a, "cam", 0, 3, uuid(3)).verdict, Verdict::duplicate);
  EXPECT_EQ(filter.check(a, "cam", 0, 5, uuid(5)).verdict, Verdict::duplicate);
  EXPECT_EQ(filter.check(a, "cam", 0, 4, uuid(4)).verdict, Verdict::fresh);
  EXPECT_EQ(filter.check(a, "cam", 0, 4, uuid(4)).verdict, Verdict::duplicate);
  EXPECT_EQ(filter.check(a, "cam", 0, 10, uuid(10)).missing, 0);
  filter.forget(a, "cam", 0, 10, uuid(10));
  EXPECT_EQ(filter.check(a, "cam", 0, 10, uuid(10)).verdict, Verdict::fresh);
  filter.forget(b, "nobody", 0, 0);
}

TEST(DuplicateFilter, IsBounded) {
  DuplicateFilter filter(3);
  for (int n = 0; n < 100; ++n) filter.check(a, std::to_string(n), 0, 5);
  EXPECT_EQ(filter.check(a, "99", 0, 5).verdict, Verdict::duplicate);
  EXPECT_EQ(filter.check(a, "1", 0, 5).verdict, Verdict::fresh);  // forgotten
  for (uint8_t n = 0; n < 200; ++n) filter.check({n, 7}, "99", 0, 5);
  EXPECT_EQ(filter.check(a, "99", 0, 5).verdict, Verdict::fresh);
}

}  // namespace
}  // namespace sightglass::stream
