#include "sightglass/memory/ffmpeg/ffmpeg_frame.h"

// The names that FFmpeg's header takes from cuda.h.
#define CUDA_VERSION 0
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;

extern "C" {
#include <libavutil/hwcontext.h>
#include <libavutil/hwcontext_cuda.h>
#include <libavutil/mathematics.h>
#include <libavutil/pixdesc.h>
}

#include "sightglass/memory/context.h"
#include "sightglass/memory/cuda/cuda.h"
#include "sightglass/memory/ffmpeg/av_picture.h"
#include "sightglass/memory/ffmpeg/pixel_formats.h"

namespace sightglass {
namespace {

const Ref<AvPicturePool>& pictures() {
  static const Ref<AvPicturePool>& pool = *new Ref<AvPicturePool>(make_ref<AvPicturePool>());
  return pool;
}

Time nanoseconds(int64_t time, AVRational time_base) {
  if (time == AV_NOPTS_VALUE || time_base.num <= 0 || time_base.den <= 0) return no_time;
  return av_rescale_q(time, time_base, {1, 1'000'000'000});
}

// The surfaces of a CUDA decoder at their addresses. They belong to a CUDA context, and can be used in that
// alone.
Result<Frame> from_cuda(const AVFrame& av) {
  auto any_device = default_context(MemoryKind::cuda);
  if (!any_device) return forward_error(any_device);
  if (!av.hw_frames_ctx || !av.buf[0])
    return fail(ErrorCode::invalid_argument, "an AVFrame of CUDA without its hw_frames_ctx cannot be kept");
  const auto& surfaces = *reinterpret_cast<const AVHWFramesContext*>(av.hw_frames_ctx->data);
  const auto& device = *static_cast<const AVCUDADeviceContext*>(surfaces.device_ctx->hwctx);
  ContextRef context;
  for (int i = 0; i < cuda_devices() && !context; ++i) {
    auto candidate = cuda_context(i);
    if (candidate && (*candidate)->handle("CUcontext") == device.cuda_ctx) context = *candidate;
  }
  if (!context)
    return fail(
        ErrorCode::unsupported,
        "the AVFrame lies in a CUDA context of its own; open the decoder's device with primary_ctx=1");
  const auto pixels = from_av(surfaces.sw_format);
  if (!pixels)
    return fail(ErrorCode::unsupported, "pictures of FFmpeg's pixel format {} have no counterpart",
                av_get_pix_fmt_name(surfaces.sw_format));

  Ref<AvPicture> picture = pictures()->take();
  if (const int error = av_frame_ref(&picture->av(), &av); error < 0)
    return fail(ErrorCode::exhausted, "the AVFrame cannot be kept: {}", av_message(error));
  picture->av().format = surfaces.sw_format;  // what the planes look like
  Frame frame;
  picture->apply_crop(frame.crop);
  auto video = video_of(picture->av());
  picture->av().format = AV_PIX_FMT_CUDA;
  if (!video) return forward_error(video);
  frame.video = *video;
  const auto order = plane_order(video->format);
  for (size_t plane = 0; plane < plane_count(video->format); ++plane) {
    const int64_t row = int64_t(plane_width(*video, plane)) * plane_layout(video->format, plane).pixel_bytes;
    const int64_t rows = plane_height(*video, plane), stride = av.linesize[order[plane]];
    if (stride < row)
      return fail(ErrorCode::corrupt, "an AVFrame whose rows of {} bytes lie {} apart", row, stride);
    auto memory = wrap_cuda(
        context, reinterpret_cast<uintptr_t>(picture->av().data[order[plane]]),
        size_t(stride * (rows - 1) + row), [picture] noexcept {},
        [av_picture = picture.get()] noexcept { return av_picture->writable(); });
    if (!memory) return forward_error(memory);
    frame.tensors.push_back({*memory, 0, DataType::u8, Layout::hw, {rows, row}, {stride, 1}});
    // The decoder may still be writing.
    if (auto fenced = cuda_written(frame.tensors.back(), device.stream); !fenced)
      return forward_error(fenced);
  }
  frame.pts = nanoseconds(av.pts, av.time_base);
  frame.duration = av.duration > 0 ? nanoseconds(av.duration, av.time_base) : no_time;
  return frame;
}

std::unexpected<Error> refuse_hardware(const AVFrame& frame) {
  const char* name = av_get_pix_fmt_name(AVPixelFormat(frame.format));
  return fail(ErrorCode::unsupported,
              "a hardware frame of {} cannot be shared; download it with av_hwframe_transfer_data()",
              name ? name : "an unknown kind");
}

}  // namespace

AVFrame* ffmpeg_frame(const Frame& frame) {
  if (frame.tensors.empty() || !frame.tensors[0].memory) return nullptr;
  return av_frame_of(*frame.tensors[0].memory);
}

Result<Frame> from_ffmpeg(const AVFrame& av) {
  if (av.format == AV_PIX_FMT_CUDA) return from_cuda(av);
  if (av.hw_frames_ctx) return refuse_hardware(av);
  if (!av.buf[0])
    return fail(
        ErrorCode::invalid_argument,
        "an AVFrame that is not reference counted cannot be kept; av_frame_clone() makes a copy that is");
  auto video = video_of(av);
  if (!video) return forward_error(video);
  Ref<AvPicture> picture = pictures()->take();
  if (const int error = av_frame_ref(&picture->av(), &av); error < 0)
    return fail(ErrorCode::exhausted, "the AVFrame cannot be kept: {}", av_message(error));
  Frame frame;
  picture->apply_crop(frame.crop);
  if (frame.crop) {
    video->width = picture->av().width;
    video->height = picture->av().height;
  }
  if (auto status = picture->show(*video, MemoryKind::ffmpeg, frame); !status) return forward_error(status);
  frame.pts = nanoseconds(av.pts, av.time_base);
  frame.duration = av.duration > 0 ? nanoseconds(av.duration, av.time_base) : no_time;
  return frame;
}

}  // namespace sightglass
