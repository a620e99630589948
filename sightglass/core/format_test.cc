#include "sightglass/core/format.h"

#include <gtest/gtest.h>

namespace sightglass {
namespace {

TEST(Format, IsWrittenForMessages) {
  EXPECT_EQ(to_string(Format{VideoInfo{.format = PixelFormat::i420, .width = 768, .height = 576}}),
            "I420 768x576");
  const TensorInfo input{.type = DataType::f32, .shape = {1, 3, 416, 416}};
  EXPECT_EQ(to_string(Format{TensorsInfo{{input}}}), "float32 1x3x416x416");
  EXPECT_EQ(to_string(Format{TensorsInfo{{input, {.type = DataType::u8, .shape = {-1, 4}}}}}),
            "float32 1x3x416x416, uint8 ?x4");
  EXPECT_EQ(to_string(Format{TensorsInfo{}}), "tensors");
  EXPECT_EQ(to_string(Format{}), "other");
  EXPECT_EQ(
      to_string(Format{VideoInfo{.format = PixelFormat::nv12, .width = 2, .height = 4}, MemoryKind::cuda}),
      "NV12 2x4 in cuda memory");
}

}  // namespace
}  // namespace sightglass
