#include "sightglass/elements/opencl_tensor_normalize/opencl_tensor_normalize.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = OpenclTensorNormalizeParams;

std::vector<FormatSpec> tensors_of(DataType type) {
  const TensorsSpec spec{{TensorSpec{{type}, {}, Layout::any, {}, {}}}, {}};
  return {{spec, MemoryKind::opencl}, {spec, MemoryKind::system}};
}

const Registration registration({
    .name = "opencl_tensor_normalize",
    .title = "Tensor normaliser on OpenCL",
    .klass = "Filter/Converter",
    .doc = "Turns pictures of three or four bytes per pixel (NHWC uint8) into planes of float32 (NCHW) on an "
           "OpenCL device: brought to a range first, then less the mean and divided by std, per channel. "
           "Tensors in system memory are used where they lie if the device shares that memory.",
    .kind = ElementKind::transform,
    .input = tensors_of(DataType::u8),
    .output = tensors_of(DataType::f32),
    .params = ParamTable::of<Params>({
        param("shared-instance-id", &Params::shared_instance_id,
              "accepted for compatibility: all of them share the device and its queue"),
        param("range", &Params::range, "what 0 and 255 become, before mean and std; empty: 0 and 255"),
        param("mean", &Params::mean, "subtracted; one number, or one for each channel out"),
        param("std", &Params::std, "divided by; one number, or one for each channel out"),
        param("color", &Params::color,
              "order of the planes out; auto: as the bytes come in; rgb and bgr: that, where BGRx or BGR "
              "comes in")
            .choices({"auto", "rgb", "bgr"}),
    }),
    .create =
        [](const ParamSet& params) {
          return create_in_module("opencl-elements", "opencl_tensor_normalize", params);
        },
});

}  // namespace
}  // namespace sightglass
