#include "sightglass/elements/selection/selector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace sightglass {
namespace {

Attribute text_attribute(const char* model, const char* name, const char* text, float confidence = 0) {
  return {.name = Label(name),
          .kind = AttributeKind::classification,
          .text = text,
          .confidence = confidence,
          .model = Label(model)};
}
Attribute number_attribute(const char* model, const char* name, double number) {
  return {.name = Label(name), .kind = AttributeKind::number, .number = number, .model = Label(model)};
}

// A face of 64 x 50 pixels in the middle of a picture of 640 x 500, child of a person.
class Selectors : public testing::Test {
 protected:
  Selectors() {
    frame_.video = VideoInfo{.width = 640, .height = 500};
    frame_.regions.push_back({.id = 0,
                              .box = {0.25f, 0.2f, 0.5f, 0.6f},
                              .confidence = 0.9f,
                              .label = Label("person"),
                              .model = Label("people"),
                              .track = 3});
    frame_.regions.push_back({.id = 1,
                              .parent = 0,
                              .box = {0.45f, 0.45f, 0.1f, 0.1f},
                              .angle = 0.5f,
                              .confidence = 0.75f,
                              .label = Label("face"),
                              .model = Label("faces")});
    frame_.regions[1].attributes =
        with(with(with(nullptr, text_attribute("mood", "emotion", "happy", 0.8f)),
                  number_attribute("age", "years", 31)),
             {.name = Label("zones"), .kind = AttributeKind::multi, .text = "door, gate"});
    frame_.attributes = with(with(with(nullptr, {.name = Label("crossing"), .model = Label(tag_model)}),
                                  {.name = Label("night"), .model = Label(tag_model)}),
                             number_attribute("sensor", "lux", 12));
  }

  bool matches(size_t region, std::string_view json, const SelectionContext& context = {}) {
    auto selector = Selector::parse(json);
    EXPECT_TRUE(selector) << json << ": " << (selector ? "" : selector.error().message);
    return selector && selector->matches(frame_, frame_.regions[region], context);
  }
  bool face(std::string_view json, const SelectionContext& context = {}) { return matches(1, json, context); }
  bool person(std::string_view json) { return matches(0, json); }
  bool picture(std::string_view json, const SelectionContext& context = {}) {
    auto selector = Selector::parse(json, "when", Selector::Scope::frame);
    EXPECT_TRUE(selector) << json << ": " << (selector ? "" : selector.error().message);
    return selector && selector->matches(frame_, context);
  }

