// What the inference bins build of their values: the stage lists, and what becomes of older properties.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "sightglass/bins/bin.h"
#include "sightglass/bins/migration.h"
#include "sightglass/core/registry.h"
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
  for (const auto& element : stage) list.push_back(element.element);
  return list;
}

Result<Stages> build(std::string_view bin, const Settings& settings) {
  const auto* desc = find_bin(bin);
  ParamSet params(desc->params);
  for (const auto& [name, text] : settings)
    if (auto set = params.set_text(name, text); !set) return forward_error(set);
  return desc->build(params);
}

template <class T>
std::string error_of(const Result<T>& result) {
  return result ? "" : result.error().message;
}

class InferenceBins : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::getenv("SIGHTGLASS_TEST_MODELS");
    if (!folder_) GTEST_SKIP() << "no test models: set SIGHTGLASS_TEST_MODELS";
    if (const auto info = engine_for("x.onnx").value()->info(); !info) GTEST_SKIP() << info.error().message;
  }
  std::string model(const char* name) const { return std::string(folder_) + "/" + name + ".onnx"; }
  Stages built(std::string_view bin, const char* name, Settings settings = {}) const {
    settings.emplace_back("model", model(name));
    auto stages = build(bin, settings);
    EXPECT_TRUE(stages) << error_of(stages);
    return stages ? *std::move(stages) : Stages{};
  }
  const char* folder_ = nullptr;
};

TEST_F(InferenceBins, FusedIsOnePass) {
  const auto stages = built("object_detect", "det", {{"scale-method", "lanczos"}});
  EXPECT_THAT(names(stages.stages[preprocess]), ElementsAre("capsrelax", "video_to_tensor"));
  EXPECT_THAT(stages.stages[preprocess][1].params, Contains(Pair("interpolation", "bicubic")));
}

TEST_F(InferenceBins, RegionsAreSplitAndRatesAdjustedBeforeAndBehind) {
  const auto stages =
      built("object_classify", "mood",
            {{"inference-interval", "3"}, {"reclassify-interval", "10"}, {"object-class", "dog,cat"}});
  const auto& stage = stages.stages[preprocess];
  EXPECT_THAT(names(stage),
              ElementsAre("capsrelax", "rate_adjust", "roi_split", "rate_adjust", "video_to_tensor"));
  EXPECT_THAT(stage[1].params, ElementsAre(Pair("ratio", "1/3")));
  EXPECT_THAT(stage[2].params, ElementsAre(Pair("object-class", "dog,cat")));
  EXPECT_THAT(stage[3].params, ElementsAre(Pair("ratio", "1/10")));
  EXPECT_THAT(names(stages.stages[postprocess]), ElementsAre("tensor_postproc_label", "meta_smooth"));
}

TEST_F(InferenceBins, ReclassifyZeroIsOncePerTrackAndOneOnEveryFrame) {
  const auto once = built("gvaclassify", "mood", {{"reclassify-interval", "0"}});
  EXPECT_THAT(once.stages[preprocess][2].params, ElementsAre(Pair("ratio", "1/2147483647")));
  const auto always = built("gvaclassify", "mood");
  EXPECT_THAT(names(always.stages[preprocess]), ElementsAre("capsrelax", "roi_split", "video_to_tensor"));
  EXPECT_THAT(names(always.stages[postprocess]), ElementsAre("tensor_postproc_label"));
}

TEST_F(InferenceBins, GstOpencvIsAChainOfSingleElements) {
  const auto stretch =
      built("object_detect", "det", {{"pre-process-backend", "gst-opencv"}, {"scale-method", "bicubic"}});
  EXPECT_THAT(names(stretch.stages[preprocess]),
              ElementsAre("capsrelax", "videoscale", "videoconvert", "capsfilter", "tensor_convert"));
  EXPECT_THAT(stretch.stages[preprocess][1].params, Contains(Pair("method", "catrom")));
  EXPECT_THAT(stretch.stages[preprocess][3].params,
              ElementsAre(Pair("caps", "video/x-raw,format={BGR,BGRP}")));
  // videoscale does not report its borders.
  const auto letterbox = built("object_detect", "det_letterbox", {{"pre-process-backend", "opencv"}});
  EXPECT_THAT(names(letterbox.stages[preprocess]),
              ElementsAre("capsrelax", "videoconvert", "opencv_cropscale", "videoconvert", "capsfilter",
                          "tensor_convert"));
  EXPECT_THAT(letterbox.stages[preprocess][2].params,
              testing::AllOf(Contains(Pair("add-borders", "true")), Contains(Pair("pad-value", "<114>"))));
  const auto normalised = built("object_detect", "yolov8", {{"pre-process-backend", "1"}});
  EXPECT_EQ(normalised.stages[preprocess].back().element, "opencv_tensor_normalize");
  const auto regions =
      built("object_classify", "mood",
            {{"pre-process-backend", "gst-opencv"}, {"scale-method", "spline"}, {"roi-expand", "1.5"}});
  EXPECT_THAT(names(regions.stages[preprocess]),
              ElementsAre("capsrelax", "roi_split", "videoconvert", "opencv_cropscale", "videoconvert",
                          "capsfilter", "tensor_convert"));
  EXPECT_THAT(regions.stages[preprocess][3].params,
              testing::AllOf(Contains(Pair("method", "bicubic")), Contains(Pair("roi-expand", "1.5"))));
}

