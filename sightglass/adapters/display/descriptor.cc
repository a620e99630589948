// The sink `display` as files and people see it.
#include "sightglass/adapters/display/display_params.h"
#include "sightglass/adapters/module_adapter.h"

namespace sightglass::adapters {
namespace {

using Params = DisplayParams;

const SinkRegistration registration(SinkDesc{
    .name = "display",
    .doc = "a window with the pictures of all streams, or one for each",
    .nature = SinkNature::display,
    .params = ParamTable::of<Params>({
        param("mosaic", &Params::mosaic, "all streams side by side in one window, else a window for each"),
        param("sync", &Params::sync, "pictures are shown by their times, else as soon as they come"),
        param("size", &Params::size, "of a window, WIDTHxHEIGHT"),
        param("title", &Params::title, "of the window; of each window, with the stream behind it"),
        param("fps", &Params::fps, "how often the window is drawn").range(1, 240),
        param("linger", &Params::linger, "how long the last picture of a stream is shown")
            .range(0, 86'400)
            .in("s"),
    }),
    .create = &create_sink_in_module<"adapters-display", "display">,
});

}  // namespace
}  // namespace sightglass::adapters
