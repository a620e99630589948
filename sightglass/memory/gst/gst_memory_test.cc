#include "sightglass/memory/gst/gst_memory.h"

#include <gtest/gtest.h>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/gst/handles.h"
#include "sightglass/memory/system/system_memory_pool.h"

namespace sightglass::gst {
namespace {

class GstMemories : public testing::Test {
 protected:
  static void SetUpTestSuite() { gst_init(nullptr, nullptr); }
};

TEST_F(GstMemories, OfOursAreTheSameBytesInABuffer) {
  auto memory = allocate_memory(100);
  ASSERT_TRUE(memory);
  BufferPtr buffer(gst_buffer_new());
  gst_buffer_append_memory(buffer.get(), wrap_memory(*memory));
  GstMapInfo map;
  ASSERT_TRUE(gst_buffer_map(buffer.get(), &map, GST_MAP_WRITE));
  EXPECT_EQ(reinterpret_cast<std::byte*>(map.data), (*memory)->data());
  gst_buffer_unmap(buffer.get(), &map);
  EXPECT_EQ(unwrap_memory(gst_buffer_peek_memory(buffer.get(), 0)).get(), memory->get());
}

TEST_F(GstMemories, WithAFailedFenceCannotBeMapped) {
  auto memory = allocate_memory(100);
  auto fence = make_ref<CompletionFence>();
  (*memory)->set_fence(fence);
  fence->set_error({ErrorCode::internal, "the run failed", {}, {}});
  BufferPtr buffer(gst_buffer_new());
  gst_buffer_append_memory(buffer.get(), wrap_memory(*memory));
  GstMapInfo map;
  EXPECT_FALSE(gst_buffer_map(buffer.get(), &map, GST_MAP_READ));
}

TEST_F(GstMemories, OfForeignBuffersKeepTheBufferAlive) {
  auto memories = make_ref<BufferMemories>();
  auto* buffer = gst_buffer_new_allocate(nullptr, 64, nullptr);
  gst_buffer_memset(buffer, 0, 7, 64);
  auto memory = memories->wrap(buffer, gst_buffer_peek_memory(buffer, 0));
  EXPECT_EQ(GST_MINI_OBJECT_REFCOUNT_VALUE(buffer), 2);
  gst_buffer_unref(buffer);
  auto bytes = memory->map(Access::read);
  ASSERT_TRUE(bytes);
  EXPECT_EQ((*bytes)[63], std::byte{7});
  memory->unmap(Access::read);
  auto* first = memory.get();
  memory = nullptr;
  auto* next = gst_buffer_new_allocate(nullptr, 64, nullptr);
  memory = memories->wrap(next, gst_buffer_peek_memory(next, 0));
  EXPECT_EQ(memory.get(), first) << "used again";
  gst_buffer_unref(next);
}

TEST_F(GstMemories, OutliveTheirMaker) {
  auto memories = make_ref<BufferMemories>();
  auto* buffer = gst_buffer_new_allocate(nullptr, 64, nullptr);
  auto memory = memories->wrap(buffer, gst_buffer_peek_memory(buffer, 0));
  gst_buffer_unref(buffer);
  memories = nullptr;
  EXPECT_TRUE(memory->map(Access::read));
  memory->unmap(Access::read);
}

TEST_F(GstMemories, OfAPoolComeBackWhenNobodyUsesThem) {
  auto blocks = make_ref<SystemMemoryPool>(SystemMemoryPool::Options{.block_size = 256});
  BufferPoolPtr pool(make_buffer_pool(blocks));
  auto* config = gst_buffer_pool_get_config(pool.get());
  gst_buffer_pool_config_set_params(config, nullptr, 256, 0, 0);
  ASSERT_TRUE(gst_buffer_pool_set_config(pool.get(), config));
  ASSERT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));
  GstBuffer* buffer = nullptr;
  ASSERT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_OK);
  EXPECT_EQ(gst_buffer_get_size(buffer), 256u);
  auto in_use = unwrap_memory(gst_buffer_peek_memory(buffer, 0));  // an engine reads it still
  gst_buffer_unref(buffer);
  EXPECT_EQ(blocks->available(), 0u);
  in_use = nullptr;
  EXPECT_EQ(blocks->available(), 1u);
  gst_buffer_pool_set_active(pool.get(), FALSE);
  EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), GST_FLOW_FLUSHING);
}

// One that has nothing to give, for a reason.
class EmptyPool final : public MemoryPool {
 public:
  explicit EmptyPool(ErrorCode reason) : reason_(reason) {}
  size_t block_size() const override { return 256; }
  Result<MemoryRef> acquire() override { return fail(reason_, "nothing"); }

 private:
  const ErrorCode reason_;
};

TEST_F(GstMemories, ThatRunOutAreAnErrorAndNoFlush) {
  for (const auto& [reason, flow] :
       {std::pair(ErrorCode::exhausted, GST_FLOW_ERROR), std::pair(ErrorCode::unavailable, GST_FLOW_ERROR),
        std::pair(ErrorCode::cancelled, GST_FLOW_FLUSHING)}) {
    BufferPoolPtr pool(make_buffer_pool(make_ref<EmptyPool>(reason)));
    auto* config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_set_params(config, nullptr, 256, 0, 0);
    ASSERT_TRUE(gst_buffer_pool_set_config(pool.get(), config));
    ASSERT_TRUE(gst_buffer_pool_set_active(pool.get(), TRUE));
    GstBuffer* buffer = nullptr;
    EXPECT_EQ(gst_buffer_pool_acquire_buffer(pool.get(), &buffer, nullptr), flow);
    gst_buffer_pool_set_active(pool.get(), FALSE);
  }
}

}  // namespace
}  // namespace sightglass::gst
