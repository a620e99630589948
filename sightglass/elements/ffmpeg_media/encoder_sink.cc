// The sink of sightglass/elements/ffmpeg_encoder_sink/ffmpeg_encoder_sink.h.
extern "C" {
#include <libavutil/log.h>
#include <libavutil/mathematics.h>
}

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/core/element.h"
#include "sightglass/elements/ffmpeg_encoder_sink/ffmpeg_encoder_sink.h"
#include "sightglass/elements/ffmpeg_media/video_encoder.h"
#include "sightglass/elements/module_element.h"
#include "sightglass/memory/ffmpeg/pixel_formats.h"

namespace sightglass {
namespace {

constexpr AVRational nanoseconds{1, 1'000'000'000};

struct CloseOutput {
  void operator()(AVFormatContext* output) const {
    if (output->pb) avio_closep(&output->pb);
    avformat_free_context(output);
  }
};

class FfmpegEncoderSink final : public Sink {
 public:
  explicit FfmpegEncoderSink(const FfmpegEncoderSinkParams& params) : params_(params) {}
  ~FfmpegEncoderSink() override { stop(); }
  static Result<std::unique_ptr<Element>> create(const ParamSet& params) {
    if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
    return std::make_unique<FfmpegEncoderSink>(params.as<FfmpegEncoderSinkParams>());
  }

  Status start() override;
  void stop() override;
  std::vector<std::string> take_warnings() override { return std::exchange(warnings_, {}); }
  Status configure(const Format& input, const Format&) override;
  Status write(const Frame& frame) override;
  Status drain() override;

 private:
  std::unexpected<Error> failed(int error);
  AVRational time_base(const VideoInfo& video) const;
  Status open(const VideoInfo& video);
  Status write_packet(AVPacket& packet);

  const FfmpegEncoderSinkParams params_;
  std::unique_ptr<AVFormatContext, CloseOutput> output_;
  const AVCodec* codec_ = nullptr;
  AVStream* stream_ = nullptr;
  VideoEncoder encoder_;
  bool header_written_ = false, broken_ = false;
  Time first_ = no_time;  // pts of the first frame
  int64_t last_ = -1;     // in units of the encoder
  int64_t step_ = 1;      // between frames without a time
  bool moved_ = false;    // a time did not grow
  std::vector<std::string> warnings_;
};

std::unexpected<Error> FfmpegEncoderSink::failed(int error) {
  broken_ = true;
  return fail(error == AVERROR(ENOENT) ? ErrorCode::not_found : ErrorCode::io, "{}: {}", params_.location,
              av_message(error));
}

Status FfmpegEncoderSink::start() {
  if (params_.location.empty())
    return fail(ErrorCode::invalid_argument, "location is empty; name the file: location=out.mp4");
  const char* const format = params_.format.empty() ? nullptr : params_.format.c_str();
  const AVOutputFormat* const container =
      av_guess_format(format, format ? nullptr : params_.location.c_str(), nullptr);
  if (!container || container->flags & AVFMT_NOFILE)
    return fail(ErrorCode::invalid_argument,
                "{}: no container of that {}; usual ones are mp4, mkv (format=matroska), avi, mov, webm, ts",
                format ? format : params_.location, format ? "name" : "ending");
  auto codec = find_video_encoder(params_.codec, *container);
  if (!codec) return forward_error(codec);
  codec_ = *codec;
  AVFormatContext* output = nullptr;
  if (const int error = avformat_alloc_output_context2(&output, container, nullptr, params_.location.c_str());
      error < 0)
    return failed(error);
  output_.reset(output);
  if (const int error = avio_open(&output->pb, params_.location.c_str(), AVIO_FLAG_WRITE); error < 0)
    return failed(error);
  header_written_ = broken_ = moved_ = false;
  first_ = no_time;
  last_ = -1;
  return {};
}

// Fine enough for every rate; where the container counts frames, or the codec has few bits for it, coarser.
AVRational FfmpegEncoderSink::time_base(const VideoInfo& video) const {
  const bool known = video.frame_rate.num > 0 && video.frame_rate.den > 0;
  const bool counted = codec_->id == AV_CODEC_ID_MPEG1VIDEO || codec_->id == AV_CODEC_ID_MPEG2VIDEO;
  if (counted || !(output_->oformat->flags & AVFMT_VARIABLE_FPS) ||
      output_->oformat->flags & AVFMT_NOTIMESTAMPS)
    return known ? AVRational{video.frame_rate.den, video.frame_rate.num} : AVRational{1, 25};
  return codec_->id == AV_CODEC_ID_MPEG4 ? AVRational{1, 60'000} : AVRational{1, 90'000};
}

Status FfmpegEncoderSink::open(const VideoInfo& video) {
  const AVOutputFormat& container = *output_->oformat;
  VideoEncoder::Settings settings;
  settings.codec = codec_;
  settings.time_base = time_base(video);
  settings.global_header = container.flags & AVFMT_GLOBALHEADER;
  settings.no_reordering = std::string_view(container.name) == "avi";
  settings.bitrate = params_.bitrate;
  settings.quality = params_.quality;
  settings.preset = params_.preset;
  if (auto opened = encoder_.open(video, settings); !opened) return opened;
  if (!encoder_.remark().empty()) warnings_.push_back(encoder_.remark());
  const AVRational rate =
      video.frame_rate.num > 0 ? AVRational{video.frame_rate.den, video.frame_rate.num} : AVRational{1, 25};
  step_ = std::max<int64_t>(1, av_rescale_q(1, rate, settings.time_base));

  stream_ = avformat_new_stream(output_.get(), nullptr);
  if (!stream_) return failed(AVERROR(ENOMEM));
  int error = avcodec_parameters_from_context(stream_->codecpar, &encoder_.codec());
  stream_->time_base = settings.time_base;
  stream_->avg_frame_rate = encoder_.codec().framerate;
  stream_->sample_aspect_ratio = encoder_.codec().sample_aspect_ratio;
  if (error >= 0) error = avformat_write_header(output_.get(), nullptr);
  if (error < 0) return failed(error);
  header_written_ = true;
  return {};
}

Status FfmpegEncoderSink::configure(const Format& input, const Format&) {
  const VideoInfo* const video = input.video();
  if (!video) return fail(ErrorCode::not_negotiated, "only pictures can be encoded");
  if (!output_) return fail(ErrorCode::internal, "configured before it was started");
  if (!header_written_) return open(*video);
  VideoInfo same = *video;  // what may change within a file
  same.frame_rate = encoder_.input().frame_rate;
  if (same == encoder_.input()) return {};
  Format before;
  before.media = encoder_.input();
  return fail(ErrorCode::not_negotiated,
              "{}: begun with {}, and cannot go on with {}: one file holds one format", params_.location,
              to_string(before), to_string(input));
}

Status FfmpegEncoderSink::write_packet(AVPacket& packet) {
  av_packet_rescale_ts(&packet, encoder_.codec().time_base, stream_->time_base);
  packet.stream_index = stream_->index;
  int error = av_interleaved_write_frame(output_.get(), &packet);
  if (error >= 0 && output_->pb->error < 0) error = output_->pb->error;
  if (error < 0) return failed(error);
  return {};
}

Status FfmpegEncoderSink::write(const Frame& frame) {
  if (!frame.video) return fail(ErrorCode::invalid_argument, "a frame without a picture cannot be encoded");
  if (!output_ || broken_)
    return fail(ErrorCode::io, "{}: not open, or broken by an earlier error", params_.location);
  VideoInfo expected = encoder_.is_open() ? encoder_.input() : *frame.video;
  expected.frame_rate = frame.video->frame_rate;
  if (!header_written_ || *frame.video != expected) {
    Format format;
    format.media = *frame.video;
    if (auto status = configure(format, {}); !status) return status;
  }
  const AVRational base = encoder_.codec().time_base;
  int64_t pts = last_ < 0 ? 0 : last_ + step_;
  if (frame.pts != no_time) {
    if (first_ == no_time) first_ = frame.pts;
    pts = av_rescale_q(frame.pts - first_, nanoseconds, base);
  }
  if (pts <= last_) {
    // With a base of one frame, rounding alone does this now and then.
    if (frame.pts - first_ < av_rescale_q(last_, base, nanoseconds) - av_rescale_q(1, base, nanoseconds) &&
        !std::exchange(moved_, true))
      warnings_.push_back(params_.location + ": times that do not grow were moved on");
    pts = last_ + 1;
  }
  last_ = pts;
  const int64_t duration = frame.duration > 0 ? av_rescale_q(frame.duration, nanoseconds, base) : step_;
  return encoder_.encode(frame, pts, std::max<int64_t>(duration, 1),
                         [this](AVPacket& packet) { return write_packet(packet); });
}

Status FfmpegEncoderSink::drain() {
  if (!output_) return {};
  Status status;
  if (header_written_ && !broken_) {
    status = encoder_.finish([this](AVPacket& packet) { return write_packet(packet); });
    int error = 0;
    if (status) {
      error = av_write_trailer(output_.get());
      if (error >= 0) {
        avio_flush(output_->pb);
        error = output_->pb->error;
      }
    }
    if (error < 0) status = failed(error);
  }
  const int closed = avio_closep(&output_->pb);
  if (status && closed < 0 && !broken_) status = failed(closed);
  encoder_.close();
  output_.reset();
  return status;
}

void FfmpegEncoderSink::stop() {
  if (auto finished = drain(); !finished) warnings_.push_back(finished.error().message);
}

const ModuleElement registration("ffmpeg_encoder_sink", &FfmpegEncoderSink::create);

}  // namespace
}  // namespace sightglass
