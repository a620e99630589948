#include "sightglass/elements/opencv_meta_overlay/canvas.h"

#include "sightglass/elements/opencv_meta_overlay/test_picture.h"

namespace sightglass {
namespace {

const GlyphAtlas no_letters;
constexpr Color red{255, 0, 0}, orange{255, 112, 31}, ground{64, 64, 64};

class EveryFormat : public testing::TestWithParam<PixelFormat> {
 protected:
  bool colored() const { return GetParam() != PixelFormat::gray8; }
};
INSTANTIATE_TEST_SUITE_P(Canvas, EveryFormat, testing::ValuesIn(all_8_bit_formats()),
                         [](const auto& format) { return std::string(to_string(format.param)); });

TEST_P(EveryFormat, FillsWhatItIsTold) {
  TestPicture picture(GetParam(), 33, 21);
  Canvas canvas = picture.canvas();
  canvas.fill({4, 6, 10, 8}, ink_of(orange, *picture.frame.video));
  for (int y = 0; y < 21; ++y)
    for (int x = 0; x < 33; ++x) {
      const bool inside = x >= 4 && x < 14 && y >= 6 && y < 14;
      if (colored())
        expect_near(picture.at(x, y), inside ? orange : ground);
      else
        EXPECT_EQ(picture.at(x, y) == ground, !inside);
    }
  picture.expect_padding_intact();
}

TEST_P(EveryFormat, ClipsEverything) {
  for (const auto& [width, height] : {std::pair(1, 1), {3, 2}, {17, 9}}) {
    TestPicture picture(GetParam(), width, height);
    Canvas canvas = picture.canvas();
    const Ink ink = ink_of(red, *picture.frame.video);
    const std::vector<uint8_t> mask(40 * 40, 200);
    for (const int x : {-2000000000, -39, -1, 0, 1, 16, 5000})
      for (const int y : {-39, -1, 0, 8, 2000000000}) {
        canvas.fill({x, y, 40, 40}, ink);
        canvas.fill({x, y, 40, 40}, ink, 100);
        canvas.fill({x, y, -3, 4}, ink);
        if (std::abs(x) < 10000 && y < 10000) canvas.blend({x, y, 40, 40}, mask.data(), 40, ink);
        canvas.mosaic({x, y, 40, 40}, 8);
        DrawList list;
        list.begin(*picture.frame.video, no_letters, &canvas);
        list.fill({x, y, 40, 40}, ink);
        list.frame({x, y, 40, 40}, 3, ink);
        list.mosaic({x, y, 40, 40}, 7);
        list.line({float(x), float(y)}, {5, 5}, 3, ink);
        list.line({NAN, 0}, {5, 5}, 3, ink);
        EXPECT_TRUE(list.end());
      }
    picture.expect_padding_intact();
  }
}

TEST_P(EveryFormat, BlendsHalfWay) {
  TestPicture picture(GetParam(), 16, 16);
  Canvas canvas = picture.canvas();
  const std::vector<uint8_t> mask(16 * 16, 128);
  canvas.blend({0, 0, 16, 16}, mask.data(), 16, ink_of({192, 64, 64}, *picture.frame.video));
  if (colored()) expect_near(picture.at(7, 7), {128, 64, 64}, 4);
}

TEST_P(EveryFormat, DrawsFramesInsideTheirRectangle) {
  TestPicture picture(GetParam(), 32, 32);
  Canvas canvas = picture.canvas();
  DrawList list;
  list.begin(*picture.frame.video, no_letters, &canvas);
  list.frame({8, 8, 16, 16}, 2, list.ink(orange));
  EXPECT_TRUE(list.end());
  const Color drawn = colored() ? orange : picture.at(8, 8);
  expect_near(picture.at(8, 8), drawn);
  expect_near(picture.at(23, 23), drawn);
  expect_near(picture.at(9, 16), drawn);
  expect_near(picture.at(12, 12), ground);
  expect_near(picture.at(7, 16), ground);
  expect_near(picture.at(24, 16), ground);
}

TEST(Canvas, SharedChromaGetsTheShareThatIsCovered) {
  TestPicture picture(PixelFormat::i420, 16, 16);
  Canvas canvas = picture.canvas();
  const Ink ink = ink_of(red, *picture.frame.video);
  const int before = picture.sample(2, 2, 2);
  canvas.fill({5, 4, 1, 1}, ink);  // a quarter of one chroma sample
  EXPECT_NEAR(picture.sample(2, 2, 2), before + (ink[2] - before) / 4, 1);
  EXPECT_EQ(picture.sample(0, 5, 4), ink[0]);
  EXPECT_NE(picture.sample(0, 4, 4), ink[0]);
  const std::vector<uint8_t> mask(4, 255);
  canvas.blend({9, 9, 2, 2}, mask.data(), 2, ink);  // a quarter each of four
  EXPECT_NEAR(picture.sample(2, 4, 4), before + (ink[2] - before) / 4, 1);
  EXPECT_NEAR(picture.sample(2, 5, 5), before + (ink[2] - before) / 4, 1);
}

TEST(Canvas, TheLastChromaOfAnOddPictureIsWhole) {
  TestPicture picture(PixelFormat::i420, 5, 5);
  Canvas canvas = picture.canvas();
  const Ink ink = ink_of(red, *picture.frame.video);
  canvas.fill({4, 4, 1, 1}, ink);
  EXPECT_EQ(picture.sample(2, 2, 2), ink[2]);
}

TEST(Canvas, InksFollowMatrixAndRange) {
  TestPicture picture(PixelFormat::i420, 4, 4);
  EXPECT_EQ(ink_of(red, *picture.frame.video), (Ink{81, 90, 240, 255}));
  picture.frame.video->matrix = ColorMatrix::bt709;
  EXPECT_EQ(ink_of(red, *picture.frame.video), (Ink{63, 102, 240, 255}));
  picture.frame.video->full_range = true;
  EXPECT_EQ(ink_of({255, 255, 255}, *picture.frame.video), (Ink{255, 128, 128, 255}));
}

TEST(Canvas, LinesAreAsThickAsAsked) {
  TestPicture picture(PixelFormat::gray8, 40, 40);
  Canvas canvas = picture.canvas();
  const Ink ink = ink_of({255, 255, 255}, *picture.frame.video);
  canvas.line({5, 20, 35, 20}, 2, ink);
  for (int y = 18; y < 22; ++y) EXPECT_EQ(picture.sample(0, 20, y), ink[0]) << y;
  EXPECT_NE(picture.sample(0, 20, 17), ink[0]);
  EXPECT_NE(picture.sample(0, 20, 22), ink[0]);
  EXPECT_NE(picture.sample(0, 1, 20), ink[0]);
}

TEST(Canvas, AMosaicLeavesOneColorPerSquare) {
  TestPicture picture(PixelFormat::rgb, 32, 32);
  Canvas canvas = picture.canvas();
  canvas.fill({0, 0, 4, 8}, ink_of({200, 0, 0}, *picture.frame.video));
  canvas.mosaic({0, 0, 16, 16}, 8);
  expect_near(picture.at(0, 0), {132, 32, 32});
  expect_near(picture.at(7, 7), {132, 32, 32});
  expect_near(picture.at(8, 0), ground);
}

}  // namespace
}  // namespace sightglass
