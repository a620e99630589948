#include "sightglass/elements/ffmpeg_encoder_sink/ffmpeg_encoder_sink.h"

#include "sightglass/core/registry.h"
#include "sightglass/elements/module_element.h"

namespace sightglass {
namespace {

using Params = FfmpegEncoderSinkParams;

const Registration registration({
    .name = "ffmpeg_encoder_sink",
    .title = "Video file writer",
    .klass = "Sink/Encoder/Video",
    .doc = "Encodes the frames with FFmpeg and writes them to a file.",
    .kind = ElementKind::sink,
    .input = {{VideoSpec{}, MemoryKind::system}},
    .reads_results = false,
    .params = ParamTable::of<Params>({
        param("location", &Params::location,
              "file that is written, replacing one that exists; its ending says "
              "the container: mp4, mkv, avi, …"),
        param("codec", &Params::codec,
              "auto, h264, hevc, mpeg4, mjpeg, ffv1, …, or the name of one of FFmpeg's encoders"),
        param("format", &Params::format, "FFmpeg's name of the container; empty: by the name of the file"),
        param("bitrate", &Params::bitrate, "0: by quality").in("kbit/s").range(0, 1'000'000),
        param(
            "quality", &Params::quality,
            "the encoder's own scale, less is better: crf of h264, hevc, vp9 and av1, quantiser (1 to 31) of "
            "mpeg4 and mjpeg; -1: the encoder's default")
            .range(-1, 255),
        param("preset", &Params::preset, "of the encoder: ultrafast, medium, …; empty: its default"),
    }),
    .create =
        [](const ParamSet& params) {
          return create_in_module("ffmpeg-media", "ffmpeg_encoder_sink", params);
        },
});

}  // namespace
}  // namespace sightglass
