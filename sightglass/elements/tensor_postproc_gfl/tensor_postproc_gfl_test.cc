#include <gtest/gtest.h>

#include <algorithm>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using test::Texts;

Texts texts(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0,
            const std::vector<std::string>& names = {}) {
  return test::decode_texts("tensor_postproc_gfl", std::move(tensors), settings, batch_index, names);
}

// Scores and distances of an input at strides 8, 16, 32, with nothing found yet.
struct Outputs {
  int width, height, classes, columns, points;
  std::vector<float> scores[3], sides[3], marks[3];
  Outputs(int w, int h, int c, int d, int p = 0) : width(w), height(h), classes(c), columns(d), points(p) {
    for (int level = 0; level < 3; ++level) {
      scores[level].assign(size_t(cells(level) * classes), 0.f);
      sides[level].assign(size_t(cells(level) * columns), 0.f);
      marks[level].assign(size_t(cells(level) * points), 0.f);
    }
  }
  int cells(int level) const {
    const int stride = 8 << level;
    return ((width + stride - 1) / stride) * ((height + stride - 1) / stride);
  }
  // Each side sure of one bin.
  Outputs& set(int level, int cell, int class_id, float score, const std::vector<int>& bins) {
    scores[level][size_t(cell * classes + class_id)] = score;
    const int each = columns / 4;
    for (int i = 0; i < 4; ++i) sides[level][size_t(cell * columns + i * each + bins[size_t(i)])] = 50;
    return *this;
  }
  std::vector<Tensor> done() const {  // all scores first
    std::vector<Tensor> tensors;
    for (int level = 0; level < 3; ++level)
      tensors.push_back(tensor<float>({1, cells(level), classes}, scores[level]));
    for (int level = 0; level < 3; ++level)
      tensors.push_back(tensor<float>({1, cells(level), columns}, sides[level]));
    return tensors;
  }
};

TEST(Gfl, DistancesAreMeansOfTheirBins) {
  Outputs out(64, 64, 2, 32);
  // Stride 8, cell 3,2, centre 28,20: 1, 2, 3, 0 strides to the sides.
  out.set(0, 2 * 8 + 3, 1, .9f, {1, 2, 3, 0});
  // Half way between bins 1 and 2 at stride 32, cell 0,1, centre 16,48: 48 pixels to every side.
  out.set(2, 2, 0, .8f, {1, 1, 1, 1});
  for (int i = 0; i < 4; ++i) out.sides[2][size_t(2 * 32 + i * 8 + 2)] = 50;
  EXPECT_EQ(texts(out.done()), (Texts{"1 900 313,63,500,250", "0 800 -500,0,1500,1500"}));
  EXPECT_EQ(texts(out.done(), {{"cell-offset", "0"}})[0], "1 900 250,0,500,250");
}

TEST(Gfl, TheLastCellsMayReachBeyondThePicture) {
  Outputs out(72, 40, 2, 32);           // 9×5, 5×3, 3×2 cells
  out.set(2, 5, 0, .9f, {1, 1, 1, 1});  // centre 80,48 of 72×40
  EXPECT_EQ(texts(out.done(), {{"input-width", "72"}, {"input-height", "40"}}),
            (Texts{"0 900 667,400,889,1600"}));
}

TEST(Gfl, LabelsTellScoresFromDistances) {
  // 32 classes and 32 distances, the distances first.
  Outputs out(64, 64, 1, 4);
  Outputs both(64, 64, 4, 32);
  both.set(0, 0, 3, .9f, {0, 0, 1, 1});
  auto tensors = both.done();
  std::ranges::reverse(tensors);
  EXPECT_EQ(texts(tensors, {{"labels", "a,b,c,d"}}), (Texts{"3 900 63,63,125,125"}));
  EXPECT_EQ(texts(tensors, {}, 0, {"dis_32", "dis_16", "dis_8", "cls_32", "cls_16", "cls_8"}),
            (Texts{"3 900 63,63,125,125"}));
}