TEST_F(InferenceBins, VaapiComposesWhatUpstreamHas) {
  const auto full = built("object_detect", "det", {{"pre-process-backend", "va"}, {"scale-method", "fast"}});
  EXPECT_THAT(names(full.stages[preprocess]),
              ElementsAre("capsrelax", "capsfilter", "vapostproc", "capsfilter", "video_to_tensor"));
  EXPECT_THAT(full.stages[preprocess][2].params, ElementsAre(Pair("scale-method", "fast")));
  EXPECT_THAT(full.stages[preprocess][3].params, ElementsAre(Pair("caps", "video/x-raw,width=96,height=64")));
  // One download per frame, in front of its regions.
  const auto regions =
      built("object_classify", "mood", {{"pre-process-backend", "vaapi"}, {"inference-interval", "2"}});
  EXPECT_THAT(names(regions.stages[preprocess]),
              ElementsAre("capsrelax", "rate_adjust", "capsfilter", "vapostproc", "capsfilter", "roi_split",
                          "video_to_tensor"));
}

TEST_F(InferenceBins, AutoGoesByTheMemoryOfTheFrames) {
  const auto stages = built("object_detect", "det");
  ASSERT_TRUE(stages.preprocess_for);
  const auto va = stages.preprocess_for(MemoryKind::va);
  ASSERT_TRUE(va);
  EXPECT_THAT(names(va->stage), Contains("vapostproc"));
  EXPECT_THAT(not_usable(va->needs, {"vapostproc"}).message,
              HasSubstr("pre-process-backend=vaapi (auto, for frames in va memory) is not usable"));
  // For a model on the CPU they are brought there, once per frame.
  const auto cuda = stages.preprocess_for(MemoryKind::cuda);
  ASSERT_TRUE(cuda);
  EXPECT_THAT(names(cuda->stage), ElementsAre("capsrelax", "cudadownload", "video_to_tensor"));
  EXPECT_THAT(not_usable(cuda->needs, {"cudadownload"}).message,
              HasSubstr("pre-process-backend=cuda (auto, for frames in cuda memory) is not usable"));
  EXPECT_FALSE(built("object_detect", "det", {{"pre-process-backend", "fused"}}).preprocess_for);
}

TEST_F(InferenceBins, QueuesHoldWhatIsUnderWay) {
  const auto stages = built("object_detect", "det_batch", {{"batch-size", "4"}, {"nireq", "3"}});
  EXPECT_THAT(stages.queues, ElementsAre(6u, 6u, 14u, 18u, std::nullopt));
}

TEST_F(InferenceBins, ThresholdComesFromTheUserThenTheDescriptionThenTheDefault) {
  const auto threshold = [](const Stages& stages) -> std::string {
    for (const auto& [name, value] : stages.stages[postprocess].at(0).params)
      if (name == "threshold") return value;
    return "";
  };
  EXPECT_EQ(threshold(built("object_detect", "det")), "0.5");
  EXPECT_EQ(threshold(built("gvadetect", "yolox")), "0.5");
  EXPECT_EQ(threshold(built("object_detect", "det", {{"threshold", "0.25"}})), "0.25");
  EXPECT_EQ(threshold(built("object_detect", "yolox", {{"threshold", "0"}})), "0.5");
  EXPECT_EQ(threshold(built("gvadetect", "yolox", {{"threshold", "0"}})), "0");
}

TEST_F(InferenceBins, LabelsApplyToEveryOutputThatHasThem) {
  const auto stages = built("gvaclassify", "mood", {{"labels", "a,b,c"}});
  EXPECT_THAT(stages.stages[postprocess][0].params, Contains(Pair("labels", "<a,b,c>")));
}

