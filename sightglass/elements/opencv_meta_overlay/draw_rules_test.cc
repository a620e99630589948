#include "sightglass/elements/opencv_meta_overlay/draw_rules.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sightglass {
namespace {

Region face() {
  Region region{
      .id = 2, .box = {0, 0, 1, 1}, .confidence = 0.875f, .label = Label("face"), .model = Label("faces")};
  region.track = 7;
  region.attributes =
      with(with(nullptr, {.name = Label("emotion"), .text = "happy", .model = Label("mood")}),
           {.name = Label("years"), .kind = AttributeKind::number, .number = 31, .model = Label("age")});
  return region;
}

std::string written(std::string_view text, const Region& region) {
  auto label = LabelTemplate::parse(text);
  EXPECT_TRUE(label) << (label ? "" : label.error().message);
  std::string result;
  if (label) label->append(region, result);
  return result;
}

TEST(LabelTemplate, FillsInWhatTheObjectHas) {
  EXPECT_EQ(written("{label} #{track_id} {mood.emotion}", face()), "face #7 happy");
  EXPECT_EQ(written("{element}/{label} {id} {confidence} {age.years}y", face()), "faces/face 2 0.88 31y");
  EXPECT_EQ(written("a {{b}} {label}", face()), "a {b} face");
  EXPECT_EQ(written("", face()), "");
}

TEST(LabelTemplate, AWordWithNothingInItIsLeftOut) {
  Region bare;
  bare.label = Label("face");
  EXPECT_EQ(written("{label} #{track_id} {mood.emotion}", bare), "face");
  EXPECT_EQ(written("id={track_id}/{label} x", bare), "id=/face x");
  EXPECT_EQ(written("#{track_id} {confidence}", bare), "");
  EXPECT_EQ(written("{mood.x} {years.mood}", face()), "");
}

std::string error(std::string_view json) {
  auto rules = parse_draw_rules(json);
  return rules ? "no error" : rules.error().message;
}

TEST(DrawRules, AreRead) {
  auto rules = parse_draw_rules(
      R"([{"match": "faces.face", "box": {"color": "lime", "width": 2}, "label": "{label}"},
          {"dot": {"color": "#010203", "radius": 4}, "mask": true, "blur": true, "label": {"text": "x", "color": "red"}},
          {"box": "red", "label": false, "mask": {"color": "blue"}}])");
  ASSERT_TRUE(rules) << rules.error().message;
  ASSERT_EQ(rules->size(), 3u);
  EXPECT_EQ((*rules)[0].color, (Color{0, 255, 0}));
  EXPECT_EQ((*rules)[0].width, 2);
  EXPECT_TRUE((*rules)[0].match.matches({}, face()));
  EXPECT_FALSE((*rules)[0].match.matches({}, {}));
  EXPECT_EQ((*rules)[1].dot_color, (Color{1, 2, 3}));
  EXPECT_EQ((*rules)[1].label_color, (Color{255, 0, 0}));
  EXPECT_TRUE((*rules)[1].mask && (*rules)[1].blur && !(*rules)[1].box);
  EXPECT_TRUE((*rules)[2].box && !(*rules)[2].label);
  EXPECT_EQ((*rules)[2].color, (Color{255, 0, 0}));
  EXPECT_EQ((*rules)[2].mask_color, (Color{0, 0, 255}));
  EXPECT_EQ(parse_draw_rules("")->size(), 0u);
  EXPECT_EQ(parse_draw_rules(R"({"box": true})")->size(), 1u);
  EXPECT_TRUE(nlohmann::json::accept(draw_schema()));
}

TEST(DrawRules, MistakesSayWhere) {
  EXPECT_EQ(
      error(R"([{"boxx": true}])"),
      "draw[0].boxx: there is no such key; did you mean 'box'?; known: match, box, label, dot, blur, mask");
  EXPECT_TRUE(error(R"([{"box": {"color": "lyme"}}])")
                  .starts_with("draw[0].box.color: 'lyme' is no colour; did you mean 'lime'?"));
  EXPECT_TRUE(
      error(R"([{}, {"match": {"labell": "x"}}])").starts_with("draw[1].match.labell: there is no such key"));
  EXPECT_EQ(error(R"([{"label": "{label"}])"), "draw[0].label: '{label': a '{' is not closed");
  EXPECT_TRUE(error(R"([{"label": "{lable_id}"}])").starts_with("draw[0].label: '{lable_id}' is unknown"));
  EXPECT_EQ(error(R"([{"box": {"width": 0}}])"), "draw[0].box.width: expects 1 to 100 pixels, got 0");
  for (const char* json :
       {"3", "[3]", R"([{"box": 1}])", R"([{"blur": "yes"}])", R"([{"label": 3}])", R"([{"label": {}}])",
        R"([{"dot": {"radius": "x"}}])", R"([{"box": {"color": 3}}])", R"([{"label": "}"}])",
        R"([{"box": {"color": "#12345g"}}])"})
    EXPECT_NE(error(json), "no error") << json;
}

}  // namespace
}  // namespace sightglass
