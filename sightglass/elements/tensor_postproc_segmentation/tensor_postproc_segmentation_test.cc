#include "sightglass/elements/tensor_postproc_segmentation/tensor_postproc_segmentation.h"

#include <gmock/gmock.h>

#include <limits>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct Decoded {
  Frame frame;
  std::string error;

  const Attribute* mask() const { return frame.attributes ? frame.attributes->find("mask") : nullptr; }
};
Decoded decode(std::vector<Tensor> tensors, const test::Settings& settings = {}, int sample = 0) {
  Decoded decoded{test::frame_of(std::move(tensors)), ""};
  decoded.frame.source = SourceId{.batch_index = sample};
  auto element = test::make<TransformInplace>("tensor_postproc_segmentation", settings);
  if (auto done = test::run(*element, decoded.frame, {"one", "two", "three"}); !done)
    decoded.error = done.error().message;
  return decoded;
}

TEST(Segmentation, TheBestClassOfEachCell) {
  const Decoded decoded = decode({tensor<float>({1, 3, 2, 2}, {1, 0, nan, 5,  //
                                                               0, 2, nan, 5,  //
                                                               0, 1, nan, 4})},
                                 {{"labels", "sky,road,car"}});
  ASSERT_TRUE(decoded.mask()) << decoded.error;
  EXPECT_EQ(decoded.mask()->kind, AttributeKind::mask);
  EXPECT_EQ(decoded.mask()->tensor.shape, Shape({2, 2}));
  EXPECT_THAT(test::values_of<uint8_t>(decoded.mask()->tensor), ElementsAre(0, 1, 255, 0));
  EXPECT_THAT(decoded.mask()->legend->names, ElementsAre("sky", "road", "car"));
  EXPECT_THAT(decoded.mask()->values, IsEmpty());
  EXPECT_EQ(decoded.mask()->model.view(), "model");
}

TEST(Segmentation, ClassesMayComeLast) {
  const Decoded decoded =
      decode({tensor<float>({1, 3, 3, 2}, {0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1})});
  EXPECT_THAT(test::values_of<uint8_t>(decoded.mask()->tensor), ElementsAre(1, 0, 1, 0, 1, 0, 1, 0, 1));
}

TEST(Segmentation, AMapOfClassIds) {
  const Decoded decoded = decode({tensor<int64_t>({1, 2, 3}, {0, 1, 2, -1, 300, 7})});
  EXPECT_EQ(decoded.mask()->tensor.type, DataType::u8);
  EXPECT_THAT(test::values_of<uint8_t>(decoded.mask()->tensor), ElementsAre(0, 1, 2, 255, 255, 7));
}

TEST(Segmentation, OneMapIsASoftMask) {
  const Decoded decoded =
      decode({tensor<float>({1, 1, 2, 2}, {.25f, 1.5f, nan, -1})}, {{"labels", "person"}});
  EXPECT_EQ(decoded.mask()->tensor.type, DataType::f32);
  EXPECT_THAT(test::values_of<float>(decoded.mask()->tensor), ElementsAre(.25f, 1, 0, 0));
  EXPECT_EQ(decoded.mask()->text, "person");
}

TEST(Segmentation, OnlyTheOwnSampleOfABatchIsRead) {
  const Tensor batch = tensor<float>({2, 1, 1, 2}, {.1f, .2f, .3f, .4f});
  EXPECT_THAT(test::values_of<float>(decode({batch}, {}, 1).mask()->tensor), ElementsAre(.3f, .4f));
  EXPECT_THAT(decode({batch}, {}, 2).error, HasSubstr("sample 2 of a batch"));
}

