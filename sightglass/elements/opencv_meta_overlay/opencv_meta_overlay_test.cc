#include "sightglass/elements/opencv_meta_overlay/opencv_meta_overlay.h"

#include <cstdlib>

#include "sightglass/core/allocation_count.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/element_test_support.h"
#include "sightglass/elements/opencv_meta_overlay/test_picture.h"
#include "sightglass/memory/context.h"

namespace sightglass {
namespace {

using Values = std::initializer_list<std::pair<const char*, const char*>>;
constexpr Color ground{64, 64, 64}, first_color{255, 56, 56}, second_color{26, 188, 96};

class Overlay {
 public:
  explicit Overlay(Values values = {}) : params_(find_element("opencv_meta_overlay")->params) {
    for (const auto& [name, text] : values) EXPECT_TRUE(params_.set_text(name, text)) << name;
    element_ = std::move(*params_table().create(params_));
    EXPECT_TRUE(element_->start());
  }
  void draw(TestPicture& picture) {
    const auto verdict = static_cast<TransformInplace&>(*element_).process(picture.frame);
    EXPECT_TRUE(verdict && *verdict == Verdict::pass);
    picture.expect_padding_intact();
  }
  Element& element() { return *element_; }
  void change(const char* name, const char* text) {
    EXPECT_TRUE(params_.set_text(name, text));
    element_->update(params_);
  }

 private:
  static const ElementDesc& params_table() { return *find_element("opencv_meta_overlay"); }
  ParamSet params_;
  std::unique_ptr<Element> element_;
};

Region region(float x, float y, float w, float h, int64_t track = 1, const char* label = "person") {
  Region region;
  region.box = {x, y, w, h};
  region.track = track;
  region.label = Label(label);
  return region;
}

// The share of pixels in an area that are nearly of the colour.
double share(const TestPicture& picture, Rect area, Color color) {
  int count = 0;
  for (int y = area.y; y < area.bottom(); ++y)
    for (int x = area.x; x < area.right(); ++x) {
      const Color at = picture.at(x, y);
      count +=
          std::abs(at.r - color.r) < 12 && std::abs(at.g - color.g) < 12 && std::abs(at.b - color.b) < 12;
    }
  return double(count) / (area.w * area.h);
}

class OverlayFormats : public testing::TestWithParam<PixelFormat> {};
INSTANTIATE_TEST_SUITE_P(Overlay, OverlayFormats, testing::ValuesIn(all_8_bit_formats()),
                         [](const auto& format) { return std::string(to_string(format.param)); });

TEST_P(OverlayFormats, DrawsABoxAndABarAboveIt) {
  TestPicture picture(GetParam(), 640, 480);
  picture.frame.regions = {region(0.25f, 0.25f, 0.25f, 0.5f)};  // 160..320, 120..360
  Overlay().draw(picture);
  const Color color = GetParam() == PixelFormat::gray8 ? picture.at(160, 200) : first_color;
  expect_near(picture.at(160, 200), color);
  expect_near(picture.at(320, 200), color);
  expect_near(picture.at(240, 360), color);
  expect_near(picture.at(240, 240), ground);
  const Rect bar{160, 106, 60, 12};
  EXPECT_GT(share(picture, bar, color), 0.5);
  EXPECT_LT(share(picture, bar, color), 0.95);  // the text
  expect_near(picture.at(400, 112), ground);
}

TEST(MetaOverlay, AFrameWithoutResultsIsNotTouched) {
  TestPicture picture(PixelFormat::i420, 64, 48);
  Overlay().draw(picture);
  EXPECT_TRUE(picture.untouched());
}

TEST(MetaOverlay, ColorsFollowTheTrackElseTheClass) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  picture.frame.regions = {region(0.1f, 0.5f, 0.1f, 0.1f, 2), region(0.3f, 0.5f, 0.1f, 0.1f, 0),
                           region(0.5f, 0.5f, 0.1f, 0.1f, 0), region(0.7f, 0.5f, 0.1f, 0.1f, 22)};
  picture.frame.regions[1].label_id = 1;
  Overlay().draw(picture);
  expect_near(picture.at(64, 260), second_color);
  expect_near(picture.at(192, 260), second_color);
  EXPECT_FALSE(picture.at(320, 260) == ground);
  expect_near(picture.at(448, 260), second_color);  // the palette begins anew
  TestPicture all_red(PixelFormat::rgb, 640, 480);
  all_red.frame.regions = picture.frame.regions;
  Overlay({{"color-idx", "0"}}).draw(all_red);
  expect_near(all_red.at(64, 260), first_color);
}

TEST(MetaOverlay, LinesGrowWithThePictureUnlessSet) {
  const auto thickness = [](int height, Values values) {
    TestPicture picture(PixelFormat::gray8, 200, height);
    picture.frame.regions = {region(0.5f, 0.25f, 0.3f, 0.5f, 1, "")};
    picture.frame.regions[0].track = 0;
    Overlay(values).draw(picture);
    int count = 0;
    for (int x = 80; x < 130; ++x) count += !(picture.at(x, height / 2) == ground);
    return count;
  };
  EXPECT_EQ(thickness(200, {}), 1);
  EXPECT_EQ(thickness(576, {}), 2);
  EXPECT_EQ(thickness(1080, {}), 3);
  EXPECT_EQ(thickness(2160, {}), 6);
  EXPECT_EQ(thickness(2160, {{"lines-thickness", "2"}}), 2);
  EXPECT_EQ(thickness(200, {{"lines-thickness", "2"}, {"displ-cfg", "thickness=5"}}), 5);
}

TEST(MetaOverlay, TextStaysInsideThePicture) {
  for (const auto& [x, y] : {std::pair(-0.1f, -0.1f), {0.95f, -0.1f}, {-0.1f, 0.95f}, {0.95f, 0.95f}}) {
    TestPicture picture(PixelFormat::rgb, 640, 480);
    picture.frame.regions = {region(x, y, 0.2f, 0.2f)};
    Overlay().draw(picture);
    const Rect corner{x < 0 ? 0 : 540, y < 0 ? 0 : 400, 100, 80};
    EXPECT_GT(share(picture, corner, {255, 255, 255}), 0.002) << x << ' ' << y;
  }
}

TEST(MetaOverlay, LabelsMakeRoomForEachOther) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  picture.frame.regions = {region(0.3f, 0.4f, 0.2f, 0.2f, 1), region(0.31f, 0.4f, 0.2f, 0.2f, 2)};
  Overlay().draw(picture);
  EXPECT_GT(share(picture, {194, 178, 40, 10}, first_color), 0.5);   // above
  EXPECT_GT(share(picture, {210, 196, 40, 10}, second_color), 0.5);  // inside
}

