// The sink `preview` as files and people see it.
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/preview/preview_params.h"

namespace sightglass::adapters {
namespace {

using Params = PreviewParams;

const SinkRegistration registration(SinkDesc{
    .name = "preview",
    .doc = "always-on RTSP for players, rtsp://HOST:PORT/SOURCE; H.264 as it comes, all else encoded while "
           "watched",
    .nature = SinkNature::display,
    .params = ParamTable::of<Params>({
        param("bind", &Params::bind, "address and port that players come to"),
        param("protocols", &Params::protocols,
              "rtsp: while somebody watches; hls: files, written all the time"),
        param("passthrough", &Params::passthrough,
              "H.264 without reordered frames is passed on as it is, in its own size and rate; false: all is "
              "encoded anew"),
        param("sources", &Params::sources,
              "streams that are there before their first frame; others are there from then on"),
        param("size", &Params::size, "of pictures that are encoded here, WIDTHxHEIGHT"),
        param("fps", &Params::fps, "their constant rate").range(1, 240),
        param(
            "max-delay", &Params::max_delay,
            "age of a picture after which another one stands for it, that says so; of slow streams 2.5 frame "
            "intervals")
            .range(0.1, 3600)
            .in("s"),
        param("bitrate", &Params::bitrate, "of each stream").range(50, 100'000).in("kbit/s"),
        param("hls-folder", &Params::hls_folder, "where HLS files are written, as SOURCE/index.m3u8"),
        param("user", &Params::user, "name of those who may watch; empty: everybody"),
        param("password-file", &Params::password_file, "file with their password"),
        param("tls-cert", &Params::tls_cert, "file with this server's certificate: players come by rtsps://"),
        param("tls-key", &Params::tls_key, "file with its key"),
    }),
    .create = &create_sink_in_module<"adapters-preview", "preview">,
});

}  // namespace
}  // namespace sightglass::adapters
