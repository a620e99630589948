#include <gmock/gmock.h>

#include <ZXing/BitMatrix.h>
#include <ZXing/MultiFormatWriter.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using ZXing::BarcodeFormat;

constexpr int width = 320, height = 240;

Frame blank(PixelFormat format = PixelFormat::i420) {
  Frame frame = test::picture(format, width, height, 4);
  test::fill(frame, [&](int plane, int, int) { return is_yuv(format) && plane > 0 ? 128 : 230; });
  return frame;
}

// Draws a code, its dark cells into every byte of the first planes.
void draw(Frame& frame, BarcodeFormat kind, const std::string& text, int x, int y, int w, int h) {
  const auto bits = ZXing::MultiFormatWriter(kind).setMargin(2).encode(text, w, h);
  const bool planar = !is_yuv(frame.video->format) && frame.tensors.size() == 3;
  for (size_t p = 0; p < (planar ? 3u : 1u); ++p) {
    auto mapping = map(frame.tensors[p], Access::write).value();
    const int step = plane_layout(frame.video->format, p).pixel_bytes;
    for (int row = 0; row < bits.height(); ++row)
      for (int column = 0; column < bits.width(); ++column)
        std::memset(mapping.row<uint8_t>(y + row) + (x + column) * step, bits.get(column, row) ? 20 : 235,
                    size_t(step));
  }
}

std::vector<Region> run(Frame& frame, const test::Settings& settings = {}) {
  auto element = test::make<TransformInplace>("opencv_barcode_detector", settings);
  auto done = element->process(frame);
  EXPECT_TRUE(done) << done.error().message;
  std::vector<Region> codes;
  for (const Region& region : frame.regions)
    if (region.model.view() == "zxing") codes.push_back(region);
  return codes;
}

TEST(BarcodeReader, ReadsLinearAndMatrixCodesInTheWholeFrameWithoutObjects) {
  Frame frame = blank();
  draw(frame, BarcodeFormat::QRCode, "https://example.org/42", 10, 20, 100, 100);
  draw(frame, BarcodeFormat::EAN13, "4006381333931", 150, 40, 150, 60);
  draw(frame, BarcodeFormat::Code128, "PALLET-7", 20, 160, 200, 50);
  const auto codes = run(frame);
  std::vector<std::string> texts;
  for (const Region& code : codes) texts.emplace_back(code.label.view());
  EXPECT_THAT(texts, testing::UnorderedElementsAre("https://example.org/42", "4006381333931", "PALLET-7"));
  for (const Region& code : codes) {
    EXPECT_EQ(code.parent, -1);
    EXPECT_EQ(code.confidence, 1);
    EXPECT_EQ(code.attributes->find("barcode")->text, code.label.view());
    EXPECT_EQ(code.attributes->find("barcode-corners")->values.size(), 8u);
  }
}

TEST(BarcodeReader, GivesEachCodeABoxOfItsOwnAsChildOfItsObject) {
  Frame frame = blank(PixelFormat::bgr);
  draw(frame, BarcodeFormat::QRCode, "left", 20, 60, 90, 90);
  draw(frame, BarcodeFormat::QRCode, "right", 200, 60, 90, 90);
  frame.regions = {{.id = 0, .box = {0, 0.1f, 0.4f, 0.8f}}, {.id = 1, .box = {0.55f, 0.1f, 0.45f, 0.8f}}};
  const auto codes = run(frame);
  ASSERT_EQ(codes.size(), 2u);
  EXPECT_EQ(codes[0].label.view(), "left");
  EXPECT_EQ(codes[0].parent, 0);
  EXPECT_NEAR(codes[0].box.x * width, 20, 16);
  EXPECT_NEAR(codes[0].box.w * width, 80, 20);
  EXPECT_EQ(codes[1].label.view(), "right");
  EXPECT_EQ(codes[1].parent, 1);
  EXPECT_NEAR(codes[1].box.x * width, 205, 16);
}

TEST(BarcodeReader, ReadsOnlyInsideObjectsWhereThereAreSomeAndEachCodeOnce) {
  Frame frame = blank();
  draw(frame, BarcodeFormat::QRCode, "inside", 20, 60, 90, 90);
  draw(frame, BarcodeFormat::QRCode, "outside", 200, 60, 90, 90);
  frame.regions = {{.id = 0, .box = {0, 0.1f, 0.4f, 0.8f}}, {.id = 1, .box = {0.02f, 0.15f, 0.4f, 0.75f}}};
  const auto codes = run(frame);
  ASSERT_EQ(codes.size(), 1u);
  EXPECT_EQ(codes[0].label.view(), "inside");
  EXPECT_EQ(run(frame).size(), 1u) << "codes are no objects to look into";
}

TEST(BarcodeReader, ReadsEveryPictureFormat) {
  for (const PixelFormat format : all_8_bit_formats()) {
    Frame frame = blank(format);
    draw(frame, BarcodeFormat::QRCode, "any", 100, 60, 100, 100);
    EXPECT_EQ(run(frame).size(), 1u) << to_string(format);
  }
}

TEST(BarcodeReader, PutsTheKindBeforeTheTextOnRequest) {
  Frame frame = blank();
  draw(frame, BarcodeFormat::EAN13, "4006381333931", 50, 40, 200, 80);
  const auto codes = run(frame, {{"add-type", "true"}});
  ASSERT_EQ(codes.size(), 1u);
  EXPECT_EQ(codes[0].label.view(), "EAN-13: 4006381333931");
}

TEST(BarcodeReader, ReportsDamagedCodesOnlyOnRequest) {
  Frame frame = blank();
  draw(frame, BarcodeFormat::QRCode, "a text that is long enough to be damaged beyond repair", 60, 20, 200,
       200);
  {
    auto mapping = map(frame.tensors[0], Access::write).value();
    for (int y = 90; y < 200; ++y)
      for (int x = 120; x < 240; ++x)
        mapping.row<uint8_t>(y)[x] = uint8_t((x * 7 + y * 13) % 256 > 127 ? 20 : 235);
  }
  Frame again = frame;
  EXPECT_TRUE(run(frame).empty());
  const auto codes = run(again, {{"allow-undecoded", "true"}, {"undecoded-label", "unreadable"}});
  ASSERT_FALSE(codes.empty());
  EXPECT_EQ(codes[0].label.view(), "unreadable");
  EXPECT_EQ(codes[0].confidence, 0);
}

TEST(BarcodeReader, TakesObjectsOutsideOfTheFrameAndOfNoSize) {
  Frame frame = blank();
  frame.regions = {{.id = 0, .box = {-3, -3, 1, 1}},
                   {.id = 1, .box = {0.5f, 0.5f, 0, 0}},
                   {.id = 2, .box = {0.9f, 0.9f, 7, 7}}};
  EXPECT_TRUE(run(frame).empty());
}

}  // namespace
}  // namespace sightglass
