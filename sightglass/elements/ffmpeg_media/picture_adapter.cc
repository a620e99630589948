#include "sightglass/elements/ffmpeg_media/picture_adapter.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <utility>

#include "sightglass/memory/ffmpeg/pixel_formats.h"

namespace sightglass {
namespace {

PixelFormat nearest(const AVPixFmtDescriptor& desc) {
  const bool alpha = desc.flags & AV_PIX_FMT_FLAG_ALPHA, deep = desc.comp[0].depth > 8;
  if (desc.flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BAYER))
    return alpha ? PixelFormat::rgba : PixelFormat::rgb;
  if (desc.nb_components <= 2) return deep ? PixelFormat::gray16 : PixelFormat::gray8;
  if (desc.log2_chroma_w == 0 && desc.log2_chroma_h == 0) return PixelFormat::y444;
  if (desc.log2_chroma_h == 0) return PixelFormat::y42b;
  return deep ? PixelFormat::p010 : PixelFormat::i420;
}

}  // namespace

bool PictureAdapter::needed(const AVFrame& picture) {
  if (!from_av(AVPixelFormat(picture.format))) return true;
  return std::ranges::any_of(picture.linesize, [](int stride) { return stride < 0; });
}

std::vector<PixelFormat> PictureAdapter::choices(const AVFrame& picture) {
  std::vector<PixelFormat> formats;
  if (const auto same = from_av(AVPixelFormat(picture.format)))
    formats.push_back(*same);
  else if (const auto* desc = av_pix_fmt_desc_get(AVPixelFormat(picture.format)))
    formats.push_back(nearest(*desc));
  for (const PixelFormat format : {PixelFormat::i420, PixelFormat::nv12, PixelFormat::rgb, PixelFormat::bgr})
    if (std::ranges::find(formats, format) == formats.end()) formats.push_back(format);
  return formats;
}

Status PictureAdapter::adapt(AVFrame& picture, PixelFormat format) {
  const AVPixelFormat from = AVPixelFormat(picture.format), to = to_av(format);
  const AvFramePtr copy(av_frame_alloc());
  if (!copy) return fail(ErrorCode::exhausted, "no memory for a picture");
  copy->format = to;
  copy->width = picture.width;
  copy->height = picture.height;
  int error = av_frame_get_buffer(copy.get(), 0);
  if (error >= 0) error = av_frame_copy_props(copy.get(), &picture);
  if (error < 0) return fail(ErrorCode::exhausted, "no memory for a picture: {}", av_message(error));

  const bool is_rgb = av_pix_fmt_desc_get(to)->flags & AV_PIX_FMT_FLAG_RGB;
  const bool from_rgb = av_pix_fmt_desc_get(from)->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL);
  const bool from_full = from_rgb || picture.color_range == AVCOL_RANGE_JPEG;
  const bool to_full = is_rgb || (picture.color_range == AVCOL_RANGE_JPEG && !from_rgb);
  context_.reset(sws_getCachedContext(
      context_.release(), picture.width, picture.height, from, picture.width, picture.height, to,
      SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP, nullptr, nullptr, nullptr));
  if (!context_)
    return fail(ErrorCode::unsupported, "pictures of FFmpeg's pixel format {} cannot be converted",
                av_get_pix_fmt_name(from));
  const int* const matrix =
      sws_getCoefficients(picture.colorspace == AVCOL_SPC_UNSPECIFIED || picture.colorspace == AVCOL_SPC_RGB
                              ? SWS_CS_DEFAULT
                              : int(picture.colorspace));
  sws_setColorspaceDetails(context_.get(), matrix, from_full, matrix, to_full, 0, 1 << 16, 1 << 16);
  copy->color_range = is_rgb || to_full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
  if (is_rgb) copy->colorspace = AVCOL_SPC_RGB;
  sws_scale(context_.get(), picture.data, picture.linesize, 0, picture.height, copy->data, copy->linesize);
  av_frame_unref(&picture);
  av_frame_move_ref(&picture, copy.get());
  return {};
}

}  // namespace sightglass
