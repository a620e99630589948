#include <gmock/gmock.h>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<ModelInfo> read(const std::string& text) {
  return import_model_proc(text, "m.json", {}, {OriginKind::model_proc, "model-proc m.json"});
}
Result<ModelInfo> read(const std::string& input, const std::string& output) {
  return read(R"({"json_schema_version": "2.2.0", "input_preproc": [)" + input +
              R"(], "output_postproc": [)" + output + "]}");
}
OutputInfo output(const std::string& entry) {
  auto info = read("", entry);
  EXPECT_TRUE(info) << info.error().message;
  return info ? info->outputs.at(0) : OutputInfo();
}
std::string message(const std::string& input, const std::string& out) {
  auto info = read(input, out);
  return info ? "read without an error" : info.error().message;
}

TEST(ImportModelProc, ReadsAClassifier) {
  auto info = read(R"({
    "json_schema_version": "2.0.0",
    "input_preproc": [{"format": "image", "layer_name": "data", "precision": "U8", "params": {"color_space": "RGB",
      "resize": "aspect-ratio", "crop": "central", "range": [0.0, 1.0], "mean": [0.485, 0.456, 0.406], "std": [0.2, 0.2, 0.2],
      "padding": {"stride_x": 0, "stride_y": 0, "fill_value": [114, 114, 114]}}}],
    "output_postproc": [{"converter": "label", "layer_name": "prob", "attribute_name": "mood", "method": "softmax_multi",
      "threshold": 0.3, "labels": ["calm", "glad, or so"]}]})");
  ASSERT_TRUE(info) << info.error().message;
  const InputInfo& input = info->inputs.at(0);
  EXPECT_EQ(*input.layer, "data");
  EXPECT_EQ(*input.color, "rgb");
  EXPECT_EQ(*input.resize, "letterbox");
  EXPECT_EQ(*input.crop, "central");
  EXPECT_THAT(*input.range, ElementsAre(0, 1));
  EXPECT_THAT(*input.mean, ElementsAre(0.485, 0.456, 0.406));
  EXPECT_THAT(*input.pad_value, ElementsAre(114, 114, 114));
  const OutputInfo& out = info->outputs.at(0);
  EXPECT_EQ(*out.decoder, "label");
  EXPECT_THAT(*out.layers, ElementsAre("prob"));
  EXPECT_EQ(*out.attribute, "mood");
  EXPECT_EQ(*out.properties.at("method"), "softmax-multi");
  EXPECT_EQ(*out.properties.at("threshold"), "0.3");
  EXPECT_THAT(*out.labels, ElementsAre("calm", "glad, or so"));
}

TEST(ImportModelProc, KnowsTheConvertersOfThisProgram) {
  EXPECT_EQ(*output(R"({"converter": "detection_output"})").decoder, "detection");
  EXPECT_EQ(*output(R"({"converter": "boxes_labels"})").decoder, "detection");
  EXPECT_EQ(*output(R"({"converter": "yolo_x"})").properties.at("head"), "x");
  EXPECT_EQ(*output(R"({"converter": "yolo_v11"})").properties.at("head"), "v8");
  EXPECT_EQ(*output(R"({"converter": "text", "text_scale": 100})").properties.at("text-scale"), "100");
  EXPECT_EQ(*output(R"({"converter": "raw_data_copy"})").decoder, "add_params");
  EXPECT_EQ(*output(R"({"converter": "tensor_to_bbox_ssd"})").decoder, "detection");
  EXPECT_EQ(*output(R"({"converter": "tensor_to_label"})").decoder, "label");
  EXPECT_EQ(*output(R"({"converter": "tensor_to_text"})").decoder, "text");
}

TEST(ImportModelProc, LeavesTheDecoderOpenWithoutAConverter) {
  EXPECT_FALSE(output(R"({"labels": ["a"]})").decoder);
  EXPECT_THAT(*output(R"({"labels": ["a", 5]})").labels, ElementsAre("a", "5"));
  EXPECT_THAT(*output(R"({"labels": "a,b"})").labels, ElementsAre("a", "b"));
  EXPECT_FALSE(output(R"({"layer_name": "ANY"})").layers);
}

TEST(ImportModelProc, MapsEveryConverterOfTheReference) {
  const std::tuple<std::string, std::string, std::string> cases[] = {
      {"boxes_scores", "detection", ""},
      {"rtdetr", "detection", ""},
      {"rfdetr_seg", "detection", ""},
      {"mask_rcnn", "detection", ""},
      {"yolo_v2", "yolo", "version=2"},
      {"yolo_v3", "yolo", "version=3"},
      {"tensor_to_bbox_yolo_v4", "yolo", "version=4"},
      {"yolo_v5", "yolo", "version=5"},
      {"yolo_v7", "yolo", "version=7"},
      {"yolo_v8_obb", "yolo", "head=v8 task=obb"},
      {"yolo_v8_pose", "yolo", "head=v8 task=pose"},
      {"yolo_v10", "yolo", "head=end2end"},
      {"yolo_v11_seg", "yolo", "head=v8 task=seg"},
      {"yolo_v26_seg", "yolo", "head=end2end task=seg"},
      {"semantic_segmentation", "segmentation", "mode=semantic"},
      {"heatmap_boxes", "segmentation", "mode=boxes"},
      {"centerface", "centernet", ""},
      {"keypoints_openpose", "human_pose", "mode=openpose"},
      {"tensor_to_keypoints_hrnet", "human_pose", "mode=heatmap"},
      {"keypoints_3d", "human_pose", "mode=heatmap"},
      {"depth_estimation", "add_params", ""},
      {"paddle_ocr", "ctc", ""},
      {"paddle_ocr_ctc", "ctc", ""},
      {"docTR_ocr", "ctc", ""},
      {"clip_token", "embedding", ""},
  };
  for (const auto& [converter, decoder, properties] : cases) {
    const OutputInfo info = output(R"({"converter": ")" + converter + R"("})");
    EXPECT_EQ(*info.decoder, decoder) << converter;
    std::string text;
    for (const auto& [name, value] : info.properties) text += (text.empty() ? "" : " ") + name + "=" + *value;
    EXPECT_EQ(text, properties) << converter;
  }
}

