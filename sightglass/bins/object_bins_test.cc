#include "sightglass/bins/object_bins.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "sightglass/core/registry.h"
#include "sightglass/memory/context.h"
#include "sightglass/model/engine.h"

namespace sightglass {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

std::vector<std::string> names(const Stage& stage) {
  std::vector<std::string> list;
  for (const auto& element : stage)
    if (element.element != "capsrelax") list.push_back(element.element);
  return list;
}

Result<Stages> build(std::string_view bin, const Settings& settings = {}) {
  const auto* desc = find_bin(bin);
  ParamSet params(desc->params);
  for (const auto& [name, text] : settings) {
    auto set = params.set_text(name, text);
    EXPECT_TRUE(set) << set.error().message;
  }
  return desc->build(params);
}
Settings tracker_of(std::string_view bin, const Settings& settings = {}) {
  auto stages = build(bin, settings);
  EXPECT_TRUE(stages) << stages.error().message;
  if (!stages) return {};
  EXPECT_THAT(names(stages->stages[postaggregate]), ElementsAre("opencv_object_association"));
  return stages->stages[postaggregate].at(0).params;
}
std::string message(std::string_view bin, const Settings& settings) {
  auto stages = build(bin, settings);
  return stages ? "no error" : stages.error().message;
}

TEST(ObjectTrack, ByPlaceAloneItIsTheTrackerAlone) {
  auto stages = build("object_track", {{"max-age", "7"}});
  ASSERT_TRUE(stages);
  for (const auto stage : {preprocess, process, postprocess, aggregate})
    EXPECT_THAT(stages->stages[stage], IsEmpty());
  EXPECT_THAT(stages->stages[postaggregate][0].params, ElementsAre(Pair("max-age", "7")));
}

TEST(ObjectTrack, TracksTheSelectedObjectsOfTheFramesThatCount) {
  const char *faces = R"({"label": "face"})", *calm = R"({"not": {"frame": {"tag": "skip"}}})";
  const std::string both = std::string(R"({"all": [)") + faces + ", " + calm + "]}";
  auto stages = build("object_track", {{"select", faces}, {"when", calm}});
  ASSERT_TRUE(stages);
  EXPECT_THAT(stages->stages[postaggregate][0].params, ElementsAre(Pair("select", both)));
  const auto* bin = find_bin("object_track");
  ParamSet params(bin->params);
  ASSERT_TRUE(params.set_text("select", faces));
  ASSERT_TRUE(params.set_text("when", calm));
  EXPECT_THAT(bin->live(params, *find_element("opencv_object_association")),
              ElementsAre(Pair("select", both)));
  EXPECT_THAT(bin->live(params, *find_element("roi_split")), ElementsAre(Pair("select", faces)));
  EXPECT_THAT(bin->live(params, *find_element("rate_adjust")), ElementsAre(Pair("when", calm)));
}

TEST(ObjectTrack, AHistogramLooksAtEveryObject) {
  for (const bool sliced : {false, true}) {
    auto stages = build("object_track", {{"spatial-feature", sliced ? "sliced-histogram" : "histogram"},
                                         {"object-class", "person"}});
    ASSERT_TRUE(stages) << stages.error().message;
    EXPECT_THAT(names(stages->stages[preprocess]), ElementsAre("roi_split", "video_to_tensor"));
    const auto& to_tensor = stages->stages[preprocess].back().params;
    EXPECT_THAT(to_tensor, Contains(Pair("width", "64")));
    EXPECT_THAT(to_tensor, Contains(Pair("dtype", "uint8")));
    EXPECT_THAT(names(stages->stages[process]), ElementsAre("tensor_histogram"));
    if (sliced) {
      EXPECT_THAT(stages->stages[process][0].params, Contains(Pair("num-slices-y", "2")));
    }
    EXPECT_THAT(stages->stages[postprocess].at(0).params,
                Contains(Pair("attribute-name", "spatial-feature")));
    EXPECT_THAT(names(stages->stages[aggregate]), ElementsAre("meta_aggregate"));
    const auto& tracker = stages->stages[postaggregate].at(0).params;
    EXPECT_THAT(tracker, Contains(Pair("spatial-feature-distance", "bhattacharyya")));
    EXPECT_THAT(tracker, Contains(Pair("max-feature-distance", sliced ? "0.55" : "0.35")));
    EXPECT_THAT(tracker, Contains(Pair("object-class", "person")));
  }
}

TEST(ObjectTrack, WhatTheUserSetsWins) {
  const auto tracker = tracker_of("object_track", {{"spatial-feature", "histogram"},
                                                   {"spatial-feature-distance", "cosine"},
                                                   {"max-feature-distance", "0.25"},
                                                   {"spatial-feature-metadata-name", "look"}});
  EXPECT_THAT(tracker, Contains(Pair("spatial-feature-distance", "cosine")));
  EXPECT_THAT(tracker, Contains(Pair("max-feature-distance", "0.25")));
}

TEST(ObjectTrack, TheDistanceHasNumbersOfItsOwn) {
  const auto* distance = find_bin("object_track")->params.find("spatial-feature-distance");
  EXPECT_EQ(distance->choice_names, (std::vector<std::string>{"none", "bhattacharyya", "cosine"}));
  EXPECT_THAT(tracker_of("object_track", {{"spatial-feature-distance", "1"}}),
              ElementsAre(Pair("spatial-feature-distance", "bhattacharyya")));
}

TEST(ObjectTrack, AModelGivesEmbeddings) {
  const char* models = std::getenv("SIGHTGLASS_TEST_MODELS");
  if (!models) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
  if (const auto info = engine_for("x.onnx").value()->info(); !info) GTEST_SKIP() << info.error().message;
  for (const char* feature : {"none", "inference"}) {
    auto stages =
        build("object_track", {{"model", std::string(models) + "/reid.onnx"}, {"spatial-feature", feature}});
    ASSERT_TRUE(stages) << stages.error().message;
    EXPECT_THAT(names(stages->stages[preprocess]), ElementsAre("roi_split", "video_to_tensor"));
    EXPECT_THAT(names(stages->stages[process]), ElementsAre("onnx_tensor_inference"));
    EXPECT_THAT(names(stages->stages[postprocess]), ElementsAre("tensor_postproc_embedding"));
    const auto& tracker = stages->stages[postaggregate].at(0).params;
    EXPECT_THAT(tracker, Contains(Pair("spatial-feature-distance", "cosine")));
    EXPECT_THAT(tracker, Contains(Pair("feature-history", "30")));
  }
}

TEST(ObjectTrack, SaysWhatIsWrong) {
  EXPECT_THAT(message("object_track", {{"spatial-feature", "inference"}}), HasSubstr("no model is set"));
  EXPECT_THAT(message("object_track", {{"tracking-type", "telepathy"}}), HasSubstr("telepathy is not known"));
}

TEST(ObjectTrack, DeprecatedTypesSetTheSwitches) {
  const auto type = [](const char* name) { return tracker_of("object_track", {{"tracking-type", name}}); };
  EXPECT_THAT(type("zero-term-imageless"), Contains(Pair("generate-objects", "false")));
  EXPECT_THAT(type("short-term-imageless"), Contains(Pair("generate-objects", "true")));
  EXPECT_THAT(type("short-term"), Contains(Pair("spatial-feature-distance", "bhattacharyya")));
  for (const char* name : {"zero-term", "short-term", "zero-term-imageless", "short-term-imageless"})
    EXPECT_THAT(type(name), Contains(Pair("adjust-objects", "false")));
}

TEST(GvaTrack, TypesByNumberAndTheirConfigs) {
  EXPECT_THAT(names(build("gvatrack")->stages[process]), ElementsAre("tensor_histogram"));
  const auto short_term = tracker_of("gvatrack", {{"tracking-type", "1"}, {"config", "max_num_objects=5"}});
  EXPECT_THAT(short_term, Contains(Pair("generate-objects", "true")));
  EXPECT_THAT(short_term, Contains(Pair("tracking-per-class", "true")));
  EXPECT_THAT(short_term, Contains(Pair("max-objects", "5")));
  EXPECT_THAT(tracker_of("gvatrack", {{"tracking-type", "2"}, {"config", "tracking_per_class=false"}}),
              Contains(Pair("tracking-per-class", "false")));
}

TEST(GvaTrack, DeepSortReadsWhatIsOnTheObjects) {
  const auto standard = tracker_of("gvatrack", {{"tracking-type", "deep-sort"}});
  for (const auto& [name, value] : Settings{{"spatial-feature-distance", "cosine"},
                                            {"spatial-feature-metadata-name", ""},
                                            {"max-iou-distance", "0.7"},
                                            {"max-age", "30"},
                                            {"min-hits", "3"},
                                            {"max-feature-distance", "0.2"},
                                            {"feature-history", "100"}})
    EXPECT_THAT(standard, Contains(Pair(name, value)));
  const auto own = tracker_of("gvatrack", {{"tracking-type", "3"},
                                           {"deepsort-trck-cfg",
                                            "max_age=60,n_init=2,max_cosine_distance=0.3,"
                                            "object_class=person,reid_max_age=90"}});
  EXPECT_THAT(own, Contains(Pair("max-age", "60")));
  EXPECT_THAT(own, Not(Contains(Pair("max-age", "30"))));
  EXPECT_THAT(own, Contains(Pair("object-class", "person")));
  EXPECT_THAT(own, Contains(Pair("reid-max-age", "90")));
}

TEST(GvaTrack, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(message("gvatrack", {{"deepsort-trck-cfg", "max_wage=3"}}),
              HasSubstr("deepsort-trck-cfg: max_wage is not known; known: max_iou_distance"));
  EXPECT_THAT(message("gvatrack", {{"config", "n_init=3"}}), HasSubstr("config: n_init is not known"));
  EXPECT_THAT(message("gvatrack", {{"deepsort-trck-cfg", "max_age=old"}}), HasSubstr("max_age"));
}

TEST(MetaOverlayBin, TheCpuDrawsAndSaysSoWhereAnotherWasAsked) {
  EXPECT_THAT(build("meta_overlay")->warnings, IsEmpty());
  if (default_context(MemoryKind::cuda))
    EXPECT_THAT(build("meta_overlay", {{"device", "GPU"}})->warnings, IsEmpty());
  else
    EXPECT_THAT(build("meta_overlay", {{"device", "GPU"}})->warnings,
                ElementsAre(HasSubstr("device=GPU: there is no CUDA device here; drawn on the CPU")));
  EXPECT_THAT(build("gvawatermark", {{"device", "CPU"}})->warnings, IsEmpty());
  auto stages =
      build("gvawatermark", {{"displ-cfg", "thickness=3"}, {"displ-avgfps", "true"}, {"obb", "true"}});
  ASSERT_TRUE(stages);
  EXPECT_THAT(stages->stages[postaggregate].at(0).params, Contains(Pair("displ-avgfps", "true")));
  EXPECT_THAT(stages->stages[postaggregate].at(0).params, Contains(Pair("displ-cfg", "thickness=3")));
}

TEST(MetaOverlayBin, FramesInCudaMemoryStayThere) {
  for (const auto& stages : {build("meta_overlay"), build("meta_overlay", {{"device", "GPU"}}),
                             build("gvawatermark"), build("gvawatermark", {{"device", "CUDA:0"}})}) {
    ASSERT_TRUE(stages && stages->preprocess_for);
    EXPECT_THAT(names(stages->preprocess_for(MemoryKind::cuda)->stage), ElementsAre("opencv_meta_overlay"));
  }
}

TEST(MetaOverlayBin, FramesInOtherMemoryAreBroughtDownAndBack) {
  auto stages = build("meta_overlay", {{"lines-thickness", "3"}, {"device", "CPU"}});
  ASSERT_TRUE(stages && stages->preprocess_for);
  EXPECT_THAT(names(stages->preprocess_for(MemoryKind::system)->stage), ElementsAre("opencv_meta_overlay"));
  auto cuda = stages->preprocess_for(MemoryKind::cuda);
  EXPECT_THAT(names(cuda->stage),
              ElementsAre("cudadownload", "opencv_meta_overlay", "cudaupload", "capsfilter"));
  EXPECT_THAT(cuda->stage[1].params, Contains(Pair("lines-thickness", "3")));
  EXPECT_THAT(names(stages->preprocess_for(MemoryKind::va)->stage),
              ElementsAre("vapostproc", "capsfilter", "opencv_meta_overlay", "vapostproc", "capsfilter"));
  EXPECT_THAT(not_usable(cuda->needs, {"cudadownload"}).message, HasSubstr("usable: system memory"));
}

TEST(ObjectBins, LiveValuesReachTheElementsThatHaveThem) {
  const auto* bin = find_bin("object_track");
  ParamSet params(bin->params);
  ASSERT_TRUE(params.set_text("object-class", "dog"));
  ASSERT_TRUE(params.set_text("max-age", "9"));
  for (const char* element : {"roi_split", "opencv_object_association"})
    EXPECT_THAT(bin->live(params, *find_element(element)), ElementsAre(Pair("object-class", "dog")));
  const auto* overlay = find_bin("meta_overlay");
  ParamSet values(overlay->params);
  ASSERT_TRUE(values.set_text("displ-cfg", "color-idx=2"));
  EXPECT_THAT(overlay->live(values, *find_element("opencv_meta_overlay")),
              ElementsAre(Pair("displ-cfg", "color-idx=2")));
}

}  // namespace
}  // namespace sightglass
