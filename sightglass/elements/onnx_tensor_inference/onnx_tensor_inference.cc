#include "sightglass/core/registry.h"
#include "sightglass/elements/tensor_inference/tensor_inference.h"

namespace sightglass {
namespace {

ElementDesc descriptor() {
  ElementDesc desc = TensorInference::descriptor("intra_op_num_threads, allow_spinning, session.*, …");
  desc.name = "onnx_tensor_inference";
  desc.title = "ONNX model inference";
  desc.doc =
      "Runs an ONNX model on tensors with ONNX Runtime. Several requests are under way at once, so put a "
      "queue behind it. Elements that name the "
      "same shared-instance-id, or use the same model with the same options, share one loaded model.";
  desc.create = [](const ParamSet& params) -> Result<std::unique_ptr<Element>> {
    return std::make_unique<TensorInference>(params, "onnxruntime");
  };
  return desc;
}

const Registration registration(descriptor());

}  // namespace
}  // namespace sightglass
