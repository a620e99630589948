#include "sightglass/module/picture_payload.h"

#include <gst/video/video.h>

#include "sightglass/stream/content.h"

namespace sightglass::module {

stream::Payload picture_of(const stream::Delivery& delivery) {
  if (!delivery.message || !delivery.message->frame) return {};
  return stream::content_of(delivery.message->frame->content, delivery);
}

bool raw_picture_fits(const stream::VideoFrame& frame, const std::string& format_name, size_t bytes) {
  GstVideoInfo info;
  const auto format = gst_video_format_from_string(format_name.c_str());
  if (format == GST_VIDEO_FORMAT_UNKNOWN || frame.width < 1 || frame.height < 1 ||
      !gst_video_info_set_format(&info, format, guint(frame.width), guint(frame.height)))
    return false;
  const std::vector<stream::Plane> none;
  const auto& planes = frame.raw ? frame.raw->planes : none;
  if (planes.empty()) return bytes >= GST_VIDEO_INFO_SIZE(&info);
  if (planes.size() != GST_VIDEO_INFO_N_PLANES(&info)) return false;
  for (guint i = 0; i < planes.size(); ++i) {
    gint components[GST_VIDEO_MAX_COMPONENTS];
    gst_video_format_info_component(info.finfo, i, components);
    const gint rows = GST_VIDEO_FORMAT_INFO_SCALE_HEIGHT(info.finfo, components[0], frame.height);
    const int64_t stride = planes[i].stride, offset = planes[i].offset, size = int64_t(bytes);
    // Rows of less than GStreamer's own stride may still hold all samples: only the unpadded width is needed.
    const gint width = GST_VIDEO_FORMAT_INFO_SCALE_WIDTH(info.finfo, components[0], frame.width);
    const gint sample = GST_VIDEO_FORMAT_INFO_PSTRIDE(info.finfo, components[0]);
    if (sample < 1) return false;  // packed in a way of its own
    const int64_t row = int64_t(width) * sample;
    if (stride < row || stride > size || offset < 0 || offset > size || rows < 1) return false;
    if (stride * (rows - 1) + row > size - offset) return false;
  }
  return true;
}

}  // namespace sightglass::module