TEST(MetaOverlay, ALabelStepsAsideWhereAllOfItsPlacesAreTaken) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  picture.frame.regions = {region(0, 0, 0.01f, 0.01f, 1, "a"), region(0, 0, 0.01f, 0.01f, 2, "b")};
  Overlay().draw(picture);
  EXPECT_GT(share(picture, {2, 2, 20, 10}, first_color), 0.4);
  EXPECT_GT(share(picture, {40, 2, 16, 10}, second_color), 0.4);
}

TEST(MetaOverlay, DrawsWhatItsClassAllows) {
  const auto is_drawn = [](const char* config) {
    TestPicture picture(PixelFormat::i420, 320, 240);
    picture.frame.regions = {region(0.2f, 0.2f, 0.5f, 0.5f)};
    Overlay({{"displ-cfg", config}}).draw(picture);
    return !picture.untouched();
  };
  EXPECT_TRUE(is_drawn("show-roi=person:car"));
  EXPECT_FALSE(is_drawn("show-roi=car"));
  EXPECT_FALSE(is_drawn("hide-roi=person"));
  EXPECT_TRUE(is_drawn("hide-roi=car"));
}

TEST(MetaOverlay, ShowLabelsAndTextBackgroundCanBeSwitchedWhileRunning) {
  Overlay overlay;
  const Rect bar{65, 80, 30, 14};
  TestPicture with(PixelFormat::rgb, 320, 240), without(PixelFormat::rgb, 320, 240),
      plain(PixelFormat::rgb, 320, 240);
  for (TestPicture* picture : {&with, &without, &plain})
    picture->frame.regions = {region(0.2f, 0.4f, 0.5f, 0.5f)};
  overlay.draw(with);
  EXPECT_GT(share(with, bar, first_color), 0.4);
  overlay.change("show-labels", "false");
  overlay.draw(without);
  EXPECT_EQ(share(without, bar, ground), 1);
  overlay.change("show-labels", "true");
  overlay.change("draw-txt-bg", "false");
  overlay.draw(plain);
  EXPECT_GT(share(plain, bar, ground), 0.3);
  EXPECT_LT(share(plain, bar, ground), 1);
}

