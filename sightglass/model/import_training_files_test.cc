// The files of training tools, as the tools write them, beside a model in a folder of its own.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "sightglass/model/importers.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TensorInfo tensor(std::string name, Shape shape) {
  TensorInfo info;
  info.name = std::move(name);
  info.shape = shape;
  return info;
}

class TrainingFiles : public testing::Test {
 protected:
  TrainingFiles() : folder_(fs::path(testing::TempDir()) / "training-files") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    signature_.inputs = {tensor("x", {1, 3, 224, 224})};
    signature_.outputs = {tensor("y", {1, 3})};
  }
  ~TrainingFiles() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  ModelInfo describe(const std::string& model = "model.onnx") const {
    auto info = describe_model(folder_ / model, signature_);
    EXPECT_TRUE(info) << info.error().message;
    return info ? *info : ModelInfo();
  }

  fs::path folder_;
  ModelSignature signature_;
};

constexpr const char* vit = R"({"architectures": ["ViTForImageClassification"], "hidden_size": 768,
  "id2label": {"0": "cat", "2": "bird", "1": "dog"}, "label2id": {"cat": 0, "dog": 1, "bird": 2}})";

TEST_F(TrainingFiles, HuggingFaceDescribesAClassifier) {
  write("config.json", vit);
  write("preprocessor_config.json", R"({"do_normalize": true, "do_rescale": true, "do_resize": true,
    "image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "rescale_factor": 0.00392156862745098,
    "resample": 2, "size": {"height": 224, "width": 224}})");
  const ModelInfo info = describe();
  EXPECT_EQ(*info.task, "classify");
  const InputInfo& input = *info.picture();
  EXPECT_EQ(*input.layer, "x");
  EXPECT_EQ(*input.color, "rgb");
  EXPECT_EQ(*input.resize, "stretch");
  EXPECT_EQ(*input.interpolation, "bilinear");
  ASSERT_EQ(input.range->size(), 2u);
  EXPECT_NEAR((*input.range)[1], 1, 1e-9);
  EXPECT_THAT(*input.mean, ElementsAre(.5, .5, .5));
  EXPECT_THAT(*input.std, ElementsAre(.25, .25, .25));
  EXPECT_EQ(input.mean.origin.name, "config.json and preprocessor_config.json (HuggingFace)");
  ASSERT_EQ(info.outputs.size(), 1u);
  EXPECT_EQ(*info.outputs[0].decoder, "label");
  EXPECT_EQ(*info.outputs[0].properties.at("method"), "softmax");
  EXPECT_THAT(*info.outputs[0].labels, ElementsAre("cat", "dog", "bird"));
  EXPECT_THAT(info.warnings, IsEmpty());
}

TEST_F(TrainingFiles, HuggingFaceCutsTheCentre) {
  write("preprocessor_config.json", R"({"crop_size": {"height": 224, "width": 224}, "do_center_crop": true,
    "size": {"shortest_edge": 256}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1], "resample": 3})");
  const InputInfo input = *describe().picture();
  EXPECT_EQ(*input.resize, "crop");
  EXPECT_EQ(*input.size, (PictureSize{224, 224}));
  EXPECT_DOUBLE_EQ(*input.roi_expand, 0.875);
  EXPECT_EQ(*input.interpolation, "bicubic");
}

