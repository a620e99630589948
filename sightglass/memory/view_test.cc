#include "sightglass/memory/view.h"

#include <gmock/gmock.h>

#include "sightglass/memory/mapping.h"
#include "sightglass/memory/system/system_frame.h"

namespace sightglass {
namespace {

// A picture whose bytes say where they are.
Frame numbered(PixelFormat format, int width, int height) {
  auto frame = allocate_frame({.format = format, .width = width, .height = height}).value();
  for (size_t plane = 0; plane < frame.tensors.size(); ++plane) {
    auto mapping = map(frame.tensors[plane], Access::write).value();
    for (int64_t y = 0; y < mapping.shape()[0]; ++y)
      for (int64_t x = 0; x < mapping.shape()[1]; ++x)
        mapping.row<uint8_t>(y)[x] = uint8_t(plane * 100 + size_t(y) * 13 + size_t(x));
  }
  return frame;
}

class ViewOfEveryFormat : public testing::TestWithParam<PixelFormat> {};

TEST_P(ViewOfEveryFormat, ShowsTheSameBytesAtTheSameAddress) {
  const Frame whole = numbered(GetParam(), 23, 17);
  const Crop crop{4, 6, 13, 9};
  const auto view = view_of(whole, crop);
  ASSERT_TRUE(view) << view.error().message;
  EXPECT_EQ(view->video->width, 13);
  EXPECT_EQ(view->video->height, 9);
  for (size_t plane = 0; plane < whole.tensors.size(); ++plane) {
    const PlaneLayout layout = plane_layout(GetParam(), plane);
    auto all = map(whole.tensors[plane], Access::read).value();
    auto part = map(view->tensors[plane], Access::read).value();
    ASSERT_EQ(part.shape()[0], plane_height(*view->video, plane));
    ASSERT_EQ(part.shape()[1], plane_width(*view->video, plane) * layout.pixel_bytes);
    EXPECT_EQ(part.row<uint8_t>(0),
              all.row<uint8_t>(crop.y >> layout.shift_y) + (crop.x >> layout.shift_x) * layout.pixel_bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(View, ViewOfEveryFormat, testing::ValuesIn(all_pixel_formats()),
                         [](const auto& of) { return std::string(to_string(of.param)); });

TEST(View, RefusesWhatDoesNotLieOnWholeChromaSamplesOrOutside) {
  const Frame whole = numbered(PixelFormat::i420, 16, 16);
  EXPECT_EQ(view_of(whole, {1, 0, 4, 4}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(view_of(whole, {0, 3, 4, 4}).error().code, ErrorCode::invalid_argument);
  for (const Crop& crop :
       {Crop{-2, 0, 4, 4}, Crop{0, 0, 17, 4}, Crop{14, 0, 4, 4}, Crop{0, 0, 0, 4}, Crop{2, 2, INT32_MAX, 4}})
    EXPECT_EQ(view_of(whole, crop).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(view_of(numbered(PixelFormat::y444, 16, 16), {1, 3, 4, 4}));
}

TEST(View, OfAViewAddsUp) {
  const Frame whole = numbered(PixelFormat::nv12, 32, 32);
  const Frame inner = view_of(view_of(whole, {4, 4, 20, 20}).value(), {2, 6, 8, 8}).value();
  const Frame direct = view_of(whole, {6, 10, 8, 8}).value();
  for (size_t plane = 0; plane < 2; ++plane)
    EXPECT_EQ(inner.tensors[plane].offset, direct.tensors[plane].offset);
}

}  // namespace
}  // namespace sightglass