TEST(MetaOverlay, BlursTheClassesThatAreAsked) {
  TestPicture picture(PixelFormat::i420, 128, 128);
  Canvas canvas = picture.canvas();
  for (int x = 0; x < 128; x += 2) canvas.fill({x, 0, 1, 128}, ink_of({250, 250, 250}, *picture.frame.video));
  picture.frame.regions = {region(0.1f, 0.1f, 0.3f, 0.3f, 0, "face"),
                           region(0.6f, 0.6f, 0.3f, 0.3f, 0, "hand")};
  Overlay({{"displ-cfg", "enable-blur=true,show-blur-roi=face,hide-roi=face:hand"}}).draw(picture);
  EXPECT_EQ(picture.sample(0, 30, 30), picture.sample(0, 31, 30));
  EXPECT_NE(picture.sample(0, 90, 90), picture.sample(0, 91, 90));
}

TEST(MetaOverlay, DrawsAttributesPointsAndContours) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  Region object = region(0.25f, 0.25f, 0.5f, 0.5f);
  object.attributes = with(
      {}, {.name = Label("joints"), .kind = AttributeKind::keypoints, .values = {0.5f, 0.5f, 1, -1, -1, 0}});
  object.attributes =
      with(object.attributes,
           {.name = Label("edge"), .kind = AttributeKind::contour, .values = {0.3f, 0.7f, 0.7f, 0.7f}});
  picture.frame.regions = {object};
  Overlay().draw(picture);
  expect_near(picture.at(320, 240), first_color);
  expect_near(picture.at(300, 336), first_color, 70);
  const double short_text = share(picture, {160, 100, 200, 18}, ground);

  TestPicture longer(PixelFormat::rgb, 640, 480);
  object.attributes =
      with({}, {.name = Label("mood"), .kind = AttributeKind::classification, .text = "glad"});
  object.attributes =
      with(object.attributes, {.name = Label("age"), .kind = AttributeKind::number, .number = 34.5});
  longer.frame.regions = {object};
  Overlay().draw(longer);
  EXPECT_LT(share(longer, {160, 100, 200, 18}, ground), short_text - 0.2);
}

TEST(MetaOverlay, DrawsOrientedBoxes) {
  TestPicture picture(PixelFormat::rgb, 400, 400);
  Region object = region(0.25f, 0.4f, 0.5f, 0.2f, 1, "");
  object.track = 0;
  object.angle = float(M_PI / 2);
  picture.frame.regions = {object};
  Overlay().draw(picture);
  expect_near(picture.at(160, 200), ground == picture.at(160, 200) ? first_color : picture.at(160, 200), 80);
  EXPECT_FALSE(picture.at(159, 200) == ground && picture.at(160, 200) == ground);
  expect_near(picture.at(110, 200), ground);
}

TEST(MetaOverlay, WritesFrameAttributesAndTheUsersText) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  picture.frame.attributes =
      with({}, {.name = Label("scene"), .kind = AttributeKind::classification, .text = "street"});
  Overlay({{"ff-custom-txt", "Gate"}}).draw(picture);
  EXPECT_GT(share(picture, {0, 8, 80, 20}, {255, 255, 255}), 0.005);
}

