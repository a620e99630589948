#include "sightglass/elements/ffmpeg_media/input_decoder.h"

extern "C" {
#include <libavdevice/avdevice.h>
}

#include <algorithm>
#include <string_view>

#include "sightglass/memory/ffmpeg/pixel_formats.h"

namespace sightglass {
namespace {

constexpr AVRational nanoseconds{1, 1'000'000'000};

std::string_view protocol_of(std::string_view location) {
  const size_t end = location.find("://");
  return end == location.npos ? std::string_view() : location.substr(0, end);
}

bool is_network(std::string_view protocol) {
  static constexpr std::string_view local[] = {"",     "file", "cache", "concat",
                                               "data", "pipe", "fd",    "subfile"};
  return std::ranges::find(local, protocol) == std::end(local);
}

bool is_camera(std::string_view location) { return location.starts_with("/dev/video"); }

struct Dictionary {
  AVDictionary* entries = nullptr;
  ~Dictionary() { av_dict_free(&entries); }
};

}  // namespace

int InputDecoder::interrupted(void* self) {
  auto& decoder = *static_cast<InputDecoder*>(self);
  if (decoder.cancelled_.load(std::memory_order_relaxed)) return 1;
  if (!decoder.network_ || decoder.options_.timeout.count() == 0) return 0;
  if (std::chrono::steady_clock::now() < decoder.deadline_) return 0;
  decoder.timed_out_ = true;
  return 1;
}

void InputDecoder::renew_deadline() {
  if (network_) deadline_ = std::chrono::steady_clock::now() + options_.timeout;
}

std::unexpected<Error> InputDecoder::failed(int error) const {
  const std::string& location = options_.location;
  if (cancelled_) return fail(ErrorCode::cancelled, "{}: stopped on request", location);
  if (timed_out_)
    return fail(ErrorCode::io, "{}: nothing has come for {} ms", location, options_.timeout.count());
  const ErrorCode code = error == AVERROR(ENOENT)              ? ErrorCode::not_found
                         : error == AVERROR_INVALIDDATA        ? ErrorCode::corrupt
                         : error == AVERROR(ENOMEM)            ? ErrorCode::exhausted
                         : error == AVERROR_PROTOCOL_NOT_FOUND ? ErrorCode::unsupported
                                                               : ErrorCode::io;
  return fail(code, "{}: {}", location, av_message(error));
}

void InputDecoder::close() {
  decoder_.reset();
  stream_ = nullptr;
  input_.reset();
}

Status InputDecoder::open() {
  close();
  const std::string& location = options_.location;
  const std::string_view protocol = protocol_of(location);
  network_ = is_network(protocol);
  at_end_ = timed_out_ = false;
  read_error_ = 0;
  start_ = AV_NOPTS_VALUE;
  next_ = 0;
  renew_deadline();

  const AVInputFormat* format = nullptr;
  if (is_camera(location)) {
    avdevice_register_all();
    format = av_find_input_format("video4linux2");
  }
  Dictionary options;
  if (protocol.starts_with("rtsp")) av_dict_set(&options.entries, "rtsp_flags", "prefer_tcp", 0);

  AVFormatContext* input = avformat_alloc_context();
  if (!input) return failed(AVERROR(ENOMEM));
  input->interrupt_callback = {interrupted, this};
  if (const int error = avformat_open_input(&input, location.c_str(), format, &options.entries); error < 0)
    return failed(error);  // which has freed `input`
  input_.reset(input);
  if (const int error = avformat_find_stream_info(input, nullptr); error < 0 || cancelled_)
    return failed(error);

  const AVCodec* codec = nullptr;
  const int index = av_find_best_stream(input, AVMEDIA_TYPE_VIDEO, -1, -1, &codec, 0);
  if (index == AVERROR_DECODER_NOT_FOUND)
    return fail(ErrorCode::unsupported, "{}: this FFmpeg has no decoder for its video", location);
  if (index < 0) return fail(ErrorCode::unsupported, "{}: has no video", location);
  for (unsigned i = 0; i < input->nb_streams; ++i)
    if (int(i) != index) input->streams[i]->discard = AVDISCARD_ALL;
  stream_ = input->streams[index];
  const bool http = protocol == "http" || protocol == "https";
  live_ = is_camera(location) || (network_ && !http);
  const AVRational rate = av_guess_frame_rate(input, stream_, nullptr);
  frame_rate_ = rate.num > 0 && rate.den > 0 ? Fraction{rate.num, rate.den} : Fraction{0, 1};
  if (!live_ && input->start_time != AV_NOPTS_VALUE)
    start_ = av_rescale_q(input->start_time, AV_TIME_BASE_Q, stream_->time_base);

  decoder_.reset(avcodec_alloc_context3(codec));
  if (!packet_) packet_.reset(av_packet_alloc());
  if (!decoder_ || !packet_) return failed(AVERROR(ENOMEM));
  int error = avcodec_parameters_to_context(decoder_.get(), stream_->codecpar);
  if (error >= 0) {
    decoder_->pkt_timebase = stream_->time_base;
    decoder_->thread_count = options_.threads;
    if (live_) decoder_->thread_type = FF_THREAD_SLICE;  // threads per frame hold back as many frames
    error = avcodec_open2(decoder_.get(), codec, nullptr);
  }
  if (error < 0) return failed(error);
  return {};
}

InputDecoder::Times InputDecoder::times_of(const AVFrame& picture) {
  Times times;
  if (picture.duration > 0)
    times.duration = av_rescale_q(picture.duration, stream_->time_base, nanoseconds);
  else if (frame_rate_.num > 0)
    times.duration = av_rescale_q(1, {frame_rate_.den, frame_rate_.num}, nanoseconds);
  const int64_t pts = picture.best_effort_timestamp;
  if (pts == AV_NOPTS_VALUE) {
    times.pts = next_;
  } else {
    if (start_ == AV_NOPTS_VALUE) start_ = pts;
    times.pts = std::max<Time>(0, av_rescale_q(pts - start_, stream_->time_base, nanoseconds));
  }
  next_ = times.pts + times.duration;
  return times;
}

Result<std::optional<InputDecoder::Times>> InputDecoder::read(AVFrame& picture) {
  while (true) {
    int error = avcodec_receive_frame(decoder_.get(), &picture);
    if (error == 0) return times_of(picture);
    if (error == AVERROR_EOF) {
      if (read_error_) return failed(read_error_);
      return std::nullopt;
    }
    if (error != AVERROR(EAGAIN)) {  // a damaged picture
      ++damaged_;
      if (at_end_ && error != AVERROR_INVALIDDATA) return std::nullopt;
      continue;
    }
    renew_deadline();
    error = av_read_frame(input_.get(), packet_.get());
    if (cancelled_) {
      av_packet_unref(packet_.get());
      return failed(AVERROR_EXIT);
    }
    if (error < 0) {
      if (error == AVERROR(EAGAIN)) continue;
      // What the decoder still holds comes first.
      if (error != AVERROR_EOF) read_error_ = error;
      if (std::exchange(at_end_, true)) return std::nullopt;
      avcodec_send_packet(decoder_.get(), nullptr);
      continue;
    }
    if (packet_->stream_index == stream_->index) {
      if (packet_->flags & AV_PKT_FLAG_CORRUPT) ++damaged_;
      error = avcodec_send_packet(decoder_.get(), packet_.get());
      if (error < 0 && error != AVERROR(EAGAIN)) ++damaged_;
    }
    av_packet_unref(packet_.get());
  }
}

Status InputDecoder::rewind() {
  const int64_t start = input_->start_time == AV_NOPTS_VALUE ? 0 : input_->start_time;
  if (avformat_seek_file(input_.get(), -1, INT64_MIN, start, start, AVSEEK_FLAG_BACKWARD) < 0) return open();
  avcodec_flush_buffers(decoder_.get());
  at_end_ = timed_out_ = false;
  read_error_ = 0;
  next_ = 0;
  return {};
}

}  // namespace sightglass