TEST_F(TrainingFiles, HuggingFaceToldByArchitecture) {
  const std::pair<const char*, const char*> cases[] = {
      {"DetrForObjectDetection", "detection"},
      {"SegformerForSemanticSegmentation", "segmentation"},
      {"DPTForDepthEstimation", "add_params"},
      {"CLIPVisionModelWithProjection", "embedding"},
      {"ViTModel", "embedding"},
  };
  for (const auto& [architecture, decoder] : cases) {
    write("config.json", std::string(R"({"architectures": [")") + architecture + R"("]})");
    EXPECT_EQ(describe().outputs.at(0).decoder.value_or("none"), decoder) << architecture;
  }
  write("config.json", R"({"architectures": ["ConvNextForImageClassification"], "problem_type":
    "multi_label_classification", "id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "num_labels": 2})");
  const ModelInfo info = describe();
  EXPECT_EQ(*info.outputs.at(0).properties.at("method"), "sigmoid");
  EXPECT_EQ(*info.outputs.at(0).properties.at("classes"), "2");
  EXPECT_FALSE(info.outputs.at(0).labels);
}

TEST_F(TrainingFiles, ModelsForJavaScriptLieOneFolderDeeper) {
  fs::create_directories(folder_ / "onnx");
  write("config.json", vit);
  EXPECT_EQ(*describe("onnx/model.onnx").outputs.at(0).decoder, "label");
}

TEST_F(TrainingFiles, TimmDescribesAClassifier) {
  write("config.json", R"({"architecture": "resnet18", "num_classes": 3, "label_names": ["a", "b", "c"],
    "pretrained_cfg": {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.95,
    "crop_mode": "center", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 3}})");
  const ModelInfo info = describe();
  EXPECT_EQ(*info.name, "resnet18");
  const InputInfo& input = *info.picture();
  EXPECT_EQ(*input.color, "rgb");
  EXPECT_EQ(*input.resize, "crop");
  EXPECT_DOUBLE_EQ(*input.roi_expand, .95);
  EXPECT_EQ(*input.interpolation, "bicubic");
  EXPECT_THAT(*input.range, ElementsAre(0, 1));
  EXPECT_THAT(*input.std, ElementsAre(.229, .224, .225));
  EXPECT_THAT(*info.outputs.at(0).labels, ElementsAre("a", "b", "c"));
  EXPECT_EQ(*info.outputs.at(0).properties.at("method"), "softmax");
  EXPECT_EQ(info.name.origin.name, "config.json (timm)");
}

TEST_F(TrainingFiles, TimmWithoutClassesIsAnEmbedding) {
  write("config.json", R"({"architecture": "vit_base", "num_classes": 0,
    "pretrained_cfg": {"input_size": [3, 224, 224], "crop_mode": "squash"}})");
  const ModelInfo info = describe();
  EXPECT_EQ(*info.outputs.at(0).decoder, "embedding");
  EXPECT_EQ(*info.picture()->resize, "stretch");
}

TEST_F(TrainingFiles, PaddleDescribesTextRecognition) {
  signature_.inputs = {tensor("x", {-1, 3, 48, -1})};
  signature_.outputs = {tensor("softmax", {-1, -1, 5})};
  write("inference.yml", R"(
Global:
  model_name: PP-OCRv5_mobile_rec
PreProcess:
  transform_ops:
  - DecodeImage:
      channel_first: false
      img_mode: BGR
  - MultiLabelEncode:
      gtc_encode: NRTRLabelEncode
  - RecResizeImg:
      image_shape: [3, 48, 320]
  - KeepKeys:
      keep_keys: [image, label_ctc]
PostProcess:
  name: CTCLabelDecode
  character_dict: ['0', "'", ' ']
)");
  const ModelInfo info = describe();
  EXPECT_EQ(*info.name, "PP-OCRv5_mobile_rec");
  EXPECT_EQ(*info.task, "ocr");
  const InputInfo& input = *info.picture();
  EXPECT_EQ(*input.color, "bgr");
  EXPECT_EQ(*input.resize, "fit-height");
  EXPECT_EQ(input.size->height, 48);
  EXPECT_THAT(*input.range, ElementsAre(-1, 1));
  EXPECT_EQ(*info.outputs.at(0).decoder, "ctc");
  EXPECT_THAT(*info.outputs.at(0).labels, ElementsAre("0", "'", " "));
}

TEST_F(TrainingFiles, PaddleDescribesTextDetection) {
  signature_.inputs = {tensor("x", {-1, 3, -1, -1})};
  signature_.outputs = {tensor("map", {-1, 1, -1, -1})};
  write("inference.yml", R"(
PreProcess:
  transform_ops:
  - DecodeImage: {img_mode: BGR}
  - DetLabelEncode: null
  - DetResizeForTest: {resize_long: 960}
  - NormalizeImage: {mean: [0.485, 0.456, 0.406], order: hwc, scale: 1./255., std: [0.229, 0.224, 0.225]}
PostProcess: {name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, max_candidates: 1000, unclip_ratio: 1.5}
)");
  const ModelInfo info = describe();
  const InputInfo& input = *info.picture();
  EXPECT_EQ(*input.resize, "multiple");
  EXPECT_EQ(*input.size, (PictureSize{960, 960}));
  EXPECT_THAT(*input.range, ElementsAre(0, 1));
  const OutputInfo& output = info.outputs.at(0);
  EXPECT_EQ(*output.decoder, "segmentation");
  EXPECT_EQ(*output.properties.at("mode"), "boxes");
  EXPECT_EQ(*output.properties.at("threshold"), "0.3");
  EXPECT_EQ(*output.properties.at("box-threshold"), "0.6");
  EXPECT_EQ(*output.properties.at("box-expand"), "1.5");
}