TEST(MetaOverlay, SurvivesNonsenseInPicturesOfAnySize) {
  for (const auto& [width, height] : {std::pair(1, 1), {2, 1}, {7, 5}, {3840, 2160}}) {
    for (const PixelFormat format : {PixelFormat::i420, PixelFormat::nv12, PixelFormat::bgr}) {
      TestPicture picture(format, width, height);
      for (const float x : {-1e30f, -1.0f, 0.0f, 0.5f, NAN, 1e30f})
        for (const float w : {-1.0f, 0.0f, 1e-9f, 0.5f, INFINITY, 1e30f}) {
          picture.frame.regions.push_back(
              region(x, 0.3f, w, 0.5f, 3, "a rather long label that goes on and on and on\xff"));
          picture.frame.regions.back().angle = w == 0.5f ? 1.0f : 0.0f;
        }
      Region points = region(0, 0, 1, 1);
      points.attributes =
          with({}, {.name = Label("k"), .kind = AttributeKind::keypoints, .values = {NAN, 1e30f, 1, 0.5f}});
      picture.frame.regions.push_back(points);
      Overlay({{"enable-blur", "true"}}).draw(picture);
    }
  }
}

TEST(MetaOverlay, APictureWithoutItsPlanesIsAnError) {
  TestPicture picture(PixelFormat::i420, 64, 64);
  picture.frame.regions = {region(0, 0, 1, 1)};
  picture.frame.tensors.pop_back();
  Overlay overlay;
  const auto verdict = static_cast<TransformInplace&>(overlay.element()).process(picture.frame);
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, ErrorCode::corrupt);
}

TEST(MetaOverlay, WithoutAFontItDrawsTheBoxesAndWarnsOnce) {
  ::setenv("SIGHTGLASS_FONT", "/nowhere.ttf", 1);
  Overlay overlay;
  ::unsetenv("SIGHTGLASS_FONT");
  EXPECT_EQ(overlay.element().take_warnings().size(), 1u);
  TestPicture picture(PixelFormat::rgb, 320, 240);
  picture.frame.regions = {region(0.2f, 0.4f, 0.5f, 0.5f)};
  overlay.draw(picture);
  expect_near(picture.at(64, 150), first_color);
  EXPECT_EQ(share(picture, {70, 80, 30, 14}, ground), 1);
  EXPECT_TRUE(overlay.element().take_warnings().empty());
}

TEST(MetaOverlay, WarnsOfUnknownKeys) {
  Overlay overlay({{"displ-cfg", "colour=red"}});
  const auto warnings = overlay.element().take_warnings();
  ASSERT_FALSE(warnings.empty());
  EXPECT_NE(warnings[0].find("'colour' is unknown"), std::string::npos);
}

Tensor cells(const Shape& shape, const std::vector<float>& scores) {
  return test::tensor<float>(shape, scores);
}
Attribute mask_of(Tensor tensor, std::vector<float> part = {}) {
  Attribute mask{.name = Label("mask"), .kind = AttributeKind::mask, .values = std::move(part)};
  mask.tensor = std::move(tensor);
  return mask;
}

TEST(MetaOverlay, TintsWhatAMaskCovers) {
  for (const PixelFormat format : {PixelFormat::rgb, PixelFormat::i420, PixelFormat::nv12}) {
    TestPicture picture(format, 640, 480);
    Region object = region(0.25f, 0.25f, 0.5f, 0.5f, 1, "");
    object.attributes = with({}, mask_of(cells({2, 2}, {1, 0, 1, 0}), {0.25f, 0.25f, 0.5f, 0.5f}));
    picture.frame.regions = {object};
    Overlay({{"show-labels", "false"}}).draw(picture);
    const auto tinted = [](uint8_t below, uint8_t above) {
      return uint8_t((below * 145 + above * 110) / 255);
    };
    expect_near(picture.at(200, 240), {tinted(64, 255), tinted(64, 56), tinted(64, 56)}, 6);
    expect_near(picture.at(440, 240), ground);
    expect_near(picture.at(100, 240), ground);
    TestPicture boxes_only(format, 640, 480);
    boxes_only.frame.regions = {object};
    Overlay({{"obb", "true"}}).draw(boxes_only);
    expect_near(boxes_only.at(200, 240), ground);
  }
}

TEST(MetaOverlay, EveryClassOfALabelMapHasItsColor) {
  TestPicture picture(PixelFormat::i420, 640, 480);
  picture.frame.attributes = with({}, mask_of(test::tensor<uint8_t>({2, 3}, {0, 1, 255, 0, 0, 0})));
  Overlay().draw(picture);
  EXPECT_GT(picture.at(100, 100).r, picture.at(100, 100).g + 40);
  EXPECT_GT(picture.at(320, 100).g, picture.at(320, 100).r + 30);
  expect_near(picture.at(540, 100), ground);
  EXPECT_GT(picture.at(540, 400).r, picture.at(540, 400).g + 40);
}

