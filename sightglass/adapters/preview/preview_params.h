// Parameters of the sink `preview`.
#pragma once

#include <string>
#include <vector>

namespace sightglass::adapters {

struct PreviewParams {
  std::string bind = "127.0.0.1:8554", size = "1280x720", user, password_file, tls_cert, tls_key,
              hls_folder = "hls";
  std::vector<std::string> protocols = {"rtsp"}, sources;
  double fps = 15, max_delay = 1;
  unsigned bitrate = 2000;
  bool passthrough = true;
};

}  // namespace sightglass::adapters
