#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"

namespace sightglass {
namespace {

struct Params {};

const Registration registration({
    .name = "vaapi_to_opencl",
    .title = "VA to OpenCL",
    .klass = "Filter/Converter/Video",
    .doc =
        "Hands a VA surface on as an OpenCL tensor, over DMA and without a copy. Not part of this version: "
        "starting it fails with what is missing.",
    .kind = ElementKind::transform,
    .input = {{VideoSpec{}, MemoryKind::va},
              {TensorsSpec{{TensorSpec{{DataType::u8}, {}, Layout::any, {}, {}}}, {}}, MemoryKind::va}},
    .output = {{TensorsSpec{{TensorSpec{{DataType::u8}, {}, Layout::any, {}, {}}}, {}}, MemoryKind::opencl}},
    .params = ParamTable::of<Params>({}),
    .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::unexpected(not_built_error("vaapi_to_opencl", {Facility::va_display, Facility::opencl},
                                             {"opencl_tensor_normalize on tensors in system memory"}));
    },
});

}  // namespace
}  // namespace sightglass
