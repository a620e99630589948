// What makes a partial ModelInfo out of each kind of source, and the checks that they share. Private to the
// model folder; the merge is in description.cc.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/model/description.h"

namespace sightglass {

// Neutral YAML. `file` is the name in messages, `base_dir` where relative paths start.
Result<ModelInfo> import_yaml(std::string_view text, const std::string& file,
                              const std::filesystem::path& base_dir, const Origin& origin);
// model-proc JSON, schema 2.x.
Result<ModelInfo> import_model_proc(std::string_view text, const std::string& file,
                                    const std::filesystem::path& base_dir, const Origin& origin);
// The keys that Ultralytics' exporters embed, or write into metadata.yaml; an empty ModelInfo when there are
// none. `signature` tells heads apart.
ModelInfo import_ultralytics(const std::map<std::string, std::string>& keys, const ModelSignature& signature,
                             const Origin& origin);
// The keys of OpenVINO's model_info, as they are in an IR's rt_info.
ModelInfo import_openvino(const std::map<std::string, std::string>& keys, const Origin& origin);
// rt_info/model_info of an IR, empty where it has none; and what its inputs and outputs are, for when there
// is no engine that could say so.
struct OpenVinoModel {
  std::map<std::string, std::string> model_info;
  ModelSignature signature;
};
Result<OpenVinoModel> read_openvino_xml(const std::filesystem::path& path);
// HuggingFace: config.json and preprocessor_config.json, either may be empty.
Result<ModelInfo> import_huggingface(std::string_view config, std::string_view preprocessor,
                                     const Origin& origin);
// timm: the config.json of a model on the Hub, with pretrained_cfg.
Result<ModelInfo> import_timm(std::string_view config, const Origin& origin);
// PaddleOCR: inference.yml.
Result<ModelInfo> import_paddle(std::string_view text, const std::string& file, const Origin& origin);
// What the files of training tools in the model's folder say, one ModelInfo each. Those that are damaged or
// of another kind are left out, the former with a warning.
std::vector<ModelInfo> import_training_files(const std::filesystem::path& model,
                                             const ModelSignature& signature);
// What shapes and types alone say for sure.
ModelInfo import_shapes(const ModelSignature& signature);

// Calls f(name, known) for every key of an input, in the order of the neutral YAML; `infos` are several
// InputInfos to walk in parallel.
template <class F, class... Infos>
void for_each_input_key(F&& f, Infos&... infos) {
  f("layer", infos.layer...);
  f("format", infos.format...);
  f("size", infos.size...);
  f("color", infos.color...);
  f("layout", infos.layout...);
  f("dtype", infos.dtype...);
  f("resize", infos.resize...);
  f("crop", infos.crop...);
  f("interpolation", infos.interpolation...);
  f("pad_value", infos.pad_value...);
  f("range", infos.range...);
  f("mean", infos.mean...);
  f("std", infos.std...);
  f("scale", infos.scale...);
  f("roi_expand", infos.roi_expand...);
  f("size_multiple", infos.size_multiple...);
  f("max_width", infos.max_width...);
}
template <class F, class... Infos>
void for_each_output_key(F&& f, Infos&... infos) {
  f("decoder", infos.decoder...);
  f("layers", infos.layers...);
  f("attribute", infos.attribute...);
  f("labels", infos.labels...);
}

// The value as it is stored: choices in their official spelling. Or why it cannot be: unknown choice, wrong
// count, out of range.
Result<std::string> check_input_value(std::string_view key, std::string value);
Status check_input_value(std::string_view key, const std::vector<double>& values);
Status check_input_value(std::string_view key, double value);
Status check_input_value(std::string_view key, int64_t value);
Status check_input_value(std::string_view key, PictureSize value);

// The whole of a file of description size.
Result<std::string> read_description(const std::filesystem::path& path);

// The decoder that a converter of model-proc stands for, and the properties that go with it. Unsupported: not
// carried, with the reason.
struct ConverterDecoder {
  std::string decoder;
  std::vector<std::pair<std::string, std::string>> properties;
};
Result<ConverterDecoder> decoder_of_converter(std::string_view converter);

// Whether `decoder` names code of the user's own ("file.so", "module:Class") rather than an element.
bool is_user_decoder(std::string_view decoder);
// The element that runs it: "tensor_postproc_user" for those, else "tensor_postproc_" and its name.
std::string element_of_decoder(std::string_view decoder);
// Whether there can be such a decoder; the error names those known. User decoders ("file.so", "module:Class")
// pass.
Status check_decoder(const std::string& decoder);
// The value of a decoder's property as its element takes it. Checked only if the element is part of this
// program; not_found: the element has no such property. `name` with '-' or '_'.
Result<std::string> check_property(const std::string& decoder, std::string_view name,
                                   const std::string& value);

// Values as people and element parameters read them.
std::string value_text(const std::string& value);
std::string value_text(const PictureSize& value);
std::string value_text(double value);
std::string value_text(int64_t value);
std::string value_text(const std::vector<double>& values);       // "<0.5,0.5>"
std::string value_text(const std::vector<std::string>& values);  // "<a,b>"

// Σ of the cells of a detector's grids with the strides 8, 16, 32 (and 64); 0 when the size is unknown.
int64_t grid_cells(int width, int height, bool with_stride_64);

}  // namespace sightglass
