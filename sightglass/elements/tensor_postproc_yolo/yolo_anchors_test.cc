#include "sightglass/elements/tensor_postproc_yolo/yolo_anchors.h"

#include <gtest/gtest.h>

#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

using test::tensor;
using test::Texts;

Texts decode(std::vector<Tensor> tensors, const test::Settings& settings = {}, int batch_index = 0) {
  return test::decode_texts("tensor_postproc_yolo", std::move(tensors), settings, batch_index);
}

float logit(float p) { return std::log(p / (1 - p)); }

enum class Order { boxes_first, channels_first, channels_last };

// A grid of an anchor head with nothing found yet; set() writes one box whatever the order of the axes.
struct Grid {
  int boxes, height, width, entries;
  Order order;
  std::vector<float> values;
  Grid(int b, int h, int w, int e, Order o)
      : boxes(b), height(h), width(w), entries(e), order(o), values(size_t(b * h * w * e), -20.f) {}

  Grid& set(int box, int y, int x, const std::vector<float>& numbers) {
    for (int e = 0; e < int(numbers.size()); ++e) {
      const int at = order == Order::boxes_first      ? ((box * height + y) * width + x) * entries + e
                     : order == Order::channels_first ? ((box * entries + e) * height + y) * width + x
                                                      : ((y * width + x) * boxes + box) * entries + e;
      values[size_t(at)] = numbers[size_t(e)];
    }
    return *this;
  }
  Tensor done() const {
    const Shape shape = order == Order::boxes_first      ? Shape{1, boxes, height, width, entries}
                        : order == Order::channels_first ? Shape{1, boxes * entries, height, width}
                                                         : Shape{1, height, width, boxes * entries};
    return tensor<float>(shape, values);
  }
};

// Three grids of a 64×64 input with two classes.
struct Grids {
  Grid fine, middle, coarse;
  explicit Grids(Order order)
      : fine(3, 8, 8, 7, order), middle(3, 4, 4, 7, order), coarse(3, 2, 2, 7, order) {}
  std::vector<Tensor> done() const { return {coarse.done(), fine.done(), middle.done()}; }
};

TEST(YoloAnchors, Version3ReadsEveryOrderOfAxes) {
  for (const Order order : {Order::boxes_first, Order::channels_first, Order::channels_last}) {
    Grids grids(order);
    // Stride 8, cell 2,3, anchor 1 (16×30): centre 2.5,3.5 cells = 20,28.
    grids.fine.set(1, 3, 2, {0, 0, 0, 0, logit(.9f), 20, -20});
    // Stride 32, cell 1,0, anchor 0 of the three largest (116×90), shrunk to 29×45.
    grids.coarse.set(0, 0, 1, {0, 0, std::log(.25f), std::log(.5f), logit(.8f), -20, 20});
    EXPECT_EQ(decode(grids.done(), {{"version", "3"}, {"labels", "a,b"}}),
              (Texts{"0 900 188,203,250,469", "1 800 523,-102,453,703"}));
  }
}

TEST(YoloAnchors, Version5SquaresItsSizes) {
  Grids grids(Order::boxes_first);
  // x = 2·0.75 − 0.5 + 2 = 3 cells, w = (2·0.5)²·16, h = (2·0.25)²·30 = 7.5
  grids.fine.set(1, 3, 2, {logit(.75f), logit(.5f), 0, logit(.25f), logit(.9f), logit(.5f), -20});
  // Five axes are those of v5 when nobody says anything.
  for (const test::Settings& settings :
       {test::Settings{{"version", "5"}}, test::Settings{{"head", "anchor"}}, test::Settings{}}) {
    auto with = settings;
    with.push_back({"do-cls-softmax", "false"});
    with.push_back({"threshold", "0.4"});
    EXPECT_EQ(decode(grids.done(), with), (Texts{"0 450 250,379,250,117"}));
  }
  // Softmax over 0 and −20 is 1.
  EXPECT_EQ(decode(grids.done()), (Texts{"0 900 250,379,250,117"}));
}

TEST(YoloAnchors, Version4And7HaveAnchorsOfTheirOwn) {
  Grids grids(Order::channels_first);
  grids.fine.set(0, 0, 0, {0, 0, 0, 0, logit(.9f), 20, -20});  // 12×16 at 4,4
  EXPECT_EQ(decode(grids.done(), {{"version", "4"}, {"classes", "2"}}), (Texts{"0 900 -31,-63,188,250"}));
  EXPECT_EQ(decode(grids.done(), {{"version", "7"}, {"classes", "2"}}), (Texts{"0 900 -31,-63,188,250"}));
}