  Frame frame_;
};

TEST_F(Selectors, NothingAsksForEverything) {
  for (const char* text : {"", "  ", "{}", "null"}) {
    EXPECT_TRUE(face(text));
    EXPECT_TRUE(Selector::parse(text)->everything());
  }
  EXPECT_TRUE(Selector().everything());
}

TEST_F(Selectors, KeysAreAndListsAreOr) {
  EXPECT_TRUE(face(R"({"label": "face", "element": "faces"})"));
  EXPECT_FALSE(face(R"({"label": "face", "element": "people"})"));
  EXPECT_TRUE(face(R"({"label": ["person", "face"]})"));
  EXPECT_TRUE(face(R"([{"label": "person"}, {"label": "face"}])"));
  EXPECT_FALSE(face(R"([{"label": "person"}, {"label": "car"}])"));
  EXPECT_TRUE(face(R"({"any": [{"label": "x"}, {"all": [{"label": "face"}, {"not": {"label": "x"}}]}]})"));
  EXPECT_FALSE(face(R"({"all": [{"label": "face"}, {"label": "x"}]})"));
  EXPECT_FALSE(face(R"({"not": {"label": "face"}})"));
}

TEST_F(Selectors, AShortFormIsElementAndLabel) {
  EXPECT_TRUE(face(R"("faces.face")"));
  EXPECT_TRUE(face("faces.face"));  // without quotes, as a property is typed
  EXPECT_FALSE(person("faces.face"));
  frame_.regions[0].label = Label("traffic.light");
  EXPECT_TRUE(person("people.traffic.light"));
  EXPECT_TRUE(face(R"(["people.person", "faces.face"])"));
}

TEST_F(Selectors, Texts) {
  EXPECT_TRUE(face(R"({"label": {"prefix": "fa", "suffix": "ce"}})"));
  EXPECT_FALSE(face(R"({"label": {"prefix": "fa", "suffix": "x"}})"));
  EXPECT_TRUE(face(R"({"label": {"prefix": ["x", "fa"]}})"));
  EXPECT_TRUE(face(R"({"label": {"matches": "f?c[a-e]"}})"));
  EXPECT_FALSE(face(R"({"label": {"matches": "f"}})"));
  EXPECT_TRUE(face(R"({"label": {"not_in": ["person", "car"]}})"));
  EXPECT_FALSE(face(R"({"label": {"not_in": ["person", "face"]}})"));
  EXPECT_TRUE(face(R"({"label": {"ne": "person"}})"));
  EXPECT_TRUE(face(R"({"label": {"in": ["a", "face"]}})"));
  frame_.regions[1].label = Label("7");
  EXPECT_TRUE(face(R"({"label": 7})"));
}

TEST_F(Selectors, Numbers) {
  EXPECT_TRUE(face(R"({"confidence": {"ge": 0.75, "lt": 0.76}})"));
  EXPECT_TRUE(face(R"({"confidence": 0.75})"));
  EXPECT_TRUE(person(R"({"confidence": {"ge": 0.9, "le": 0.9, "eq": 0.9}})"));  // 0.9f is not 0.9
  EXPECT_FALSE(person(R"({"confidence": {"gt": 0.9}})"));
  EXPECT_TRUE(face(R"({"confidence": {"between": [0.75, 0.8]}})"));
  EXPECT_TRUE(face(R"({"confidence": {"in": [0.5, 0.75]}})"));
  EXPECT_TRUE(face(R"({"confidence": {"ne": 0.5}})"));
  EXPECT_FALSE(face(R"({"confidence": {"not_in": [0.5, 0.75]}})"));
}

TEST_F(Selectors, BoxesInPixelsAndInFractions) {
  EXPECT_TRUE(face(R"({"box.width": {"ge": 64}, "box.height": {"le": 50}})"));
  EXPECT_FALSE(face(R"({"box.width": {"gt": 64}})"));
  EXPECT_TRUE(face(R"({"box": {"width": 64, "area": 3200, "aspect": 1.28, "angle": 0.5}})"));
  EXPECT_TRUE(face(R"({"box.width": {"eq": 0.1, "relative": true}})"));
  EXPECT_TRUE(face(R"({"box.area": {"between": [0.0099, 0.0101], "relative": true}})"));
  EXPECT_TRUE(face(R"({"box.width": {"ge": 64, "relative": false}})"));
}

TEST_F(Selectors, WhereTheSizeIsNotKnownPixelsAreMissing) {
  frame_.video.reset();
  EXPECT_FALSE(face(R"({"box.width": {"ge": 0}})"));
  EXPECT_FALSE(face(R"({"region": {"zone": [[0, 0], [640, 0], [640, 500], [0, 500]]}})"));
  EXPECT_FALSE(face(R"({"region": {"zone": [[0, 0], [640, 0], [640, 500], [0, 500]], "inside": false}})"));
  EXPECT_TRUE(face(R"({"box.width": {"ge": 0.1, "relative": true}})"));
  EXPECT_TRUE(face(R"({"box.width": {"ge": 64}})", {.width = 640, .height = 500}));
}

TEST_F(Selectors, ZonesAreFractionsUntilANumberExceedsOne) {
  EXPECT_TRUE(face(R"({"region": {"zone": [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]}})"));
  EXPECT_FALSE(face(R"({"region": {"zone": [[0, 0], [1, 0], [1, 0.1], [0, 0.1]]}})"));
  EXPECT_TRUE(face(R"({"region": {"zone": [[0, 0], [1, 0], [1, 0.1], [0, 0.1]], "inside": false}})"));
  EXPECT_TRUE(face(R"({"region": {"zone": [[300, 200], [340, 200], [340, 300], [300, 300]]}})"));
  EXPECT_TRUE(face(R"({"region": {"zone": [300, 200, 340, 200, 340, 300, 300, 300]}})"));
  EXPECT_TRUE(
      face(R"({"region": {"zone": [[[0, 0], [0.1, 0], [0, 0.1]], [[0.4, 0.4], [0.6, 0.4], [0.5, 0.9]]]}})"));
}

TEST_F(Selectors, AnchorsOfZones) {
  // The person from (160, 100) to (480, 400).
  const std::string below = R"("zone": [[0, 0.75], [1, 0.75], [1, 1], [0, 1]])";
  EXPECT_FALSE(person("{\"region\": {" + below + "}}"));
  EXPECT_TRUE(person("{\"region\": {" + below + R"(, "anchor": "bottom"}})"));
  EXPECT_TRUE(person("{\"region\": {" + below + R"(, "anchor": "any"}})"));
  const std::string left = R"("zone": [[0, 0], [0.3, 0], [0.3, 1], [0, 1]])";
  EXPECT_FALSE(person("{\"region\": {" + left + R"(, "anchor": "bottom"}})"));
  EXPECT_TRUE(person("{\"region\": {" + left + R"(, "anchor": "any"}})"));
  frame_.regions[0].angle = float(M_PI / 2);  // upright: 300 wide, from x 170 on
  EXPECT_TRUE(person(R"({"region": {"zone": [172, 0, 175, 0, 175, 499, 172, 499], "anchor": "any"}})"));
  EXPECT_FALSE(person(R"({"region": {"zone": [162, 0, 165, 0, 165, 499, 162, 499], "anchor": "any"}})"));
  frame_.regions[0].box.x = NAN;
  EXPECT_FALSE(person(R"({"region": {"zone": [0,0, 1,0, 1,1, 0,1], "inside": false}})"));
}

TEST_F(Selectors, Tracks) {
  EXPECT_TRUE(person(R"({"track": {"state": "confirmed", "id": 3}})"));
  EXPECT_TRUE(person(R"({"track": {"id": [1, 3]}})"));
  EXPECT_FALSE(person(R"({"track": {"state": ["lost", "tentative"]}})"));
  EXPECT_TRUE(face(R"({"track": {"state": "none"}})"));
  EXPECT_FALSE(face(R"({"track": {"id": {"ne": 3}}})"));
  EXPECT_TRUE(face(R"({"track": {"exists": false}})"));
  EXPECT_TRUE(person(R"({"track": {"exists": true}})"));
  EXPECT_FALSE(person(R"({"track": {"age": {"ge": 0}}})"));  // nobody has counted
  EXPECT_TRUE(Selector::parse(R"({"track": {"age": {"ge": 0}}})")->uses_track_age());
}

TEST_F(Selectors, Attributes) {
  EXPECT_TRUE(face(R"({"attribute": {"name": "emotion"}})"));
  EXPECT_TRUE(face(R"({"attribute": {"namespace": "mood", "name": "emotion", "value": ["happy", "sad"]}})"));
  EXPECT_FALSE(face(R"({"attribute": {"namespace": "age", "name": "emotion"}})"));  // of one attribute
  EXPECT_TRUE(face(R"({"attribute": {"name": "emotion", "confidence": {"ge": 0.8}}})"));
  EXPECT_TRUE(face(R"({"attribute": {"name": "years", "value": {"ge": 18, "lt": 40}}})"));
  EXPECT_TRUE(face(R"({"attribute": {"name": "years", "value": 31}})"));
  EXPECT_FALSE(face(R"({"attribute": {"name": "emotion", "value": {"ge": 0}}})"));
  EXPECT_TRUE(face(R"({"attribute": {"name": "zones", "value": "gate"}})"));  // one of several
  EXPECT_FALSE(face(R"({"attribute": {"name": "zones", "value": "door, gate"}})"));
  EXPECT_TRUE(face(R"({"attribute": [{"name": "x"}, {"name": "emotion"}]})"));
  EXPECT_TRUE(face(R"({"attribute": {"name": "emotion", "value": {"ne": "sad"}}})"));
}

TEST_F(Selectors, ParentsAndChildren) {
  EXPECT_TRUE(face(R"({"parent": {"label": "person"}})"));
  EXPECT_FALSE(face(R"({"parent": {"label": "car"}})"));
  EXPECT_FALSE(person(R"({"parent": {"label": "car"}})"));
  EXPECT_TRUE(person(R"({"parent": {"exists": false}})"));
  EXPECT_TRUE(face(R"({"parent": {"exists": true}})"));
  EXPECT_TRUE(person(R"({"child": {"match": {"label": "face", "parent": {"label": "person"}}}})"));
  EXPECT_TRUE(person(R"({"child": {"match": "faces.face", "count": 1}})"));
  EXPECT_FALSE(person(R"({"child": {"match": "faces.face", "count": {"ge": 2}}})"));
  EXPECT_TRUE(face(R"({"child": {"count": 0}})"));
  EXPECT_TRUE(picture(R"({"child": {"match": {"label": "person"}}})"));  // of the whole picture
  EXPECT_FALSE(picture(R"({"child": {"match": {"label": "face"}}})"));   // that is the person's
  frame_.regions[1].id = 9;                                              // numbers need not be places
  frame_.regions[0].parent = 9;
  EXPECT_TRUE(person(R"({"parent": {"label": "face"}})"));
}

TEST_F(Selectors, Frames) {
  EXPECT_TRUE(picture(R"({"frame": {"tag": "crossing", "width": {"ge": 640}, "height": 500}})"));
  EXPECT_FALSE(picture(R"({"frame": {"tag": "skip"}})"));
  EXPECT_TRUE(picture(R"({"not": {"frame": {"tag": "skip"}}})"));
  EXPECT_TRUE(picture(R"({"frame": {"tag": {"prefix": "cross"}}})"));
  EXPECT_TRUE(
      picture(R"({"frame": {"attribute": {"namespace": "sensor", "name": "lux", "value": {"lt": 20}}}})"));
  EXPECT_TRUE(picture(R"({"frame": {"attribute": {"namespace": "gps", "exists": false}}})"));
  EXPECT_TRUE(picture(R"("frame")"));
  EXPECT_TRUE(face(R"({"label": "face", "frame": {"tag": "night"}})"));
  EXPECT_FALSE(face(R"({"label": "face", "frame": {"tag": "day"}})"));
}

TEST_F(Selectors, FactsComeFromTheContextElseFromTheStreamsAttributes) {
  EXPECT_FALSE(picture(R"({"frame": {"keyframe": true}})"));
  EXPECT_FALSE(picture(R"({"frame": {"keyframe": false}})"));
  EXPECT_FALSE(picture(R"({"frame": {"every": 2}})"));
  EXPECT_TRUE(
      picture(R"({"frame": {"keyframe": true, "queue_fill": {"le": 0.9}, "every": 2}, "source": "cam-1"})",
              {.source = "cam-1", .keyframe = true, .queue_fill = 0.9f, .frame_number = 4}));
  EXPECT_FALSE(picture(R"({"frame": {"every": 2}})", {.frame_number = 5}));
  Attribute source = text_attribute(stream_model, "source", "cam-7");
  frame_.attributes =
      with(with(with(frame_.attributes, source), number_attribute(stream_model, "keyframe", 1)),
           number_attribute(stream_model, "queue-fill", 0.5));
  EXPECT_TRUE(
      face(R"({"source": {"matches": "cam-[0-9]"}, "frame": {"keyframe": true, "queue_fill": 0.5}})"));
}

// Missing is false, whatever is asked; `not` knows true and false only.
TEST_F(Selectors, AMissingValueIsFalseAlsoUnderNe) {
  frame_.regions[1].label = {};
  frame_.regions[1].confidence = 0;
  EXPECT_FALSE(face(R"({"label": {"ne": "person"}})"));
  EXPECT_FALSE(face(R"({"label": {"not_in": ["person"]}})"));
  EXPECT_FALSE(face(R"({"confidence": {"ne": 1}})"));
  EXPECT_FALSE(face(R"({"confidence": {"lt": 1}})"));
  EXPECT_FALSE(face(R"({"attribute": {"name": "hat", "value": {"ne": "red"}}})"));
  EXPECT_FALSE(face(R"({"draw_label": {"ne": "x"}})"));
  EXPECT_TRUE(face(R"({"not": {"label": "person"}})"));
  EXPECT_TRUE(face(R"({"not": {"label": {"ne": "person"}}})"));
  EXPECT_TRUE(face(R"({"not": {"confidence": {"ge": 0.5}}})"));
  EXPECT_TRUE(face(R"({"label": {"exists": false}, "confidence": {"exists": false}})"));
  EXPECT_FALSE(face(R"({"label": {"exists": true}})"));
  EXPECT_FALSE(face(R"({"not": {"label": {"exists": false}}})"));
  EXPECT_TRUE(face(R"({"attribute": {"name": "hat", "exists": false}})"));
  EXPECT_FALSE(face(R"({"attribute": {"name": "emotion", "exists": false}})"));
  frame_.regions[1].confidence = NAN;
  EXPECT_FALSE(face(R"({"confidence": {"ne": 1}})"));
  EXPECT_TRUE(face(R"({"confidence": {"exists": false}})"));
}

TEST_F(Selectors, WhatIsAskedOfTheFrameAloneSelectsTheWholePicture) {
  EXPECT_TRUE(Selector::parse("frame")->whole_frame());
  EXPECT_TRUE(Selector::parse(R"({"frame": {"tag": "x"}, "source": "cam"})")->whole_frame());
  EXPECT_TRUE(Selector::parse(R"({"not": {"frame": {"tag": "x"}}})")->whole_frame());
  EXPECT_FALSE(Selector::parse(R"({"frame": {"tag": "x"}, "label": "face"})")->whole_frame());
  EXPECT_FALSE(Selector::parse(R"({"label": "face"})")->whole_frame());
  EXPECT_FALSE(Selector::parse("")->whole_frame());
}

TEST_F(Selectors, TheWorkedExample) {
  const char* example =
      R"({"label": "face", "track": {"state": "confirmed"},
          "any": [{"box.width": {"ge": 48}}, {"confidence": {"ge": 0.9}}],
          "not": {"region": {"zone": [[0, 0], [1, 0], [1, 0.1], [0, 0.1]]}}})";
  EXPECT_FALSE(face(example));  // no track
  frame_.regions[1].track = 4;
  EXPECT_TRUE(face(example));
  frame_.regions[1].box.w = 0.05f;
  EXPECT_FALSE(face(example));
  frame_.regions[1].confidence = 0.9f;
  EXPECT_TRUE(face(example));
  frame_.regions[1].box.y = 0;
  EXPECT_FALSE(face(example));
}

