#include "sightglass/elements/opencv_meta_overlay/font.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <span>

namespace sightglass {
namespace {

class FontTest : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("SIGHTGLASS_FONT");
    if (!font_.open()) GTEST_SKIP() << "no font is installed";
    font_.set_size(20, 1);
  }
  Font font_;
  TextLine line_;
};

TEST_F(FontTest, LaysOutSideBySide) {
  font_.lay_out("Hello", 1000, line_);
  ASSERT_EQ(line_.items.size(), 5u);
  for (size_t i = 1; i < 5; ++i) EXPECT_GT(line_.items[i].x, line_.items[i - 1].x);
  EXPECT_GE(line_.width, line_.items[4].x);
  EXPECT_GT(font_.ascent(), 12);
  EXPECT_GT(font_.descent(), 2);
  const Glyph& h = *line_.items[0].glyph;
  const std::span masks(font_.atlas().masks);
  ASSERT_LE(h.first + size_t(h.width) * size_t(h.height), masks.size());
  EXPECT_EQ(std::ranges::max(masks.subspan(h.first, size_t(h.width) * size_t(h.height))), 255);
}

TEST_F(FontTest, ReadsUtf8) {
  font_.lay_out("Ö", 1000, line_);
  ASSERT_EQ(line_.items.size(), 1u);
  const Glyph umlaut = *line_.items[0].glyph;
  font_.lay_out("O", 1000, line_);
  EXPECT_GT(umlaut.height, line_.items[0].glyph->height);
  font_.lay_out("\xff\xfe", 1000, line_);
  EXPECT_EQ(line_.items.size(), 2u);
}

TEST_F(FontTest, CutsWithAnEllipsis) {
  font_.lay_out("a rather long text", 80, line_);
  EXPECT_LE(line_.width, 80);
  EXPECT_LT(line_.items.size(), 18u);
  EXPECT_GT(line_.items.size(), 4u);
  font_.lay_out("a rather long text", 3, line_);  // not even that
  EXPECT_TRUE(line_.items.empty());
  font_.lay_out("x", -5, line_);
  EXPECT_TRUE(line_.items.empty());
}

TEST_F(FontTest, ControlCharactersAreSpaces) {
  font_.lay_out("a\nb", 1000, line_);
  const int with_break = line_.width;
  font_.lay_out("a b", 1000, line_);
  EXPECT_EQ(with_break, line_.width);
}

TEST_F(FontTest, SizeAndThicknessChangeTheGlyphs) {
  font_.lay_out("H", 1000, line_);
  const Glyph thin = *line_.items[0].glyph;
  font_.set_size(20, 3);
  font_.lay_out("H", 1000, line_);
  EXPECT_GT(line_.items[0].glyph->width, thin.width);
  font_.set_size(40, 1);
  font_.lay_out("H", 1000, line_);
  EXPECT_NEAR(line_.items[0].glyph->height, 2 * thin.height, 2);
}

TEST_F(FontTest, SurvivesMoreCharactersThanItRemembers) {
  std::string text;
  for (char32_t c = 0x4e00; c < 0x4e00 + 9000; ++c) {
    text = {char(0xe0 | (c >> 12)), char(0x80 | ((c >> 6) & 0x3f)), char(0x80 | (c & 0x3f))};
    font_.lay_out(text, 1000, line_);
  }
  EXPECT_EQ(line_.items.size(), 1u);
  EXPECT_LE(font_.atlas().masks.size(), size_t(16) << 20);
  const uint64_t generation = font_.atlas().generation;
  font_.set_size(20, 1);
  EXPECT_GT(font_.atlas().generation, generation);
  EXPECT_TRUE(font_.atlas().masks.empty());
  font_.lay_out("x", 1000, line_);
  EXPECT_FALSE(font_.atlas().masks.empty());
  font_.set_size(20, 1);
  EXPECT_FALSE(font_.atlas().masks.empty());
}

TEST_F(FontTest, AFullAtlasLeavesGaps) {
  font_.set_size(400, 1);
  std::string text;
  for (char32_t c = 0x400; c < 0x500; ++c) text += {char(0xc0 | (c >> 6)), char(0x80 | (c & 0x3f))};
  font_.lay_out(text, 1000000, line_);
  EXPECT_EQ(line_.items.size(), 256u);
  EXPECT_LE(font_.atlas().masks.size(), size_t(16) << 20);
  EXPECT_GT(line_.items[0].glyph->width, 0);
  EXPECT_GT(line_.items[255].glyph->advance, 0);
}

TEST(Font, NamesWhatCannotBeOpened) {
  ::setenv("SIGHTGLASS_FONT", "/nowhere/a.ttf:/nowhere/b.ttf", 1);
  Font font;
  const auto opened = font.open();
  ::unsetenv("SIGHTGLASS_FONT");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("/nowhere/b.ttf"), std::string::npos);
  TextLine line;
  font.set_size(20, 1);
  font.lay_out("text", 1000, line);
  EXPECT_TRUE(line.items.empty());
}

}  // namespace
}  // namespace sightglass
