#include "sightglass/model/description.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

namespace sightglass {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

// A folder with a model that is only a name: what is inside comes as a signature.
class Describe : public testing::Test {
 protected:
  Describe() : folder_(fs::path(testing::TempDir()) / ("describe_" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
    signature_.inputs = {{.type = DataType::f32, .shape = {1, 3, 320, 320}, .name = "images"}};
    signature_.outputs = {{.type = DataType::f32, .shape = {1, 84, 2100}, .name = "output0"}};
  }
  ~Describe() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  Result<ModelInfo> describe(const std::string& model_proc = "") const {
    DescribeOptions options;
    if (!model_proc.empty()) options.model_proc = folder_ / model_proc;
    return describe_model(folder_ / "net.v2.onnx", signature_, options);
  }
  ModelInfo described(const std::string& model_proc = "") const {
    auto info = describe(model_proc);
    EXPECT_TRUE(info) << info.error().message;
    return info ? *info : ModelInfo();
  }
  void ultralytics() {
    signature_.metadata = {
        {"task", "detect"}, {"stride", "32"}, {"imgsz", "[320, 320]"}, {"names", "{0: 'a', 1: 'b'}"}};
  }
  // A classifier of three.
  void classifier() {
    signature_.inputs[0].shape = {-1, 64, 64, 3};
    signature_.outputs = {{.type = DataType::f32, .shape = {-1, 3}, .name = "probs"},
                          {.type = DataType::f32, .shape = {-1, 1}, .name = "age"}};
  }

  fs::path folder_;
  ModelSignature signature_;
};

TEST_F(Describe, FallsBackToShapesAndDefaultsWithOneWarning) {
  const ModelInfo info = described();
  EXPECT_FALSE(info.described());
  const InputInfo& input = *info.picture();
  EXPECT_EQ(*input.layer, "images");
  EXPECT_EQ(*input.size, (PictureSize{320, 320}));
  EXPECT_EQ(input.size.origin.kind, OriginKind::shapes);
  EXPECT_EQ(*input.color, "bgr");
  EXPECT_EQ(*input.resize, "stretch");
  EXPECT_EQ(input.resize.origin.kind, OriginKind::defaults);
  EXPECT_FALSE(input.mean);
  EXPECT_EQ(*info.outputs.at(0).decoder, "yolo");
  EXPECT_EQ(*info.task, "detect");
  ASSERT_THAT(info.warnings, SizeIs(1));
  EXPECT_THAT(info.warnings[0], HasSubstr("nothing describes this model, so its input is taken as bgr"));
  EXPECT_THAT(info.warnings[0], HasSubstr("write net.v2.sightglass.yaml"));
}

TEST_F(Describe, TakesEachKeyFromTheHighestSourceThatHasIt) {
  ultralytics();
  write("net.v2.sightglass.yaml",
        "sightglass_model: 1\ninput: {interpolation: area}\noutput: {threshold: 0.25}");
  write("proc.json",
        R"({"json_schema_version": "2.2.0", "input_preproc": [{"params": {"color_space": "BGR"}}],
                         "output_postproc": [{"labels": ["x", "y"]}]})");
  const ModelInfo info = described("proc.json");
  const InputInfo& input = *info.picture();
  EXPECT_EQ(*input.color, "bgr");
  EXPECT_EQ(input.color.origin.name, "model-proc proc.json");
  EXPECT_EQ(*input.interpolation, "area");
  EXPECT_EQ(input.interpolation.origin.name, "description net.v2.sightglass.yaml");
  EXPECT_EQ(*input.resize, "letterbox");
  EXPECT_EQ(input.resize.origin.kind, OriginKind::metadata);
  EXPECT_EQ(*input.layout, "nchw");
  EXPECT_EQ(input.layout.origin.kind, OriginKind::shapes);
  const OutputInfo& output = info.outputs.at(0);
  EXPECT_EQ(*output.decoder, "yolo");
  EXPECT_THAT(*output.labels, ElementsAre("x", "y"));
  EXPECT_EQ(*output.properties.at("threshold"), "0.25");
  EXPECT_THAT(info.warnings, IsEmpty());  // model-proc overrules; that is no conflict
}

TEST_F(Describe, WarnsOnceWhenTwoDescriptionsDisagree) {
  ultralytics();
  write("net.v2.sightglass.yaml",
        "sightglass_model: 1\ninput: {color: bgr, resize: stretch}\noutput: {decoder: yolo, head: v8, "
        "labels: [x]}");
  const ModelInfo info = described();
  EXPECT_EQ(*info.picture()->color, "bgr");
  ASSERT_THAT(info.warnings, SizeIs(1));
  EXPECT_EQ(info.warnings[0],
            "net.v2.onnx: description net.v2.sightglass.yaml and metadata of the model (Ultralytics) "
            "disagree on input[0].color, "
            "input[0].resize, output[0].labels; the former counts");
}

TEST_F(Describe, ReadsADescriptionInsideTheModel) {
  signature_.metadata = {{"sightglass", "sightglass_model: 1\nname: mine\ninput: {color: rgb}"}};
  const ModelInfo info = described();
  EXPECT_EQ(*info.name, "mine");
  EXPECT_EQ(*info.picture()->color, "rgb");
  EXPECT_THAT(info.warnings, IsEmpty());
  signature_.metadata["sightglass"] = "sightglass_model: 1\ncolor: rgb";
  EXPECT_THAT(describe().error().message,
              HasSubstr("net.v2.onnx (metadata entry 'sightglass'):2:1: unknown key 'color'"));
}

TEST_F(Describe, TellsModelProcFormsByContent) {
  write("a.txt", "sightglass_model: 1\nname: yaml");
  EXPECT_EQ(*described("a.txt").name, "yaml");
  write("b.txt", "{sightglass_model: 1, name: flow}");
  EXPECT_EQ(*described("b.txt").name, "flow");
  EXPECT_EQ(describe("none.json").error().code, ErrorCode::not_found);
}

TEST_F(Describe, KeepsParametersWithTheirDecoder) {
  ultralytics();
  write("net.v2.sightglass.yaml", "sightglass_model: 1\noutput: {decoder: detection, threshold: 0.4}");
  const OutputInfo output = described().outputs.at(0);
  EXPECT_EQ(*output.decoder, "detection");
  EXPECT_FALSE(output.properties.contains("head"));
  EXPECT_THAT(*output.labels, ElementsAre("a", "b"));  // labels belong to the model
}

TEST_F(Describe, MatchesOutputsByLayer) {
  classifier();
  signature_.metadata = {
      {"sightglass",
       "sightglass_model: 1\noutput: [{layer: age, decoder: text}, {layer: probs, labels: [a, b, c]}]"}};
  write("net.v2.sightglass.yaml",
        "sightglass_model: 1\noutput: [{layer: probs, decoder: label}, {layer: age, attribute: years}]");
  const ModelInfo info = described();
  ASSERT_THAT(info.outputs, SizeIs(2));
  EXPECT_THAT(*info.outputs[0].labels, ElementsAre("a", "b", "c"));
  EXPECT_EQ(*info.outputs[1].decoder, "text");
  EXPECT_EQ(*info.outputs[1].attribute, "years");
}

TEST_F(Describe, FindsThePictureAmongSeveralInputs) {
  signature_.inputs.insert(signature_.inputs.begin(),
                           {.type = DataType::f32, .shape = {1, 2}, .name = "scale"});
  write("net.v2.sightglass.yaml", "sightglass_model: 1\ninput: {color: rgb}");
  const ModelInfo info = described();
  ASSERT_THAT(info.inputs, SizeIs(2));
  EXPECT_EQ(*info.picture()->layer, "images");
  EXPECT_EQ(*info.picture()->color, "rgb");
}

TEST_F(Describe, RefusesADescriptionThatDoesNotFit) {
  const auto message = [&](const std::string& lines) {
    write("net.v2.sightglass.yaml", "sightglass_model: 1\n" + lines);
    auto info = describe();
    return info ? "fits" : info.error().message;
  };
  EXPECT_THAT(message("input: {size: [640, 640]}"),
              HasSubstr("input 'images' is 1x3x320x320, which does not fit size 640x640 of description "
                        "net.v2.sightglass.yaml"));
  EXPECT_THAT(message("input: {layout: nhwc}"), HasSubstr("does not fit layout nhwc"));
  EXPECT_THAT(message("input: {color: gray}"), HasSubstr("does not fit color gray"));
  EXPECT_THAT(message("input: {mean: [1, 2]}"), HasSubstr("does not fit mean <1,2>"));
  EXPECT_THAT(message("input: {layer: data}"),
              HasSubstr("describes input 'data', but the model's inputs are images"));
  EXPECT_THAT(message("output: {layer: prob}"),
              HasSubstr("describes output 'prob', but the model's outputs are output0"));
  signature_.inputs[0].shape = {1, 10};
  EXPECT_THAT(message("input: {size: [4, 4]}"), HasSubstr("takes no picture"));
}

TEST_F(Describe, NeedsNoSignature) {
  signature_ = {};
  write("net.v2.sightglass.yaml",
        "sightglass_model: 1\ninput: {layer: x, size: [8, 4], color: rgb}\noutput: {decoder: label, labels: "
        "[a]}");
  EXPECT_EQ(*described().picture()->size, (PictureSize{8, 4}));
  fs::remove(folder_ / "net.v2.sightglass.yaml");
  const ModelInfo nothing = described();
  EXPECT_EQ(nothing.picture(), nullptr);
  EXPECT_THAT(preprocess_params(nothing), IsEmpty());
  EXPECT_THAT(postprocess_elements(nothing), IsEmpty());
}

TEST_F(Describe, GivesParametersByTheNamesOfTheElements) {
  classifier();
  write("net.v2.sightglass.yaml", R"(
sightglass_model: 1
input: {color: rgb, resize: stretch, range: [0, 1], mean: [0.5, 0.5, 0.25], roi_expand: 1.2, size_multiple: 32}
output:
  - {decoder: label, layer: probs, attribute: mood, method: max, labels: ["so, so", glad, sad]}
  - {decoder: text, layer: age, text_scale: 100}
  - {layer: probs, labels: [a]}
  - {layer: probs}
)");
  const ModelInfo info = described();
  const Settings settings = preprocess_params(info);
  EXPECT_THAT(
      settings,
      ElementsAre(Pair("width", "64"), Pair("height", "64"), Pair("color", "rgb"), Pair("layout", "nhwc"),
                  Pair("dtype", "float32"), Pair("resize", "stretch"), Pair("range", "<0,1>"),
                  Pair("mean", "<0.5,0.5,0.25>"), Pair("roi-expand", "1.2"), Pair("size-multiple", "32")));
  const auto elements = postprocess_elements(info);
  ASSERT_THAT(elements, SizeIs(4));
  EXPECT_EQ(elements[0].element, "tensor_postproc_label");
  EXPECT_THAT(elements[0].params,
              ElementsAre(Pair("layer-name", "probs"), Pair("attribute-name", "mood"),
                          Pair("labels", "<\"so, so\",glad,sad>"), Pair("method", "max")));
  EXPECT_EQ(elements[1].element, "tensor_postproc_text");
  EXPECT_THAT(elements[1].params, Contains(Pair("text-scale", "100")));
  EXPECT_EQ(elements[2].element, "tensor_postproc_label");
  EXPECT_EQ(elements[3].element, "tensor_postproc_add_params");
}

TEST_F(Describe, CutsTheCentreWhereACropIsAsked) {
  write("net.v2.sightglass.yaml", "sightglass_model: 1\ninput: {crop: central_resize, resize: letterbox}");
  EXPECT_THAT(preprocess_params(described()), Contains(Pair("resize", "crop")));
  write("net.v2.sightglass.yaml", "sightglass_model: 1\ninput: {crop: central}");
  EXPECT_THAT(preprocess_params(described()), Contains(Pair("resize", "crop")));
}

TEST_F(Describe, ListsEveryKeyWithItsSourceAndWhatIsMissing) {
  ultralytics();
  const auto keys = described_keys(described());
  const auto key = [](const char* name, const char* value, const char* source) {
    return testing::AllOf(Field(&DescribedKey::key, name), Field(&DescribedKey::value, value),
                          Field(&DescribedKey::source, source));
  };
  EXPECT_THAT(keys, Contains(key("input[0].size", "320x320", "metadata of the model (Ultralytics)")));
  EXPECT_THAT(keys, Contains(key("input[0].layout", "nchw", "shapes of the model")));
  EXPECT_THAT(keys, Contains(key("name", "net.v2", "default")));
  EXPECT_THAT(keys, Contains(key("output[0].head", "v8", "metadata of the model (Ultralytics)")));
  EXPECT_THAT(missing_keys(described(), signature_), IsEmpty());

  signature_.metadata.clear();
  signature_.outputs[0].shape = {1, 2100, 85};
  const auto missing = missing_keys(described(), signature_);
  EXPECT_THAT(missing, Contains(HasSubstr("output[0].decoder: nothing says what the outputs mean: output0 "
                                          "[1x2100x85]; if this is a YOLOX: input: {color: bgr")));
  EXPECT_THAT(missing, Contains(HasSubstr("input[0].color")));
}

}  // namespace
}  // namespace sightglass
