#include "sightglass/elements/metaconvert/metaconvert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "sightglass/core/allocation_count.h"
#include "sightglass/core/registry.h"
#include "sightglass/memory/system/system_memory.h"

namespace sightglass {
namespace {

using Values = std::initializer_list<std::pair<const char*, const char*>>;

Result<std::unique_ptr<Element>> make(Values values, const char* name = "metaconvert") {
  const ElementDesc* desc = find_element(name);
  ParamSet params(desc->params);
  for (const auto& [key, text] : values)
    if (auto status = params.set_text(key, text); !status) return forward_error(status);
  return desc->create(params);
}

std::string convert(Frame frame, Values values = {}, const char* name = "metaconvert") {
  auto element = make(values, name);
  if (!element) return element.error().message;
  EXPECT_TRUE(static_cast<TransformInplace&>(**element).process(frame));
  EXPECT_TRUE(frame.json[0] != '{' || nlohmann::json::accept(frame.json)) << frame.json;
  return frame.json;
}

// The example of the reference.
Frame face() {
  Frame frame;
  frame.video = VideoInfo{.width = 800, .height = 450};
  frame.pts = 1320000000;
  Region& region = frame.regions.emplace_back();
  region.id = 0;
  region.box = {0.125f, 0.25f, 0.0625f, 0.125f};
  region.confidence = 0.91f;
  region.label = Label("face");
  region.label_id = 0;
  region.track = 12;
  region.attributes = with({}, {.name = Label("mood"),
                                .kind = AttributeKind::classification,
                                .text = "glad",
                                .label_id = 1,
                                .confidence = 0.84f,
                                .model = Label("face-mood")});
  region.attributes = with(region.attributes, {.name = Label("age"),
                                               .kind = AttributeKind::number,
                                               .text = "34",
                                               .number = 34,
                                               .model = Label("face-age"),
                                               .age = 4});
  return frame;
}

TEST(MetaConvert, WritesTheReferenceExample) {
  EXPECT_EQ(
      convert(face(), {{"source", "dock-2"}, {"tags", "{ \"z\": 1, \"a\": [2] }"}}),
      R"({"schema":"sightglass.frame/1","resolution":{"width":800,"height":450},"source":"dock-2",)"
      R"("tags":{"z":1,"a":[2]},"timestamp":1320000000,)"
      R"("objects":[{"x":100,"y":113,"w":50,"h":56,"region_id":0,"id":12,"roi_type":"face",)"
      R"("detection":{"bounding_box":{"x_min":0.125,"y_min":0.25,"x_max":0.1875,"y_max":0.375},)"
      R"("confidence":0.91,"label_id":0,"label":"face"},)"
      R"("attributes":[{"name":"mood","kind":"class","label":"glad","label_id":1,"confidence":0.84,"model":"face-mood"},)"
      R"({"name":"age","kind":"number","value":34,"label":"34","model":"face-age","age":4}]}]})");
}

TEST(MetaConvert, WritesTheLayoutOfTheOriginal) {
  Frame frame = face();
  frame.regions[0].attributes =
      with(frame.regions[0].attributes, {.name = Label("id"), .kind = AttributeKind::text, .text = "A7"});
  frame.attributes = with({}, {.name = Label("scene"),
                               .kind = AttributeKind::classification,
                               .text = "street",
                               .label_id = 5,
                               .confidence = 0.5f});
  EXPECT_EQ(convert(frame, {{"layout", "dlstreamer"}}),
            R"({"resolution":{"width":800,"height":450},"timestamp":1320000000,)"
            R"("objects":[{"x":100,"y":113,"w":50,"h":56,"region_id":0,"id":12,"roi_type":"face",)"
            R"("detection":{"bounding_box":{"x_min":0.125,"y_min":0.25,"x_max":0.1875,"y_max":0.375},)"
            R"("confidence":0.91,"label_id":0,"label":"face"},)"
            R"("mood":{"label":"glad","label_id":1,"confidence":0.84,"model":{"name":"face-mood"}},)"
            R"("age":{"label":"34","model":{"name":"face-age"}},"id_attr":{"label":"A7"}},)"
            R"({"x":0,"y":0,"w":800,"h":450,"scene":{"label":"street","label_id":5,"confidence":0.5}}]})");
}

TEST(MetaConvert, TheSecondNameGivesTheSameOutput) {
  EXPECT_EQ(convert(face(), {}, "gvametaconvert"), convert(face()));
}

TEST(MetaConvert, SaysNothingWithoutResultsUnlessAsked) {
  Frame frame;
  frame.json = "of an earlier frame";
  EXPECT_EQ(convert(frame), "");
  EXPECT_EQ(convert(frame, {{"add-empty-results", "true"}}),
            R"({"schema":"sightglass.frame/1","objects":[]})");
}

TEST(MetaConvert, WritesNestedOrientedAndUnlabelledObjects) {
  Frame frame;
  Region& region = frame.regions.emplace_back();
  region.id = 3;
  region.parent = 1;
  region.angle = 0.5f;
  EXPECT_EQ(
      convert(frame),
      R"({"schema":"sightglass.frame/1","objects":[{"region_id":3,"parent_id":1,)"
      R"("detection":{"bounding_box":{"x_min":0,"y_min":0,"x_max":0,"y_max":0},"confidence":0},"angle":0.5}]})");
}

TEST(MetaConvert, WritesFramesThatHaveOnlyAttributes) {
  Frame frame;
  frame.attributes = with({}, {.name = Label("scene"), .kind = AttributeKind::text, .text = "quiet"});
  EXPECT_EQ(convert(frame), R"({"schema":"sightglass.frame/1","objects":[],)"
                            R"("attributes":[{"name":"scene","kind":"text","label":"quiet"}]})");
}

TEST(MetaConvert, WritesPointsOfEveryKind) {
  Frame frame;
  frame.attributes = with({}, {.name = Label("joints"),
                               .kind = AttributeKind::keypoints,
                               .values = {0.25f, 0.5f, 0.75f, 0, 1, 0.5f}});
  frame.attributes =
      with(frame.attributes,
           {.name = Label("edge"), .kind = AttributeKind::contour, .values = {0, 1, 0.5f, 1, 7}});
  frame.attributes =
      with(frame.attributes, {.name = Label("area"), .kind = AttributeKind::box, .values = {0, 0, 1, 1}});
  EXPECT_EQ(convert(frame), R"({"schema":"sightglass.frame/1","objects":[],"attributes":[)"
                            R"({"name":"joints","kind":"keypoints","points":[[0.25,0.5,0.75],[0,1,0.5]]},)"
                            R"({"name":"edge","kind":"contour","points":[[0,1],[0.5,1]]},)"
                            R"({"name":"area","kind":"box","value":[0,0,1,1]}]})");
}

TEST(MetaConvert, WritesTensorsOnlyWhenAsked) {
  Frame frame;
  auto tensor = allocate_tensor({.type = DataType::f32, .shape = {2, 2}});
  ASSERT_TRUE(tensor);
  auto* numbers = reinterpret_cast<float*>(*tensor->memory->map(Access::write));
  numbers[0] = 1, numbers[1] = 0.5f, numbers[2] = NAN, numbers[3] = -2;
  tensor->memory->unmap(Access::write);
  frame.attributes = with({}, {.name = Label("out"),
                               .kind = AttributeKind::tensor,
                               .text = "raw",
                               .tensor = *tensor,
                               .model = Label("net")});
  frame.attributes =
      with(frame.attributes, {.name = Label("look"), .kind = AttributeKind::vector, .values = {1, 2}});
  EXPECT_EQ(convert(frame), "");
  EXPECT_EQ(
      convert(frame, {{"add-tensor-data", "true"}}),
      R"({"schema":"sightglass.frame/1","objects":[],)"
      R"("attributes":[{"name":"look","kind":"vector","value":[1,2]}],)"
      R"("tensors":[{"name":"out","model_name":"net","precision":"FP32","layout":"ANY","dims":[2,2],"format":"raw",)"
      R"("data":[1,0.5,null,-2]}]})");
}

TEST(MetaConvert, WritesWhereAMaskLiesAndItsCellsOnlyWhenAsked) {
  Frame frame;
  auto tensor = allocate_tensor({.type = DataType::u8, .shape = {1, 2}});
  ASSERT_TRUE(tensor);
  auto* cells = reinterpret_cast<uint8_t*>(*tensor->memory->map(Access::write));
  cells[0] = 3, cells[1] = 255;
  tensor->memory->unmap(Access::write);
  frame.attributes = with({}, {.name = Label("mask"),
                               .kind = AttributeKind::mask,
                               .text = "road",
                               .label_id = 3,
                               .values = {0, 0.5f, 1, 0.5f},
                               .tensor = *tensor,
                               .model = Label("net")});
  EXPECT_EQ(convert(frame), R"({"schema":"sightglass.frame/1","objects":[],"attributes":[)"
                            R"({"name":"mask","kind":"mask","label":"road","label_id":3,)"
                            R"("value":[0,0.5,1,0.5],"model":"net"}]})");
  EXPECT_NE(convert(frame, {{"add-tensor-data", "true"}})
                .find(R"("tensors":[{"name":"mask","model_name":"net","precision":"U8","layout":"ANY",)"
                      R"("dims":[1,2],"format":"segmentation_mask","data":[3,255]}])"),
            std::string::npos);
}

TEST(MetaConvert, RawOutputsAreKnownByModelAndLayer) {
  auto tensor = allocate_tensor({.type = DataType::u8, .shape = {1}});
  ASSERT_TRUE(tensor);
  Frame frame;
  frame.attributes = with(
      {},
      {.name = Label("net/prob"), .kind = AttributeKind::tensor, .tensor = *tensor, .model = Label("net")});
  EXPECT_NE(convert(frame, {{"add-tensor-data", "true"}})
                .find(R"({"name":"net/prob","model_name":"net","layer_name":"prob",)"),
            std::string::npos);
}

TEST(MetaConvert, ReadsTensorsWithGapsAndHalfFloats) {
  auto tensor = allocate_tensor({.type = DataType::f16, .shape = {2, 1}, .strides = {6, 2}});
  ASSERT_TRUE(tensor);
  auto* bits = reinterpret_cast<uint16_t*>(*tensor->memory->map(Access::write));
  bits[0] = 0x3c00, bits[1] = 0x7777, bits[3] = 0xc100;
  Frame frame;
  frame.attributes = with({}, {.name = Label("out"), .kind = AttributeKind::tensor, .tensor = *tensor});
  EXPECT_NE(convert(frame, {{"add-tensor-data", "true"}})
                .find(R"("precision":"FP16","layout":"ANY","dims":[2,1],"data":[1,-2.5])"),
            std::string::npos);
}

TEST(MetaConvert, WhatIsNotFiniteIsNull) {
  Frame frame = face();
  frame.regions[0].box.x = NAN;
  frame.regions[0].confidence = INFINITY;
  const auto json = nlohmann::json::parse(convert(frame));
  EXPECT_TRUE(json["objects"][0]["detection"]["confidence"].is_null());
  EXPECT_TRUE(json["objects"][0]["detection"]["bounding_box"]["x_min"].is_null());
}

TEST(MetaConvert, DumpsDetectionsAsText) {
  EXPECT_EQ(convert(face(), {{"format", "dump-detection"}}),
            "Detection: label: face, confidence: 0.910000, x_min: 0.125000, y_min: 0.250000, x_max: "
            "0.187500, y_max: 0.375000");
}

TEST(MetaConvert, IndentsWhenAsked) {
  EXPECT_TRUE(
      convert(face(), {{"json-indent", "2"}}).starts_with("{\n  \"schema\": \"sightglass.frame/1\",\n"));
}

TEST(MetaConvert, RefusesTagsThatAreNoObject) {
  for (const char* tags : {"[1]", "north", "{\"a\":"}) {
    const auto element = make({{"tags", tags}});
    ASSERT_FALSE(element) << tags;
    EXPECT_NE(element.error().message.find(tags), std::string::npos);
  }
  EXPECT_TRUE(make({{"tags", "{}"}}));
}

TEST(MetaConvert, WarnsOfWhatHasNoEffect) {
  auto element = make({{"timestamp-utc", "true"}, {"signal-handoffs", "true"}});
  EXPECT_EQ((*element)->take_warnings().size(), 2u);
  EXPECT_TRUE((*element)->take_warnings().empty());
}

TEST(MetaConvert, DoesNotAllocateOnceWarm) {
  auto element = make({{"source", "dock-2"}});
  auto& convert = static_cast<TransformInplace&>(**element);
  Frame frame = face();
  ASSERT_TRUE(convert.process(frame));
  const size_t before = allocation_count();
  ASSERT_TRUE(convert.process(frame));
  EXPECT_EQ(allocation_count(), before);
}

}  // namespace
}  // namespace sightglass
