// The descriptor of `rtsp`; the code is in the module adapters-gst.
#include "sightglass/adapters/module_adapter.h"
#include "sightglass/adapters/sources/live/rtsp_params.h"

namespace sightglass::adapters {
namespace {

std::vector<ParamDesc> params() {
  std::vector<ParamDesc> all;
  add_url_params<RtspParams>(all, "rtsp://HOST/PATH, or rtsps:// for TLS");
  all.push_back(
      param("transport", &RtspParams::transport,
            "how frames travel: within the connection, as datagrams, or as datagrams unless none come")
          .choices({"tcp", "udp", "auto"}));
  all.push_back(param("latency", &RtspParams::latency, "of the buffer that puts datagrams in order")
                    .range(0, 60'000)
                    .in("ms"));
  all.push_back(
      param("clock", &RtspParams::clock,
            "whether frames carry the camera's own clock (captured_us), as its RTCP reports tell it")
          .choices({"rtcp", "none"}));
  add_tls_params<RtspParams>(all);
  add_live_params<RtspParams>(all);
  return all;
}

const SourceRegistration registration(SourceDesc{
    .name = "rtsp",
    .doc = "a network camera: its video as it is encoded, connected again for ever",
    .params = ParamTable::of<RtspParams>(params()),
    .create = &create_source_in_module<"adapters-gst", "rtsp">,
});

}  // namespace
}  // namespace sightglass::adapters