// ---- what is refused

std::string error(std::string_view json, Selector::Scope scope = Selector::Scope::object) {
  auto selector = Selector::parse(json, "select", scope);
  return selector ? "no error" : selector.error().message;
}

TEST(SelectorErrors, SayWhereAndWhatWasExpected) {
  EXPECT_EQ(error(R"({"labell": "x"})").substr(0, 58),
            "select.labell: there is no such key; did you mean 'label'?");
  EXPECT_EQ(error(R"({"any": [{"box.widht": 3}]})").substr(0, 69),
            "select.any[0].box.widht: there is no such key; did you mean 'box.widt");
  EXPECT_EQ(error(R"({"box.width": {"ge": "wide"}})"),
            R"(select.box.width.ge: expects a number, got "wide")");
  EXPECT_EQ(error(R"({"box.aspect": {"relative": true, "ge": 1}})").substr(0, 48),
            "select.box.aspect.relative: there is no such key");
  EXPECT_EQ(error(R"({"confidence": {"between": [2, 1]}})"),
            "select.confidence.between: the first number is greater than the second: [2,1]");
  EXPECT_EQ(error(R"({"track": {"state": "confirmd"}})"),
            "select.track.state: 'confirmd' is unknown; did you mean 'confirmed'?; one of: none, tentative, "
            "confirmed, lost");
  EXPECT_EQ(error(R"({"label": true})"), "select.label: expects a text, got true");
  EXPECT_EQ(error(R"({"label": {"matches": "a["}})"),
            "select.label.matches: 'a[': the set that '[' begins is not closed by ']'");
  EXPECT_EQ(error(R"({"region": {"zone": [[0, 0], [1, 1]]}})"),
            "select.region.zone: a zone needs 3 points or more, it has 2");
  EXPECT_EQ(error(R"({"attribute": {"name": "a", "value": 1, "exists": false}})"),
            "select.attribute.exists: of an attribute that is not there nothing can be compared");
  EXPECT_EQ(error(R"("face")"),
            "select: expects 'frame', or an element and a label as in 'faces.face', got 'face'");
  EXPECT_EQ(error(R"({"label": "a", "label": "b"})"), "select: the key 'label' comes twice");
  EXPECT_TRUE(error(R"({"label": )").starts_with("select: no JSON: parse error at line 1, column "));
  EXPECT_EQ(error(R"({"label": "a"})", Selector::Scope::frame),
            "select.label: is about objects, but here whole frames are asked for; use 'frame' or 'child'");
  EXPECT_EQ(error(R"({"frame": {"every": 0}})"),
            "select.frame.every: expects a number of frames, 1 or more, got 0");
}

TEST(SelectorErrors, BadValuesNeitherCrashNorPass) {
  for (const char* json : {"[]",
                           "3",
                           "true",
                           R"({"any": []})",
                           R"({"any": {}})",
                           R"({"not": 3})",
                           R"({"not": []})",
                           R"({"label": []})",
                           R"({"label": {}})",
                           R"({"label": null})",
                           R"({"label": ""})",
                           R"({"confidence": []})",
                           R"({"confidence": {}})",
                           R"({"confidence": "0.5"})",
                           R"({"confidence": {"between": [1]}})",
                           R"({"confidence": 1e999})",
                           R"({"box": 3})",
                           R"({"box": {"widht": 3}})",
                           R"({"region": {}})",
                           R"({"region": {"zone": 3}})",
                           R"({"region": {"zone": [1, 2, 3]}})",
                           R"({"region": {"zone": [["a", "b"], [1, 2], [3, 4]]}})",
                           R"({"region": {"zone": [[0, 0], [1e30, 0], [0, 1]]}})",
                           R"({"region": {"zone": [[0,0],[1,0],[1,1]], "anchor": "top"}})",
                           R"({"track": {}})",
                           R"({"track": {"state": []}})",
                           R"({"attribute": {}})",
                           R"({"attribute": "mood.emotion"})",
                           R"({"parent": 3})",
                           R"({"child": []})",
                           R"({"child": {"count": "x"}})",
                           R"({"frame": {"every": 1.5}})",
                           R"({"frame": {"keyframe": 1}})",
                           R"({"frame": false})",
                           R"({"box.width": {"relative": true}})",
                           "{\"label\": \"\xff\"",
                           "\x01",
                           "{\"label\": \"a\x01\"}"})
    EXPECT_NE(error(json), "no error") << json;
}

TEST(SelectorErrors, DepthAndSizeAreLimited) {
  const auto nested = [](int depth) {
    std::string text = R"({"label": "a"})";
    for (int i = 1; i < depth; ++i) text = R"({"not": )" + text + "}";
    return text;
  };
  EXPECT_EQ(error(nested(16)), "no error");
  EXPECT_TRUE(error(nested(17)).ends_with("more than 16 selectors within each other"));
  EXPECT_TRUE(error(std::string(100'000, '[')).starts_with("select: no JSON"));
  EXPECT_NE(error(std::string(1000, '[') + std::string(1000, ']')), "no error");

  const auto list = [](int count) {
    std::string text = R"({"label": [)";
    for (int i = 0; i < count; ++i) text += std::format("{}\"l{}\"", i ? "," : "", i);
    return text + "]}";
  };
  EXPECT_EQ(error(list(200)), "no error");
  EXPECT_TRUE(error(list(300)).ends_with("the selector has more than 256 parts"));
  EXPECT_TRUE(error("{\"label\": \"" + std::string(300'000, 'a') + "\"}").starts_with("select: more than"));
}

TEST(SelectorSchema, IsJsonWhoseReferencesExist) {
  const auto schema = nlohmann::json::parse(selector_schema());
  std::string text(selector_schema());
  size_t references = 0;
  const std::string mark = "\"$ref\": \"#/$defs/";
  for (size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1), ++references) {
    const size_t from = at + mark.size();
    EXPECT_TRUE(schema.contains(text.substr(from, text.find('"', from) - from))) << text.substr(from, 30);
  }
  EXPECT_GT(references, 30u);
}

}  // namespace
}  // namespace sightglass