TEST_F(InferenceBins, OlderPropertiesAreMappedIgnoredOrRefused) {
  const auto stages = built("gvadetect", "det", {{"no-block", "true"}, {"qos", "true"}, {"reshape", "true"}});
  EXPECT_TRUE(stages.leaky);
  EXPECT_THAT(stages.warnings, Contains(HasSubstr("qos=true is ignored")));
  EXPECT_THAT(stages.warnings, Contains(HasSubstr("reshape is ignored")));
  // What is set to its default asks for nothing.
  EXPECT_THAT(built("gvadetect", "det", {{"share-va-display-ctx", "true"}}).warnings,
              Not(Contains(HasSubstr("share-va"))));
  const std::string path = model("det");
  EXPECT_THAT(error_of(build("gvadetect", {{"model", path}, {"device", "hetero:GPU,CPU"}})),
              HasSubstr("device=hetero:GPU,CPU is not usable: no OpenVINO"));
  EXPECT_THAT(error_of(build("gvaclassify", {{"model", path}, {"custom-postproc-lib", "x.so"}})),
              HasSubstr("custom-postproc-lib=x.so is refused"));
}

TEST_F(InferenceBins, ASelectorOfObjectsImpliesRegionsAndOneOfFramesIsACondition) {
  const char *faces = R"({"label": "face"})", *night = R"({"frame": {"tag": "night"}})",
             *calm = R"({"not": {"frame": {"tag": "skip"}}})";
  const auto objects =
      built("object_detect", "det", {{"select", faces}, {"when", calm}, {"inference-interval", "2"}});
  const auto& stage = objects.stages[preprocess];
  EXPECT_THAT(names(stage), ElementsAre("capsrelax", "rate_adjust", "roi_split", "video_to_tensor"));
  EXPECT_THAT(stage[1].params, ElementsAre(Pair("ratio", "1/2"), Pair("when", calm)));
  EXPECT_THAT(stage[2].params, ElementsAre(Pair("object-class", ""), Pair("select", faces)));

  const auto frames = built("object_classify", "mood", {{"select", night}, {"when", calm}});
  EXPECT_THAT(names(frames.stages[preprocess]), ElementsAre("capsrelax", "rate_adjust", "video_to_tensor"));
  EXPECT_THAT(frames.stages[preprocess][1].params,
              ElementsAre(Pair("when", std::string(R"({"all": [)") + night + ", " + calm + "]}")));
  EXPECT_THAT(names(built("object_classify", "mood", {{"select", "frame"}}).stages[preprocess]),
              ElementsAre("capsrelax", "video_to_tensor"));
  // Regions that were asked for stay; the selector is their condition.
  EXPECT_THAT(names(built("object_classify", "mood", {{"select", night}, {"inference-region", "roi-list"}})
                        .stages[preprocess]),
              ElementsAre("capsrelax", "rate_adjust", "roi_split", "video_to_tensor"));
}

TEST_F(InferenceBins, GrowthRenewsWhatIsReused) {
  const auto stages =
      built("object_classify", "mood", {{"reclassify-interval", "30"}, {"reuse-growth", "1.3"}});
  EXPECT_THAT(stages.stages[preprocess][2].params,
              ElementsAre(Pair("ratio", "1/30"), Pair("reuse-growth", "1.3")));
}

TEST_F(InferenceBins, SelectorsThatDoNotHoldAreErrors) {
  EXPECT_THAT(error_of(build("object_detect", {{"model", model("det")}, {"select", "{\"labell\": 1}"}})),
              HasSubstr("select.labell: there is no such key"));
  EXPECT_THAT(error_of(build("object_detect", {{"model", model("det")}, {"when", "{\"label\": \"a\"}"}})),
              HasSubstr("when.label: is about objects"));
}

TEST_F(InferenceBins, FunctionsGoToWhoRunsThem) {
  const auto faces =
      built("object_classify", "mood",
            {{"preprocess-functions", R"([{"crop_expand": {"factor": 1.2}}, "align_face_5pt"])"}});
  const auto& stage = faces.stages[preprocess];
  EXPECT_THAT(names(stage), ElementsAre("capsrelax", "roi_split", "prepare_objects", "video_to_tensor"));
  EXPECT_THAT(stage[1].params, Contains(Pair("functions", R"([{"crop_expand":{"factor":1.2}}])")));
  EXPECT_THAT(stage[2].params, ElementsAre(Pair("functions", R"([{"align_face_5pt":{}}])")));
  // The fit of the whole picture is what the fused pass does anyway.
  const auto fitted =
      built("object_detect", "det",
            {{"preprocess-functions", R"([{"letterbox": {"position": "topleft", "pad_value": 9}}])"}});
  EXPECT_THAT(names(fitted.stages[preprocess]), ElementsAre("capsrelax", "video_to_tensor"));
  EXPECT_THAT(
      fitted.stages[preprocess][1].params,
      testing::AllOf(Contains(Pair("resize", "letterbox-topleft")), Contains(Pair("pad-value", "<9>"))));
}

