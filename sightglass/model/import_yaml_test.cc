#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Origin origin{OriginKind::sidecar, "description m.yaml"};

Result<ModelInfo> read(std::string_view text) { return import_yaml(text, "m.yaml", {}, origin); }

// The message for a document that is `lines` behind the version.
std::string message(const std::string& lines) {
  auto info = read("sightglass_model: 1\n" + lines);
  return info ? "read without an error" : info.error().message;
}

TEST(ImportYaml, ReadsEveryKey) {
  auto info = read(R"(
sightglass_model: 1
name: face-mood
task: classify
input:
  - {layer: image, size: [64, 48], color: GRAY, layout: nhwc, dtype: uint8, resize: letterbox_topleft, crop: central,
     interpolation: bicubic, pad_value: 114, range: [0, 1], mean: [0.5], std: [0.25], scale: 2, roi_expand: 1.2,
     size_multiple: 8, max_width: 640}
output:
  - {decoder: label, layer: probs, attribute: mood, method: max, threshold: 0.3, labels: [calm, glad, sad]}
)");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(*info->name, "face-mood");
  EXPECT_EQ(*info->task, "classify");
  ASSERT_EQ(info->inputs.size(), 1u);
  const InputInfo& input = info->inputs[0];
  EXPECT_EQ(*input.layer, "image");
  EXPECT_EQ(*input.size, (PictureSize{64, 48}));
  EXPECT_EQ(*input.color, "gray");
  EXPECT_EQ(*input.layout, "nhwc");
  EXPECT_EQ(*input.dtype, "uint8");
  EXPECT_EQ(*input.resize, "letterbox-topleft");
  EXPECT_EQ(*input.crop, "central");
  EXPECT_EQ(*input.interpolation, "bicubic");
  EXPECT_THAT(*input.pad_value, ElementsAre(114));
  EXPECT_THAT(*input.range, ElementsAre(0, 1));
  EXPECT_THAT(*input.mean, ElementsAre(0.5));
  EXPECT_THAT(*input.std, ElementsAre(0.25));
  EXPECT_EQ(*input.scale, 2);
  EXPECT_EQ(*input.roi_expand, 1.2);
  EXPECT_EQ(*input.size_multiple, 8);
  EXPECT_EQ(*input.max_width, 640);
  EXPECT_EQ(input.mean.origin.name, "description m.yaml");
  ASSERT_EQ(info->outputs.size(), 1u);
  const OutputInfo& output = info->outputs[0];
  EXPECT_EQ(*output.decoder, "label");
  EXPECT_THAT(*output.layers, ElementsAre("probs"));
  EXPECT_EQ(*output.attribute, "mood");
  EXPECT_THAT(*output.labels, ElementsAre("calm", "glad", "sad"));
  EXPECT_EQ(*output.properties.at("method"), "max");
  EXPECT_EQ(*output.properties.at("threshold"), "0.3");
}

TEST(ImportYaml, TakesDashesForUnderscoresAndOtherNamesOfLayers) {
  auto info = read(
      "sightglass-model: 1\ninput: {roi-expand: 1.5}\noutput: [{layer-name: a, attribute_name: b}, {layers: "
      "[c, d]}]");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(*info->inputs[0].roi_expand, 1.5);
  EXPECT_THAT(*info->outputs[0].layers, ElementsAre("a"));
  EXPECT_EQ(*info->outputs[0].attribute, "b");
  EXPECT_THAT(*info->outputs[1].layers, ElementsAre("c", "d"));
}

TEST(ImportYaml, WantsItsVersion) {
  EXPECT_EQ(read("name: x").error().message, "m.yaml:1:1: sightglass_model is missing");
  EXPECT_THAT(read("sightglass_model: 2").error().message,
              HasSubstr("m.yaml:1:19: sightglass_model: version 2 is not known"));
  EXPECT_THAT(read("").error().message, HasSubstr("expects keys with values"));
  EXPECT_THAT(read("- 1").error().message, HasSubstr("expects keys with values"));
}

TEST(ImportYaml, NamesLineAndColumnOfWhatItDoesNotKnow) {
  EXPECT_EQ(message("inputs: []"), "m.yaml:2:1: unknown key 'inputs'; did you mean 'input'?");
  EXPECT_EQ(message("input:\n  - {colour: rgb}"),
            "m.yaml:3:6: input[0]: unknown key 'colour'; did you mean 'color'?");
  EXPECT_EQ(message("input: {resize: strech}"),
            "m.yaml:2:17: input[0].resize: unknown value 'strech'; did you mean 'stretch'?");
  EXPECT_THAT(message("input: {color: cmyk}"), HasSubstr("unknown value 'cmyk'; known are rgb, bgr, gray"));
  EXPECT_THAT(message("task: guess"),
              HasSubstr("m.yaml:2:7: task: unknown value 'guess'; known are detect, classify"));
  EXPECT_THAT(message("output: {decoder: yollo}"),
              HasSubstr("output[0].decoder: unknown decoder 'yollo'; did you mean 'yolo'?"));
  EXPECT_THAT(message("output: {layr: a}"),
              HasSubstr("output[0].layr: unknown key 'layr'; did you mean 'layer'?"));
  EXPECT_EQ(message("name: a\nname: b"), "m.yaml:3:1: key 'name' comes twice");
  EXPECT_EQ(message("output: {layer: a, layers: [b]}"),
            "m.yaml:2:28: output[0].layers: the layers are named twice");
}

