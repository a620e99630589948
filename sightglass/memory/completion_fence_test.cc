#include "sightglass/memory/completion_fence.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sightglass {
namespace {

TEST(CompletionFence, IsPendingUntilItIsOpened) {
  CompletionFence fence;
  EXPECT_FALSE(fence.ready());
  fence.set_ready();
  EXPECT_TRUE(fence.ready());
  EXPECT_TRUE(fence.wait());
}

TEST(CompletionFence, GivesTheErrorToEveryWait) {
  CompletionFence fence;
  fence.set_error({ErrorCode::io, "broken", "infer", {}});
  EXPECT_TRUE(fence.ready());
  for (int i = 0; i < 2; ++i) {
    const Status status = fence.wait();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().to_string(), "infer: broken");
  }
}

TEST(CompletionFence, KeepsTheFirstOutcome) {
  CompletionFence fence;
  fence.set_ready();
  fence.set_error({ErrorCode::io, "too late", {}, {}});
  EXPECT_TRUE(fence.wait());
}

TEST(CompletionFence, ClosesAgain) {
  CompletionFence fence;
  fence.set_error({ErrorCode::io, "broken", {}, {}});
  fence.reset();
  EXPECT_FALSE(fence.ready());
  fence.set_ready();
  EXPECT_TRUE(fence.wait());
}

TEST(CompletionFence, ShowsAllWaitersWhatTheWorkerWrote) {
  for (int round = 0; round < 50; ++round) {
    auto fence = make_ref<CompletionFence>();
    int result = 0;  // plain, so that ThreadSanitizer sees whether the fence orders it
    std::vector<int> seen(4);
    std::vector<std::jthread> waiters;
    for (int& mine : seen)
      waiters.emplace_back([&mine, &result, fence] {
        if (fence->wait()) mine = result;
      });
    std::jthread worker([&result, fence] {
      result = 42;
      fence->set_ready();
    });
    waiters.clear();
    for (int mine : seen) EXPECT_EQ(mine, 42);
  }
}

TEST(CompletionFence, TakesOneOutcomeOfManyThreads) {
  for (int round = 0; round < 50; ++round) {
    auto fence = make_ref<CompletionFence>();
    {
      std::vector<std::jthread> workers;
      for (int i = 0; i < 4; ++i)
        workers.emplace_back([fence, i] {
          i % 2 ? fence->set_ready() : fence->set_error({ErrorCode::io, std::to_string(i), {}, {}});
        });
    }
    const Status first = fence->wait(), second = fence->wait();
    EXPECT_EQ(first.has_value(), second.has_value());
  }
}

}  // namespace
}  // namespace sightglass
