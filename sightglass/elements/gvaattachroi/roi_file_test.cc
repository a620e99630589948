#include "sightglass/elements/gvaattachroi/roi_file.h"

#include <gtest/gtest.h>

#include "sightglass/elements/element_test_support.h"

namespace sightglass {
namespace {

std::vector<RoiRecord> parsed(const std::string& text) {
  auto records = parse_rois(text, "rois.json");
  EXPECT_TRUE(records) << records.error().message;
  return records ? *records : std::vector<RoiRecord>{};
}
std::string error_of(const std::string& text) {
  auto records = parse_rois(text, "rois.json");
  return records ? "no error" : records.error().message;
}

TEST(RoiFile, ReadsTheOriginalsArray) {
  const auto records = parsed(R"([
    {"timestamp": 0, "objects": [{"x": 10, "y": 20, "w": 30, "h": 40, "detection": {"label": "face",
       "label_id": 3, "confidence": 0.5}}]},
    {"timestamp": 33333333, "objects": []}])");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].time, 33333333);
  ASSERT_EQ(records[0].regions.size(), 1u);
  const Region& region = records[0].regions[0];
  EXPECT_EQ(region.box, (Box{10, 20, 30, 40}));
  EXPECT_EQ(records[0].pixels, std::vector<size_t>{0});
  EXPECT_EQ(region.label.view(), "face");
  EXPECT_EQ(region.label_id, 3);
  EXPECT_EQ(region.confidence, .5f);
}

TEST(RoiFile, ABoundingBoxBeatsPixels) {
  const auto records = parsed(
      R"([{"objects":[{"x":1,"y":1,"w":9,"h":9,"detection":{"bounding_box":{"x_min":0.25,"y_min":0.5,"x_max":0.75,"y_max":1}}}]}])");
  EXPECT_EQ(records.at(0).regions.at(0).box, (Box{.25f, .5f, .5f, .5f}));
  EXPECT_TRUE(records.at(0).pixels.empty());
  EXPECT_EQ(records.at(0).time, no_time);
}

TEST(RoiFile, PixelsAreThoseOfTheRecordsResolution) {
  const auto records =
      parsed(R"({"resolution":{"width":200,"height":100},"objects":[{"x":50,"y":50,"w":100,"h":50}]})");
  EXPECT_EQ(records.at(0).regions.at(0).box, (Box{.25f, .5f, .5f, .5f}));
  EXPECT_TRUE(records.at(0).pixels.empty());
}

TEST(RoiFile, ReadsALinePerFrameInOurLayout) {
  const auto records = parsed(
      R"({"schema":"sightglass.frame/1","resolution":{"width":100,"height":100},"timestamp":40,"objects":[
{"x":0,"y":0,"w":10,"h":10,"region_id":0,"id":12,"roi_type":"face","angle":0.5,"detection":{"bounding_box":{"x_min":0,"y_min":0,"x_max":0.1,"y_max":0.1},"confidence":0.9},
 "attributes":[{"name":"mood","kind":"class","label":"glad","label_id":1,"confidence":0.75,"model":"moods"},
               {"name":"age","kind":"number","value":34,"age":4},
               {"name":"eyes","kind":"keypoints","points":[[0.1,0.2,1],[0.3,0.4,null]]}],
 "tensors":[{"name":"feature","precision":"FP32","dims":[3],"data":[1,2,3]},
            {"name":"raw","model_name":"net","precision":"FP32","dims":[1,2],"data":[5,6]}]}],
"attributes":[{"name":"scene","kind":"text","label":"yard"}]}
{"timestamp":80,"objects":[]}
)");
  ASSERT_EQ(records.size(), 2u);
  const Region& region = records[0].regions.at(0);
  EXPECT_EQ(region.track, 12);
  EXPECT_EQ(region.angle, .5f);
  const Attribute* mood = region.attributes->find("mood");
  ASSERT_TRUE(mood);
  EXPECT_EQ(mood->kind, AttributeKind::classification);
  EXPECT_EQ(mood->text, "glad");
  EXPECT_EQ(mood->label_id, 1);
  EXPECT_EQ(mood->model.view(), "moods");
  EXPECT_EQ(region.attributes->find("age")->number, 34);
  EXPECT_EQ(region.attributes->find("age")->age, 4u);
  EXPECT_EQ(region.attributes->find("eyes")->values, (std::vector<float>{.1f, .2f, 1, .3f, .4f, 0}));
  EXPECT_EQ(region.attributes->find("feature")->values, (std::vector<float>{1, 2, 3}));
  const Attribute* raw = region.attributes->find("raw");
  EXPECT_EQ(raw->tensor.shape, (Shape{1, 2}));
  EXPECT_EQ(test::values_of<float>(raw->tensor), (std::vector<float>{5, 6}));
  EXPECT_EQ(records[0].attributes->find("scene")->text, "yard");
  EXPECT_EQ(records[1].time, 80);
}

