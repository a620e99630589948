// What runs per frame allocates nothing once warm.
#include <gtest/gtest.h>

#include "sightglass/core/allocation_count.h"
#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/copy_ledger.h"
#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_memory_pool.h"
#include "sightglass/memory/system/wrapped_memory.h"

namespace sightglass {
namespace {

TEST(WarmPath, AllocatesNothing) {
  auto pool = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = 4096, .max_blocks = 2});
  auto wrappers = make_ref<WrapPool>();
  auto fence = make_ref<CompletionFence>();
  CopyLedger ledger;
  CopyLedger::Hop& hop = ledger.hop("test");
  const TensorInfo info{.type = DataType::f32, .shape = {1, 3, 16, 16}};
  std::byte foreign[64];
  int released = 0;

  const auto frame = [&] {
    if (fence->unique()) fence->reset();
    auto block = pool->acquire_block();
    if (!block) return false;
    (*block)->set_fence(fence);
    fence->set_ready();
    const Tensor tensor = tensor_in(*block, info);
    auto mapping = map(tensor, Access::write);
    auto wrapped = wrappers->wrap(foreign, sizeof foreign, [&released] noexcept { ++released; });
    hop.copied(tensor.bytes());
    return mapping.has_value();
  };

  ASSERT_TRUE(frame());
  const size_t before = allocation_count();
  EXPECT_GT(before, 0u);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(frame());
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(released, 11);
}

}  // namespace
}  // namespace sightglass
