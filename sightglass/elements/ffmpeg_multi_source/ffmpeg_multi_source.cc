#include "sightglass/elements/ffmpeg_multi_source/ffmpeg_multi_source.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = FfmpegMultiSourceParams;

const Registration registration({
    .name = "ffmpeg_multi_source",
    .title = "Decoder of many inputs",
    .klass = "Source/Video",
    .doc = "Reads and decodes any number of files, URLs and cameras with FFmpeg. Frames carry the place of "
           "their "
           "input as stream id.",
    .kind = ElementKind::source,
    .output = {{VideoSpec{}, MemoryKind::system}},
    .params = ParamTable::of<Params>({
        param("inputs", &Params::inputs, "files, URLs (rtsp, http, …) and cameras (/dev/video0)"),
        param("memory", &Params::memory, "where the pictures lie").choices({"auto", "system", "va", "cuda"}),
        param("queue-size", &Params::queue_size, "frames that are decoded ahead, of all inputs together")
            .range(1, 10000),
        param(
            "on-eos", &Params::on_eos,
            "at the end of an input. stop: the source ends with its last input; loop: begin again; wait: the "
            "source stays, and tries inputs again that could not be opened")
            .choices({"stop", "loop", "wait"}),
        param("realtime", &Params::realtime,
              "give frames of files no sooner than their time, as a camera does"),
        param("timeout", &Params::timeout,
              "silence of a network input after which it is opened anew; 0: no limit")
            .range(0, 3'600'000)
            .in("ms"),
        param("retries", &Params::retries,
              "attempts in a row to open a network input again that has failed; -1: no limit for live ones, "
              "5 for "
              "files")
            .range(-1, 1'000'000),
    }),
    .create =
        [](const ParamSet& params) {
          return create_in_module("ffmpeg-media", "ffmpeg_multi_source", params);
        },
});

}  // namespace
}  // namespace sightglass
