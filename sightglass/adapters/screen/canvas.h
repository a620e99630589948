// A picture of a fixed size that others are drawn into: fitted into a rectangle, whatever their format and
// size; and the picture that stands for a stream which is away.
//
//   Canvas canvas(1280, 720);
//   canvas.draw("cam-1", *sample, {0, 0, 640, 360});
//   GstBuffer* buffer = canvas.buffer();   // I420; what is drawn later goes into another one
//
// One thread.
#pragma once

#include <gst/gst.h>
#include <gst/video/video.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "sightglass/adapters/screen/live_picture.h"

namespace sightglass::adapters {

class Canvas {
 public:
  struct Rectangle {
    int x = 0, y = 0, width = 0, height = 0;
    bool operator==(const Rectangle&) const = default;
  };

  Canvas(int width, int height);
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  void clear();  // dark grey
  // `name` tells callers apart: what converts a picture is kept for the next one of the same name.
  void draw(const std::string& name, GstSample& picture, const Rectangle& into);
  // All of the canvas; the caller gives it back with gst_buffer_unref().
  GstBuffer* buffer() const { return gst_buffer_ref(buffer_); }
  GstCaps* caps(int fps_num, int fps_den) const;  // the caller's

 private:
  struct FreeConverter {
    void operator()(GstVideoConverter* converter) const { gst_video_converter_free(converter); }
  };
  struct Tile {
    GstVideoInfo info{};
    Rectangle into;
    std::unique_ptr<GstVideoConverter, FreeConverter> converter;
  };
  void make_writable();

  GstVideoInfo info_;
  GstBuffer* buffer_ = nullptr;
  std::map<std::string, Tile> tiles_;
};

// A dark picture that says so, for a stream that has none.
Result<SamplePtr> stub_picture(int width, int height, std::string_view source_id);

}  // namespace sightglass::adapters