TEST_F(InferenceBins, FunctionsThatDoNotFitAreErrors) {
  const auto error = [&](const char* bin, const char* functions) {
    return error_of(build(bin, {{"model", model("mood")}, {"preprocess-functions", functions}}));
  };
  EXPECT_THAT(error("object_classify", "nms"), HasSubstr("it is for postprocess_objects"));
  EXPECT_THAT(error("video_inference", "align_face_5pt"), HasSubstr("set inference-region=roi-list"));
  EXPECT_THAT(error("object_classify", R"(["align_face_5pt", "warp_plate"])"),
              HasSubstr("both make the picture"));
  EXPECT_THAT(error("object_classify", "crop_expnd"), HasSubstr("did you mean 'crop_expand'?"));
}

TEST(LiveSelectors, ReachTheElementsThatAsk) {
  const auto* bin = find_bin("object_classify");
  ParamSet params(bin->params);
  ASSERT_TRUE(params.set_text("select", "faces.face"));
  ASSERT_TRUE(params.set_text("when", R"({"frame": {"every": 2}})"));
  ASSERT_TRUE(params.set_text("reuse-growth", "0"));
  EXPECT_THAT(bin->live(params, *find_element("roi_split")), ElementsAre(Pair("select", "faces.face")));
  EXPECT_THAT(bin->live(params, *find_element("rate_adjust")),
              ElementsAre(Pair("when", R"({"frame": {"every": 2}})"), Pair("reuse-growth", "0")));
  ASSERT_TRUE(params.set_text("select", "oops"));  // the element says what is wrong with it
  EXPECT_THAT(bin->live(params, *find_element("roi_split")), ElementsAre(Pair("select", "oops")));
}

TEST(GvaProperties, AreThoseThatTheElementsHave) {
  for (const GvaProperty& property : gva_properties()) {
    const bool is_of_classify = property.name == "reclassify-interval";
    EXPECT_TRUE(find_bin(is_of_classify ? "gvaclassify" : "gvadetect")->params.find(property.name))
        << property.name;
  }
}

TEST(Migration, AliasesAndTheirTargetsAreThere) {
  const auto is_there = [](std::string_view name) {
    return find_bin(name) || find_element(name) || name == "meta_aggregate" || name == "gvametaaggregate";
  };
  for (const ElementAlias& alias : element_aliases()) {
    EXPECT_TRUE(is_there(alias.name)) << alias.name;
    EXPECT_TRUE(is_there(alias.target)) << alias.target;
  }
}

TEST(Migration, DroppedNamesAreNotRegistered) {
  for (const DroppedElement& dropped : dropped_elements())
    EXPECT_FALSE(find_bin(dropped.name) || find_element(dropped.name)) << dropped.name;
  EXPECT_EQ(find_dropped("g3dradarprocess")->name, "g3d*");
  EXPECT_EQ(find_dropped("gvadetect"), nullptr);
}

// The trackers' keys as the table says them are those that gvatrack reads.
TEST(Migration, KeysOfTheTrackerAreRead) {
  for (const ConfigKey& key : config_keys()) {
    if (!key.property.starts_with("gvatrack ")) continue;
    const std::string property(key.property.substr(9));
    const std::string value = key.key == "object_class"         ? "dog"
                              : key.key == "tracking_per_class" ? "true"
                                                                : "1";
    EXPECT_EQ(error_of(build("gvatrack", {{property, std::string(key.key) + "=" + value}})), "") << key.key;
  }
}

// Everything that a reader of the reference pages sees has a text.
TEST(Descriptors, SayWhatEverythingIs) {
  const auto check = [](const std::string& name, const std::string& title, const std::string& klass,
                        const std::string& doc, const ParamTable& params) {
    EXPECT_FALSE(title.empty() || klass.empty() || doc.empty()) << name;
    for (const auto& param : params.params) {
      EXPECT_FALSE(param.doc.empty()) << name << " " << param.name;
      EXPECT_FALSE(param.doc.ends_with('.')) << name << " " << param.name;
      EXPECT_EQ(param.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string::npos)
          << name << " " << param.name;
      EXPECT_TRUE(param.is_readable_only || param.check(param.default_value)) << name << " " << param.name;
    }
  };
  for (const auto* desc : all_elements())
    check(desc->name, desc->title, desc->klass, desc->doc, desc->params);
  for (const auto* bin : all_bins()) check(bin->name, bin->title, bin->klass, bin->doc, bin->params);
}

}  // namespace
}  // namespace sightglass