TEST(Segmentation, BlobsBecomeObjects) {
  std::vector<float> map(20 * 10);
  for (int y = 2; y < 4; ++y)
    for (int x = 4; x < 14; ++x) map[size_t(y) * 20 + size_t(x)] = .8f;
  map[199] = .9f;  // too small
  const test::Settings settings = {
      {"mode", "boxes"}, {"minimum-side", "2"}, {"box-expand", "0"}, {"labels", "text"}};
  Decoded decoded = decode({tensor<float>({1, 1, 10, 20}, map)}, settings);
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  const Region& region = decoded.frame.regions[0];
  EXPECT_THAT(region.box.x, FloatEq(.2f));
  EXPECT_THAT(region.box.y, FloatEq(.2f));
  EXPECT_THAT(region.box.w, FloatEq(.5f));
  EXPECT_THAT(region.box.h, FloatEq(.2f));
  EXPECT_EQ(region.angle, 0);
  EXPECT_THAT(region.confidence, FloatEq(.8f));
  EXPECT_EQ(region.label.view(), "text");
  EXPECT_FALSE(decoded.mask());

  auto grown = settings;
  grown[2].second = "1.2";  // 20 · 1.2 / 24 = 1 cell on each side
  decoded = decode({tensor<float>({1, 1, 10, 20}, map)}, grown);
  EXPECT_THAT(decoded.frame.regions.at(0).box.x, FloatEq(.15f));
  EXPECT_THAT(decoded.frame.regions.at(0).box.h, FloatEq(.4f));

  auto sure = settings;
  sure.emplace_back("box-threshold", "0.85");
  EXPECT_TRUE(decode({tensor<float>({1, 1, 10, 20}, map)}, sure).frame.regions.empty());
  auto strict = settings;
  strict.emplace_back("threshold", "0.85");
  EXPECT_TRUE(decode({tensor<float>({1, 1, 10, 20}, map)}, strict).frame.regions.empty());
}

TEST(Segmentation, ADiagonalBlobIsAnOrientedBox) {
  std::vector<float> map(32 * 32);
  for (int i = 2; i < 30; ++i)
    for (int j = -2; j <= 2; ++j) map[size_t(i) * 32 + size_t(std::clamp(i + j, 0, 31))] = 1;
  const Decoded decoded =
      decode({tensor<float>({1, 1, 32, 32}, map)}, {{"mode", "boxes"}, {"minimum-side", "2"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u);
  EXPECT_NEAR(std::abs(decoded.frame.regions[0].angle), .785f, .05f);
}

TEST(Segmentation, NoMoreObjectsThanAFrameCarriesTheBestOnes) {
  std::vector<float> map(128 * 128);
  for (int y = 0; y < 128; y += 2)
    for (int x = 0; x < 128; x += 2) map[size_t(y) * 128 + size_t(x)] = y < 32 ? .6f : .9f;
  const Decoded decoded =
      decode({tensor<float>({1, 1, 128, 128}, map)}, {{"mode", "boxes"}, {"minimum-side", "0"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1024u);
  for (const Region& region : decoded.frame.regions) ASSERT_FLOAT_EQ(region.confidence, .9f);
}

TEST(Segmentation, MasksOfObjectsBecomeObjects) {
  // Two masks of 2 x 3 cells; the scores and the classes are found by their size and type.
  const Decoded decoded = decode({tensor<float>({1, 2}, {.9f, .3f}), tensor<int64_t>({1, 2}, {1, 0}),
                                  tensor<float>({1, 2, 2, 3}, {0, 1, .5f, 0, 0, .8f,  //
                                                               1, 1, 1, 1, 1, 1})},
                                 {{"labels", "cat,dog"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  const Region& region = decoded.frame.regions[0];
  EXPECT_EQ(region.label.view(), "dog");
  EXPECT_FLOAT_EQ(region.confidence, .9f);
  EXPECT_THAT(region.box.x, FloatEq(1 / 3.f));
  EXPECT_THAT(region.box.w, FloatEq(2 / 3.f));
  EXPECT_THAT(region.box.h, FloatEq(1));
  const Attribute* mask = region.attributes->find("mask");
  ASSERT_TRUE(mask);
  EXPECT_EQ(mask->tensor.shape, Shape({2, 2}));
  EXPECT_THAT(test::values_of<float>(mask->tensor), ElementsAre(1, .5f, 0, .8f));
  EXPECT_THAT(mask->values, ElementsAre(FloatEq(1 / 3.f), 0, FloatEq(2 / 3.f), 1));
}

TEST(Segmentation, SaysWhichOutputsDoNotFit) {
  EXPECT_THAT(decode({tensor<float>({4}, {1, 2, 3, 4})}).error,
              HasSubstr("a map [1,C,h,w] or [1,h,w] is needed, but the outputs are one float32 4"));
  EXPECT_THAT(decode({tensor<float>({1, 2, 1, 1}, {1, 2})}, {{"mode", "boxes"}}).error,
              HasSubstr("mode=boxes needs one map of scores"));
  EXPECT_THAT(decode({tensor<float>({1, 2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8})}, {{"labels", "a,b,c"}}).error,
              HasSubstr("3 labels, but the output one float32 1x2x2x2 has only 2 classes"));
  EXPECT_THAT(decode({tensor<float>({1, 0, 2, 2}, {})}).error, HasSubstr("is needed"));
}

}  // namespace
}  // namespace sightglass