TEST_F(TrainingFiles, PaddleDescribesAClassifierOfDirections) {
  write("inference.yml", R"(
PreProcess:
  transform_ops:
  - ResizeImage: {size: [224, 224]}
  - NormalizeImage: {channel_num: 3, mean: [0.5], std: [0.5], order: '', scale: 0.00392156862745098}
PostProcess:
  Topk: {topk: 1, label_list: [0_degree, 90_degree, 180_degree]}
)");
  const ModelInfo info = describe();
  EXPECT_EQ(*info.outputs.at(0).decoder, "label");
  EXPECT_THAT(*info.outputs.at(0).labels, ElementsAre("0_degree", "90_degree", "180_degree"));
}

TEST_F(TrainingFiles, UltralyticsMetadataReadsAsInsideAModel) {
  signature_.inputs = {tensor("images", {1, 3, 320, 320})};
  signature_.outputs = {tensor("output0", {1, 7, 2100})};
  write("metadata.yaml",
        "description: Ultralytics YOLO11n model\ntask: detect\nstride: 32\nbatch: 1\n"
        "imgsz:\n- 320\n- 320\nnames:\n  0: person\n  1: \"fire hydrant\"\n  2: bicycle\n");
  const ModelInfo info = describe();
  EXPECT_EQ(*info.picture()->resize, "letterbox");
  EXPECT_THAT(*info.picture()->pad_value, ElementsAre(114));
  EXPECT_EQ(*info.outputs.at(0).decoder, "yolo");
  EXPECT_EQ(*info.outputs.at(0).properties.at("head"), "v8");
  EXPECT_THAT(*info.outputs.at(0).labels, ElementsAre("person", "fire hydrant", "bicycle"));
  EXPECT_EQ(info.outputs[0].decoder.origin.name, "metadata.yaml (Ultralytics)");
}

TEST_F(TrainingFiles, ADescriptionOfOursCountsMoreAndTheWarningNamesBoth) {
  write("config.json", vit);
  write("model.sightglass.yaml",
        "sightglass_model: 1\noutput: [{decoder: label, method: max, labels: [x, y, z]}]\n");
  const ModelInfo info = describe();
  EXPECT_THAT(*info.outputs.at(0).labels, ElementsAre("x", "y", "z"));
  EXPECT_EQ(*info.outputs.at(0).properties.at("method"), "max");
  EXPECT_THAT(
      info.warnings,
      ElementsAre("model.onnx: description model.sightglass.yaml and config.json (HuggingFace) disagree on "
                  "output[0].labels, output[0].method; the former counts"));
}

TEST_F(TrainingFiles, FilesOfOtherKindsAreLeftAlone) {
  write("config.json", R"({"theme": "dark"})");
  write("metadata.yaml", "title: holiday\n");
  write("inference.yml", "a: b\n");
  const ModelInfo info = describe();
  EXPECT_FALSE(info.outputs.size() && info.outputs[0].decoder);
}

TEST_F(TrainingFiles, DamagedFilesAreNamedAndLeftOut) {
  write("config.json", "{\"architectures\": [");
  write("metadata.yaml", "a: [");
  write("inference.yml", "\t- x");
  const ModelInfo info = describe();
  ASSERT_GE(info.warnings.size(), 3u);
  EXPECT_THAT(info.warnings, testing::Contains(HasSubstr("metadata.yaml:1")));
  EXPECT_THAT(info.warnings,
              testing::Contains("config.json (HuggingFace): not a JSON object; it is left out"));
  EXPECT_THAT(info.warnings, testing::Contains(HasSubstr("inference.yml")));
}

// ---- OpenVINO

