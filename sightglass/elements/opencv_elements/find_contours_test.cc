#include <gmock/gmock.h>

#include <algorithm>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

// Scores of `size`² cells: 1 where `inside(x, y)`.
template <class Inside>
Attribute mask(int size, Inside inside, std::vector<float> place = {}) {
  std::vector<float> cells;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) cells.push_back(inside(x, y) ? 1 : 0);
  return {.name = Label("mask"),
          .kind = AttributeKind::mask,
          .values = std::move(place),
          .tensor = test::tensor<float>({size, size}, cells)};
}

std::vector<Attribute> contours(const AttributesRef& list, std::string_view name = "contour") {
  std::vector<Attribute> found;
  for (const Attribute& item : list->items())
    if (item.kind == AttributeKind::contour && item.name.view() == name) found.push_back(item);
  return found;
}

Box bounds(const Attribute& contour) {
  float x0 = 9, y0 = 9, x1 = -9, y1 = -9;
  for (size_t i = 0; i + 1 < contour.values.size(); i += 2) {
    x0 = std::min(x0, contour.values[i]), x1 = std::max(x1, contour.values[i]);
    y0 = std::min(y0, contour.values[i + 1]), y1 = std::max(y1, contour.values[i + 1]);
  }
  return {x0, y0, x1 - x0, y1 - y0};
}

std::string run(Frame& frame, const test::Settings& settings = {}) {
  auto element = test::make<TransformInplace>("opencv_find_contours", settings);
  auto done = element->process(frame);
  return done ? "" : done.error().message;
}

TEST(FindContours, GoAroundTheMaskInCoordinatesOfTheFrame) {
  Frame frame;
  frame.regions = {{.id = 0}};
  frame.regions[0].attributes = with(
      nullptr, mask(40, [](int x, int y) { return x >= 10 && x < 30 && y >= 20; }, {0.5f, 0, 0.4f, 0.8f}));
  ASSERT_EQ(run(frame), "");
  const auto found = contours(frame.regions[0].attributes);
  ASSERT_EQ(found.size(), 1u);
  const Box box = bounds(found[0]);
  EXPECT_NEAR(box.x, 0.5 + 0.4 * 0.25, 0.005);
  EXPECT_NEAR(box.right(), 0.5 + 0.4 * 0.75, 0.005);
  EXPECT_NEAR(box.y, 0.4, 0.01);
  EXPECT_NEAR(box.bottom(), 0.8, 0.01);
  EXPECT_EQ(found[0].label_id, -1);
  EXPECT_TRUE(frame.regions[0].attributes->find("mask")) << "the mask stays";
}

TEST(FindContours, KeepHolesAndWhatLiesInThem) {
  Frame frame;
  frame.attributes = with(nullptr, mask(64, [](int x, int y) {
                            const int r = std::max(std::abs(x - 32), std::abs(y - 32));
                            return r < 8 || (r >= 16 && r < 28);
                          }));
  ASSERT_EQ(run(frame), "");
  const auto found = contours(frame.attributes);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].label_id, -1);
  EXPECT_EQ(found[1].label_id, 0) << "the hole lies in the outline";
  EXPECT_EQ(found[2].label_id, 1) << "the island in the hole";
}

TEST(FindContours, GoOnAfterAnObjectWithoutAMask) {
  Frame frame;
  frame.regions = {{.id = 0}, {.id = 1}, {.id = 2}};
  frame.regions[1].attributes = with(nullptr, mask(8, [](int x, int) { return x > 3; }));
  frame.regions[2].attributes = with(nullptr, mask(8, [](int x, int) { return x < 4; }));
  ASSERT_EQ(run(frame), "");
  EXPECT_FALSE(frame.regions[0].attributes);
  EXPECT_EQ(contours(frame.regions[1].attributes).size(), 1u);
  EXPECT_EQ(contours(frame.regions[2].attributes).size(), 1u);
}

TEST(FindContours, ReplaceThoseOfAnEarlierRun) {
  Frame frame;
  frame.attributes = with(nullptr, mask(8, [](int x, int) { return x > 3; }));
  ASSERT_EQ(run(frame), "");
  ASSERT_EQ(run(frame), "");
  EXPECT_EQ(contours(frame.attributes).size(), 1u);
}

TEST(FindContours, OfALabelMapAreNamedByClass) {
  auto legend = make_ref<Legend>();
  legend->names = {"background", "road", "car"};
  std::vector<uint8_t> ids;
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 16; ++x) ids.push_back(y < 4 ? 0 : x < 8 ? 1 : y < 12 ? 2 : 255);
  Attribute map{
      .name = Label("areas"), .kind = AttributeKind::mask, .tensor = test::tensor<uint8_t>({16, 16}, ids)};
  map.legend = Ref<const Legend>(legend.get());
  Frame frame;
  frame.attributes = with(nullptr, map);
  ASSERT_EQ(run(frame, {{"mask-metadata-name", "areas"}, {"contour-metadata-name", "outline"}}), "");
  const auto found = contours(frame.attributes, "outline");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].text, "road");
  EXPECT_EQ(found[1].text, "car");
  EXPECT_NEAR(bounds(found[1]).x, 0.5, 0.01);
}

TEST(FindContours, OfAnEmptyMaskAreNone) {
  Frame frame;
  frame.attributes = with(nullptr, mask(8, [](int, int) { return false; }));
  ASSERT_EQ(run(frame), "");
  EXPECT_TRUE(contours(frame.attributes).empty());
  frame.attributes = with(nullptr, mask(8, [](int x, int y) { return x == 3 && y == 3; }));
  ASSERT_EQ(run(frame, {{"threshold", "1"}}), "");
}

}  // namespace
}  // namespace sightglass