TEST(ImportYaml, RefusesValuesThatCannotBe) {
  EXPECT_THAT(message("input: {size: [0, 5]}"), HasSubstr("input[0].size: expects [width, height]"));
  EXPECT_THAT(message("input: {size: 5}"), HasSubstr("input[0].size: expects [width, height]"));
  EXPECT_THAT(message("input: {size: [1e99, 5]}"), HasSubstr("input[0].size: expects [width, height]"));
  EXPECT_THAT(message("input: {size: [a, b]}"), HasSubstr("input[0].size: expects numbers, got 'a'"));
  EXPECT_THAT(message("input: {std: [1, 0, 1]}"), HasSubstr("input[0].std: must not be 0"));
  EXPECT_THAT(message("input: {range: [1]}"), HasSubstr("input[0].range: expects two different numbers"));
  EXPECT_THAT(message("input: {mean: []}"), HasSubstr("input[0].mean: expects one number"));
  EXPECT_THAT(message("input: {mean: [nan]}"), HasSubstr("input[0].mean: expects numbers"));
  EXPECT_THAT(message("input: {scale: 0}"), HasSubstr("input[0].scale: must be greater than 0"));
  EXPECT_THAT(message("input: {roi_expand: 11}"), HasSubstr("input[0].roi_expand: must be 0.1 to 10"));
  EXPECT_THAT(message("input: {pad_value: 256}"),
              HasSubstr("input[0].pad_value: expects values of 0 to 255"));
  EXPECT_THAT(message("input: {crop: top_left}"), HasSubstr("is not supported; central is"));
  EXPECT_THAT(message("input: [5]"), HasSubstr("input[0]: expects keys with values"));
  EXPECT_THAT(message("output: {labels: {path: x}}"), HasSubstr("output[0].labels: unknown key 'path'"));
}

TEST(ImportYaml, SurvivesWhatIsNotYaml) {
  EXPECT_THAT(message("input: [{"), HasSubstr("not YAML"));
  EXPECT_THAT(message("\ta: b"), HasSubstr("not YAML"));
  EXPECT_THAT(message("---\na: 1"), HasSubstr("more than one YAML document"));
  EXPECT_THAT(message("name: &a [*a]"), HasSubstr("name: expects one text"));
  EXPECT_THAT(message(std::string(100'000, '[')), HasSubstr("not YAML"));
}

TEST(ImportYaml, ReadsLabelsFromAFileBesideIt) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "import_yaml";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "names.txt") << "one\n\nthree\r\n";
  auto info =
      import_yaml("sightglass_model: 1\noutput: {labels: {file: names.txt}}", "m.yaml", folder, origin);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_THAT(*info->outputs[0].labels, ElementsAre("one", "", "three"));
  auto missing =
      import_yaml("sightglass_model: 1\noutput: {labels: {file: other.txt}}", "m.yaml", folder, origin);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("m.yaml:2:25: output[0].labels.file: "));
  EXPECT_THAT(missing.error().message, HasSubstr("other.txt: no such file of labels"));
}

TEST(ImportYaml, DecodersOfTheUsersOwnKeepTheirSpelling) {
  auto info = read("sightglass_model: 1\noutput: [{decoder: \"my-decoders:Plate-Reader\", threshold: 0.3}]");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(*info->outputs.at(0).decoder, "my-decoders:Plate-Reader");
  const auto elements = postprocess_elements(*info);
  ASSERT_EQ(elements.size(), 1u);
  EXPECT_EQ(elements[0].element, "tensor_postproc_user");
  EXPECT_THAT(elements[0].params,
              testing::Contains(std::pair<std::string, std::string>("decoder", "my-decoders:Plate-Reader")));
}

TEST(ImportYaml, FilesLieBesideTheDescription) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "beside";
  std::filesystem::create_directories(folder);
  for (const char* name : {"my-head.so", "letters.txt"}) std::ofstream(folder / name) << "x\n";
  auto info = import_yaml(
      "sightglass_model: 1\noutput: [{decoder: my-head.so}, {decoder: other-head.so}, "
      "{decoder: ctc, charset_file: letters.txt}]",
      "m.yaml", folder, origin);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(*info->outputs.at(0).decoder, (folder / "my-head.so").string());
  EXPECT_EQ(*info->outputs.at(1).decoder, "other-head.so");  // for the loader to find
  EXPECT_EQ(*info->outputs.at(2).properties.at("charset-file"), (folder / "letters.txt").string());
  std::filesystem::remove_all(folder);
}

TEST(ImportYaml, TakesInputsThatAreNoPicture) {
  auto info =
      read("sightglass_model: 1\ninput: [{layer: seq, format: sequence_index}, {layer: data, color: rgb}]");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(*info->inputs.at(0).format, "sequence-index");
  EXPECT_EQ(info->picture(), &info->inputs.at(1));
}

}  // namespace
}  // namespace sightglass
