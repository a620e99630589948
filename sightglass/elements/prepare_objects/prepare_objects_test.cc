#include "sightglass/elements/prepare_objects/prepare_objects.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sightglass/core/allocation_count.h"
#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

// A picture whose values rise to the right and downwards, with one region.
Frame gradient(PixelFormat format, int width = 200, int height = 100) {
  Frame frame = test::picture(format, width, height, 16);
  test::fill(frame, [&](int plane, int y, int x) {
    const PlaneLayout layout = plane_layout(format, size_t(plane));
    return ((x / layout.pixel_bytes) << layout.shift_x) + (y << layout.shift_y) / 4 + plane;
  });
  frame.source = SourceId{.roi = 0, .object = 3, .last_roi = true};
  return frame;
}

Attribute keypoints(std::vector<float> values) {
  return {.name = Label("landmarks"), .kind = AttributeKind::keypoints, .values = std::move(values)};
}

test::Collected prepared(const Frame& frame, const char* functions) {
  auto element = test::make<Transform>("prepare_objects", {{"functions", functions}});
  const Format in = test::format_of_picture(frame);
  const auto specs =
      element->transform_format(Direction::input, {VideoSpec{.formats = {frame.video->format}}});
  EXPECT_EQ(specs.size(), 1u);
  Format out = in;
  auto& video = std::get<VideoInfo>(out.media);
  video.width = std::get<VideoSpec>(specs[0].media).width.min;
  video.height = std::get<VideoSpec>(specs[0].media).height.min;
  EXPECT_TRUE(element->configure(in, out));
  test::Collected collected(out);
  EXPECT_TRUE(element->process(frame, collected));
  return collected;
}

class PrepareFormats : public testing::TestWithParam<PixelFormat> {};
INSTANTIATE_TEST_SUITE_P(Prepare, PrepareFormats, testing::ValuesIn(all_8_bit_formats()),
                         [](const auto& format) { return std::string(to_string(format.param)); });

// Corners that are a rectangle: the plate is a plain crop, of every plane.
TEST_P(PrepareFormats, AnUprightPlateIsACrop) {
  Frame frame = gradient(GetParam());
  frame.regions.push_back({.id = 0, .box = {0.1f, 0.1f, 0.5f, 0.5f}});
  frame.regions[0].attributes =
      with(nullptr, keypoints({0.2f, 0.2f, 1, 0.6f, 0.2f, 1, 0.6f, 0.6f, 1, 0.2f, 0.6f, 1}));
  const auto out = prepared(frame, R"([{"warp_plate": {"size": [80, 40]}}])");
  ASSERT_FALSE(out.is_gap(0));
  const Frame& made = out.frame(0);
  EXPECT_EQ(made.video->width, 80);
  EXPECT_TRUE(made.regions.empty());
  EXPECT_EQ(made.source, frame.source);
  for (size_t p = 0; p < made.tensors.size(); ++p) {
    const PlaneLayout layout = plane_layout(GetParam(), p);
    auto from = map(frame.tensors[p], Access::read).value(), to = map(made.tensors[p], Access::read).value();
    for (int y : {0, 5, (40 >> layout.shift_y) - 1})
      for (int x : {0, 7, ((80 >> layout.shift_x) - 1) * layout.pixel_bytes})
        EXPECT_EQ(
            to.row<uint8_t>(y)[x],
            from.row<uint8_t>(y + (20 >> layout.shift_y))[x + (40 >> layout.shift_x) * layout.pixel_bytes])
            << p << ": " << x << ", " << y;
  }
  const Box box = apply(*made.affine, {0, 0, 1, 1});
  EXPECT_NEAR(box.x, 0.2f, 1e-6);
  EXPECT_NEAR(box.w, 0.4f, 1e-6);
  EXPECT_NEAR(box.h, 0.4f, 1e-6);
}

