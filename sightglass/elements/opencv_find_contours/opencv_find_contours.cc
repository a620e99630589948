#include "sightglass/elements/opencv_find_contours/opencv_find_contours.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = OpencvFindContoursParams;

const Registration registration({
    .name = "opencv_find_contours",
    .title = "Contours of masks",
    .klass = "Filter/Analyzer/Video",
    .doc =
        "Follows the outlines of the masks that objects and frames carry and adds each as a polygon, holes "
        "and what lies in them included.",
    .kind = ElementKind::transform_inplace,
    .input = {{AnySpec{}}},
    .params = ParamTable::of<Params>({
        param("mask-metadata-name", &Params::mask_metadata_name, "name of the attribute that is the mask"),
        param("contour-metadata-name", &Params::contour_metadata_name,
              "name of the attributes that are added"),
        param("threshold", &Params::threshold, "least score of a cell that is inside").range(0, 1).live(),
    }),
    .create =
        [](const ParamSet& params) {
          return create_in_module("opencv-elements", "opencv_find_contours", params);
        },
});

}  // namespace
}  // namespace sightglass
