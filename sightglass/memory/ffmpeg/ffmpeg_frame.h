// FFmpeg's AVFrame and our Frame are the same picture in two handles; the bytes are shared both ways.
//
//   auto frame = from_ffmpeg(*decoded);                                        // keeps a reference to
//   `decoded` auto pixels = map_to(*frame, {.form = {MemoryKind::system, PixelFormat::i420}});
//
//   auto mapped = map_to(frame, {.form = {MemoryKind::ffmpeg, PixelFormat::nv12}});
//   avcodec_send_frame(encoder, ffmpeg_frame(mapped->frame()));                // may keep it as long as it
//   likes
//
// An AVFrame over our memory holds it by its AVBufferRefs, so that FFmpeg may keep it beyond our frame. Each
// costs two small allocations of FFmpeg's own per block of memory; taking an AVFrame costs one per AVBuffer.
//
// For programs that use FFmpeg themselves: link sightglass::ffmpeg. Thread-safe, as long as the frames are
// not shared.
#pragma once

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

struct AVFrame;

namespace sightglass {

// The AVFrame that a frame of kind `ffmpeg` is; null: it is of another kind. Lent for as long as the frame's
// tensors live; av_frame_ref() or av_frame_clone() keeps it longer. The planes are in FFmpeg's order (G, B, R
// for RGBP; Y, U, V for YV12). `pts` and `duration` are nanoseconds where the frame was made from ours.
AVFrame* ffmpeg_frame(const Frame& frame);

// The picture as a frame of kind `ffmpeg`, with time (where `time_base` is known), colour and pixel aspect.
// What the AVFrame says is cropped is left out. RGB planes become RGBP, yuvj420p becomes I420 of full range.
//
// Frames of CUDA become frames of kind `cuda` at their device addresses, and are unavailable without a
// driver. All other hardware frames, pixel formats that we lack, pictures stored bottom up (negative
// linesize) and AVFrames that are not reference counted are refused.
Result<Frame> from_ffmpeg(const AVFrame& frame);

}  // namespace sightglass