TEST(MetaOverlay, MasksOfAnyKindDoNoHarm) {
  TestPicture picture(PixelFormat::nv12, 65, 47);
  AttributesRef list;
  int number = 0;
  const auto add = [&](Attribute attribute) {
    attribute.name = Label("mask" + std::to_string(number++));
    list = with(list, attribute);
  };
  for (const std::vector<float>& part : {std::vector<float>{-2, -2, 5, 5},
                                         {0.9f, 0.9f, 0.5f, 0.5f},
                                         {NAN, 0, 1, 1},
                                         {0, 0, 0, 0},
                                         {0.5f, 0.5f, 1e-9f, 1},
                                         {1, 2, 3},
                                         {-1e30f, 0, 1e30f, 1}}) {
    add(mask_of(cells({3, 2}, {1, NAN, INFINITY, -1, 0.7f, 0.2f}), part));
    add(mask_of(test::tensor<uint8_t>({1, 2}, {3, 255}), part));
  }
  add(mask_of(cells({2}, {1, 1})));
  add(mask_of(test::tensor<int64_t>({1, 1}, {1})));
  add(mask_of({}));
  picture.frame.attributes = list;
  Overlay().draw(picture);
}

TEST(MetaOverlay, SkeletonsJoinThePointsThatAreThere) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  auto legend = make_ref<Legend>();
  legend->links = {{0, 1}, {1, 2}, {0, 9}};
  Attribute points{.name = Label("pose"),
                   .kind = AttributeKind::keypoints,
                   .values = {0.3f, 0.5f, 1, 0.5f, 0.5f, 1, -1, -1, 0}};
  points.legend = legend;
  picture.frame.attributes = with({}, points);
  Overlay().draw(picture);
  expect_near(picture.at(256, 240), first_color);  // between both
  expect_near(picture.at(200, 100), ground);
}

TEST(MetaOverlay, ZonesAndLinesAreDrawnWithTheirCounts) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  const Label model("object_analytics");
  AttributesRef list = with({}, {.name = Label("door"),
                                 .kind = AttributeKind::contour,
                                 .text = "door: 2",
                                 .values = {0.25f, 0.5f, 0.5f, 0.5f, 0.5f, 0.9f, 0.25f, 0.9f},
                                 .model = model});
  list = with(list, {.name = Label("gate"),
                     .kind = AttributeKind::contour,
                     .text = "gate: +1 -0",
                     .values = {0.7f, 0.2f, 0.7f, 0.8f},
                     .model = model});
  list =
      with(list, {.name = Label("door/entered"), .kind = AttributeKind::number, .number = 3, .model = model});
  picture.frame.attributes = list;
  Overlay().draw(picture);
  expect_near(picture.at(240, 240), first_color, 40);
  expect_near(picture.at(448, 300), second_color, 40);
  EXPECT_GT(share(picture, {164, 226, 40, 10}, first_color), 0.4);  // the bar above the zone
  EXPECT_GT(share(picture, {452, 82, 60, 10}, second_color), 0.4);  // and above the line
  EXPECT_EQ(share(picture, {0, 0, 140, 40}, ground), 1);            // counts are not written a second time
}

TEST(MetaOverlay, TextsBecomeMasksWhereTheyAreAskedForAndThePictureStays) {
  TestPicture picture(PixelFormat::i420, 640, 480);
  picture.frame.regions = {region(0.25f, 0.25f, 0.25f, 0.5f), region(0.6f, 0.25f, 0.25f, 0.5f, 0, "")};
  Overlay({{"attach-label-mask", "true"}}).draw(picture);
  EXPECT_TRUE(picture.untouched());
  ASSERT_TRUE(picture.frame.regions[0].attributes);
  const Attribute* mask = picture.frame.regions[0].attributes->find("label-mask");
  ASSERT_TRUE(mask);
  EXPECT_EQ(mask->kind, AttributeKind::mask);
  EXPECT_EQ(mask->text, "#1 person");
  ASSERT_EQ(mask->values.size(), 4u);
  EXPECT_NEAR(mask->values[0], 0.25f, 0.01f);
  EXPECT_LT(mask->values[1], 0.25f);
  EXPECT_NEAR(mask->values[2] * 640, float(mask->tensor.shape[1]), 0.5f);
  const auto scores = test::values_of<float>(mask->tensor);
  const auto inked = std::ranges::count_if(scores, [](float score) { return score >= 0.5f; });
  EXPECT_GT(inked, int64_t(scores.size()) / 20);
  EXPECT_LT(inked, int64_t(scores.size()) / 2);
  EXPECT_FALSE(picture.frame.regions[1].attributes);
}

