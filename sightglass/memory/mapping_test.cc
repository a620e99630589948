#include "sightglass/memory/mapping.h"

#include <gmock/gmock.h>

#include <numeric>

#include "sightglass/memory/completion_fence.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Memory of another kind that tells how it was used.
class WatchedMemory final : public Memory {
 public:
  struct Log {
    int mapped = 0, unmapped = 0, alive = 0;
    Access last_unmap = Access::read;
  };
  WatchedMemory(Log& log, size_t size) : Memory(MemoryKind::dmabuf, size), log_(log), bytes_(size) {
    ++log_.alive;
  }
  ~WatchedMemory() override { --log_.alive; }
  Result<std::byte*> map(Access) override {
    ++log_.mapped;
    return bytes_.data();
  }
  void unmap(Access access) override {
    ++log_.unmapped;
    log_.last_unmap = access;
  }

 private:
  Log& log_;
  std::vector<std::byte> bytes_;
};

TEST(Mapping, GivesTheElementsOfADenseTensor) {
  auto tensor = allocate_tensor({.type = DataType::f32, .shape = {2, 3}});
  ASSERT_TRUE(tensor);
  {
    auto mapping = map(*tensor, Access::write);
    ASSERT_TRUE(mapping);
    const std::span<float> values = mapping->as<float>();
    std::iota(values.begin(), values.end(), 0.f);
  }
  auto mapping = map(*tensor, Access::read);
  ASSERT_TRUE(mapping);
  EXPECT_THAT(mapping->as<const float>(), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(mapping->bytes(), 24u);
  EXPECT_EQ(mapping->shape(), (Shape{2, 3}));
  EXPECT_EQ(mapping->strides(), (Shape{12, 4}));
  EXPECT_EQ(mapping->type(), DataType::f32);
}

TEST(Mapping, StartsAtTheTensorsOffset) {
  auto memory = allocate_memory(64);
  ASSERT_TRUE(memory);
  auto mapping = map(tensor_in(*memory, {.type = DataType::u8, .shape = {8}}, 16), Access::write);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->data(), (*memory)->data() + 16);
}

TEST(Mapping, FindsTheRowsOfAPlaneWithGaps) {
  auto tensor = allocate_tensor({.type = DataType::u8, .shape = {3, 5}, .strides = {16, 1}});
  ASSERT_TRUE(tensor);
  auto mapping = map(*tensor, Access::read_write);
  ASSERT_TRUE(mapping);
  EXPECT_FALSE(mapping->dense());
  EXPECT_EQ(mapping->bytes(), 37u);
  EXPECT_EQ(mapping->row<uint8_t>(2), reinterpret_cast<uint8_t*>(mapping->data()) + 32);
}

TEST(Mapping, UnmapsOnceAsItWasMapped) {
  WatchedMemory::Log log;
  const Tensor tensor = tensor_in(make_ref<WatchedMemory>(log, 16), {.type = DataType::u8, .shape = {16}});
  {
    auto first = map(tensor, Access::read_write);
    ASSERT_TRUE(first);
    Mapping second = std::move(*first);
    Mapping third;
    third = std::move(second);
    EXPECT_TRUE(third);
    EXPECT_EQ(log.unmapped, 0);
    third.reset();
    EXPECT_FALSE(third);
    EXPECT_EQ(log.unmapped, 1);
  }
  EXPECT_EQ(log.mapped, 1);
  EXPECT_EQ(log.unmapped, 1);
  EXPECT_EQ(log.last_unmap, Access::read_write);
}

TEST(Mapping, EndsTheOldAccessWhenItIsAssignedAnother) {
  WatchedMemory::Log a, b;
  Mapping mapping =
      *map(tensor_in(make_ref<WatchedMemory>(a, 8), {.type = DataType::u8, .shape = {8}}), Access::read);
  mapping =
      *map(tensor_in(make_ref<WatchedMemory>(b, 8), {.type = DataType::u8, .shape = {8}}), Access::read);
  EXPECT_EQ(a.unmapped, 1);
  EXPECT_EQ(a.alive, 0);
  EXPECT_EQ(b.unmapped, 0);
}

TEST(Mapping, KeepsTheMemoryAliveWithoutTheTensor) {
  WatchedMemory::Log log;
  Tensor tensor = tensor_in(make_ref<WatchedMemory>(log, 16), {.type = DataType::u8, .shape = {16}});
  auto mapping = map(tensor, Access::read);
  ASSERT_TRUE(mapping);
  tensor = {};
  EXPECT_EQ(log.alive, 1);
  mapping->reset();
  EXPECT_EQ(log.alive, 0);
}

TEST(Mapping, RefusesTensorsBeyondTheirMemory) {
  auto memory = allocate_memory(64);
  ASSERT_TRUE(memory);
  const TensorInfo fitting{.type = DataType::f32, .shape = {4, 4}};
  EXPECT_TRUE(map(tensor_in(*memory, fitting), Access::read));

  std::vector<Tensor> bad;
  bad.push_back(tensor_in(*memory, fitting, 1));
  bad.push_back(tensor_in(*memory, fitting, SIZE_MAX));
  bad.push_back(tensor_in(*memory, {.type = DataType::f32, .shape = {4, 4}, .strides = {17, 4}}));
  bad.push_back(tensor_in(*memory, {.type = DataType::f32, .shape = {4, 4}, .strides = {-16, 4}}, 48));
  bad.push_back(tensor_in(*memory, {.type = DataType::f32, .shape = {4, 4}, .strides = {4}}));
  bad.push_back(tensor_in(*memory, {.type = DataType::f32, .shape = {-1, 4}}));
  bad.push_back(tensor_in(*memory, {.type = DataType::f64, .shape = {INT64_MAX, INT64_MAX, 4}}));
  for (const Tensor& tensor : bad) {
    auto mapping = map(tensor, Access::read);
    ASSERT_FALSE(mapping) << tensor.shape.to_string();
    EXPECT_EQ(mapping.error().code, ErrorCode::corrupt);
    EXPECT_THAT(mapping.error().message, HasSubstr("does not lie within its memory of 64 bytes"));
  }
}

TEST(Mapping, RefusesATensorWithoutMemory) {
  auto mapping = map(Tensor{}, Access::read);
  ASSERT_FALSE(mapping);
  EXPECT_EQ(mapping.error().code, ErrorCode::invalid_argument);
}

TEST(Mapping, PassesOnTheErrorOfTheWorkInFlight) {
  auto memory = allocate_memory(8);
  ASSERT_TRUE(memory);
  auto fence = make_ref<CompletionFence>();
  (*memory)->set_fence(fence);
  fence->set_error({ErrorCode::unavailable, "the device is gone", {}, {}});
  auto mapping = map(tensor_in(*memory, {.type = DataType::u8, .shape = {8}}), Access::read);
  ASSERT_FALSE(mapping);
  EXPECT_EQ(mapping.error().code, ErrorCode::unavailable);
  EXPECT_EQ(mapping.error().message, "the device is gone");
}

}  // namespace
}  // namespace sightglass
