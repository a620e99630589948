#include "sightglass/elements/opencv_remove_background/opencv_remove_background.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = OpencvRemoveBackgroundParams;

const Registration registration({
    .name = "opencv_remove_background",
    .title = "Background removal",
    .klass = "Filter/Effect/Video",
    .doc = "Makes the pixels around an object black, by the mask that a segmentation model has found for it. "
           "Behind roi_split it is the mask of the region; on whole frames what no object's mask covers is "
           "cleared. Other branches keep their pixels. Without a mask the picture stays as it is, with a "
           "warning.",
    .kind = ElementKind::transform_inplace,
    .input = {{VideoSpec{{PixelFormat::rgb, PixelFormat::bgr, PixelFormat::rgbx, PixelFormat::bgrx,
                          PixelFormat::rgba, PixelFormat::bgra},
                         {},
                         {}},
               MemoryKind::system}},
    .writes_pixels = true,
    .params = ParamTable::of<Params>({
        param("mask-metadata-name", &Params::mask_metadata_name, "name of the attribute that is the mask"),
        param("threshold", &Params::threshold, "least score of a pixel that stays").range(0, 1).live(),
    }),
    .create =
        [](const ParamSet& params) {
          return create_in_module("opencv-elements", "opencv_remove_background", params);
        },
});

}  // namespace
}  // namespace sightglass
