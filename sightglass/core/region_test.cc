#include "sightglass/core/region.h"

#include <gtest/gtest.h>

#include <limits>

namespace sightglass {
namespace {

Attribute text(std::string_view name, std::string value, std::string_view model = "") {
  Attribute attribute;
  attribute.name = Label(name);
  attribute.text = std::move(value);
  attribute.model = Label(model);
  return attribute;
}

TEST(Iou, IsTheCommonPartOfTheWhole) {
  const Box a{0, 0, 0.5f, 0.5f};
  EXPECT_FLOAT_EQ(iou(a, a), 1);
  EXPECT_FLOAT_EQ(iou(a, {0.25f, 0, 0.5f, 0.5f}), 1.0f / 3);
  EXPECT_FLOAT_EQ(iou(a, {0.25f, 0.25f, 0.5f, 0.5f}), 1.0f / 7);
}

TEST(Iou, IsZeroForBoxesThatDoNotOverlap) {
  const Box a{0, 0, 0.5f, 0.5f};
  EXPECT_EQ(iou(a, {0.5f, 0, 0.5f, 0.5f}), 0);
  EXPECT_EQ(iou(a, {0.1f, 0.1f, 0, 0}), 0);
  EXPECT_EQ(iou({}, {}), 0);
  EXPECT_EQ(iou(a, {0.1f, 0.1f, -1, -1}), 0);
  EXPECT_EQ(iou(a, {0, 0, std::numeric_limits<float>::quiet_NaN(), 1}), 0);
}

TEST(Attributes, AreAddedToANewList) {
  const AttributesRef none;
  const AttributesRef one = with(none, text("color", "red"));
  const AttributesRef two = with(one, text("brand", "x"));
  EXPECT_EQ(one->items().size(), 1u);
  ASSERT_EQ(two->items().size(), 2u);
  EXPECT_EQ(two->find("color")->text, "red");
  EXPECT_EQ(two->find("brand")->text, "x");
  EXPECT_EQ(two->find("colo"), nullptr);
}

TEST(Attributes, ReplaceOneOfTheSameNameAndModelInItsPlace) {
  AttributesRef list = with(nullptr, text("color", "red", "a"));
  list = with(list, text("color", "blue", "b"));
  const AttributesRef before = list;
  list = with(list, text("color", "green", "a"));
  ASSERT_EQ(list->items().size(), 2u);
  EXPECT_EQ(list->items()[0].text, "green");
  EXPECT_EQ(list->items()[1].text, "blue");
  EXPECT_EQ(before->items()[0].text, "red");
}

TEST(Attributes, ClassIsTheNameOfClassification) {
  EXPECT_EQ(to_string(AttributeKind::classification), "class");
  EXPECT_EQ(to_string(AttributeKind::contour), "contour");
}

}  // namespace
}  // namespace sightglass
