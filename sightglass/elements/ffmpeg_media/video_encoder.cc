#include "sightglass/elements/ffmpeg_media/video_encoder.h"

extern "C" {
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "sightglass/memory/ffmpeg/av_picture.h"
#include "sightglass/memory/ffmpeg/pixel_formats.h"
#include "sightglass/memory/ffmpeg/swscale.h"
#include "sightglass/memory/view.h"

namespace sightglass {
namespace {

bool fits(const AVCodec& codec, const AVOutputFormat& container) {
  return avformat_query_codec(&container, codec.id, FF_COMPLIANCE_NORMAL) != 0;
}

// Those that encode in memory of the CPU and are no experiment.
bool is_usable(const AVCodec& codec) {
  return codec.type == AVMEDIA_TYPE_VIDEO && av_codec_is_encoder(&codec) &&
         !(codec.capabilities & (AV_CODEC_CAP_HARDWARE | AV_CODEC_CAP_EXPERIMENTAL | AV_CODEC_CAP_HYBRID));
}

std::string usable_codecs(const AVOutputFormat& container) {
  static constexpr AVCodecID known[] = {
      AV_CODEC_ID_H264,  AV_CODEC_ID_HEVC,  AV_CODEC_ID_AV1,  AV_CODEC_ID_VP9, AV_CODEC_ID_VP8,
      AV_CODEC_ID_MPEG4, AV_CODEC_ID_MJPEG, AV_CODEC_ID_FFV1, AV_CODEC_ID_GIF, AV_CODEC_ID_MPEG2VIDEO};
  std::string names = "auto";
  for (const AVCodecID id : known) {
    const AVCodec* const codec = avcodec_find_encoder(id);
    if (codec && is_usable(*codec) && fits(*codec, container))
      names += std::format(", {}", avcodec_get_name(id));
  }
  return names;
}

// Full range has names of its own in the formats that jpeg encoders list.
AVPixelFormat full_range_name(AVPixelFormat format) {
  switch (format) {
    case AV_PIX_FMT_YUV420P:
      return AV_PIX_FMT_YUVJ420P;
    case AV_PIX_FMT_YUV422P:
      return AV_PIX_FMT_YUVJ422P;
    case AV_PIX_FMT_YUV444P:
      return AV_PIX_FMT_YUVJ444P;
    default:
      return format;
  }
}

std::span<const AVPixelFormat> formats_of(const AVCodec& codec) {
  const void* list = nullptr;
  int count = 0;
  if (avcodec_get_supported_config(nullptr, &codec, AV_CODEC_CONFIG_PIX_FORMAT, 0, &list, &count) < 0 ||
      !list)
    return {};
  return {static_cast<const AVPixelFormat*>(list), size_t(count)};
}

bool halves_chroma(const AVPixFmtDescriptor& desc) { return desc.log2_chroma_w || desc.log2_chroma_h; }

}  // namespace

Result<const AVCodec*> find_video_encoder(std::string_view name, const AVOutputFormat& container) {
  const AVCodec* codec = nullptr;
  if (name.empty() || name == "auto") {
    // Today nobody means MPEG-2 by a transport stream.
    const bool old =
        container.video_codec == AV_CODEC_ID_MPEG1VIDEO || container.video_codec == AV_CODEC_ID_MPEG2VIDEO;
    for (const AVCodecID id : {old ? AV_CODEC_ID_H264 : container.video_codec, container.video_codec,
                               AV_CODEC_ID_H264, AV_CODEC_ID_MPEG4, AV_CODEC_ID_MJPEG}) {
      codec = avcodec_find_encoder(id);
      if (codec && is_usable(*codec) && fits(*codec, container)) return codec;
    }
    return fail(ErrorCode::unsupported, "{} has no video that this FFmpeg could encode", container.name);
  }
  const std::string text(name);
  if (const AVCodecDescriptor* desc = avcodec_descriptor_get_by_name(text.c_str()))
    codec = avcodec_find_encoder(desc->id);
  if (!codec) codec = avcodec_find_encoder_by_name(text.c_str());
  if (!codec || codec->type != AVMEDIA_TYPE_VIDEO)
    return fail(ErrorCode::unsupported, "codec={}: this FFmpeg has no video encoder of that name; usable: {}",
                name, usable_codecs(container));
  if (!fits(*codec, container))
    return fail(ErrorCode::unsupported, "codec={} does not go into {}; usable: {}", name, container.name,
                usable_codecs(container));
  return codec;
}

Status VideoEncoder::choose_format(const VideoInfo& video, const AVCodec& codec) {
  const auto supported = formats_of(codec);
  const bool jpeg = codec.id == AV_CODEC_ID_MJPEG;  // whose files are of full range by definition
  const auto name_in = [&](PixelFormat format, bool full) {
    for (const AVPixelFormat av : {full ? full_range_name(to_av(format)) : to_av(format), to_av(format)})
      if (supported.empty() || std::ranges::find(supported, av) != supported.end()) return av;
    return AV_PIX_FMT_NONE;
  };
  static constexpr PixelFormat colours[] = {PixelFormat::rgb,  PixelFormat::bgr,  PixelFormat::bgrx,
                                            PixelFormat::rgbx, PixelFormat::bgra, PixelFormat::rgba,
                                            PixelFormat::rgbp};
  static constexpr PixelFormat lumas[] = {PixelFormat::i420, PixelFormat::nv12, PixelFormat::y42b,
                                          PixelFormat::y444, PixelFormat::gray8};
  std::vector<PixelFormat> choices{video.format};
  const bool alpha = video.format == PixelFormat::rgba || video.format == PixelFormat::bgra;
  if (alpha) choices.insert(choices.end(), {PixelFormat::rgba, PixelFormat::bgra});
  const bool is_colour = std::ranges::find(colours, video.format) != std::end(colours);
  if (is_colour) choices.insert(choices.end(), std::begin(colours), std::end(colours));
  choices.insert(choices.end(), std::begin(lumas), std::end(lumas));
  choices.insert(choices.end(), std::begin(colours), std::end(colours));
  for (const PixelFormat choice : choices) {
    encoded_ = video;
    encoded_.format = choice;
    if (jpeg && is_yuv(choice)) encoded_.full_range = true, encoded_.matrix = ColorMatrix::bt601;
    av_format_ = name_in(choice, encoded_.full_range);
    if (av_format_ != AV_PIX_FMT_NONE) break;
  }
  if (av_format_ == AV_PIX_FMT_NONE)
    return fail(ErrorCode::unsupported, "{} takes no pixel format that we can make", codec.name);
  // These refuse half a chroma sample at the edge.
  const std::string_view name = codec.name;
  const bool needs_even = name.starts_with("libx26") || name == "libopenh264";
  if (needs_even && halves_chroma(*av_pix_fmt_desc_get(av_format_))) {
    encoded_.width &= ~1;
    encoded_.height &= ~1;
    if (encoded_.width == 0 || encoded_.height == 0)
      return fail(ErrorCode::unsupported, "{} cannot encode pictures of {}x{}", name, video.width,
                  video.height);
    if (encoded_.width != video.width || encoded_.height != video.height)
      remark_ = std::format("{} needs even sizes: of {}x{} the last row or column is left out", name,
                            video.width, video.height);
  }
  return {};
}

Status VideoEncoder::open(const VideoInfo& video, const Settings& settings) {
  close();
  remark_.clear();
  const AVCodec& codec = *settings.codec;
  if (auto chosen = choose_format(video, codec); !chosen) return chosen;
  codec_.reset(avcodec_alloc_context3(&codec));
  if (!picture_) picture_.reset(av_frame_alloc());
  if (!packet_) packet_.reset(av_packet_alloc());
  if (!codec_ || !picture_ || !packet_) return fail(ErrorCode::exhausted, "no memory for an encoder");
  input_ = video;
  AVCodecContext& context = *codec_;
  context.width = encoded_.width;
  context.height = encoded_.height;
  context.pix_fmt = av_format_;
  context.time_base = settings.time_base;
  if (video.frame_rate.num > 0) context.framerate = {video.frame_rate.num, video.frame_rate.den};
  context.sample_aspect_ratio = {video.pixel_aspect.num, video.pixel_aspect.den};
  set_video(*picture_, encoded_);
  context.colorspace = picture_->colorspace;
  context.color_range = picture_->color_range;
  av_frame_unref(picture_.get());
  context.flags |= AV_CODEC_FLAG_FRAME_DURATION;
  if (settings.global_header) context.flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  if (settings.no_reordering) context.max_b_frames = 0;
  if (codec.id == AV_CODEC_ID_MJPEG || codec.type != AVMEDIA_TYPE_VIDEO) context.thread_count = 1;
  if (settings.bitrate > 0) context.bit_rate = int64_t(settings.bitrate) * 1000;
  if (settings.quality >= 0) {
    const bool crf = context.priv_data && av_opt_find(context.priv_data, "crf", nullptr, 0, 0);
    if (crf) {
      if (av_opt_set_double(context.priv_data, "crf", settings.quality, 0) < 0)
        return fail(ErrorCode::invalid_argument, "quality={} is beyond the scale of {}", settings.quality,
                    codec.name);
      if (settings.bitrate == 0) context.bit_rate = 0;
    } else {
      context.flags |= AV_CODEC_FLAG_QSCALE;
      context.global_quality =
          FF_QP2LAMBDA * std::clamp(settings.quality, 1, codec.id == AV_CODEC_ID_WEBP ? 100 : 31);
    }
  }
  if (codec.id == AV_CODEC_ID_HEVC && context.priv_data)  // x265 has a log of its own
    av_opt_set(context.priv_data, "x265-params", "log-level=error", 0);
  if (!settings.preset.empty() &&
      (!context.priv_data || av_opt_set(context.priv_data, "preset", settings.preset.c_str(), 0) < 0))
    return fail(ErrorCode::invalid_argument, "preset={}: {} has no presets, or none of that name",
                settings.preset, codec.name);
  if (const int error = avcodec_open2(&context, &codec, nullptr); error < 0) {
    close();
    return fail(ErrorCode::unsupported, "{} does not encode {} {}x{}{}: {}", codec.name,
                to_string(video.format), video.width, video.height,
                settings.preset.empty() ? "" : std::format(" with preset {}", settings.preset),
                av_message(error));
  }
  return {};
}

Status VideoEncoder::receive(const OnPacket& on_packet) {
  while (true) {
    const int error = avcodec_receive_packet(codec_.get(), packet_.get());
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return {};
    if (error < 0) return fail(ErrorCode::internal, "{}: {}", codec_->codec->name, av_message(error));
    const Status status = on_packet(*packet_);
    av_packet_unref(packet_.get());
    if (!status) return status;
  }
}

Status VideoEncoder::encode(const Frame& frame, int64_t pts, int64_t duration, const OnPacket& on_packet) {
  Frame changed;
  const Frame* source = &frame;
  if (encoded_.width != input_.width || encoded_.height != input_.height) {
    auto part = view_of(frame, {.x = 0, .y = 0, .w = encoded_.width, .h = encoded_.height});
    if (!part) return forward_error(part);
    changed = std::move(*part);
    source = &changed;
  }
  const VideoInfo& video = *source->video;
  if (video.format != encoded_.format ||
      (is_yuv(video.format) && (video.full_range != encoded_.full_range ||
                                (av_format_ != to_av(encoded_.format) && video.matrix != encoded_.matrix)))) {
    auto converted = convert_picture(*source, encoded_);
    if (!converted) return forward_error(converted);
    changed = std::move(*converted);
    source = &changed;
  }
  av_frame_unref(picture_.get());
  if (auto lent = lend_to(*picture_, *source, Access::read); !lent) return lent;
  picture_->format = av_format_;
  picture_->time_base = codec_->time_base;
  picture_->pts = pts;
  picture_->duration = duration;
  picture_->quality = codec_->global_quality;
  const int error = avcodec_send_frame(codec_.get(), picture_.get());
  av_frame_unref(picture_.get());
  if (error < 0) return fail(ErrorCode::internal, "{}: {}", codec_->codec->name, av_message(error));
  return receive(on_packet);
}

Status VideoEncoder::finish(const OnPacket& on_packet) {
  const int error = avcodec_send_frame(codec_.get(), nullptr);
  if (error < 0 && error != AVERROR_EOF)
    return fail(ErrorCode::internal, "{}: {}", codec_->codec->name, av_message(error));
  return receive(on_packet);
}

}  // namespace sightglass
