#include "sightglass/adapters/screen/canvas.h"

#include <gst/app/gstappsink.h>

#include <algorithm>
#include <cstring>
#include <format>

namespace sightglass::adapters {
namespace {

constexpr uint8_t dark = 40, no_colour = 128;

// The largest rectangle with the shape of a picture, in the middle; even, since colours have half the size.
Canvas::Rectangle fitted(const GstVideoInfo& picture, const Canvas::Rectangle& into) {
  const double width = double(picture.width) * std::max(picture.par_n, 1) / std::max(picture.par_d, 1);
  const double scale = std::min(into.width / width, double(into.height) / picture.height);
  const int w = std::clamp(int(width * scale) & ~1, 2, into.width),
            h = std::clamp(int(picture.height * scale) & ~1, 2, into.height);
  return {into.x + ((into.width - w) / 2 & ~1), into.y + ((into.height - h) / 2 & ~1), w, h};
}

}  // namespace

Canvas::Canvas(int width, int height) {
  gst_video_info_set_format(&info_, GST_VIDEO_FORMAT_I420, guint(width), guint(height));
  clear();
}

Canvas::~Canvas() {
  if (buffer_) gst_buffer_unref(buffer_);
}

void Canvas::clear() {
  if (buffer_) gst_buffer_unref(buffer_);
  buffer_ = gst_buffer_new_allocate(nullptr, info_.size, nullptr);
  GstVideoFrame frame;
  if (!gst_video_frame_map(&frame, &info_, buffer_, GST_MAP_WRITE)) return;
  for (guint plane = 0; plane < 3; ++plane)
    std::memset(GST_VIDEO_FRAME_PLANE_DATA(&frame, plane), plane == 0 ? dark : no_colour,
                size_t(GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane)) *
                    size_t(GST_VIDEO_FRAME_COMP_HEIGHT(&frame, plane)));
  gst_video_frame_unmap(&frame);
}

// Somebody may still read what was given out.
void Canvas::make_writable() {
  if (gst_buffer_is_writable(buffer_)) return;
  GstBuffer* const copy = gst_buffer_copy_deep(buffer_);
  gst_buffer_unref(buffer_);
  buffer_ = copy;
}

void Canvas::draw(const std::string& name, GstSample& picture, const Rectangle& into) {
  GstVideoInfo info;
  const GstCaps* const caps = gst_sample_get_caps(&picture);
  if (!caps || !gst_video_info_from_caps(&info, caps)) return;
  // Converters want both sides to have the same rate and lines; pictures here have no rate.
  info.fps_n = info_.fps_n, info.fps_d = info_.fps_d;
  info.interlace_mode = info_.interlace_mode;
  Tile& tile = tiles_[name];
  if (!tile.converter || !gst_video_info_is_equal(&tile.info, &info) || tile.into != into) {
    const Rectangle place = fitted(info, into);
    tile.converter.reset(gst_video_converter_new(
        &info, &info_,
        gst_structure_new("options", GST_VIDEO_CONVERTER_OPT_DEST_X, G_TYPE_INT, place.x,
                          GST_VIDEO_CONVERTER_OPT_DEST_Y, G_TYPE_INT, place.y,
                          GST_VIDEO_CONVERTER_OPT_DEST_WIDTH, G_TYPE_INT, place.width,
                          GST_VIDEO_CONVERTER_OPT_DEST_HEIGHT, G_TYPE_INT, place.height,
                          GST_VIDEO_CONVERTER_OPT_FILL_BORDER, G_TYPE_BOOLEAN, FALSE, nullptr)));
    tile.info = info;
    tile.into = into;
    if (!tile.converter) return;
  }
  make_writable();
  GstVideoFrame from, to;
  if (!gst_video_frame_map(&from, &info, gst_sample_get_buffer(&picture), GST_MAP_READ)) return;
  if (gst_video_frame_map(&to, &info_, buffer_, GST_MAP_READWRITE)) {
    gst_video_converter_frame(tile.converter.get(), &from, &to);
    gst_video_frame_unmap(&to);
  }
  gst_video_frame_unmap(&from);
}

GstCaps* Canvas::caps(int fps_num, int fps_den) const {
  GstVideoInfo info = info_;
  info.fps_n = fps_num, info.fps_d = fps_den;
  return gst_video_info_to_caps(&info);
}

Result<SamplePtr> stub_picture(int width, int height, std::string_view source_id) {
  // Ids have neither quotes nor mark-up in them.
  const std::string text = std::format(
      "videotestsrc num-buffers=1 pattern=solid-color foreground-color=0xff282828 ! "
      "video/x-raw,format=I420,width={},height={} ! textoverlay text=\"{}\nno signal\" valignment=center "
      "halignment=center line-alignment=center font-desc=\"Sans 20\" shaded-background=false ! "
      "appsink name=output sync=false",
      width, height, source_id);
  GError* error = nullptr;
  ElementPtr pipeline(gst_parse_launch(text.c_str(), &error));
  if (!pipeline || error) {
    const std::string reason = error ? error->message : "no reason is given";
    g_clear_error(&error);
    return fail(ErrorCode::unavailable, "the picture for streams that are away cannot be drawn: {}", reason);
  }
  gst_object_ref_sink(pipeline.get());
  const ElementPtr output(gst_bin_get_by_name(GST_BIN(pipeline.get()), "output"));
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  SamplePtr sample(gst_app_sink_try_pull_sample(GST_APP_SINK(output.get()), 10 * GST_SECOND));
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  if (!sample) return fail(ErrorCode::unavailable, "the picture for streams that are away cannot be drawn");
  return sample;
}

}  // namespace sightglass::adapters
