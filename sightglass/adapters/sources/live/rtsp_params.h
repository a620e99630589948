// Parameters of the `rtsp` source.
#pragma once

#include "sightglass/adapters/sources/live/live_params.h"
#include "sightglass/adapters/sources/live/stream_url.h"
#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

struct RtspParams : LiveParams, UrlParams, TlsParams {
  enum class Transport { tcp, udp, automatic };
  enum class Clock { rtcp, none };
  Transport transport = Transport::tcp;
  unsigned latency = 200;  // ms
  Clock clock = Clock::rtcp;
};

}  // namespace sightglass::adapters
