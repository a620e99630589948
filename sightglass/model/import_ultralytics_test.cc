#include <gmock/gmock.h>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

using testing::ElementsAre;

ModelSignature exported(std::map<std::string, std::string> metadata, Shape output = {1, 7, 2100}) {
  ModelSignature model;
  model.inputs = {{.type = DataType::f32, .shape = {1, 3, 320, 320}, .name = "images"}};
  model.outputs = {{.type = DataType::f32, .shape = std::move(output), .name = "output0"}};
  model.metadata = std::move(metadata);
  return model;
}

ModelInfo imported(const ModelSignature& model) {
  return import_ultralytics(model.metadata, model,
                            {OriginKind::metadata, "metadata of the model (Ultralytics)"});
}

// As Ultralytics 8.4 writes them.
std::map<std::string, std::string> detector() {
  return {{"author", "Ultralytics"},
          {"description", "Ultralytics YOLO11n model trained on coco.yaml"},
          {"task", "detect"},
          {"stride", "32"},
          {"batch", "1"},
          {"imgsz", "[256, 320]"},
          {"names", "{0: 'person', 1: \"driver's cab\", 2: 'dog'}"},
          {"args", "{'batch': 1, 'nms': False}"},
          {"channels", "3"},
          {"end2end", "False"}};
}

TEST(ImportUltralytics, ReadsADetector) {
  const ModelInfo info = imported(exported(detector()));
  EXPECT_EQ(*info.task, "detect");
  const InputInfo& input = info.inputs.at(0);
  EXPECT_EQ(*input.size, (PictureSize{320, 256}));  // imgsz is height, width
  EXPECT_EQ(*input.color, "rgb");
  EXPECT_EQ(*input.resize, "letterbox");
  EXPECT_THAT(*input.pad_value, ElementsAre(114));
  EXPECT_THAT(*input.range, ElementsAre(0, 1));
  const OutputInfo& output = info.outputs.at(0);
  EXPECT_EQ(*output.decoder, "yolo");
  EXPECT_EQ(*output.properties.at("head"), "v8");
  EXPECT_EQ(*output.properties.at("task"), "box");
  EXPECT_THAT(*output.labels, ElementsAre("person", "driver's cab", "dog"));
  EXPECT_EQ(output.labels.origin.name, "metadata of the model (Ultralytics)");
}

TEST(ImportUltralytics, KnowsEndToEndHeads) {
  auto metadata = detector();
  EXPECT_EQ(*imported(exported(metadata, {1, 300, 6})).outputs.at(0).properties.at("head"), "end2end");
  metadata["end2end"] = "True";
  EXPECT_EQ(*imported(exported(metadata, {1, 300, 6})).outputs.at(0).properties.at("head"), "end2end");
}

TEST(ImportUltralytics, KnowsOtherTasks) {
  auto metadata = detector();
  metadata["task"] = "segment";
  EXPECT_EQ(*imported(exported(metadata, {1, 39, 2100})).outputs.at(0).properties.at("task"), "seg");
  metadata["task"] = "classify";
  const ModelInfo info = imported(exported(metadata, {1, 3}));
  EXPECT_EQ(*info.outputs.at(0).decoder, "label");
  EXPECT_EQ(*info.inputs.at(0).resize, "crop");
  EXPECT_FALSE(info.inputs.at(0).pad_value);
}

TEST(ImportUltralytics, KnowsTheRowsOfVersion5) {
  auto metadata = detector();
  EXPECT_EQ(*imported(exported(metadata, {1, 6300, 8})).outputs.at(0).properties.at("head"), "anchor");
  // The older exporter.
  const ModelInfo v5 = imported(exported({{"stride", "32"}, {"names", "['a', 'b']"}}, {1, 6300, 7}));
  EXPECT_EQ(*v5.outputs.at(0).properties.at("head"), "anchor");
  EXPECT_EQ(*v5.outputs.at(0).properties.at("task"), "box");
  EXPECT_THAT(*v5.outputs.at(0).labels, ElementsAre("a", "b"));
  EXPECT_EQ(*v5.inputs.at(0).resize, "letterbox");
  // One class makes rows of six, as finished ones have; those are few.
  const std::map<std::string, std::string> one = {{"stride", "32"}, {"names", "['a']"}};
  EXPECT_EQ(*imported(exported(one, {1, 6300, 6})).outputs.at(0).properties.at("head"), "anchor");
  // Masks stand behind the classes.
  metadata["task"] = "segment";
  ModelSignature seg = exported(metadata, {1, 6300, 40});
  seg.outputs.push_back({.type = DataType::f32, .shape = {1, 32, 80, 80}, .name = "output1"});
  EXPECT_EQ(*imported(seg).outputs.at(0).properties.at("head"), "anchor");
}

TEST(ImportUltralytics, CountsTheKeypoints) {
  auto metadata = detector();
  metadata["task"] = "pose";
  metadata["kpt_shape"] = "[17, 3]";
  const ModelInfo info = imported(exported(metadata, {1, 58, 2100}));
  EXPECT_EQ(*info.task, "pose");
  EXPECT_EQ(*info.outputs.at(0).properties.at("keypoints"), "17");
  metadata["kpt_shape"] = "[x";
  EXPECT_FALSE(imported(exported(metadata, {1, 58, 2100})).outputs.at(0).properties.contains("keypoints"));
}

TEST(ImportUltralytics, KnowsTransformers) {
  auto metadata = detector();
  metadata["description"] = "Ultralytics RT-DETR-l model";
  const ModelInfo info = imported(exported(metadata, {1, 300, 7}));
  EXPECT_EQ(*info.outputs.at(0).decoder, "detection");
  EXPECT_EQ(*info.outputs.at(0).properties.at("box-format"), "cxcywh");
  EXPECT_EQ(*info.inputs.at(0).resize, "stretch");
  EXPECT_FALSE(info.inputs.at(0).pad_value);
}

TEST(ImportUltralytics, NamesNoDecoderForOtherHeads) {
  EXPECT_FALSE(imported(exported(detector(), {1, 5, 2100})).outputs.at(0).decoder);
  EXPECT_FALSE(
      imported(exported({{"stride", "32"}, {"names", "['a']"}}, {1, 9, 2100})).outputs.at(0).decoder);
}

TEST(ImportUltralytics, IgnoresWhatIsNotItsOwnOrDamaged) {
  EXPECT_TRUE(imported(exported({})).inputs.empty());
  EXPECT_TRUE(imported(exported({{"names", "x"}})).outputs.empty());
  for (const char* names : {"{0: 'a'", "{x: 'a'}", "{-1: 'a'}", "{99999999999: 'a'}", "7", ""}) {
    auto metadata = detector();
    metadata["names"] = names;
    metadata["imgsz"] = "[0, x]";
    const ModelInfo info = imported(exported(metadata));
    EXPECT_FALSE(info.outputs.at(0).labels) << names;
    EXPECT_FALSE(info.inputs.at(0).size);
  }
}

}  // namespace
}  // namespace sightglass
