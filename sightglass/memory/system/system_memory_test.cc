#include "sightglass/memory/system/system_memory.h"

#include <gmock/gmock.h>

#include <cstring>
#include <thread>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/mapping.h"

namespace sightglass {
namespace {

using testing::HasSubstr;

TEST(SystemMemory, IsAlignedAndReadableUpToAWholeCacheLine) {
  for (size_t size : {0, 1, 63, 64, 65, 4097}) {
    auto memory = allocate_memory(size);
    ASSERT_TRUE(memory);
    EXPECT_EQ((*memory)->size(), size);
    EXPECT_EQ((*memory)->kind(), MemoryKind::system);
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*memory)->data()) % SystemMemory::alignment, 0u);
    std::memset((*memory)->data(), 1,
                std::max<size_t>((size + 63) / 64 * 64, 64));  // AddressSanitizer looks on
  }
}

TEST(SystemMemory, FailsWithAMessageWhenThereIsNotEnough) {
  for (size_t size : {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX - 63}) {
    auto memory = allocate_memory(size);
    ASSERT_FALSE(memory);
    EXPECT_EQ(memory.error().code, ErrorCode::exhausted);
    EXPECT_THAT(memory.error().message, HasSubstr(std::to_string(size)));
  }
}

TEST(SystemMemory, MapWaitsForTheFence) {
  auto memory = allocate_memory(sizeof(int));
  ASSERT_TRUE(memory);
  auto fence = make_ref<CompletionFence>();
  (*memory)->set_fence(fence);
  std::jthread worker([block = *memory, fence] {
    *reinterpret_cast<int*>(block->data()) = 42;
    fence->set_ready();
  });
  auto mapping = map(tensor_in(*memory, {.type = DataType::i32, .shape = {1}}), Access::read);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->as<const int>()[0], 42);
}

TEST(SystemMemory, AllocatesWhatTheInfoDescribes) {
  auto tensor = allocate_tensor({.type = DataType::f32, .shape = {1, 3, 4, 4}, .layout = Layout::nchw});
  ASSERT_TRUE(tensor);
  EXPECT_EQ(tensor->memory->size(), 192u);
  EXPECT_EQ(tensor->layout, Layout::nchw);
  EXPECT_EQ(tensor->strides, (Shape{192, 64, 16, 4}));

  auto padded = allocate_tensor({.type = DataType::u8, .shape = {2, 3}, .strides = {8, 1}});
  ASSERT_TRUE(padded);
  EXPECT_EQ(padded->memory->size(), 11u);
}

TEST(SystemMemory, RefusesATensorOfOpenOrEndlessShape) {
  auto open = allocate_tensor({.type = DataType::f32, .shape = {-1, 3}});
  ASSERT_FALSE(open);
  EXPECT_THAT(open.error().message, HasSubstr("?x3"));
  EXPECT_FALSE(allocate_tensor({.type = DataType::f32, .shape = {INT64_MAX, INT64_MAX}}));
}

}  // namespace
}  // namespace sightglass
