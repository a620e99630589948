#include <algorithm>

#include "sightglass/core/registry.h"
#include "sightglass/elements/tensor_inference/tensor_inference.h"

namespace sightglass {
namespace {

ElementDesc descriptor() {
  ElementDesc desc = TensorInference::descriptor("intra_op_num_threads");
  desc.name = "pytorch_tensor_inference";
  desc.title = "PyTorch model inference";
  desc.doc =
      "Runs a TorchScript model on tensors with libtorch, which is loaded when the first model is. The file "
      "does not "
      "say the sizes of pictures that its model takes: where they cannot be found by trying, set "
      "input-shape. Several "
      "requests are under way at once, so put a queue behind it. Elements that name the same "
      "shared-instance-id, or "
      "use the same model with the same options, share one loaded model.";
  using Params = TensorInference::Params;
  auto& params = desc.params.params;
  params.insert(params.begin() + 1, param("model-weights", &Params::model_weights,
                                          "weights to put in place of the model's own, as "
                                          "torch.save(dict(model.state_dict()), …) writes them"));
  // As older pipelines read it; case does not matter.
  std::ranges::find(params, "device", &ParamDesc::name)->default_value = std::string("cpu");
  desc.params.clone = [](const void* from) -> std::shared_ptr<void> {
    return from ? std::make_shared<Params>(*static_cast<const Params*>(from))
                : std::make_shared<Params>(Params{.device = "cpu"});
  };
  desc.create = [](const ParamSet& values) -> Result<std::unique_ptr<Element>> {
    return std::make_unique<TensorInference>(values, "torch");
  };
  return desc;
}

const Registration registration(descriptor());

}  // namespace
}  // namespace sightglass
