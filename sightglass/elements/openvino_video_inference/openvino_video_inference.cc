#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"
#include "sightglass/elements/tensor_inference/tensor_inference.h"

namespace sightglass {
namespace {

ElementDesc descriptor() {
  ElementDesc desc = TensorInference::descriptor("KEY=VALUE of OpenVINO");
  desc.name = "openvino_video_inference";
  desc.title = "OpenVINO inference on VA surfaces";
  desc.klass = "Filter/Analyzer/Video";
  desc.doc =
      "Runs an OpenVINO model on NV12 VA surfaces of a GPU. Not part of this version: starting it fails with "
      "what is missing.";
  desc.input = {{VideoSpec{{PixelFormat::nv12}, {}, {}}, MemoryKind::va}};
  desc.create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
    return std::unexpected(not_built_error("openvino_video_inference",
                                           {Facility::va_display, Facility::openvino},
                                           {"video_to_tensor with onnx_tensor_inference"}));
  };
  return desc;
}

const Registration registration(descriptor());

}  // namespace
}  // namespace sightglass