TEST(PrepareObjects, AFaceIsTurnedUprightAndLeadsBack) {
  Frame frame = gradient(PixelFormat::gray8, 400, 400);
  frame.regions.push_back({.id = 0, .box = {0.25f, 0.25f, 0.5f, 0.5f}});
  // The template of 112, turned by 90 degrees and placed at (100, 100): x → 100 + (112 - y), y → 100 + x.
  const double t[5][2] = {
      {38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}};
  std::vector<float> points;
  for (const auto& [x, y] : t) {
    points.push_back(float((100 + 112 - y) / 400));
    points.push_back(float((100 + x) / 400));
    points.push_back(1);
  }
  frame.regions[0].attributes = with(nullptr, keypoints(points));
  const auto out = prepared(frame, "align_face_5pt");
  ASSERT_FALSE(out.is_gap(0));
  const Frame& made = out.frame(0);
  EXPECT_EQ(made.video->width, 112);
  const double* m = made.affine->m;
  EXPECT_NEAR(m[0] * 0 + m[1] * 0 + m[2], 212.0 / 400, 1e-4);  // the corner of the crop
  EXPECT_NEAR(m[3] * 1 + m[5], 212.0 / 400, 1e-4);
  auto from = map(frame.tensors[0], Access::read).value(), to = map(made.tensors[0], Access::read).value();
  EXPECT_EQ(to.row<uint8_t>(10)[20], from.row<uint8_t>(120)[201]);  // (20.5, 10.5) is (201.5, 120.5)
}

TEST(PrepareObjects, ALetterboxKeepsTheAspectOfTheCrop) {
  Frame frame = gradient(PixelFormat::rgb);
  frame.crop = Crop{20, 10, 100, 50};
  const auto out = prepared(frame, R"({"letterbox": {"size": [50, 50], "pad_value": 7}})");
  const Frame& made = out.frame(0);
  auto to = map(made.tensors[0], Access::read).value();
  EXPECT_EQ(to.row<uint8_t>(0)[0], 7);
  EXPECT_EQ(to.row<uint8_t>(11)[0], 7);  // 25 rows in the middle, from 12.5 on
  EXPECT_NE(to.row<uint8_t>(13)[0], 7);
  EXPECT_NE(to.row<uint8_t>(37)[0], 7);
  EXPECT_EQ(to.row<uint8_t>(38)[0], 7);  // though the picture goes on below the crop
  const Box box = apply(*made.affine, {0, 0.25f, 1, 0.5f});
  EXPECT_NEAR(box.x, 0.1f, 1e-6);
  EXPECT_NEAR(box.y, 0.1f, 1e-6);
  EXPECT_NEAR(box.w, 0.5f, 1e-6);
  EXPECT_NEAR(box.h, 0.5f, 1e-6);
}

TEST(PrepareObjects, WithoutLandmarksThereIsAGap) {
  Frame frame = gradient(PixelFormat::i420);
  frame.regions.push_back({.id = 0, .box = {0.25f, 0.25f, 0.5f, 0.5f}});
  auto out = prepared(frame, "align_face_5pt");
  ASSERT_TRUE(out.is_gap(0));
  EXPECT_EQ(out.gap_at(0).source, frame.source);
  // One that was not found, numbers that are none, points that fall together, corners the wrong way round.
  for (const auto& points :
       std::vector<std::vector<float>>{{.1f, .1f, 1, .2f, .1f, 1, -1, -1, 0, .1f, .2f, 1, .2f, .2f, 1},
                                       {.1f, .1f, 1, .2f, .1f, 1, NAN, .1f, 1, .1f, .2f, 1, .2f, .2f, 1},
                                       {.1f, .1f, 1, .1f, .1f, 1, .1f, .1f, 1, .1f, .1f, 1, .1f, .1f, 1}}) {
    frame.regions[0].attributes = with(nullptr, keypoints(points));
    EXPECT_TRUE(prepared(frame, "align_face_5pt").is_gap(0));
  }
  frame.regions[0].attributes =
      with(nullptr, keypoints({.2f, .2f, 1, .2f, .6f, 1, .6f, .6f, 1, .6f, .2f, 1}));
  EXPECT_TRUE(prepared(frame, "warp_plate").is_gap(0));
}

TEST(PrepareObjects, RefusesWhatItCannotDo) {
  for (const char* functions : {"", "nms", "letterbox", R"(["align_face_5pt", "warp_plate"])",
                                R"([{"align_face_5pt": {"size": [112]}}])"})
    EXPECT_THROW(test::make<Transform>("prepare_objects", {{"functions", functions}}), std::runtime_error)
        << functions;
  auto element = test::make<Transform>("prepare_objects", {{"functions", "align_face_5pt"}});
  EXPECT_TRUE(
      element->transform_format(Direction::input, {VideoSpec{.formats = {PixelFormat::p010}}}).empty());
  EXPECT_FALSE(element->configure(test::format_of_picture(gradient(PixelFormat::rgb)),
                                  test::format_of_picture(gradient(PixelFormat::rgb))));
}

}  // namespace
}  // namespace sightglass
