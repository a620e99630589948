// Oriented boxes, keypoints and masks of the YOLO heads.
#include <gtest/gtest.h>

#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using test::Texts;
constexpr int cells = 84;  // of a 64×64 input

// A YOLOv8 output with nothing found yet.
struct Output {
  int channels;
  std::vector<float> values;
  explicit Output(int count) : channels(count), values(size_t(count) * cells, 0.f) {}
  Output& set(int anchor, const std::vector<float>& column) {
    for (size_t c = 0; c < column.size(); ++c) values[c * cells + size_t(anchor)] = column[c];
    return *this;
  }
  Tensor done() const { return tensor<float>({1, channels, cells}, values); }
};

test::Decoded decode(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0) {
  return test::decode("tensor_postproc_yolo", std::move(tensors), settings, batch_index);
}
Texts texts(std::vector<Tensor> tensors, const test::Settings& settings = {}) {
  return test::decode_texts("tensor_postproc_yolo", std::move(tensors), settings);
}

TEST(YoloObb, TheAngleIsTheLastNumber) {
  Output out(7);
  out.set(3, {32, 16, 32, 16, .9f, .1f, .5f});
  EXPECT_EQ(texts({out.done()}, {{"task", "obb"}}), (Texts{"0 900 250,125,500,250 angle 500"}));
  EXPECT_EQ(texts({out.done()}, {{"task", "obb"}, {"labels", "a,b"}}).size(), 1u);
  EXPECT_NE(texts({out.done()}, {{"task", "obb"}, {"labels", "a,b,c"}})[0].find("an angle"),
            std::string::npos);
  const float nan = std::nanf("");
  EXPECT_EQ(texts({Output(7).set(3, {32, 16, 32, 16, .9f, .1f, nan}).done()}, {{"task", "obb"}}), Texts{});
}

TEST(YoloObb, TurnedBoxesSuppressByTheirOwnShapes) {
  Output out(6);
  // A long bar, the same one a little moved, and one across it.
  out.set(0, {32, 32, 40, 4, .9f, 0});
  out.set(1, {33, 32, 40, 4, .8f, 0});
  out.set(2, {32, 32, 40, 4, .7f, 1.5708f});
  EXPECT_EQ(texts({out.done()}, {{"task", "obb"}}),
            (Texts{"0 900 188,469,625,63", "0 700 188,469,625,63 angle 1571"}));
}

TEST(YoloObb, EndToEndRowsAreCentres) {
  const Tensor out = tensor<float>({1, 2, 7}, {32, 16, 32, 16, .9f, 1, .25f, 0, 0, 1, 1, .1f, 0, 0});
  EXPECT_EQ(
      texts({out}, {{"head", "end2end"}, {"task", "obb"}, {"input-width", "64"}, {"input-height", "64"}}),
      (Texts{"1 900 250,125,500,250 angle 250"}));
}

