#include "sightglass/flow/formats.h"

#include <gtest/gtest.h>

namespace sightglass::flow {
namespace {

FormatSpec video(std::vector<PixelFormat> formats, IntRange width = {}, IntRange height = {}) {
  return {VideoSpec{std::move(formats), width, height}, MemoryKind::system};
}
FormatSpec tensor(std::vector<DataType> types, Shape shape, Layout layout = Layout::any) {
  return {TensorsSpec{{{std::move(types), shape, layout, {}, {}}}, {}}, MemoryKind::system};
}
const Format nv12{
    .media = VideoInfo{.format = PixelFormat::nv12, .width = 64, .height = 48, .frame_rate = {25, 1}}};

TEST(Formats, WhatBothCanIsLeftInTheOrderOfTheFirst) {
  const auto both = intersect(video({PixelFormat::bgr, PixelFormat::nv12}, {1, 100}),
                              video({PixelFormat::nv12, PixelFormat::i420, PixelFormat::bgr}, {50, 200}));
  ASSERT_TRUE(both);
  const auto& set = std::get<VideoSpec>(both->media);
  EXPECT_EQ(set.formats, (std::vector{PixelFormat::bgr, PixelFormat::nv12}));
  EXPECT_EQ(set.width, (IntRange{50, 100}));
  EXPECT_FALSE(intersect(video({PixelFormat::bgr}), video({PixelFormat::rgb})));
  EXPECT_FALSE(intersect(video({}, {1, 9}), video({}, {10, 20})));
}

TEST(Formats, AnythingGoesThroughAnyInWhateverMemory) {
  Format cuda = nv12;
  cuda.memory = MemoryKind::cuda;
  EXPECT_TRUE(contains(FormatSpec{AnySpec{}}, cuda));
  EXPECT_TRUE(contains(FormatSpec{AnySpec{}}, Format{}));
  EXPECT_FALSE(contains(video({}), cuda));
  EXPECT_FALSE(contains(video({}), Format{}));
  EXPECT_TRUE(contains(video({}), nv12));
}

TEST(Formats, OpenAxesOfTensorsAreFilledIn) {
  const auto both = intersect(tensor({DataType::f32, DataType::u8}, {1, 3, -1, -1}, Layout::nchw),
                              tensor({DataType::u8}, {1, 3, 64, 96}));
  ASSERT_TRUE(both);
  const auto fixed = fixate(*both, nv12);
  ASSERT_TRUE(fixed);
  EXPECT_EQ(fixed->tensors()->tensors.at(0).shape, (Shape{1, 3, 64, 96}));
  EXPECT_EQ(fixed->tensors()->tensors.at(0).type, DataType::u8);
  EXPECT_EQ(fixed->tensors()->tensors.at(0).layout, Layout::nchw);
  EXPECT_FALSE(intersect(tensor({}, {1, 3}), tensor({}, {3})));
  EXPECT_FALSE(intersect(tensor({}, {}, Layout::nchw), tensor({}, {}, Layout::nhwc)));
  EXPECT_FALSE(intersect(tensor({}, {}), video({})));
}

TEST(Formats, AFormatIsChosenAsNearAsPossibleToTheOneBefore) {
  const auto kept = fixate(video({PixelFormat::bgr, PixelFormat::nv12}), nv12);
  ASSERT_TRUE(kept);
  EXPECT_EQ(*kept->video(), *nv12.video());
  const auto scaled = fixate(video({PixelFormat::bgr}, IntRange::exactly(32), {1, 20}), nv12);
  ASSERT_TRUE(scaled);
  EXPECT_EQ(scaled->video()->format, PixelFormat::bgr);
  EXPECT_EQ(scaled->video()->width, 32);
  EXPECT_EQ(scaled->video()->height, 20);
  EXPECT_EQ(scaled->video()->frame_rate, (Fraction{25, 1}));
  EXPECT_FALSE(fixate(tensor({DataType::u8}, {-1, 3}), nv12));
  EXPECT_FALSE(fixate(tensor({}, {3}), nv12));
}

TEST(Formats, SetsReadWellInMessages) {
  EXPECT_EQ(to_string(FormatSpecs{video({PixelFormat::bgr, PixelFormat::nv12}, IntRange::exactly(640)),
                                  tensor({DataType::f32}, {1, 3, 4})}),
            "BGR|NV12 640xany or float32 1x3x4");
  EXPECT_EQ(to_string(FormatSpecs{}), "nothing");
}

}  // namespace
}  // namespace sightglass::flow
