#include "sightglass/elements/detection/object_details.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sightglass/elements/detection/decoder_test_support.h"

namespace sightglass {
namespace {

std::vector<int64_t> numbers(const CellRange& range) { return {range.x0, range.y0, range.x1, range.y1}; }

TEST(Prototypes, ABoxTouchesTheCellsThatItLiesOn) {
  const Prototypes grid{{}, 1, 10, 20};  // 10 rows, 20 columns
  EXPECT_EQ(numbers(grid.cells({.1f, .1f, .2f, .4f})), (std::vector<int64_t>{2, 1, 6, 5}));
  EXPECT_EQ(numbers(grid.cells({.12f, .11f, .01f, .01f})), (std::vector<int64_t>{2, 1, 3, 2}));
  EXPECT_EQ(numbers(grid.cells({-1, -1, 3, 3})), (std::vector<int64_t>{0, 0, 20, 10}));
  for (const Box& outside : {Box{2, 0, 1, 1}, Box{-2, 0, 1, 1}, Box{0, 1e30f, 1, 1}, Box{NAN, 0, .1f, NAN}})
    EXPECT_EQ(grid.cells(outside).width() * grid.cells(outside).height(), 0);
  EXPECT_EQ(grid.covers({2, 1, 6, 5}), (Box{.1f, .1f, .2f, .4f}));
}

TEST(MaskMemory, MasksOfAFrameShareABlockAndKeepIt) {
  MaskMemory memory;
  ASSERT_TRUE(memory.begin(6));
  const auto first = memory.take(1, 2), second = memory.take(2, 2);
  std::ranges::fill(first.at, 1.f);
  std::ranges::fill(second.at, 2.f);
  EXPECT_EQ(first.tensor.memory, second.tensor.memory);
  // The next frame gets another block while these are held.
  ASSERT_TRUE(memory.begin(6));
  std::ranges::fill(memory.take(2, 3).at, 9.f);
  EXPECT_EQ(test::values_of<float>(first.tensor), (std::vector<float>{1, 1}));
  EXPECT_EQ(test::values_of<float>(second.tensor), (std::vector<float>{2, 2, 2, 2}));
  EXPECT_EQ(second.tensor.shape, (Shape{2, 2}));
  // Larger frames and empty ones are welcome.
  ASSERT_TRUE(memory.begin(0));
  ASSERT_TRUE(memory.begin(100'000));
  std::ranges::fill(memory.take(100, 1000).at, 0.f);
}

TEST(AddKeypoints, WhatIsNoNumberCountsAsNotFound) {
  Region region;
  add_keypoints(region, Label("landmarks"), {.5f, .25f, .9f, NAN, .5f, .8f, .1f, .2f, NAN}, face_legend(5));
  EXPECT_EQ(test::points_of(region, "landmarks"), "500,250,900 -1000,-1000,0 100,200,0");
  EXPECT_EQ(region.attributes->find("landmarks")->legend->names.size(), 5u);
  EXPECT_FALSE(face_legend(4));
}

}  // namespace
}  // namespace sightglass
