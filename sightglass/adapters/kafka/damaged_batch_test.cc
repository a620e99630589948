#include "sightglass/adapters/kafka/damaged_batch.h"

#include <gtest/gtest.h>

#include <vector>

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;
using Action = DamagedBatch::Action;

// A log of batches; what is answered from an offset on.
struct Log {
  struct Batch {
    int64_t first = 0, end = 0;
    bool is_damaged = false;
  };
  std::vector<Batch> batches;
  int64_t end() const { return batches.back().end; }

  // Until the search has passed the batch at `next`; how often it asked.
  int search(DamagedBatch& found, int64_t next, DamagedBatch::Clock::time_point now) const {
    int asked = 0;
    for (int64_t from = next;; ++asked) {
      const Batch* at = batches.data();
      while (at->end <= from) ++at;
      EXPECT_GE(from, batches.front().first);
      EXPECT_LT(from, end());
      const Action action = at->is_damaged ? found.damaged(at->first, next, end(), now) : found.whole();
      if (action == Action::pass) return asked;
      EXPECT_EQ(action, Action::seek);
      if (action != Action::seek) return asked;
      from = found.probe();
    }
  }
};

// One that has been waited for as long as need be.
DamagedBatch given_up(const Log& log, int64_t base, int64_t next, DamagedBatch::Clock::time_point now) {
  DamagedBatch found;
  for (int i = 1; i < DamagedBatch::least_attempts; ++i)
    EXPECT_EQ(found.damaged(base, next, log.end(), now - DamagedBatch::patience), Action::wait);
  return found;
}

const DamagedBatch::Clock::time_point now{1h};

TEST(KafkaDamagedBatch, IsWaitedForUntilItHasComeOftenAndForLong) {
  DamagedBatch often, rarely;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(often.damaged(10, 10, 30, now + i * 1ms), Action::wait);
  EXPECT_EQ(often.damaged(10, 10, 30, now + 2s), Action::seek);
  EXPECT_EQ(rarely.damaged(10, 10, 30, now), Action::wait);
  EXPECT_EQ(rarely.damaged(10, 10, 30, now + 60s), Action::wait);
  EXPECT_EQ(rarely.damaged(10, 10, 30, now + 61s), Action::seek);
}

TEST(KafkaDamagedBatch, WhatCameWholeMeanwhileIsForgotten) {
  DamagedBatch found;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(found.damaged(10, 10, 30, now), Action::wait);
  found.forget();
  EXPECT_EQ(found.damaged(10, 10, 30, now + 60s), Action::wait);
}

TEST(KafkaDamagedBatch, EndIsFoundWhateverItsSize) {
  for (const int64_t size : {1, 2, 3, 7, 8, 9, 160, 1000, 100'000}) {
    const Log log{{{0, 100}, {100, 100 + size, true}, {100 + size, 200'000}}};
    DamagedBatch found = given_up(log, 100, 100, now);
    EXPECT_LT(log.search(found, 100, now), 40) << size;
    EXPECT_EQ(found.first(), 100);
    EXPECT_EQ(found.end(), 100 + size);
  }
}

TEST(KafkaDamagedBatch, OfOneThatWasReadInPartTheRestIsGivenUp) {
  const Log log{{{0, 50, true}, {50, 60}}};
  DamagedBatch found = given_up(log, 0, 49, now);
  log.search(found, 49, now);
  EXPECT_EQ(found.first(), 49);
  EXPECT_EQ(found.end(), 50);
}

TEST(KafkaDamagedBatch, LastOneOfTheLogEndsThere) {
  for (const int64_t size : {1, 2, 10, 777}) {
    const Log log{{{0, 5}, {5, 5 + size, true}}};
    DamagedBatch found = given_up(log, 5, 5, now);
    log.search(found, 5, now);
    EXPECT_EQ(found.end(), 5 + size);
  }
}

TEST(KafkaDamagedBatch, NextOneMayBeDamagedAsWell) {
  const Log log{{{0, 10, true}, {10, 13, true}, {13, 14, true}, {14, 300}}};
  for (const auto& [first, end] : std::vector<std::pair<int64_t, int64_t>>{{0, 10}, {10, 13}, {13, 14}}) {
    DamagedBatch found = given_up(log, first, first, now);
    log.search(found, first, now);
    EXPECT_EQ(found.end(), end);
  }
}

TEST(KafkaDamagedBatch, NothingIsAskedForBehindAnEndThatIsNotKnown) {
  for (const int64_t end : {-1, 10}) {
    DamagedBatch found;
    for (int i = 0; i < 10; ++i) EXPECT_EQ(found.damaged(10, 10, end, now + i * 10s), Action::wait);
  }
}

}  // namespace
}  // namespace sightglass::adapters
