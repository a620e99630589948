#include "sightglass/memory/form.h"

#include <gmock/gmock.h>

namespace sightglass {
namespace {

using testing::HasSubstr;

TEST(Form, IsReadAsItIsWritten) {
  for (size_t kind = 0; kind < memory_kinds; ++kind) {
    EXPECT_EQ(parse_form(to_string(Form{MemoryKind(kind), {}})), (Form{MemoryKind(kind), {}}));
    for (PixelFormat pixels : all_pixel_formats())
      EXPECT_EQ(parse_form(to_string(Form{MemoryKind(kind), pixels})), (Form{MemoryKind(kind), pixels}));
  }
}

TEST(Form, KnowsShortNamesAndTensors) {
  EXPECT_EQ(parse_form("cuda:P010"), (Form{MemoryKind::cuda, PixelFormat::p010}));
  EXPECT_EQ(parse_form("system:GRAY16"), (Form{MemoryKind::system, PixelFormat::gray16}));
  EXPECT_EQ(parse_form("dlpack"), (Form{MemoryKind::dlpack, {}}));
}

TEST(Form, RefusesUnknownNamesAndShowsThoseThatThereAre) {
  const auto memory = parse_form("gpu:NV12");
  ASSERT_FALSE(memory);
  EXPECT_THAT(memory.error().message, HasSubstr("cuda"));
  const auto pixels = parse_form("cuda:YUV");
  ASSERT_FALSE(pixels);
  EXPECT_THAT(pixels.error().message, HasSubstr("NV12"));
  EXPECT_FALSE(parse_form(""));
  EXPECT_FALSE(parse_form("system:"));
}

}  // namespace
}  // namespace sightglass