constexpr const char* ir = R"(<?xml version="1.0"?>
<net name="Model0" version="11">
  <layers>
    <layer id="0" name="image" type="Parameter" version="opset1">
      <data shape="1,3,224,224" element_type="f32" />
      <output><port id="0" precision="FP32" names="image,data"><dim>1</dim><dim>3</dim><dim>224</dim><dim>224</dim></port></output>
    </layer>
    <layer id="1" name="Softmax_12" type="SoftMax" version="opset8">
      <output><port id="1" precision="FP32" names="prob"><dim>1</dim><dim>2</dim></port></output>
    </layer>
    <layer id="2" name="prob/sink_port_0" type="Result" version="opset1">
      <input><port id="0" precision="FP32"><dim>1</dim><dim>2</dim></port></input>
    </layer>
  </layers>
  <edges>
    <edge from-layer="0" from-port="0" to-layer="1" to-port="0" />
    <edge from-layer="1" from-port="1" to-layer="2" to-port="0" />
  </edges>
  <rt_info>
    <Runtime_version value="2024.1" />
    <model_info>
      <model_type value="Classification" />
      <labels value="cat dog" />
      <confidence_threshold value="0.4" />
      <resize_type value="fit_to_window_letterbox" />
      <pad_value value="114" />
      <reverse_input_channels value="YES" />
      <mean_values value="123.675 116.28 103.53" />
      <scale_values value="58.395 57.12 57.375" />
      <output_raw_scores value="True" />
    </model_info>
  </rt_info>
</net>)";

TEST_F(TrainingFiles, AnIrIsDescribedByItsRtInfo) {
  write("model.xml", ir);
  auto model = read_openvino_xml(folder_ / "model.xml");
  ASSERT_TRUE(model) << model.error().message;
  signature_ = model->signature;
  ASSERT_EQ(signature_.inputs.size(), 1u);
  EXPECT_EQ(signature_.inputs[0].name, "image");
  EXPECT_EQ(signature_.inputs[0].shape, Shape({1, 3, 224, 224}));
  ASSERT_EQ(signature_.outputs.size(), 1u);
  EXPECT_EQ(signature_.outputs[0].name, "prob");
  EXPECT_EQ(signature_.outputs[0].shape, Shape({1, 2}));

  const ModelInfo info = describe("model.xml");
  const InputInfo& input = *info.picture();
  EXPECT_EQ(*input.color, "rgb");
  EXPECT_EQ(*input.resize, "letterbox");
  EXPECT_THAT(*input.pad_value, ElementsAre(114));
  EXPECT_THAT(*input.mean, ElementsAre(123.675, 116.28, 103.53));
  EXPECT_THAT(*input.std, ElementsAre(58.395, 57.12, 57.375));
  const OutputInfo& output = info.outputs.at(0);
  EXPECT_EQ(*output.decoder, "label");
  EXPECT_EQ(*output.properties.at("method"), "softmax");
  EXPECT_EQ(*output.properties.at("threshold"), "0.4");
  EXPECT_THAT(*output.labels, ElementsAre("cat", "dog"));
  EXPECT_EQ(output.decoder.origin.name, "rt_info of the model (OpenVINO)");
}

TEST_F(TrainingFiles, TheSameKeysInsideAnOnnxFile) {
  signature_.metadata = {{"model_info model_type", "ssd"},
                         {"model_info resize_type", "fit_to_window"},
                         {"model_info iou_threshold", "0.6"}};
  const ModelInfo info = describe();
  EXPECT_EQ(*info.outputs.at(0).decoder, "detection");
  EXPECT_EQ(*info.outputs.at(0).properties.at("iou-threshold"), "0.6");
  EXPECT_EQ(*info.picture()->resize, "letterbox-topleft");
}

TEST_F(TrainingFiles, OpenVinoTypesThatNobodyKnowsAreAWarning) {
  signature_.metadata = {{"model_info model_type", "AnomalyDetection"}};
  EXPECT_THAT(describe().warnings, testing::Contains(HasSubstr("'AnomalyDetection' is refused")));
}

TEST_F(TrainingFiles, ADamagedIrIsAnError) {
  write("model.xml", "<net><layers>");
  auto info = describe_model(folder_ / "model.xml", {});
  ASSERT_FALSE(info);
  EXPECT_THAT(info.error().message, HasSubstr("not XML"));
  write("model.xml", "<other/>");
  EXPECT_THAT(describe_model(folder_ / "model.xml", {}).error().message, HasSubstr("no element net"));
}

}  // namespace
}  // namespace sightglass
