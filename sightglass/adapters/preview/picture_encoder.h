// Raw pictures of one stream as H.264, with a keyframe every two seconds and at the beginning; as JPEG where
// GStreamer has no encoder for it.
//
//   PictureEncoder encoder(*caps, {.bitrate = 2000, .fps = 15}, [&](GstBuffer& unit) { … });
//   encoder.push(*picture);   // never waits; pictures that are too many are left out
//
// push() from one thread; units come on another, of the encoder, until its end.
#pragma once

#include <gst/gst.h>

#include <functional>

#include "sightglass/adapters/screen/live_picture.h"

namespace sightglass::adapters {

class PictureEncoder {
 public:
  struct Options {
    unsigned bitrate = 2000;  // kbit/s
    double fps = 15;
  };
  using Take = std::function<void(GstBuffer& unit)>;  // an access unit or picture that stands alone

  static bool makes_h264();

  PictureEncoder(GstCaps& caps, const Options& options, Take take);
  ~PictureEncoder();
  PictureEncoder(const PictureEncoder&) = delete;
  PictureEncoder& operator=(const PictureEncoder&) = delete;

  void push(GstBuffer& picture);  // keeps a reference for as long as it needs it

 private:
  static GstFlowReturn on_sample(GstElement* appsink, gpointer self);

  const Take take_;
  ElementPtr pipeline_, input_;
};

}  // namespace sightglass::adapters
