// Attributes that elements see and sinks do not, and what is said of single attributes of a model.
#include <algorithm>

#include "sightglass/module/instance_test_support.h"

namespace sightglass::module {
namespace {

class AttributesTest : public ElementsTest {
 protected:
  static ModuleSpec feeling(const std::string& properties, const std::string& model = "mood") {
    ModuleSpec spec = detecting();
    spec.models.push_back({"mood", {.path = test_model(model), .device = "CPU"}});
    spec.pipeline.elements.push_back(
        {.name = "feels", .type = "attribute_model", .model = "mood", .properties = json(properties)});
    // A function behind it, which can tell what elements see.
    spec.pipeline.elements.push_back({.name = "marks", .type = "cppfunc"});
    spec.pipeline.elements.back().function = {
        .language = "cpp", .path = SIGHTGLASS_TEST_FUNCTIONS, .symbol = "counts"};
    return spec;
  }
  void see(const ModuleSpec& spec) {
    recorder.results.clear();
    recorder.has_ended = false;
    prepare(spec);
    if (HasFatalFailure()) return;
    start();
    run(tickets_of(encode(h264, width, height, 4, walking)));
  }
  const Attribute* of_object(size_t frame, std::string_view name) const {
    const auto& regions = recorder.results.at(frame).results.regions;
    return regions.empty() || !regions[0].attributes ? nullptr : regions[0].attributes->find(name);
  }
};

TEST_F(AttributesTest, ThresholdAndCountOfAnAttributeAreThoseOfItsRule) {
  see(feeling("{}"));
  ASSERT_TRUE(of_object(0, "mood"));
  EXPECT_EQ(of_object(0, "mood")->text, "glad");
  const float confidence = of_object(0, "mood")->confidence;
  ASSERT_LT(confidence, 1);
  see(feeling(R"({"attributes": {"mood": {"threshold": 0.999}}})"));
  EXPECT_EQ(of_object(0, "mood"), nullptr);
  see(feeling(R"({"attributes": {"mood": {"top_k": 2}}})"));
  ASSERT_TRUE(of_object(0, "mood"));
  EXPECT_NE(of_object(0, "mood")->text, "glad");  // two of them
  EXPECT_NE(of_object(0, "mood")->text.find("glad"), std::string::npos);
}

TEST_F(AttributesTest, AHiddenAttributeIsSeenByElementsOnly) {
  ModuleSpec spec = feeling(R"({"attributes": {"mood": {"hidden": true}}})");
  spec.pipeline.elements.back().select = json(R"({"attribute": {"name": "mood", "exists": true}})");
  see(spec);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(of_object(i, "mood"), nullptr);
    ASSERT_TRUE(of_object(i, "index"));  // the function has found the object by its mood
    EXPECT_EQ(recorder.results[i].results.attributes->find("objects")->number, 1);
  }
}

TEST_F(AttributesTest, AnElementMayBeHiddenAsAWhole) {
  ModuleSpec spec = feeling("{}");
  spec.pipeline.elements[0].properties = json(R"({"hidden": true})");
  see(spec);
  for (const InstanceResult& result : recorder.results) {
    EXPECT_TRUE(result.results.regions.empty());
    EXPECT_EQ(result.results.attributes->find("objects")->number, 1);  // the function has seen it
  }
}

TEST_F(AttributesTest, WhatAFunctionWritesMayBeHidden) {
  ModuleSpec spec = feeling("{}");
  spec.pipeline.elements.back().properties = json(R"({"hidden": ["secret", "index"]})");
  ElementSpec reader{.name = "reader", .type = "cppfunc", .when = json(R"({"frame": {"attribute":
      {"namespace": "marks", "name": "secret", "exists": true}}})")};
  reader.function = {.language = "cpp", .path = SIGHTGLASS_TEST_FUNCTIONS, .symbol = "marks"};
  spec.pipeline.elements.push_back(reader);
  see(spec);
  for (size_t i = 0; i < 4; ++i) {
    const Frame& results = recorder.results[i].results;
    EXPECT_TRUE(has_tag(results, "marked"));  // by who has seen it
    EXPECT_TRUE(results.attributes->find("objects"));
    EXPECT_FALSE(results.attributes->find("secret"));
    EXPECT_FALSE(of_object(i, "index"));
  }
  spec.pipeline.elements[2].properties = json(R"({"hidden": true})");
  see(spec);
  EXPECT_FALSE(recorder.results[0].results.attributes->find("objects"));
  spec.pipeline.elements[2].properties = json(R"({"threshold": 1})");
  EXPECT_FALSE(prepare_template(spec));
}

}  // namespace
}  // namespace sightglass::module