TEST(YoloPose, PointsFollowTheClass) {
  Output out(11);
  out.set(3, {32, 16, 32, 16, .9f, 16, 8, .75f, 48, 24, .25f});
  auto decoded = decode({out.done()}, {{"task", "pose"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "250,125,750 750,375,250");
  // Three pairs instead of two triples.
  decoded = decode({out.done()}, {{"task", "pose"}, {"keypoints", "3"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "250,125,900 12,750,900 375,4,900");
  EXPECT_NE(decode({out.done()}, {{"task", "pose"}, {"keypoints", "4"}}).error.find("keypoint"),
            std::string::npos);
}

TEST(YoloPose, PointsThatAreNoNumbersCountAsNotFound) {
  Output out(11);
  out.set(3, {32, 16, 32, 16, .9f, std::nanf(""), 8, .75f, 48, INFINITY, .25f});
  const auto decoded = decode({out.done()}, {{"task", "pose"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u);
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "-1000,-1000,0 -1000,-1000,0");
}

TEST(YoloPose, SeventeenPointsAreABody) {
  Output out(56);
  out.set(3, {32, 16, 32, 16, .9f});
  const auto decoded = decode({out.done()}, {{"task", "pose"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u);
  const Attribute* points = decoded.frame.regions[0].attributes->find("keypoints");
  ASSERT_TRUE(points && points->legend);
  EXPECT_EQ(points->legend->names[0], "nose");
  EXPECT_EQ(points->legend->links.size(), 19u);
}

// Prototypes on a grid of 8×8 cells of a 64×64 input: the first is 1 in the left half and −1 in the right,
// the second 1 above and −1 below.
Tensor prototypes() {
  std::vector<float> values;
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x) values.push_back(x < 4 ? 1.f : -1.f);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x) values.push_back(y < 4 ? 1.f : -1.f);
  return tensor<float>({1, 2, 8, 8}, values);
}

TEST(YoloSeg, MasksAreCutToTheBox) {
  Output out(8);
  // 16..48 × 24..48: cells 2..5 × 3..5.
  out.set(3, {32, 36, 32, 24, .9f, .1f, 5, 0});
  out.set(60, {32, 36, 32, 24, .1f, .8f, 0, -5});
  const auto decoded = decode({out.done(), prototypes()});
  ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
  EXPECT_EQ(test::mask_of(decoded.frame.regions[0]), (Texts{"250,375,500,375", "##..", "##..", "##.."}));
  EXPECT_EQ(test::mask_of(decoded.frame.regions[1]), (Texts{"250,375,500,375", "....", "####", "####"}));
  const Attribute* mask = decoded.frame.regions[0].attributes->find("mask");
  EXPECT_NEAR(test::values_of<float>(mask->tensor)[0], 1 / (1 + std::exp(-5.f)), 1e-6);
}

TEST(YoloSeg, CellsWhoseCentreIsOutsideDoNotCount) {
  Output out(7);
  // 18..46 × 25..45: touches the cells of 16..48 × 24..48, whose centres at 20 and 44 are inside, as those at
  // 28, 36 and 44 down.
  out.set(3, {33, 35, 30, 10, .9f, 5, 0});  // 18..48 × 30..40: of the rows 3 and 4, both centres (28: no, 36)
  const auto decoded = decode({out.done(), prototypes()});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_EQ(test::mask_of(decoded.frame.regions[0]), (Texts{"250,375,500,250", "....", "##.."}));
}

TEST(YoloSeg, BoxesBeyondThePictureHaveTheMaskThatThereIs) {
  Output out(7);
  out.set(3, {0, 0, 32, 32, .9f, 5, 0});
  out.set(4, {-100, -100, 32, 32, .8f, 5, 0});
  out.set(5, {1e30f, 32, 32, 1e5f, .7f, 5, 0});
  const auto decoded = decode({out.done(), prototypes()});
  ASSERT_GE(decoded.frame.regions.size(), 2u);
  EXPECT_EQ(test::mask_of(decoded.frame.regions[0]), (Texts{"0,0,250,250", "##", "##"}));
  EXPECT_EQ(test::mask_of(decoded.frame.regions[1]), (Texts{"none"}));
}

TEST(YoloSeg, OnlyTheOwnSampleOfABatchIsRead) {
  Output one(7), two(7);
  one.set(3, {32, 32, 32, 32, .9f, 5, 0});
  two.set(3, {32, 32, 32, 32, .9f, 5, 0});
  const auto plain = test::values_of<float>(prototypes());
  auto turned = plain;
  for (float& v : turned) v = -v;
  const Tensor rows = test::batch_of<float>({1, 7, cells}, one.values, two.values);
  const Tensor both = test::batch_of<float>({1, 2, 8, 8}, plain, turned);
  EXPECT_EQ(test::mask_of(decode({rows, both}, {}, 0).frame.regions.at(0))[1], "##..");
  EXPECT_EQ(test::mask_of(decode({rows, both}, {}, 1).frame.regions.at(0))[1], "..##");
}

TEST(YoloSeg, EndToEndRowsAndAnchorRowsHaveThemToo) {
  const Tensor rows = tensor<float>({1, 1, 8}, {16, 16, 48, 48, .9f, 1, 5, 0});
  const test::Settings size = {{"input-width", "64"}, {"input-height", "64"}, {"head", "end2end"}};
  EXPECT_EQ(test::mask_of(decode({rows, prototypes()}, size).frame.regions.at(0))[1], "##..");
  std::vector<float> v5(252 * 9, 0.f);
  const std::vector<float> row = {32, 32, 32, 32, .9f, 1, 0, 5, 0};
  std::ranges::copy(row, v5.begin());
  EXPECT_EQ(
      test::mask_of(
          decode({tensor<float>({1, 252, 9}, v5), prototypes()}, {{"version", "5"}}).frame.regions.at(0))[1],
      "##..");
}

TEST(YoloSeg, NeedsItsPrototypes) {
  EXPECT_NE(decode({Output(8).done()}, {{"task", "seg"}}).error.find("prototypes"), std::string::npos);
  EXPECT_NE(decode({Output(8).done(), prototypes()}, {{"task", "seg"}, {"labels", "a,b,c"}})
                .error.find("2 weights"),
            std::string::npos);
}

TEST(YoloSeg, MasksKeepTheirCellsWhenTheNextFrameComes) {
  auto element = test::make<TransformInplace>("tensor_postproc_yolo");
  Output out(7);
  out.set(3, {32, 32, 32, 32, .9f, 5, 0});
  Frame first = test::frame_of({out.done(), prototypes()});
  ASSERT_TRUE(test::run(*element, first));
  out.set(3, {32, 32, 32, 32, .9f, -5, 0});
  Frame second = test::frame_of({out.done(), prototypes()});
  ASSERT_TRUE(element->process(second));
  EXPECT_EQ(test::mask_of(first.regions.at(0))[1], "##..");
  EXPECT_EQ(test::mask_of(second.regions.at(0))[1], "..##");
}

TEST(YoloTasks, TenThousandCandidatesAreTrimmed) {
  // 8,400 cells of a 640×640 input, all of them sure of something.
  const int count = 8400;
  std::vector<float> values(6 * size_t(count), 0.f);
  for (int i = 0; i < count; ++i) {
    const float column[6] = {float(i % 80) * 8, float(i / 80) * 6, 4, 4, .9f, .1f};
    for (int c = 0; c < 6; ++c) values[size_t(c * count + i)] = column[c];
  }
  const Tensor out = tensor<float>({1, 6, count}, values);
  EXPECT_EQ(texts({out}).size(), 300u);
  EXPECT_EQ(texts({out}, {{"max-objects", "1024"}}).size(), 1024u);
}

}  // namespace
}  // namespace sightglass