TEST(RoiFile, ReadsTheOriginalsAttributeKeys) {
  const auto records = parsed(
      R"([{"objects":[{"x":0,"y":0,"w":1,"h":1,"mood":{"label":"sad","label_id":2,"confidence":0.5,"model":{"name":"m"}}}]}])");
  const Attribute* mood = records.at(0).regions.at(0).attributes->find("mood");
  ASSERT_TRUE(mood);
  EXPECT_EQ(mood->text, "sad");
  EXPECT_EQ(mood->model.view(), "m");
}

TEST(RoiFile, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(error_of(""), "rois.json: there is no record in it");
  EXPECT_EQ(error_of("[]"), "rois.json: there is no record in it");
  EXPECT_EQ(error_of("{}\n\n{\"objects\": [}"), "rois.json: line 3: this is no JSON");
  EXPECT_EQ(error_of("[{\"objects\": []}"), "rois.json: line 1: this is no JSON");
  EXPECT_EQ(error_of("[7]"), "rois.json: record 1: 7 is no object with objects");
  EXPECT_EQ(error_of(R"({"objects": {}})"), "rois.json: record 1: objects is no list");
  EXPECT_EQ(error_of(R"({"objects": []}{"objects": [{"x":1,"y":1,"w":1,"h":1},{"x":1,"y":1,"w":1}]})"),
            "rois.json: record 2, object 2: h is missing, not a number");
  EXPECT_EQ(error_of(R"({"objects": [{"x":"1","y":1,"w":1,"h":1}]})"),
            "rois.json: record 1, object 1: x is \"1\", not a number");
  EXPECT_EQ(error_of(R"({"objects": [{"x":1,"y":1,"w":-1,"h":1}]})"),
            "rois.json: record 1, object 1: w and h must not be negative");
  EXPECT_EQ(error_of(R"({"timestamp": "noon"})"),
            "rois.json: record 1: timestamp is \"noon\", not a number of nanoseconds");
  EXPECT_EQ(error_of(R"({"objects": [{"x":1e99,"y":1,"w":1,"h":1}]})"),
            "rois.json: record 1, object 1: x is 1e+99, not a number");
  EXPECT_EQ(
      error_of(R"({"objects":[{"x":1,"y":1,"w":1,"h":1,"tensors":[{"name":"t","dims":[2,2],"data":[1]}]}]})"),
      "rois.json: record 1, object 1: a tensor of 2x2 has 1 numbers");
  EXPECT_EQ(
      error_of(
          R"({"objects":[{"x":1,"y":1,"w":1,"h":1,"tensors":[{"name":"t","dims":[-2,1e20],"data":[1]}]}]})"),
      "rois.json: record 1, object 1: -2 is no size of a tensor");
  EXPECT_EQ(error_of(R"({"objects":[{"x":1,"y":1,"w":1,"h":1,"tensors":[{"name":"t","data":)" +
                     std::string(99, '[') + "1" + std::string(99, ']') + "}]}]}"),
            "rois.json: record 1, object 1: lists of numbers are nested too deeply");
  EXPECT_EQ(read_roi_file("no/such/file.json").error().message,
            "file-path=no/such/file.json: there is no such file");
  EXPECT_FALSE(read_roi_file("/"));
}

TEST(RoiFile, DeepNestingIsNoCrash) { EXPECT_NE(error_of(std::string(100000, '[')), "no error"); }

}  // namespace
}  // namespace sightglass
