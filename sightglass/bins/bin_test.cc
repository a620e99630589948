#include "sightglass/bins/bin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "sightglass/core/registry.h"
#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::vector<std::string> names(const Stage& stage) {
  std::vector<std::string> list;
  for (const auto& element : stage) list.push_back(element.element);
  return list;
}

Result<Stages> build(std::string_view bin, const Settings& settings) {
  const auto* desc = find_bin(bin);
  ParamSet params(desc->params);
  for (const auto& [name, text] : settings) {
    auto set = params.set_text(name, text);
    EXPECT_TRUE(set) << set.error().message;
  }
  return desc->build(params);
}

TEST(Bins, AreFoundByTheirNames) {
  for (const auto* bin : all_bins()) EXPECT_EQ(find_bin(bin->name), bin);
  EXPECT_EQ(find_bin("object_detekt"), nullptr);
}

TEST(Bins, AreTypedListsOfElements) {
  auto stages = build("object_track", {{"generate-objects", "false"}});
  ASSERT_TRUE(stages) << stages.error().message;
  EXPECT_THAT(names(stages->stages[postaggregate]), ElementsAre("opencv_object_association"));
  EXPECT_THAT(stages->stages[postaggregate][0].params, Contains(Pair("generate-objects", "false")));
}

TEST(Bins, WhatAModelNeedsFollowsFromItsDescription) {
  const char* models = std::getenv("SIGHTGLASS_TEST_MODELS");
  if (!models) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
  if (const auto info = engine_for("x.onnx").value()->info(); !info) GTEST_SKIP() << info.error().message;
  const std::string model = std::string(models) + "/det.onnx";
  auto stages =
      build("object_detect", {{"model", model}, {"threshold", "0.25"}, {"inference-interval", "2"}});
  ASSERT_TRUE(stages) << stages.error().message;
  EXPECT_THAT(names(stages->stages[preprocess]), ElementsAre("capsrelax", "rate_adjust", "video_to_tensor"));
  EXPECT_THAT(names(stages->stages[process]), ElementsAre("onnx_tensor_inference"));
  EXPECT_THAT(stages->stages[postprocess].at(0).params, Contains(Pair("threshold", "0.25")));
  EXPECT_THAT(names(stages->stages[aggregate]), ElementsAre("meta_aggregate"));
  EXPECT_TRUE(stages->queues[postprocess]);
}

TEST(Bins, LiveValuesGoToTheElementsThatHaveThem) {
  const auto* bin = find_bin("object_classify");
  ParamSet params(bin->params);
  ASSERT_TRUE(params.set_text("object-class", "dog"));
  EXPECT_THAT(bin->live(params, *find_element("roi_split")), ElementsAre(Pair("object-class", "dog")));
  EXPECT_TRUE(bin->live(params, *find_element("video_to_tensor")).empty());
}

TEST(Bins, SayWhatIsMissing) {
  const auto text = [](const auto& result) { return result ? "" : result.error().message; };
  EXPECT_THAT(text(build("object_detect", {{"model", "/nowhere.onnx"}})), HasSubstr("/nowhere.onnx"));
  EXPECT_THAT(text(build("object_detect", {{"pre-process-backend", "cuda"}})),
              HasSubstr("the model does not run on an NVIDIA device"));
  EXPECT_THAT(text(build("object_track", {{"tracking-type", "sideways"}})), HasSubstr("sideways"));
}

}  // namespace
}  // namespace sightglass
