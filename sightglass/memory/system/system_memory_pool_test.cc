#include "sightglass/memory/system/system_memory_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "sightglass/memory/completion_fence.h"

namespace sightglass {
namespace {

using Pool = SystemMemoryPool;

TEST(SystemMemoryPool, GivesTheBlockThatCameBackLast) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = 100});
  auto a = pool->acquire_block(), b = pool->acquire_block();
  ASSERT_TRUE(a && b);
  EXPECT_EQ((*a)->size(), 100u);
  EXPECT_NE((*a)->data(), (*b)->data());
  std::byte* const first = (*a)->data();
  std::byte* const second = (*b)->data();
  *b = nullptr;
  *a = nullptr;
  EXPECT_EQ(pool->available(), 2u);
  auto c = pool->acquire_block(), d = pool->acquire_block();
  ASSERT_TRUE(c && d);
  EXPECT_EQ((*c)->data(), first);
  EXPECT_EQ((*d)->data(), second);
  EXPECT_EQ(pool->allocated(), 2u);
}

TEST(SystemMemoryPool, KeepsABlockUntilItsLastReferenceGoes) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = 8});
  MemoryRef one = *pool->acquire();
  MemoryRef two = one;
  one = nullptr;
  EXPECT_EQ(pool->available(), 0u);
  two = nullptr;
  EXPECT_EQ(pool->available(), 1u);
}

TEST(SystemMemoryPool, ReservesUpToItsLimit) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = 8, .max_blocks = 3});
  EXPECT_TRUE(pool->reserve(2));
  EXPECT_EQ(pool->allocated(), 2u);
  EXPECT_TRUE(pool->reserve(10));
  EXPECT_EQ(pool->allocated(), 3u);
  EXPECT_EQ(pool->available(), 3u);
}

TEST(SystemMemoryPool, BlocksOutliveThePoolsOtherReferences) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = 64});
  EXPECT_TRUE(pool->reserve(2));
  auto block = pool->acquire_block();
  ASSERT_TRUE(block);
  pool = nullptr;
  std::memset((*block)->data(), 0, 64);
}

TEST(SystemMemoryPool, TakesTheFenceOffABlockThatComesBack) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = 8});
  auto fence = make_ref<CompletionFence>();
  {
    auto block = pool->acquire_block();
    ASSERT_TRUE(block);
    (*block)->set_fence(fence);
    EXPECT_FALSE(fence->unique());
  }
  EXPECT_TRUE(fence->unique());
  auto block = pool->acquire_block();
  ASSERT_TRUE(block);
  EXPECT_FALSE((*block)->fence());
  EXPECT_TRUE((*block)->map(Access::write));
}

TEST(SystemMemoryPool, FailsWhenMemoryRunsOut) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = SIZE_MAX / 2});
  auto block = pool->acquire();
  ASSERT_FALSE(block);
  EXPECT_EQ(block.error().code, ErrorCode::exhausted);
  EXPECT_FALSE(pool->reserve(1));
  EXPECT_EQ(pool->allocated(), 0u);
}

TEST(SystemMemoryPool, WaitsAtItsLimitUntilABlockComesBack) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = 8, .max_blocks = 1});
  auto block = pool->acquire_block();
  ASSERT_TRUE(block);
  std::byte* const address = (*block)->data();
  std::atomic<bool> given_back = false;
  std::jthread waiter([&] {
    auto next = pool->acquire_block();
    EXPECT_TRUE(given_back);
    ASSERT_TRUE(next);
    EXPECT_EQ((*next)->data(), address);
  });
  while (pool->waiting() == 0) std::this_thread::yield();
  given_back = true;
  *block = nullptr;
  waiter.join();
  EXPECT_EQ(pool->allocated(), 1u);
}

TEST(SystemMemoryPool, CancelEndsEveryWait) {
  auto pool = make_ref<Pool>(Pool::Options{.block_size = 8, .max_blocks = 1});
  auto block = pool->acquire();
  ASSERT_TRUE(block);
  std::atomic<int> cancelled = 0;
  {
    std::vector<std::jthread> waiters;
    for (int i = 0; i < 3; ++i)
      waiters.emplace_back([&] {
        auto next = pool->acquire();
        if (!next && next.error().code == ErrorCode::cancelled) ++cancelled;
      });
    while (pool->waiting() < 3) std::this_thread::yield();
    pool->cancel();
  }
  EXPECT_EQ(cancelled, 3);
  EXPECT_FALSE(pool->acquire());
  *block = nullptr;  // comes back all the same
  EXPECT_FALSE(pool->acquire());
  pool->resume();
  EXPECT_TRUE(pool->acquire());
}

TEST(SystemMemoryPool, NeverGivesOneBlockToTwoThreads) {
  constexpr int threads = 4, rounds = 500;
  auto pool = make_ref<Pool>(Pool::Options{.block_size = sizeof(int), .max_blocks = 3});
  {
    std::vector<std::jthread> workers;
    for (int id = 0; id < threads; ++id)
      workers.emplace_back([pool, id] {
        for (int i = 0; i < rounds; ++i) {
          auto block = pool->acquire_block();
          ASSERT_TRUE(block);
          int& value = *reinterpret_cast<int*>((*block)->data());
          value = id;
          MemoryRef shared = *block;
          EXPECT_EQ(value, id);
        }
      });
  }
  EXPECT_LE(pool->allocated(), 3u);
  EXPECT_EQ(pool->available(), pool->allocated());
}

TEST(SystemMemoryPool, SurvivesTheLastBlockComingBackOnAnotherThread) {
  for (int round = 0; round < 200; ++round) {
    auto pool = make_ref<Pool>(Pool::Options{.block_size = 8});
    auto block = pool->acquire();
    ASSERT_TRUE(block);
    std::jthread other([held = std::move(*block)]() mutable { held = nullptr; });
    pool = nullptr;
  }
}

}  // namespace
}  // namespace sightglass
