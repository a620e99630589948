// An RTSP server with one path per stream, where all viewers see the same live units: H.264 access units, or
// JPEG pictures. Where these come from is its caller's business. The group of the latest keyframe is kept, so
// that whoever comes sees a picture with the next unit.
//
//   auto outputs = RtspOutputs::open(options);
//   (*outputs)->add("cam-1");             // rtsp://host:port/cam-1
//   (*outputs)->push("cam-1", *unit);     // a delta unit is flagged as one
//
// Thread-safe.
#pragma once

#include <gst/gst.h>

#include <memory>
#include <string>

#include "sightglass/core/result.h"

namespace sightglass::adapters {

class RtspOutputs {
 public:
  struct Options {
    bool has_rtsp = true;
    std::string host, port;
    std::string user, password;     // empty: everybody may watch
    std::string tls_cert, tls_key;  // files; empty: not encrypted
    std::string hls_folder;         // empty: none
    bool is_h264 = true;            // false: JPEG
  };
  static Result<std::unique_ptr<RtspOutputs>> open(const Options& options);
  ~RtspOutputs();

  Status add(const std::string& id);  // a second time: nothing
  // False: somebody watches it. Else its path and its files' writer are gone.
  bool remove_unwatched(const std::string& id);
  bool is_watched(const std::string& id) const;
  void push(const std::string& id, GstBuffer& unit);  // keeps a reference for as long as it needs it

 private:
  struct State;
  explicit RtspOutputs(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::adapters