TEST(Gfl, AllInOneOutput) {
  // NanoDet: two classes and 8 bins each; 64 + 16 + 4 cells.
  std::vector<float> rows(84 * 34, 0.f);
  float* row = rows.data() + 64 * 34;  // the first cell of stride 16, centre 8,8
  row[1] = .9f;
  for (int i = 0; i < 4; ++i) row[2 + i * 8 + (i < 2 ? 0 : 2)] = 50;
  EXPECT_EQ(texts({tensor<float>({1, 84, 34}, rows)}, {{"input-width", "64"}, {"input-height", "64"}}),
            (Texts{"1 900 125,125,500,500"}));
  EXPECT_NE(texts({tensor<float>({1, 85, 34}, rows = std::vector<float>(85 * 34))},
                  {{"input-width", "72"}, {"input-height", "64"}})[0]
                .find("72x64"),
            std::string::npos);
}

TEST(Gfl, PlainDistancesComeWithLandmarksAndTwoBoxesPerCell) {
  // SCRFD, without an axis of samples: 2 boxes in each of 64, 16 and 4 cells.
  std::vector<Tensor> tensors;
  const int columns[3] = {1, 4, 10};
  for (int part = 0; part < 3; ++part) {
    for (const int cells : {64, 16, 4}) {
      std::vector<float> values(size_t(2 * cells * columns[part]), 0.f);
      // Stride 8, cell 3,2, second box.
      const size_t row = 2 * (2 * 8 + 3) + 1;
      if (cells == 64 && part == 0) values[row] = .9f;
      if (cells == 64 && part == 1)
        std::ranges::copy(std::vector<float>{1, 2, 3, .5f}, values.begin() + long(row) * 4);
      if (cells == 64 && part == 2) values[row * 10] = 1, values[row * 10 + 3] = -1;
      tensors.push_back(tensor<float>({2 * cells, columns[part]}, values));
    }
  }
  // Measured from the corner of the cell, 24,16.
  const auto decoded = test::decode("tensor_postproc_gfl", tensors);
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_EQ(test::text_of(decoded.frame.regions[0]), "0 900 250,0,500,313");
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "landmarks"),
            "500,250,900 375,125,900 375,250,900 375,250,900 375,250,900");
  EXPECT_EQ(decoded.frame.regions[0].label.view(), "face");
  const auto without = test::decode("tensor_postproc_gfl", tensors, {{"landmarks", "false"}});
  EXPECT_EQ(test::points_of(without.frame.regions.at(0), "landmarks"), "none");
}

TEST(Gfl, GridsWithChannelsFirst) {
  std::vector<Tensor> tensors;
  for (const int side : {8, 4, 2}) {
    std::vector<float> scores(size_t(3 * side * side), -20.f), sides(size_t(4 * side * side), 1.f);
    if (side == 8) scores[1 * 64 + 2 * 8 + 3] = 20;
    tensors.push_back(tensor<float>({1, 3, side, side}, scores));
    tensors.push_back(tensor<float>({1, 4, side, side}, sides));
  }
  EXPECT_EQ(texts(tensors, {{"sigmoid", "true"}}), (Texts{"1 1000 250,125,250,250"}));
}

TEST(Gfl, OnlyTheOwnSampleOfABatchIsRead) {
  Outputs one(64, 64, 2, 32), two(64, 64, 2, 32);
  one.set(0, 0, 0, .9f, {0, 0, 1, 1});
  two.set(0, 9, 1, .8f, {0, 0, 1, 1});
  std::vector<Tensor> both;
  for (int level = 0; level < 3; ++level)
    both.push_back(test::batch_of<float>({1, one.cells(level), 2}, one.scores[level], two.scores[level]));
  for (int level = 0; level < 3; ++level)
    both.push_back(test::batch_of<float>({1, one.cells(level), 32}, one.sides[level], two.sides[level]));
  EXPECT_EQ(texts(both, {}, 0), (Texts{"0 900 63,63,125,125"}));
  EXPECT_EQ(texts(both, {}, 1), (Texts{"1 800 188,188,125,125"}));
}