TEST(YoloAnchors, Version2HasOneGridAndFiveAnchorsInCells) {
  Grid grid(5, 2, 2, 7, Order::channels_first);
  grid.set(1, 1, 0, {0, 0, 0, 0, logit(.9f), 20, -20});
  const test::Settings settings = {{"version", "2"}, {"anchors", "<1,1,1,2,1,1,1,1,1,1>"}};
  // Centre 0.5,1.5 cells of 32 pixels, size 1×2 cells.
  EXPECT_EQ(decode({grid.done()}, settings), (Texts{"0 900 0,250,500,1000"}));
  // The same in pixels.
  EXPECT_EQ(decode({grid.done()}, {{"version", "2"}, {"anchors", "<32,32,32,64,32,32,32,32,32,32>"}}),
            (Texts{"0 900 0,250,500,1000"}));
  EXPECT_EQ(decode({grid.done()}, {{"version", "2"}}).size(), 1u);  // those of COCO
}

TEST(YoloAnchors, AFlatListNeedsTheNumberOfCells) {
  Grid grid(5, 2, 2, 7, Order::channels_first);
  grid.set(1, 1, 0, {0, 0, 0, 0, logit(.9f), 20, -20});
  const Tensor flat = tensor<float>({1, 5 * 2 * 2 * 7}, grid.values);
  EXPECT_EQ(
      decode(
          {flat},
          {{"version", "2"}, {"classes", "2"}, {"cells-number", "2"}, {"anchors", "<1,1,1,2,1,1,1,1,1,1>"}}),
      (Texts{"0 900 0,250,500,1000"}));
  const Texts error = decode({flat}, {{"version", "2"}, {"classes", "2"}});
  EXPECT_NE(error[0].find("cells-number"), std::string::npos) << error[0];
}

TEST(YoloAnchors, MasksDealOutTheAnchors) {
  Grid fine(1, 4, 4, 7, Order::boxes_first), coarse(1, 2, 2, 7, Order::boxes_first);
  fine.set(0, 0, 0, {0, 0, 0, 0, logit(.9f), 20, -20});
  coarse.set(0, 1, 1, {0, 0, 0, 0, logit(.8f), 20, -20});
  // Smallest grid first: it gets anchor 2, the other anchor 0.
  EXPECT_EQ(decode({fine.done(), coarse.done()},
                   {{"version", "3"}, {"anchors", "<8,8,1,1,32,32>"}, {"masks", "<2,0>"}}),
            (Texts{"0 900 63,63,125,125", "0 800 500,500,500,500"}));
  EXPECT_NE(
      decode({fine.done(), coarse.done()}, {{"version", "3"}, {"anchors", "<8,8>"}, {"masks", "<2,0>"}})[0]
          .find("there is no anchor 2"),
      std::string::npos);
  EXPECT_NE(decode({fine.done(), coarse.done()}, {{"version", "3"}, {"anchors", "<8,8>"}})[0].find("anchors"),
            std::string::npos);
}

TEST(YoloAnchors, SuppressionRunsOverAllGridsTogether) {
  Grids grids(Order::boxes_first);
  // The same 16×30 box from two strides: centre 24,24 is the corner of a cell of both.
  grids.fine.set(1, 2, 2, {20, 20, 0, 0, logit(.9f), 20, -20});
  grids.middle.set(0, 1, 1, {0, 0, std::log(16.f / 30), std::log(30.f / 61), logit(.8f), 20, -20});
  EXPECT_EQ(decode(grids.done(), {{"version", "3"}}), (Texts{"0 900 250,141,250,469"}));
  EXPECT_EQ(decode(grids.done(), {{"version", "3"}, {"nms", "false"}}).size(), 2u);
}

TEST(YoloAnchors, ActivationsMayBeDoneAlready) {
  Grids grids(Order::channels_last);
  for (Grid* grid : {&grids.fine, &grids.middle, &grids.coarse}) std::ranges::fill(grid->values, 0.f);
  grids.fine.set(1, 3, 2, {.5f, .5f, 0, 0, .9f, .8f, .1f});
  EXPECT_EQ(decode(grids.done(),
                   {{"version", "3"}, {"output-sigmoid-activation", "false"}, {"do-cls-softmax", "false"}}),
            (Texts{"0 720 188,203,250,469"}));
}

TEST(YoloAnchors, DecodedRowsArePixels) {
  std::vector<float> rows(252 * 7, 0.f);  // 3 · 84 of a 64×64 input
  const std::vector<float> row = {32, 16, 32, 16, .9f, .1f, 1};
  std::ranges::copy(row, rows.begin() + 100 * 7);
  EXPECT_EQ(decode({tensor<float>({1, 252, 7}, rows)}), (Texts{"1 900 250,125,500,250"}));
  // Raw grids beside them, as older exporters leave them, do not disturb.
  Grids grids(Order::boxes_first);
  EXPECT_EQ(
      decode({tensor<float>({1, 252, 7}, rows), grids.fine.done(), grids.middle.done(), grids.coarse.done()}),
      (Texts{"1 900 250,125,500,250"}));
}

