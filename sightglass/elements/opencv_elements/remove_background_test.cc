#include <gmock/gmock.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

Frame white(PixelFormat format = PixelFormat::bgr) {
  Frame frame = test::picture(format, 40, 20, 4);
  test::fill(frame, [](int, int, int) { return 200; });
  return frame;
}

Attribute mask(std::vector<float> cells, int64_t width, std::vector<float> place = {}) {
  const int64_t height = int64_t(cells.size()) / width;
  return {.name = Label("mask"),
          .kind = AttributeKind::mask,
          .values = std::move(place),
          .tensor = test::tensor<float>({height, width}, cells)};
}

std::string run(Frame& frame, const test::Settings& settings = {},
                std::vector<std::string>* warnings = nullptr) {
  auto element = test::make<TransformInplace>("opencv_remove_background", settings);
  auto done = element->process(frame);
  if (warnings) *warnings = element->take_warnings();
  return done ? "" : done.error().message;
}

int at(const Frame& frame, int x, int y) {
  auto mapping = map(frame.tensors[0], Access::read).value();
  return mapping.row<uint8_t>(y)[x * plane_layout(frame.video->format, 0).pixel_bytes];
}

TEST(RemoveBackground, ClearsWhatTheRegionsMaskLeavesOut) {
  for (const PixelFormat format :
       {PixelFormat::bgr, PixelFormat::rgb, PixelFormat::bgrx, PixelFormat::rgba}) {
    Frame frame = white(format);
    frame.crop = Crop{10, 0, 20, 20};
    frame.regions = {{.id = 3, .box = {0.25f, 0, 0.5f, 1}}};
    frame.regions[0].attributes = with(nullptr, mask({1, 0}, 2, {0.25f, 0, 0.5f, 1}));
    ASSERT_EQ(run(frame), "");
    EXPECT_EQ(at(frame, 12, 10), 200) << "inside";
    EXPECT_EQ(at(frame, 28, 10), 0) << "outside of the mask";
    EXPECT_EQ(at(frame, 5, 10), 200) << "outside of the crop is none of ours";
    EXPECT_EQ(at(frame, 35, 10), 200);
  }
}

TEST(RemoveBackground, ClearsWhereTheMaskDoesNotReach) {
  Frame frame = white();
  frame.regions = {{.box = {0, 0, 1, 1}}};
  frame.regions[0].attributes = with(nullptr, mask({1, 1}, 2, {0.5f, 0.5f, 0.25f, 0.25f}));
  ASSERT_EQ(run(frame), "");
  EXPECT_EQ(at(frame, 22, 12), 200);
  EXPECT_EQ(at(frame, 2, 2), 0);
  EXPECT_EQ(at(frame, 35, 12), 0);
}

TEST(RemoveBackground, KeepsScoresEqualToTheThreshold) {
  Frame frame = white();
  frame.regions = {{.box = {0, 0, 1, 1}}};
  frame.regions[0].attributes = with(nullptr, mask({0.75f}, 1));
  ASSERT_EQ(run(frame, {{"threshold", "0.75"}}), "");
  EXPECT_EQ(at(frame, 20, 10), 200);
  ASSERT_EQ(run(frame, {{"threshold", "0.76"}}), "");
  EXPECT_EQ(at(frame, 20, 10), 0);
}

TEST(RemoveBackground, OfAWholeFrameKeepsEveryObject) {
  Frame frame = white();
  frame.regions = {{.id = 0}, {.id = 1}};
  frame.regions[0].attributes = with(nullptr, mask({1}, 1, {0, 0, 0.25f, 1}));
  frame.regions[1].attributes = with(nullptr, mask({1}, 1, {0.75f, 0, 0.25f, 1}));
  ASSERT_EQ(run(frame), "");
  EXPECT_EQ(at(frame, 2, 10), 200);
  EXPECT_EQ(at(frame, 38, 10), 200);
  EXPECT_EQ(at(frame, 20, 10), 0);
}

TEST(RemoveBackground, OfALabelMapKeepsWhatIsNotBackground) {
  Frame frame = white();
  auto legend = make_ref<Legend>();
  legend->names = {"background", "person"};
  Attribute ids{.name = Label("mask"),
                .kind = AttributeKind::mask,
                .tensor = test::tensor<uint8_t>({1, 4}, {0, 1, 255, 1})};
  ids.legend = Ref<const Legend>(legend.get());
  frame.attributes = with(nullptr, ids);
  ASSERT_EQ(run(frame), "");
  EXPECT_EQ(at(frame, 5, 10), 0);
  EXPECT_EQ(at(frame, 15, 10), 200);
  EXPECT_EQ(at(frame, 25, 10), 0);
  EXPECT_EQ(at(frame, 35, 10), 200);
}

TEST(RemoveBackground, WithoutAMaskLeavesThePictureAndWarnsOnce) {
  auto element = test::make<TransformInplace>("opencv_remove_background");
  Frame frame = white();
  frame.regions = {{.box = {0, 0, 1, 1}}};
  EXPECT_TRUE(element->process(frame));
  EXPECT_TRUE(element->process(frame));
  EXPECT_EQ(at(frame, 20, 10), 200);
  EXPECT_THAT(element->take_warnings(), testing::ElementsAre(testing::HasSubstr("no mask called mask")));
}

TEST(RemoveBackground, FailsForDamagedMasksAndIgnoresImpossiblePlaces) {
  Frame frame = white();
  frame.regions = {{.box = {0, 0, 1, 1}}};
  Attribute damaged = mask({1, 1}, 2);
  damaged.tensor.type = DataType::i16;
  frame.regions[0].attributes = with(nullptr, damaged);
  EXPECT_THAT(run(frame), testing::HasSubstr("mask"));
  frame.regions[0].attributes = with(nullptr, mask({1, 1}, 2, {0, 0, std::nanf(""), 1}));
  EXPECT_EQ(run(frame), "");
  EXPECT_EQ(at(frame, 20, 10), 0);
}

}  // namespace
}  // namespace sightglass