TEST(MetaOverlay, DrawsInSamplesOfSixteenBits) {
  for (const PixelFormat format : {PixelFormat::p010, PixelFormat::gray16}) {
    Frame frame = test::picture(format, 64, 48, 4);
    frame.regions = {region(0.25f, 0.25f, 0.5f, 0.5f, 1, "")};
    frame.regions[0].track = 0;
    auto element = test::make<TransformInplace>("opencv_meta_overlay", {{"lines-thickness", "2"}});
    ASSERT_TRUE(element->start());
    ASSERT_TRUE(element->process(frame));
    const auto luma = test::values_of<uint8_t>(frame.tensors[0]);
    const size_t on_line = (24 * 64 + 16) * 2, inside = (24 * 64 + 32) * 2;
    EXPECT_GT(luma[on_line + 1], 80);
    EXPECT_EQ(luma[inside + 1], 0);
  }
}

TEST(MetaOverlay, WritesTheAverageRate) {
  Overlay overlay({{"displ-avgfps", "true"}});
  for (int i = 0; i < 3; ++i) {
    TestPicture picture(PixelFormat::rgb, 640, 480);
    overlay.draw(picture);
    EXPECT_EQ(picture.untouched(), i == 0);  // nothing to divide by yet
  }
}

TEST(MetaOverlay, DoesNotAllocateOnceWarm) {
  TestPicture picture(PixelFormat::i420, 768, 576);
  for (int i = 0; i < 10; ++i)
    picture.frame.regions.push_back(region(0.09f * float(i), 0.3f, 0.08f, 0.3f, 100 + i));
  picture.frame.regions[3].attributes =
      with({}, {.name = Label("age"), .kind = AttributeKind::number, .number = 34.5});
  Overlay overlay;
  overlay.draw(picture);
  const size_t before = allocation_count();
  const auto verdict = static_cast<TransformInplace&>(overlay.element()).process(picture.frame);
  EXPECT_EQ(allocation_count(), before);
  EXPECT_TRUE(verdict);
}

TEST(MetaOverlay, OnlySelectedObjectsAreDrawn) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  picture.frame.regions = {region(0.1f, 0.5f, 0.1f, 0.1f, 1), region(0.5f, 0.5f, 0.1f, 0.1f, 2)};
  Overlay overlay({{"select", R"({"track": {"id": 2}})"}});
  overlay.draw(picture);
  expect_near(picture.at(64, 260), ground);
  expect_near(picture.at(320, 260), second_color);
  overlay.change("select", "nobody");
  EXPECT_EQ(overlay.element().take_warnings().size(), 1u);
}

