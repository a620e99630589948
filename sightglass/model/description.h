// The description of a model: everything that has to be known around the network, in one value. What its
// inputs want (size, colour, resize rule, normalisation), what decodes its outputs, the labels. Nothing is
// guessed from the name of a file; every key says where it comes from, and for each key the first of these
// sources that has it counts:
//
//   2 the file that `model-proc` names: model-proc JSON or neutral YAML
//   3 <model stem>.sightglass.yaml beside the model
//   4 metadata inside the model: ours, Ultralytics', OpenVINO's model_info
//   5 files of training tools in the model's folder: Ultralytics, HuggingFace, timm, PaddleOCR
//   6 shapes and types of its inputs and outputs
//   7 defaults: stretch, no normalisation, BGR (RGB for PyTorch)
//
// (1, properties set on an element, is the element's own business.) Where sources of 3 to 5 disagree, that is
// a warning that names both.
//
//   auto info = describe_model("detector.onnx", signature);
//   if (!info) return std::unexpected(info.error());
//   for (const std::string& warning : info->warnings) log(warning);
//   for (auto& [name, value] : preprocess_params(*info)) preprocess.set_text(name, value);
//
// Plain values without threads or locks; made once per model, in milliseconds.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/model/signature.h"

namespace sightglass {

// By precedence: the lower number counts.
enum class OriginKind : uint8_t {
  property = 1,
  model_proc,
  sidecar,
  metadata,
  training_files,
  shapes,
  defaults
};

struct Origin {
  OriginKind kind = OriginKind::defaults;
  std::string name;  // for people: "model-proc mood.json", "metadata of the model (Ultralytics)"
};

// The value of one key, and who says so. Unset: nobody does.
template <class T>
struct Known {
  std::optional<T> value;
  Origin origin;

  explicit operator bool() const { return value.has_value(); }
  const T& operator*() const { return *value; }
  const T* operator->() const { return &*value; }
  T value_or(T other) const { return value ? *value : std::move(other); }
};

struct PictureSize {
  int width = 0, height = 0;  // pixels
  bool operator==(const PictureSize&) const = default;
};

// What one input wants. The texts are the choices of video_to_tensor's parameters of the same name.
struct InputInfo {
  Known<std::string> layer;
  // image; or what needs no picture: image-info (a tensor [height, width, scale] of the picture input),
  // sequence-index (ones). Unset: image.
  Known<std::string> format;
  Known<PictureSize> size;
  Known<std::string> color;   // rgb, bgr, gray
  Known<std::string> layout;  // nchw, nhwc
  Known<std::string> dtype;   // uint8, float32, …
  Known<std::string> resize;  // stretch, letterbox, letterbox-topleft, crop, none, fit-height, multiple
  Known<std::string> crop;    // central, central-resize
  Known<std::string> interpolation;
  Known<std::vector<double>> pad_value;  // 0..255, one or one per channel
  Known<std::vector<double>> range;      // two: what 0 and 255 become, before mean and std
  Known<std::vector<double>> mean, std;  // one or one per channel, in the order of `color`
  Known<double> scale;                   // divisor before mean
  Known<double> roi_expand;  // factor by which regions grow about their centre; with resize crop below 1 it
                             // is the part of the short side that is kept, of whole pictures as well
  Known<int64_t> size_multiple, max_width;  // pixels
};

// What becomes of one output, or of several together.
struct OutputInfo {
  Known<std::string> decoder;              // suffix of an element's name: "yolo" is tensor_postproc_yolo
  Known<std::vector<std::string>> layers;  // names of outputs; unset: all there are
  Known<std::string> attribute;            // name of the result
  Known<std::vector<std::string>> labels;
  std::map<std::string, Known<std::string>>
      properties;  // further parameters of the decoder, words joined by '-'
};

struct ModelInfo {
  Known<std::string> name;
  Known<std::string> task;  // detect, classify, segment, pose, embed, ocr, raw
  std::vector<InputInfo> inputs;
  std::vector<OutputInfo> outputs;
  std::vector<std::string> warnings;  // one line each, to be shown once

  // The input that takes the picture; null when the model has none. Never one of another format.
  const InputInfo* picture() const;
  // Whether anything better than shapes says what the outputs mean.
  bool described() const;
};

struct DescribeOptions {
  std::filesystem::path model_proc;  // model-proc JSON or neutral YAML, told by content; empty: none
};

// Puts together what is known of the model in file `path`. An empty signature is allowed; then nothing is
// checked against it. Errors: a description that is damaged or does not fit the model.
Result<ModelInfo> describe_model(const std::filesystem::path& path, const ModelSignature& signature,
                                 const DescribeOptions& options = {});

// Inputs and outputs of a model that no engine here can load, as the file itself says; of OpenVINO's IR
// (.xml).
Result<ModelSignature> read_signature(const std::filesystem::path& path);

// Parameters of video_to_tensor, by its own names, as text: {"width", "512"}, {"mean", "<0.5,0.5,0.5>"}…
// Unknown keys are left out.
using Settings = std::vector<std::pair<std::string, std::string>>;
Settings preprocess_params(const ModelInfo& info);

// The decoder elements, in order, with their parameters. An output that nobody names a decoder for gets
// `label` if it has labels, else `add_params`; a detection bin looks at OutputInfo::decoder itself and
// refuses.
struct ElementSettings {
  std::string element;  // "tensor_postproc_yolo"
  Settings params;
};
std::vector<ElementSettings> postprocess_elements(const ModelInfo& info);

// Every key that is known, in the order of the neutral YAML, for people to read: {"input[0].size", "[512,
// 512]", "shapes of the model"}.
struct DescribedKey {
  std::string key, value, source;
};
std::vector<DescribedKey> described_keys(const ModelInfo& info);
// What a pipeline would still need to be told, one line each; empty when nothing.
std::vector<std::string> missing_keys(const ModelInfo& info, const ModelSignature& signature);

}  // namespace sightglass