TEST(YoloAnchors, KeypointsStandBetweenObjectnessAndClasses) {
  std::vector<float> rows(252 * 11, 0.f);
  // Two points and two classes.
  const std::vector<float> row = {32, 16, 32, 16, .9f, 16, 8, 48, 24, .1f, 1};
  std::ranges::copy(row, rows.begin() + 100 * 11);
  const auto decoded = test::decode("tensor_postproc_yolo", {tensor<float>({1, 252, 11}, rows)},
                                    {{"keypoints", "2"}, {"head", "anchor"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_EQ(test::text_of(decoded.frame.regions[0]), "1 900 250,125,500,250");
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "250,125,900 750,375,900");
}

TEST(YoloAnchors, KeypointsOfRawGridsAreSharesOfTheAnchor) {
  Grid grid(1, 2, 2, 9, Order::boxes_first);
  grid.set(0, 1, 0, {0, 0, 0, 0, logit(.9f), .5f, .25f, 20, -20});
  const auto decoded = test::decode("tensor_postproc_yolo", {grid.done()},
                                    {{"version", "5"}, {"keypoints", "1"}, {"anchors", "<32,16>"}});
  ASSERT_EQ(decoded.frame.regions.size(), 1u) << decoded.error;
  EXPECT_EQ(test::points_of(decoded.frame.regions[0], "keypoints"), "250,563,900");
}

TEST(YoloAnchors, OnlyTheOwnSampleOfABatchIsRead) {
  Grid one(3, 2, 2, 7, Order::boxes_first), two = one;
  one.set(0, 0, 0, {0, 0, 0, 0, logit(.9f), 20, -20});
  two.set(0, 1, 1, {0, 0, 0, 0, logit(.8f), 20, -20});
  const Tensor both = test::batch_of<float>({1, 3, 2, 2, 7}, one.values, two.values);
  const test::Settings settings = {{"version", "3"}, {"anchors", "<32,32,32,32,32,32>"}};
  EXPECT_EQ(decode({both}, settings, 0), (Texts{"0 900 0,0,500,500"}));
  EXPECT_EQ(decode({both}, settings, 1), (Texts{"0 800 500,500,500,500"}));
}

TEST(YoloAnchors, WhatIsNotANumberIsLeftOut) {
  const float nan = std::nanf(""), inf = INFINITY;
  Grid grid(3, 2, 2, 7, Order::boxes_first);
  grid.set(0, 0, 0, {nan, 0, 0, 0, 20, 20, -20});
  grid.set(1, 0, 0, {0, 0, inf, 0, 20, 20, -20});
  grid.set(2, 0, 0, {0, 0, 0, 0, nan, 20, -20});
  grid.set(0, 1, 0, {0, 0, 0, 1e30f, 20, 20, -20});
  grid.set(1, 1, 0, {0, 0, 0, 0, 20, nan, nan});
  EXPECT_EQ(decode({grid.done()}, {{"version", "3"}, {"anchors", "<32,32,32,32,32,32>"}}), Texts{});
}

TEST(YoloAnchors, GridsThatDoNotFitAreNamed) {
  const Tensor out = tensor<float>({1, 20, 2, 2}, std::vector<float>(80));
  const Texts error = decode({out}, {{"version", "3"}, {"anchors", "<1,1,1,1,1,1>"}});
  EXPECT_NE(error[0].find("1x20x2x2"), std::string::npos) << error[0];
  EXPECT_NE(error[0].find("bbox-number-on-cell"), std::string::npos) << error[0];
}

TEST(YoloAnchors, AnotherSizeInMidStreamIsFollowed) {
  auto element = test::make<TransformInplace>("tensor_postproc_yolo",
                                              {{"version", "2"}, {"anchors", "<1,1,1,2,1,1,1,1,1,1>"}});
  for (const int side : {2, 4, 2}) {
    Grid grid(5, side, side, 7, Order::channels_first);
    grid.set(1, 1, 0, {0, 0, 0, 0, logit(.9f), 20, -20});
    Frame frame = test::frame_of({grid.done()});
    ASSERT_TRUE(test::run(*element, frame));
    ASSERT_EQ(frame.regions.size(), 1u);
    EXPECT_FLOAT_EQ(frame.regions[0].box.w, 1.f / float(side));
  }
}

}  // namespace
}  // namespace sightglass
