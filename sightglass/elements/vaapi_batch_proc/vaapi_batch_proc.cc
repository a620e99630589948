#include "sightglass/core/registry.h"
#include "sightglass/elements/availability.h"

namespace sightglass {
namespace {

struct Params {
  bool add_borders = false;
  enum class OutputFormat { bgr, rgb, gray } output_format = OutputFormat::bgr;
  std::string shared_instance_id;
  enum class ScaleMethod { standard, nearest, bilinear, bicubic, hq } scale_method = ScaleMethod::standard;
  int batch_timeout = -1;
};

const Registration registration({
    .name = "vaapi_batch_proc",
    .title = "VA batch scaler",
    .klass = "Filter/Converter/Video/Scaler",
    .doc =
        "Crops, scales and converts the pictures of a batch by one VA job into one tensor, below each other "
        "in its height. Not part of this version: starting it fails with what is missing.",
    .kind = ElementKind::transform,
    .input = {{VideoSpec{}, MemoryKind::va}},
    .output = {{TensorsSpec{{TensorSpec{{DataType::u8}, {}, Layout::any, {}, {}}}, {}}, MemoryKind::va}},
    .params = ParamTable::of<Params>({
        param("add-borders", &Params::add_borders, "keep the aspect ratio: borders right and below"),
        param("output-format", &Params::output_format, "order of the colours")
            .choices({"BGR", "RGB", "GRAY"}),
        param("shared-instance-id", &Params::shared_instance_id,
              "elements with the same id share one queue of jobs"),
        param("scale-method", &Params::scale_method, "how samples are mixed; default: that of the driver")
            .choices({"default", "nearest", "bilinear", "bicubic", "hq"}),
        param("batch-timeout", &Params::batch_timeout,
              "longest wait for a batch to fill; 0: none, -1: two frame periods of the slowest member")
            .range(-1, 3'600'000)
            .in("ms"),
    }),
    .create = [](const ParamSet&) -> Result<std::unique_ptr<Element>> {
      return std::unexpected(not_built_error("vaapi_batch_proc", {Facility::va_display},
                                             {"video_to_tensor", "opencv_cropscale"}));
    },
});

}  // namespace
}  // namespace sightglass
