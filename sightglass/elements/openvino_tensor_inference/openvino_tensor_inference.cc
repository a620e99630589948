#include <algorithm>
#include <filesystem>

#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"
#include "sightglass/elements/tensor_inference/tensor_inference.h"

namespace sightglass {
namespace {

constexpr std::string_view name = "openvino_tensor_inference";

// Whether it is a key of OpenVINO's, which are in capitals: PERFORMANCE_HINT, NUM_STREAMS.
bool is_openvino_key(std::string_view setting) {
  const auto key = setting.substr(0, setting.find('='));
  return !key.empty() && std::ranges::none_of(key, [](char c) { return c >= 'a' && c <= 'z'; });
}

// Parts `config` into what ONNX Runtime may know and what only OpenVINO does.
struct Config {
  std::string kept, ignored;
  explicit Config(std::string_view text) {
    while (!text.empty()) {
      const auto one = text.substr(0, text.find(','));
      text.remove_prefix(std::min(one.size() + 1, text.size()));
      std::string& part = is_openvino_key(one) ? ignored : kept;
      if (!one.empty()) part.append(part.empty() ? "" : ",").append(one);
    }
  }
};

// An ONNX file runs on ONNX Runtime; OpenVINO's own form of a model does not.
Result<std::unique_ptr<Element>> create(const ParamSet& given) {
  const auto& params = given.as<TensorInference::Params>();
  const auto ending = std::filesystem::path(params.model).extension();
  if (ending == ".xml" || ending == ".bin") {
    auto pieces = missing({Facility::openvino});
    pieces.emplace_back("no OpenVINO engine in this version");
    const std::string usable[] = {"a .onnx model (it runs on ONNX Runtime)", "onnx_tensor_inference",
                                  "pytorch_tensor_inference"};
    return std::unexpected(availability_error("model=" + params.model, pieces, usable));
  }
  const Config config(params.config);
  ParamSet values = given;
  if (!config.ignored.empty())
    if (auto set = values.set("config", config.kept); !set) return forward_error(set);
  auto element = std::make_unique<TensorInference>(values, "onnxruntime");
  element->add_warning(std::format("{} runs on ONNX Runtime, there is no OpenVINO engine in this version{}{}",
                                   params.model.empty() ? "the model" : params.model,
                                   config.ignored.empty() ? "" : "; ignored: ", config.ignored));
  return element;
}

ElementDesc descriptor() {
  ElementDesc desc = TensorInference::descriptor("KEY=VALUE; keys of OpenVINO are ignored with a warning");
  desc.name = name;
  desc.title = "OpenVINO model inference";
  desc.doc =
      "Stands for OpenVINO in pipelines that were written for it: a .onnx model runs on ONNX Runtime, with a "
      "warning; OpenVINO's own form (.xml) needs OpenVINO, which is not part of this version.";
  desc.create = create;
  return desc;
}

const Registration registration(descriptor());

}  // namespace
}  // namespace sightglass
