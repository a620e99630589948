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

TEST(ImportShapes, KnowsTheDecodedRowsOfVersion5) {
  EXPECT_EQ(decoder({tensor("o", {1, 6300, 85})}), "yolo");
  EXPECT_EQ(decoder({tensor("o", {1, 6300, 85}), tensor("a", {1, 3, 40, 40, 85}),
                     tensor("b", {1, 3, 20, 20, 85}), tensor("c", {1, 3, 10, 10, 85})}),
            "yolo");
  EXPECT_EQ(decoder({tensor("o", {1, 6300, 117}), tensor("masks", {1, 32, 80, 80})}), "yolo");
  EXPECT_EQ(decoder({tensor("o", {1, 6301, 85})}), "");
  EXPECT_EQ(decoder({tensor("o", {1, 6300, 15})}), "");  // ten classes, or four points and two classes
}

TEST(ImportShapes, KnowsFaceDetectors) {
  std::vector<TensorInfo> yunet, scrfd;
  for (const int64_t n : {1600, 400, 100}) {
    for (const int64_t columns : {1, 1, 4, 10}) yunet.push_back(tensor("", {1, n, columns}));
    for (const int64_t columns : {1, 4, 10}) scrfd.push_back(tensor("", {2 * n, columns}));
  }
  EXPECT_EQ(decoder(yunet), "yunet");
  EXPECT_EQ(decoder(scrfd), "gfl");
  for (auto* outputs : {&yunet, &scrfd})  // of any size
    for (TensorInfo& output : *outputs) output.shape[output.shape.rank() - 2] = -1;
  EXPECT_EQ(decoder(yunet, {1, 3, -1, -1}), "yunet");
  EXPECT_EQ(decoder(scrfd, {1, 3, -1, -1}), "gfl");
  yunet.pop_back();
  EXPECT_EQ(decoder(yunet), "");
  EXPECT_EQ(decoder({tensor("scores", {1, 4420, 2}), tensor("boxes", {1, 4420, 4})}, {1, 3, 240, 320}),
            "ultraface");
  EXPECT_EQ(decoder({tensor("scores", {1, 4421, 2}), tensor("boxes", {1, 4421, 4})}, {1, 3, 240, 320}), "");

  ModelSignature blaze;
  blaze.inputs = {tensor("in", {1, 128, 128, 3})};
  blaze.outputs = {tensor("regressors", {1, 896, 16}), tensor("classificators", {1, 896, 1})};
  const ModelInfo info = import_shapes(blaze);
  EXPECT_EQ(*info.outputs.at(0).decoder, "ssd_anchor");
  EXPECT_EQ(*info.outputs.at(0).properties.at("keypoints"), "6");
}

TEST(ImportShapes, KnowsDistributionsBesideTheScoresOfEachStride) {
  std::vector<TensorInfo> picodet;
  for (const int64_t columns : {80, 32})
    for (const int64_t n : {1600, 400, 100, 25}) picodet.push_back(tensor("", {1, n, columns}));
  EXPECT_EQ(decoder(picodet), "gfl");
  EXPECT_EQ(decoder(picodet, {1, 3, 416, 416}), "");
  picodet[4].shape[2] = 33;
  EXPECT_EQ(decoder(picodet), "");
}

TEST(ImportShapes, KnowsDetectionTransformers) {
  EXPECT_EQ(decoder({tensor("logits", {1, 300, 80}), tensor("pred_boxes", {1, 300, 4})}), "detection");
  EXPECT_EQ(decoder({tensor("dets", {1, 300, 4}), tensor("labels", {1, 300, 91})}), "detection");
  EXPECT_EQ(decoder({tensor("dets", {1, 300, 4}), tensor("labels", {1, 300, 91}),
                     tensor("masks", {1, 300, 108, 108})}),
            "detection");
  EXPECT_EQ(decoder({tensor("logits", {1, 300, 80}), tensor("pred_boxes", {1, 200, 4})}), "");
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
