#include "sightglass/memory/system/wrapped_memory.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "sightglass/memory/completion_fence.h"

namespace sightglass {
namespace {

TEST(WrappedMemory, IsTheOwnersMemoryUntilItIsReleased) {
  std::array<std::byte, 16> bytes{};
  int released = 0;
  {
    MemoryRef memory = wrap_memory(bytes.data(), bytes.size(), [&released] noexcept { ++released; });
    EXPECT_EQ(memory->size(), 16u);
    EXPECT_EQ(memory->kind(), MemoryKind::system);
    MemoryRef second = memory;
    auto data = second->map(Access::write);
    ASSERT_TRUE(data);
    EXPECT_EQ(*data, bytes.data());
    second->unmap(Access::write);
    second = nullptr;
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
}

TEST(WrappedMemory, NeedsNoCallback) {
  std::byte one{};
  EXPECT_EQ(wrap_memory(&one, 1, {})->data(), &one);
}

TEST(WrapPool, UsesOneWrapperForMemoryAfterMemory) {
  auto pool = make_ref<WrapPool>();
  std::array<std::byte, 64> bytes{};
  int released = 0;
  Memory* before = nullptr;
  for (size_t size = 1; size <= 3; ++size) {
    auto memory = pool->wrap(bytes.data() + size, size, [&released] noexcept { ++released; });
    EXPECT_EQ(memory->data(), bytes.data() + size);
    EXPECT_EQ(memory->size(), size);
    EXPECT_FALSE(memory->fence());
    memory->set_fence(make_ref<CompletionFence>());
    EXPECT_TRUE(before == nullptr || before == memory.get());
    before = memory.get();
  }
  EXPECT_EQ(released, 3);
}

TEST(WrapPool, WrappersOutliveIt) {
  bool released = false;
  std::byte one{};
  auto pool = make_ref<WrapPool>();
  auto memory = pool->wrap(&one, 1, [&released] noexcept { released = true; });
  pool = nullptr;
  EXPECT_FALSE(released);
  memory = nullptr;
  EXPECT_TRUE(released);
}

TEST(WrapPool, TheCallbackMayWrapAgain) {
  std::byte one{};
  auto pool = make_ref<WrapPool>();
  auto memory = pool->wrap(&one, 1, [&] noexcept { pool->wrap(&one, 1, {}); });
  memory = nullptr;
}

TEST(WrapPool, ServesManyThreads) {
  auto pool = make_ref<WrapPool>();
  std::atomic<int> released = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        std::byte mine{};
        for (int n = 0; n < 500; ++n) {
          auto memory = pool->wrap(&mine, 1, [&released] noexcept { ++released; });
          EXPECT_EQ(memory->data(), &mine);
        }
      });
  }
  EXPECT_EQ(released, 2000);
}

}  // namespace
}  // namespace sightglass