TEST(Gfl, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf("");
  Outputs out(64, 64, 2, 4);
  const std::vector<float> good = {1, 1, 1, 1};
  for (int cell : {0, 1, 2, 3, 4}) std::ranges::copy(good, out.sides[0].begin() + cell * 4);
  out.scores[0][0] = nan;
  out.scores[0][2] = .9f, out.sides[0][4] = nan;
  out.scores[0][4] = .9f, out.sides[0][8] = INFINITY;
  out.scores[0][6] = .9f, out.sides[0][12] = -5;   // inside out
  out.scores[0][8] = nan, out.scores[0][9] = .7f;  // the other score counts
  EXPECT_EQ(texts(out.done()), (Texts{"1 700 375,-125,250,250"}));
}

TEST(Gfl, ThresholdAndSuppressionPerClass) {
  Outputs out(64, 64, 2, 32);
  out.set(0, 0, 0, .4f, {0, 0, 3, 3});
  out.set(0, 1, 0, .6f, {1, 0, 2, 3});  // the same box
  out.set(0, 2, 1, .5f, {2, 0, 1, 3});  // the same, of another class
  EXPECT_EQ(texts(out.done()).size(), 2u);
  EXPECT_EQ(texts(out.done(), {{"iou-threshold", "1"}}).size(), 3u);
  EXPECT_EQ(texts(out.done(), {{"threshold", "0.55"}}).size(), 1u);
  EXPECT_EQ(texts(out.done(), {{"max-objects", "1"}}).size(), 1u);
}

TEST(Gfl, OutputsOfAnotherModelAreNamed) {
  for (const auto& tensors : {std::vector{tensor<float>({1, 300, 6}, std::vector<float>(1800))},
                              std::vector{tensor<float>({1, 5}, std::vector<float>(5)),
                                          tensor<float>({1, 7}, std::vector<float>(7))},
                              std::vector{tensor<float>({1, 64, 3}, std::vector<float>(192)),
                                          tensor<float>({1, 64, 5}, std::vector<float>(320))}}) {
    const Texts error = texts(tensors, {{"input-width", "64"}, {"input-height", "64"}});
    ASSERT_EQ(error.size(), 1u);
    EXPECT_NE(error[0].find("no distance heads: float32 1x"), std::string::npos) << error[0];
    EXPECT_EQ(error[0].find('\n'), std::string::npos);
  }
  EXPECT_NE(texts(Outputs(64, 64, 2, 32).done(), {{"labels", "a,b,c"}})[0].find("3 classes"),
            std::string::npos);
}

TEST(Gfl, StridesMayBeGiven) {
  std::vector<float> scores(16 * 2, 0.f), sides(16 * 4, 1.f);
  scores[0] = .9f;
  const std::vector<Tensor> tensors = {tensor<float>({1, 16, 2}, scores), tensor<float>({1, 16, 4}, sides)};
  EXPECT_EQ(texts(tensors, {{"strides", "<16>"}, {"input-width", "64"}, {"input-height", "64"}}),
            (Texts{"0 900 -250,-250,500,500"}));
  EXPECT_FALSE(test::make<TransformInplace>("tensor_postproc_gfl", {{"strides", "<0>"}})->start());
}

TEST(Gfl, DoesNotAllocateOnceWarm) {
  auto element = test::make<TransformInplace>("tensor_postproc_gfl", {{"labels", "a,b"}});
  Frame frame = test::frame_of(Outputs(64, 64, 2, 32).set(0, 0, 0, .9f, {0, 0, 1, 1}).done());
  ASSERT_TRUE(test::run(*element, frame));
  const size_t before = allocation_count();
  frame.regions.clear();
  ASSERT_TRUE(element->process(frame));
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(frame.regions.size(), 1u);
}

}  // namespace
}  // namespace sightglass
