#include "sightglass/elements/image_sink/image_sink.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = ImageSinkParams;

const Registration registration({
    .name = "image_sink",
    .title = "Picture file writer",
    .klass = "Sink/Encoder/Image",
    .doc = "Writes each frame as a picture file: JPEG, PNG and others.",
    .kind = ElementKind::sink,
    .input = {{VideoSpec{}, MemoryKind::system}},
    .reads_results = false,
    .params = ParamTable::of<Params>({
        param(
            "location", &Params::location,
            "pattern with the number of the frame (out-%05d.jpg), a folder, or a file that always holds the "
            "last frame"),
        param("format", &Params::format, "auto: by the ending of the name; jpeg in a folder")
            .choices({"auto", "jpeg", "png", "bmp", "tiff", "webp", "ppm"}),
        param("quality", &Params::quality, "of jpeg and webp, more is better").range(1, 100).in("%"),
    }),
    .create = [](const ParamSet& params) { return create_in_module("ffmpeg-media", "image_sink", params); },
});

}  // namespace
}  // namespace sightglass
