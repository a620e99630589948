// An RTSP server with one path per stream, where each viewer sees the same live encoding, made only while
// there are viewers. Where the pictures come from is its caller's business: push() takes them at a constant
// rate.
//
//   auto outputs = RtspOutputs::open(options);
//   (*outputs)->add("cam-1", *caps);             // rtsp://host:port/cam-1
//   if ((*outputs)->is_watched("cam-1")) (*outputs)->push("cam-1", *picture);
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
    unsigned bitrate = 2000;        // kbit/s
    double fps = 15;
  };
  static Result<std::unique_ptr<RtspOutputs>> open(const Options& options);
  ~RtspOutputs();

  // `caps` are those of all pictures of it. A second time: nothing.
  Status add(const std::string& id, GstCaps& caps);
  // False: somebody watches it. Else its path and its files' writer are gone.
  bool remove_unwatched(const std::string& id);
  bool is_watched(const std::string& id) const;
  void push(const std::string& id, GstBuffer& picture);  // keeps a reference for as long as it needs it

 private:
  struct State;
  explicit RtspOutputs(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::adapters
