#include <gmock/gmock.h>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

TensorInfo tensor(std::string name, Shape shape, DataType type = DataType::f32) {
  return {.type = type, .shape = std::move(shape), .name = std::move(name)};
}

InputInfo input(Shape shape, DataType type = DataType::f32) {
  ModelSignature model;
  model.inputs = {tensor("in", std::move(shape), type)};
  return import_shapes(model).inputs.at(0);
}

// The decoder for outputs of a 320x320 model; "" for none.
std::string decoder(std::vector<TensorInfo> outputs, Shape picture = {1, 3, 320, 320}) {
  ModelSignature model;
  model.inputs = {tensor("in", std::move(picture))};
  model.outputs = std::move(outputs);
  const ModelInfo info = import_shapes(model);
  return info.outputs.empty() ? "" : info.outputs[0].decoder.value_or("");
}

TEST(ImportShapes, ReadsSizeAndLayoutFromThePlaceOfTheChannels) {
  EXPECT_EQ(*input({1, 3, 416, 320}).size, (PictureSize{320, 416}));
  EXPECT_EQ(*input({1, 3, 416, 320}).layout, "nchw");
  EXPECT_EQ(*input({-1, 224, 200, 3}).size, (PictureSize{200, 224}));
  EXPECT_EQ(*input({-1, 224, 200, 3}).layout, "nhwc");
  EXPECT_EQ(*input({1, 64, 64, 1}).color, "gray");
  EXPECT_EQ(*input({3, 64, 64}).layout, "nchw");
  EXPECT_EQ(*input({1, 3, 8, 8}, DataType::u8).dtype, "uint8");
}

TEST(ImportShapes, LeavesOpenWhatShapesDoNotSay) {
  EXPECT_FALSE(input({1, 3, -1, -1}).size);
  EXPECT_EQ(*input({1, 3, -1, -1}).layout, "nchw");
  EXPECT_FALSE(input({1, 3, 224, 3}).layout);  // either
  EXPECT_FALSE(input({1, 3}).layout);
  EXPECT_FALSE(input({1, 3, 8, 8}).color);
  EXPECT_FALSE(input({1, 3, 8, 8}, DataType::i64).dtype);
}

TEST(ImportShapes, KnowsRowsOfFinalBoxes) {
  EXPECT_EQ(decoder({tensor("d", {1, 1, 200, 7})}), "detection");
  EXPECT_EQ(decoder({tensor("d", {1, 1, -1, 7})}), "detection");
  EXPECT_EQ(decoder({tensor("d", {1, 100, 6})}), "detection");
  EXPECT_EQ(
      decoder({tensor("boxes", {-1, 4}), tensor("labels", {-1}, DataType::i64), tensor("scores", {-1})}),
      "detection");
  EXPECT_EQ(decoder({tensor("boxes", {-1, 5}), tensor("labels", {-1}, DataType::i64)}), "detection");
}

TEST(ImportShapes, KnowsTheYoloV8HeadWhereTheCellsFit) {
  EXPECT_EQ(decoder({tensor("o", {1, 84, 2100})}), "yolo");
  EXPECT_EQ(decoder({tensor("o", {-1, 84, -1})}, {-1, 3, -1, -1}), "yolo");
  EXPECT_EQ(decoder({tensor("o", {1, 84, 2101})}), "");

  ModelSignature model;
  model.inputs = {tensor("in", {1, 3, 320, 320})};
  model.outputs = {tensor("o", {1, 116, 2100}), tensor("masks", {1, 32, 80, 80})};
  const ModelInfo info = import_shapes(model);
  EXPECT_EQ(*info.outputs.at(0).properties.at("head"), "v8");
  EXPECT_EQ(*info.outputs.at(0).properties.at("task"), "seg");
  EXPECT_EQ(*info.outputs.at(0).properties.at("classes"), "80");
}

TEST(ImportShapes, SaysNothingWhereSeveralModelsShareAShape) {
  EXPECT_EQ(decoder({tensor("o", {1, 2100, 85})}), "");  // YOLOX or YOLOv6
  EXPECT_EQ(decoder({tensor("o", {1, 25200, 7})}), "");  // YOLOv5 with two classes
  EXPECT_EQ(decoder({tensor("o", {-1, 7})}), "");        // a classifier of seven classes
  EXPECT_EQ(decoder({tensor("o", {1, 1000})}), "");
  EXPECT_EQ(decoder({tensor("s", {1, 4420, 2}), tensor("b", {1, 4420, 4})}), "");  // decoded or not
  EXPECT_EQ(decoder({tensor("boxes", {}), tensor("x", {}), tensor("y", {})}), "");
  EXPECT_EQ(decoder({}), "");
}

}  // namespace
}  // namespace sightglass
