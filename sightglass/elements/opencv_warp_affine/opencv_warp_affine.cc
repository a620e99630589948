#include "sightglass/elements/opencv_warp_affine/opencv_warp_affine.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = OpencvWarpAffineParams;

const Registration registration([] {
  const auto formats = all_pixel_formats();
  const std::vector<FormatSpec> pictures = {
      {VideoSpec{{formats.begin(), formats.end()}, {}, {}}, MemoryKind::system}};
  return ElementDesc{
      .name = "opencv_warp_affine",
      .title = "Picture rotation",
      .klass = "Filter/Effect/Video",
      .doc =
          "Rotates pictures about their centre and keeps their size; corners that nothing comes to are "
          "black. Objects turn along, and results that are found in the rotated picture find their way "
          "back to the original.",
      .kind = ElementKind::transform,
      .input = pictures,
      .output = pictures,
      .params = ParamTable::of<Params>({
          param("angle", &Params::angle, "how far to rotate, counter-clockwise").range(-1e10, 1e10),
          param("sync", &Params::sync,
                "wait for the device before the picture is handed on; the CPU always has finished"),
          param("angle-unit", &Params::angle_unit, "what angle counts").choices({"radians", "degrees"}),
      }),
      .create =
          [](const ParamSet& params) {
            return create_in_module("opencv-elements", "opencv_warp_affine", params);
          },
  };
}());

}  // namespace
}  // namespace sightglass
