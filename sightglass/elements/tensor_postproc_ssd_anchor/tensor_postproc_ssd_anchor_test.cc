#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/detection/decoder_test_support.h"
#include "sightglass/elements/tensor_postproc_ssd_anchor/ssd_anchors.h"

namespace sightglass {
namespace {

using test::tensor;
using test::Texts;

test::Decoded decode(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0) {
  return test::decode("tensor_postproc_ssd_anchor", std::move(tensors), settings, batch_index);
}
Texts texts(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0) {
  return test::decode_texts("tensor_postproc_ssd_anchor", std::move(tensors), settings, batch_index);
}

float logit(float p) { return std::log(p / (1 - p)); }

// BlazeFace on 32×32: two boxes in each of 16 cells of stride 8, six in each of 4 of stride 16; boxes with
// two points.
constexpr int blaze_count = 56, blaze_columns = 8;
struct Blaze {
  std::vector<float> rows = std::vector<float>(blaze_count * blaze_columns, 0.f);
  std::vector<float> scores = std::vector<float>(blaze_count, -20.f);
  Blaze& set(int i, float score, const std::vector<float>& row) {
    scores[size_t(i)] = logit(score);
    std::ranges::copy(row, rows.begin() + i * blaze_columns);
    return *this;
  }
  std::vector<Tensor> done() const {
    return {tensor<float>({1, blaze_count, blaze_columns}, rows), tensor<float>({1, blaze_count, 1}, scores)};
  }
};
const test::Settings blaze = {{"input-width", "32"}, {"input-height", "32"}, {"keypoints", "2"}};
test::Settings blaze_with(const std::pair<std::string, std::string>& setting) {
  auto settings = blaze;
  settings.push_back(setting);
  return settings;
}

TEST(SsdAnchor, BlazeFaceOffsetsArePixelsFromTheMiddleOfTheCell) {
  Blaze out;
  // Second box of cell 1,0: middle 12,4.
  out.set(3, .9f, {4, 4, 16, 8, 0, 0, 4, -4});
  // Last of the coarse ones, cell 1,1: middle 24,24.
  out.set(55, .8f, {0, 0, 8, 8, 1, 1, 2, 2});
  const auto decoded = decode(out.done(), blaze);
  ASSERT_EQ(decoded.frame.regions.size(), 2u) << decoded.error;
  EXPECT_EQ(test::text_of(decoded.frame.regions[0]), "0 900 250,125,500,250");
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "375,125,900 500,0,900");
  EXPECT_EQ(test::text_of(decoded.frame.regions[1]), "0 800 625,625,250,250");
  EXPECT_EQ(test::points_of(decoded.frame.regions[1], "keypoints"), "781,781,800 813,813,800");
}

TEST(SsdAnchor, WithoutKeypointsTheBoxesAreReadAlone) {
  Blaze out;
  out.set(3, .9f, {4, 4, 16, 8, 0, 0, 4, -4});
  const auto decoded = decode(out.done(), {{"input-width", "32"}, {"input-height", "32"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_FALSE(decoded.frame.regions[0].attributes);
}

TEST(SsdAnchor, WeightedSuppressionTakesTheMean) {
  Blaze out;
  out.set(2, .9f, {0, 0, 16, 16, 0, 0, 0, 0});
  out.set(3, .45f, {3, 0, 16, 16, 3, 0, 0, 0});  // half the weight, three pixels to the right
  auto settings = blaze_with({"weighted-nms", "true"});
  settings.push_back({"threshold", "0.4"});
  const auto decoded = decode(out.done(), settings);
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  // Middle 12,4; the mean lies one pixel to the right.
  EXPECT_EQ(test::text_of(decoded.frame.regions[0]), "0 900 156,-125,500,500");
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "406,125,900 375,125,900");
}

TEST(SsdAnchor, VariancesMeanTheExponentialCoding) {
  // RetinaFace on 32×32 at stride 16: 4 cells with boxes of 8 and 16 pixels; points in a tensor of their own.
  std::vector<float> boxes(8 * 4, 0.f), scores(8 * 2, 0.f), points(8 * 4, 0.f);
  // Cell 1,0 (middle 24,8), box of 16 pixels.
  const std::vector<float> box = {1, 0, std::log(2.f) / .2f, 0};
  std::ranges::copy(box, boxes.begin() + 3 * 4);
  scores[7] = .9f;
  points[3 * 4] = 5, points[3 * 4 + 3] = -5;
  test::Settings settings = {{"input-width", "32"},      {"input-height", "32"},     {"strides", "<16>"},
                             {"anchor-sizes", "<8,16>"}, {"variances", "<0.1,0.2>"}, {"sigmoid", "false"},
                             {"keypoints", "2"}};
  const auto decoded = decode(
      {tensor<float>({1, 8, 4}, boxes), tensor<float>({1, 8, 2}, scores), tensor<float>({1, 8, 4}, points)},
      settings);
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  // Centre 24 + 1.6, 8; size 32×16. The first of two classes is the background.
  EXPECT_EQ(test::text_of(decoded.frame.regions[0]), "0 900 300,0,1000,500");
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "1000,250,900 750,0,900");
}

TEST(SsdAnchor, ClassesMayBeASoftmaxWithABackground) {
  std::vector<float> boxes(8 * 4, 0.f), scores(8 * 3, 0.f);
  for (size_t i = 0; i < 8; ++i) scores[3 * i] = 20;
  scores[3 * 2] = 0, scores[3 * 2 + 2] = 3;
  const std::vector<Tensor> tensors = {tensor<float>({1, 8, 4}, boxes), tensor<float>({1, 8, 3}, scores)};
  test::Settings settings = {{"input-width", "32"},      {"input-height", "32"},     {"strides", "<16>"},
                             {"anchor-sizes", "<8,16>"}, {"variances", "<0.1,0.2>"}, {"sigmoid", "false"},
                             {"softmax", "true"}};
  settings.push_back({"labels", "cat,dog"});
  const float p = std::exp(3.f) / (std::exp(3.f) + 2);
  EXPECT_EQ(texts(tensors, settings), (Texts{std::format("1 {} 625,125,250,250", test::milli(p))}));
  settings.back().second = "__background__,cat,dog";
  EXPECT_EQ(texts(tensors, settings), (Texts{std::format("2 {} 625,125,250,250", test::milli(p))}));
}

TEST(SsdAnchor, AnchorsMayComeFromAFile) {
  const auto path = std::filesystem::temp_directory_path() / "sightglass_ssd_anchor_test.csv";
  std::ofstream(path) << "# x, y, w, h\n0.5,0.5,0.5,0.25\n\n0.25 0.75 1 1\n";
  const std::vector<Tensor> tensors = {tensor<float>({1, 2, 4}, std::vector<float>(8, 0.f)),
                                       tensor<float>({1, 2, 1}, {20, -20})};
  test::Settings settings = {{"anchor-file", path.string()}, {"variances", "<1,1>"}};
  EXPECT_EQ(texts(tensors, settings), (Texts{"0 1000 250,375,500,250"}));
  std::ofstream(path) << "0.5,0.5,0.5\n";
  EXPECT_NE(texts(tensors, settings)[0].find("line 1"), std::string::npos);
  std::ofstream(path) << "1,1,1,1\n";
  EXPECT_NE(texts(tensors, settings)[0].find("anchor-file has 1 anchors"), std::string::npos);
  std::filesystem::remove(path);
  EXPECT_NE(texts(tensors, settings)[0].find("no such file"), std::string::npos);
}

TEST(SsdAnchor, OnlyTheOwnSampleOfABatchIsRead) {
  Blaze one, two;
  one.set(3, .9f, {0, 0, 8, 8});
  two.set(55, .8f, {0, 0, 8, 8});
  const std::vector<Tensor> both = {
      test::batch_of<float>({1, blaze_count, blaze_columns}, one.rows, two.rows),
      test::batch_of<float>({1, blaze_count, 1}, one.scores, two.scores)};
  EXPECT_EQ(texts(both, blaze, 0), (Texts{"0 900 250,0,250,250"}));
  EXPECT_EQ(texts(both, blaze, 1), (Texts{"0 800 625,625,250,250"}));
}

TEST(SsdAnchor, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf("");
  Blaze out;
  out.set(0, .9f, {nan, 0, 8, 8});
  out.set(1, .9f, {0, 0, INFINITY, 8});
  out.set(2, .9f, {0, 0, -8, 8});
  out.set(3, .9f, {0, 0, 8, 8});
  out.scores[3] = nan;
  out.set(4, .9f, {0, 0, 8, 8, nan, 0, 0, 0});
  const auto decoded = decode(out.done(), blaze);
  ASSERT_EQ(decoded.frame.regions.size(), 1u);
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "-1000,-1000,0 625,125,900");
}

TEST(SsdAnchor, OutputsThatDoNotFitAreNamed) {
  const std::vector<Tensor> other = {tensor<float>({1, 30, 4}, std::vector<float>(120)),
                                     tensor<float>({1, 30, 1}, std::vector<float>(30))};
  for (const auto& settings : {blaze, test::Settings{}, blaze_with({"strides", "<8>"})}) {
    const Texts error = texts(other, settings);
    ASSERT_EQ(error.size(), 1u);
    EXPECT_NE(error[0].find("float32 1x30x4"), std::string::npos) << error[0];
    EXPECT_EQ(error[0].find('\n'), std::string::npos);
  }
  EXPECT_FALSE(test::make<TransformInplace>("tensor_postproc_ssd_anchor", {{"variances", "<1>"}})->start());
  EXPECT_FALSE(test::make<TransformInplace>("tensor_postproc_ssd_anchor", {{"softmax", "true"}})->start());
}

TEST(SsdAnchor, DoesNotAllocateOnceWarmWithoutKeypoints) {
  auto element = test::make<TransformInplace>("tensor_postproc_ssd_anchor",
                                              {{"input-width", "32"}, {"input-height", "32"}});
  Frame frame = test::frame_of(Blaze().set(3, .9f, {0, 0, 8, 8}).done());
  ASSERT_TRUE(test::run(*element, frame));
  const size_t before = allocation_count();
  frame.regions.clear();
  ASSERT_TRUE(element->process(frame));
  EXPECT_EQ(allocation_count(), before);
  EXPECT_EQ(frame.regions.size(), 1u);
}

TEST(SsdAnchors, NeighboursWithOneStrideShareTheirCells) {
  const std::vector<int64_t> strides = {8, 16, 16, 16};
  const auto anchors = make_anchors(strides, {}, 128, 128, 896);
  ASSERT_TRUE(anchors);
  EXPECT_FLOAT_EQ((*anchors)[0].x, .5f / 16);
  EXPECT_FLOAT_EQ((*anchors)[1].x, .5f / 16);
  EXPECT_FLOAT_EQ((*anchors)[2].x, 1.5f / 16);
  for (int i = 512; i < 518; ++i) EXPECT_FLOAT_EQ((*anchors)[size_t(i)].x, .5f / 8);
  EXPECT_FLOAT_EQ((*anchors)[518].x, 1.5f / 8);
  EXPECT_FALSE(make_anchors(strides, {}, 128, 128, 895));
  EXPECT_EQ(usual_strides(128, 128, 896), strides);
  EXPECT_EQ(usual_strides(192, 192, 2304), (std::vector<int64_t>{4}));
  EXPECT_TRUE(usual_strides(128, 128, 100).empty());
}

}  // namespace
}  // namespace sightglass