TEST(ImportModelProc, RefusesInOneLineWhatIsNotSupported) {
  EXPECT_THAT(message("", R"({"converter": "mask_rcmn"})"),
              HasSubstr("m.json: output_postproc[0]: converter 'mask_rcmn' is not supported; did you mean "
                        "'mask_rcnn'?"));
  EXPECT_THAT(message("", R"({"converter": "custom_to_roi"})"),
              HasSubstr("converter 'custom_to_roi' is refused: it calls code built for another framework"));
  EXPECT_THAT(message("", R"({"converter": "custom_to_tensor"})"), HasSubstr("is refused"));
  EXPECT_THAT(message("", R"({"converter": "AnomalyDetection"})"), HasSubstr("is refused: its scores need"));
  EXPECT_THAT(message(R"({"format": "sound"})", ""),
              HasSubstr("format: unknown value 'sound'; known are image"));
  EXPECT_THAT(message(R"({"params": {"crop": "top_left"}})", ""), HasSubstr("is not supported; central is"));
  EXPECT_THAT(message(R"({"params": {"padding": {"stride_x": 4}}})", ""),
              HasSubstr("a border around the picture is not supported"));
  EXPECT_EQ(read("", R"({"converter": "audio_labels"})").error().code, ErrorCode::unsupported);
}

TEST(ImportModelProc, MarksTheInputsThatTakeNoPicture) {
  auto info = read(R"({"layer_name": "seq_ind", "format": "sequence_index"},
                      {"layer_name": "im_info", "format": "image_info"},
                      {"layer_name": "data", "params": {"color_space": "BGR"}})",
                   "");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(*info->inputs.at(0).format, "sequence-index");
  EXPECT_EQ(*info->inputs.at(1).format, "image-info");
  EXPECT_FALSE(info->inputs.at(2).format);
  EXPECT_EQ(info->picture(), &info->inputs.at(2));
}

TEST(ImportModelProc, TakesTheKeysThatDecodersCallOtherwise) {
  const OutputInfo heat =
      output(R"({"converter": "heatmap_boxes", "minimum_side": 7, "binarize_threshold": 0.4})");
  EXPECT_EQ(*heat.properties.at("minimum-side"), "7");
  EXPECT_EQ(*heat.properties.at("threshold"), "0.4");
  EXPECT_EQ(*output(R"({"converter": "yolo_v3", "nms_threshold": 0.4})").properties.at("iou-threshold"),
            "0.4");
}

TEST(ImportModelProc, SaysWhereAMistakeIs) {
  EXPECT_THAT(message(R"({"params": {"resize": "maybe"}})", ""),
              HasSubstr("input_preproc[0].params.resize: unknown resize 'maybe'"));
  EXPECT_THAT(message(R"({"params": {"colour": "RGB"}})", ""),
              HasSubstr("input_preproc[0].params: unknown key 'colour'"));
  EXPECT_THAT(message(R"({"params": {"mean": ["x"]}})", ""),
              HasSubstr("input_preproc[0].params.mean: expects numbers"));
  EXPECT_THAT(message(R"({"params": {"std": [0]}})", ""), HasSubstr("std: must not be 0"));
  EXPECT_THAT(message("5", ""), HasSubstr("input_preproc[0]: expects an object"));
  EXPECT_THAT(message("", R"({"converter": 5})"), HasSubstr("output_postproc[0].converter: expects text"));
  EXPECT_THAT(message("", R"({"labels": "no/such.txt"})"),
              HasSubstr("output_postproc[0].labels: labels: no such file"));
}

TEST(ImportModelProc, SurvivesWhatIsNotAModelProc) {
  EXPECT_THAT(read("{").error().message, HasSubstr("m.json: not JSON: parse error at line 1"));
  EXPECT_THAT(read("[]").error().message, HasSubstr("expects an object"));
  EXPECT_THAT(read("{}").error().message, HasSubstr("json_schema_version is missing"));
  EXPECT_THAT(
      read(R"({"json_schema_version": "9", "input_preproc": [], "output_postproc": []})").error().message,
      HasSubstr("json_schema_version: \"9\" is not known; known are 1.0.0, 2.0.0"));
  EXPECT_THAT(
      read(R"({"json_schema_version": "2.0.0", "input_preproc": 1, "output_postproc": []})").error().message,
      HasSubstr("input_preproc: expects a list"));
}

}  // namespace
}  // namespace sightglass