TEST(MetaOverlay, TheFirstRuleThatMatchesSaysHowAnObjectLooks) {
  TestPicture picture(PixelFormat::rgb, 640, 480);
  picture.frame.regions = {region(0.1f, 0.5f, 0.1f, 0.1f, 1, "face"),
                           region(0.3f, 0.5f, 0.1f, 0.1f, 1, "car"), region(0.5f, 0.5f, 0.1f, 0.1f, 1, "dog"),
                           region(0.7f, 0.5f, 0.1f, 0.1f, 1, "cat")};
  Overlay({{"draw",
            R"([{"match": {"label": "face"}, "box": {"color": "lime", "width": 6}},
                {"match": {"label": "car"}, "dot": {"color": "blue", "radius": 5}},
                {"match": {"label": ["dog", "face"]}, "box": {"color": "red"}, "label": "{label}"}])"}})
      .draw(picture);
  const Color lime{0, 255, 0}, red{255, 0, 0}, blue{0, 0, 255};
  for (int x = 62; x < 66; ++x) expect_near(picture.at(x, 260), lime);  // three to either side of 64
  expect_near(picture.at(192, 260), ground);                            // no box
  expect_near(picture.at(224, 264), blue);
  expect_near(picture.at(227, 264), blue);
  expect_near(picture.at(232, 264), ground);
  expect_near(picture.at(320, 260), red);
  EXPECT_GT(share(picture, {322, 228, 20, 10}, red), 0.3);     // its label
  EXPECT_EQ(share(picture, {60, 222, 60, 12}, ground), 1.0);   // the face has none
  EXPECT_EQ(share(picture, {440, 220, 80, 80}, ground), 1.0);  // the cat has no rule
}

TEST(MetaOverlay, ARuleBlursWhatItMatches) {
  TestPicture picture(PixelFormat::gray8, 64, 64);
  test::fill(picture.frame, [](int, int y, int x) { return (x + y) % 2 ? 255 : 0; });
  picture.frame.regions = {region(0, 0, 0.5f, 0.5f, 0, "plate"), region(0.5f, 0.5f, 0.5f, 0.5f, 0, "car")};
  Overlay({{"draw", R"([{"match": {"label": "plate"}, "blur": true}])"}}).draw(picture);
  EXPECT_EQ(picture.at(10, 10), picture.at(11, 10));
  EXPECT_FALSE(picture.at(50, 50) == picture.at(51, 50));
}

TEST(MetaOverlay, BadRulesAreAnErrorAtTheStartAndAWarningLater) {
  ParamSet params(find_element("opencv_meta_overlay")->params);
  ASSERT_TRUE(params.set_text("draw", "[{]"));
  EXPECT_FALSE(find_element("opencv_meta_overlay")->create(params));
  Overlay overlay({{"draw", R"([{"box": {"color": "lime"}}])"}});
  overlay.change("draw", R"([{"box": {"color": "lyme"}}])");
  EXPECT_EQ(overlay.element().take_warnings().size(), 1u);
  TestPicture picture(PixelFormat::rgb, 640, 480);
  picture.frame.regions = {region(0.1f, 0.5f, 0.1f, 0.1f)};
  overlay.draw(picture);
  expect_near(picture.at(64, 260), Color{0, 255, 0});
}

TEST(MetaOverlay, RulesDoNotAllocateOnceWarm) {
  TestPicture picture(PixelFormat::nv12, 640, 480);
  picture.frame.regions = {region(0.1f, 0.5f, 0.1f, 0.1f), region(0.5f, 0.5f, 0.1f, 0.1f, 2, "car")};
  Overlay overlay(
      {{"draw", R"([{"match": {"label": "car"}, "box": true, "label": "a long {label} #{track_id}"},
                                {"dot": true}])"}});
  for (int i = 0; i < 3; ++i) overlay.draw(picture);
  auto& element = static_cast<TransformInplace&>(overlay.element());
  const size_t before = allocation_count();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(element.process(picture.frame));
  EXPECT_EQ(allocation_count(), before);
}

TEST(MetaOverlay, TenThousandObjectsAreDrawn) {
  TestPicture picture(PixelFormat::nv12, 640, 480);
  for (int i = 0; i < 10000; ++i)
    picture.frame.regions.push_back(region(0.01f * float(i % 97), 0.01f * float(i % 89), 0.1f, 0.1f, i));
  Overlay().draw(picture);
  EXPECT_FALSE(picture.untouched());
}

TEST(OverlayWithoutCuda, SaysWhatIsMissing) {
  if (default_context(MemoryKind::cuda)) GTEST_SKIP() << "there is a device";
  const ElementDesc* desc = find_element("opencv_meta_overlay");
  const auto element = desc->create(ParamSet(desc->params));
  ASSERT_TRUE((*element)->start());
  Format format;
  format.media = VideoInfo{.format = PixelFormat::nv12, .width = 64, .height = 48};
  ASSERT_TRUE((*element)->configure(format, format));
  format.memory = MemoryKind::cuda;
  const auto configured = (*element)->configure(format, format);
  ASSERT_FALSE(configured);
  EXPECT_EQ(configured.error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace sightglass
