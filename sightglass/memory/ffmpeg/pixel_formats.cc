#include "sightglass/memory/ffmpeg/pixel_formats.h"

extern "C" {
#include <libavutil/error.h>
#include <libavutil/pixdesc.h>
}

namespace sightglass {
namespace {

struct Pair {
  PixelFormat ours;
  AVPixelFormat av;
  std::array<uint8_t, 3> order;
};

// The first that names an AVPixelFormat is what from_av() gives.
constexpr Pair pairs[] = {
    {PixelFormat::i420, AV_PIX_FMT_YUV420P, {0, 1, 2}},   {PixelFormat::yv12, AV_PIX_FMT_YUV420P, {0, 2, 1}},
    {PixelFormat::y42b, AV_PIX_FMT_YUV422P, {0, 1, 2}},   {PixelFormat::y444, AV_PIX_FMT_YUV444P, {0, 1, 2}},
    {PixelFormat::nv12, AV_PIX_FMT_NV12, {0, 1, 2}},      {PixelFormat::nv21, AV_PIX_FMT_NV21, {0, 1, 2}},
    {PixelFormat::rgb, AV_PIX_FMT_RGB24, {0, 1, 2}},      {PixelFormat::bgr, AV_PIX_FMT_BGR24, {0, 1, 2}},
    {PixelFormat::rgbx, AV_PIX_FMT_RGB0, {0, 1, 2}},      {PixelFormat::bgrx, AV_PIX_FMT_BGR0, {0, 1, 2}},
    {PixelFormat::rgba, AV_PIX_FMT_RGBA, {0, 1, 2}},      {PixelFormat::bgra, AV_PIX_FMT_BGRA, {0, 1, 2}},
    {PixelFormat::rgbp, AV_PIX_FMT_GBRP, {2, 0, 1}},      {PixelFormat::bgrp, AV_PIX_FMT_GBRP, {1, 0, 2}},
    {PixelFormat::gray8, AV_PIX_FMT_GRAY8, {0, 1, 2}},    {PixelFormat::p010, AV_PIX_FMT_P010LE, {0, 1, 2}},
    {PixelFormat::gray16, AV_PIX_FMT_GRAY16LE, {0, 1, 2}}};

// The older formats whose name says that their range is full.
AVPixelFormat without_range(AVPixelFormat format) {
  switch (format) {
    case AV_PIX_FMT_YUVJ420P:
      return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
      return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
      return AV_PIX_FMT_YUV444P;
    default:
      return format;
  }
}

ColorMatrix matrix_of(AVColorSpace space, int height) {
  switch (space) {
    case AVCOL_SPC_BT709:
      return ColorMatrix::bt709;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
      return ColorMatrix::bt2020;
    case AVCOL_SPC_UNSPECIFIED:
    case AVCOL_SPC_RESERVED:
      return height >= 2160 ? ColorMatrix::bt2020 : height > 576 ? ColorMatrix::bt709 : ColorMatrix::bt601;
    default:
      return ColorMatrix::bt601;
  }
}

}  // namespace

AVPixelFormat to_av(PixelFormat format) {
  for (const Pair& pair : pairs)
    if (pair.ours == format) return pair.av;
  return AV_PIX_FMT_NONE;
}

std::optional<PixelFormat> from_av(AVPixelFormat format) {
  const AVPixelFormat plain = without_range(format);
  for (const Pair& pair : pairs)
    if (pair.av == plain) return pair.ours;
  return {};
}

std::array<uint8_t, 3> plane_order(PixelFormat format) {
  for (const Pair& pair : pairs)
    if (pair.ours == format) return pair.order;
  return {0, 1, 2};
}

Result<VideoInfo> video_of(const AVFrame& frame) {
  const auto format = AVPixelFormat(frame.format);
  const auto pixels = from_av(format);
  if (!pixels) {
    const char* name = av_get_pix_fmt_name(format);
    return fail(ErrorCode::unsupported,
                "pictures of FFmpeg's pixel format {} have no counterpart; convert them",
                name ? name : "none");
  }
  VideoInfo video;
  video.format = *pixels;
  video.width = frame.width - int(frame.crop_left + frame.crop_right);
  video.height = frame.height - int(frame.crop_top + frame.crop_bottom);
  if (frame.width < 1 || frame.height < 1 || video.width < 1 || video.height < 1 ||
      video.width > frame.width || video.height > frame.height)
    return fail(ErrorCode::corrupt, "an AVFrame of {}x{} pixels, of which {}x{} are left by its crop",
                frame.width, frame.height, video.width, video.height);
  if (is_yuv(*pixels)) video.matrix = matrix_of(frame.colorspace, video.height);
  const bool is_gray = *pixels == PixelFormat::gray8 || *pixels == PixelFormat::gray16;
  video.full_range = format != without_range(format) || frame.color_range == AVCOL_RANGE_JPEG ||
                     (is_gray && frame.color_range != AVCOL_RANGE_MPEG);
  if (frame.sample_aspect_ratio.num > 0 && frame.sample_aspect_ratio.den > 0)
    video.pixel_aspect = {frame.sample_aspect_ratio.num, frame.sample_aspect_ratio.den};
  return video;
}

void set_video(AVFrame& frame, const VideoInfo& video) {
  frame.format = to_av(video.format);
  frame.width = video.width;
  frame.height = video.height;
  frame.sample_aspect_ratio = {video.pixel_aspect.num, video.pixel_aspect.den};
  if (is_yuv(video.format)) {
    frame.colorspace = video.matrix == ColorMatrix::bt709    ? AVCOL_SPC_BT709
                       : video.matrix == ColorMatrix::bt2020 ? AVCOL_SPC_BT2020_NCL
                                                             : AVCOL_SPC_SMPTE170M;
    frame.color_range = video.full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
  } else if (video.format == PixelFormat::gray8 || video.format == PixelFormat::gray16) {
    frame.colorspace = AVCOL_SPC_UNSPECIFIED;
    frame.color_range = video.full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
  } else {
    frame.colorspace = AVCOL_SPC_RGB;
    frame.color_range = AVCOL_RANGE_JPEG;
  }
}

std::string av_message(int error) {
  char text[AV_ERROR_MAX_STRING_SIZE];
  av_strerror(error, text, sizeof text);
  return text;
}

}  // namespace sightglass
