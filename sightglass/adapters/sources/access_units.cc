#include "sightglass/adapters/sources/access_units.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "sightglass/adapters/sources/byte_stream.h"
#include "sightglass/adapters/sources/media_io.h"
#include "sightglass/core/masked_url.h"
#include "sightglass/elements/ffmpeg_media/av_handles.h"

extern "C" {
#include <libavcodec/bsf.h>
#include <libavutil/imgutils.h>
}

namespace sightglass::adapters {
namespace {

struct FreeFilter {
  void operator()(AVBSFContext* filter) const { av_bsf_free(&filter); }
};
using FilterPtr = std::unique_ptr<AVBSFContext, FreeFilter>;

struct Dictionary {
  explicit Dictionary(AVDictionary* first) : entries(first) {}
  Dictionary(const Dictionary&) = delete;
  ~Dictionary() { av_dict_free(&entries); }
  AVDictionary* entries;
};

struct Cancel {
  MediaDeadline& deadline;
  void operator()() const { deadline.cancel(); }
};

std::string_view codec_name(AVCodecID id) {
  switch (id) {
    case AV_CODEC_ID_H264:
      return "h264";
    case AV_CODEC_ID_HEVC:
      return "hevc";
    case AV_CODEC_ID_AV1:
      return "av1";
    case AV_CODEC_ID_VP8:
      return "vp8";
    case AV_CODEC_ID_VP9:
      return "vp9";
    case AV_CODEC_ID_MJPEG:
      return "mjpeg";
    case AV_CODEC_ID_PNG:
      return "png";
    default:
      return {};
  }
}

// What brings packets into the form that messages have; empty: they are.
std::string filter_for(const AVCodecParameters& codec) {
  // Byte streams begin with a start code, the length-prefixed form with a version.
  const bool prefixed = codec.extradata_size > 0 && codec.extradata[0] == 1;
  if (codec.codec_id == AV_CODEC_ID_H264) return prefixed ? "h264_mp4toannexb" : "dump_extra=freq=keyframe";
  if (codec.codec_id == AV_CODEC_ID_HEVC) return prefixed ? "hevc_mp4toannexb" : "dump_extra=freq=keyframe";
  return {};
}

// MP4 says of each sample where it begins and ends and when it is due, and keyframes are told by ByteStream:
// to look for that in the video itself, as FFmpeg does for all containers alike, is up to half of what
// reading a packet costs.
bool needs_parser(const AVFormatContext& input) {
  if (!std::string_view(input.iformat->name).starts_with("mov,")) return true;
  return std::ranges::any_of(std::span(input.streams, input.nb_streams), [](const AVStream* stream) {
    const AVCodecParameters& codec = *stream->codecpar;
    return codec.codec_type == AVMEDIA_TYPE_VIDEO && !ByteStream(codec).tells_keyframes();
  });
}

Fraction fraction(AVRational value, Fraction fallback) {
  return value.num > 0 && value.den > 0 ? Fraction{value.num, value.den} : fallback;
}

class Reader final : public AccessUnits {
 public:
  Reader(std::string location, const MediaOptions& options)
      : location_(std::move(location)),
        shown_(masked_url(location_)),
        options_(options),
        deadline_(options.timeout_ms),
        on_stop_(options.stop, Cancel{deadline_}) {}

  Status open() {
    AVFormatContext* input = avformat_alloc_context();
    if (!input) return failed(AVERROR(ENOMEM));
    input->interrupt_callback = *deadline_.callback();
    deadline_.renew();
    const AVInputFormat* format = nullptr;
    if (!options_.format.empty() && !(format = av_find_input_format(options_.format.c_str()))) {
      avformat_free_context(input);
      return fail(ErrorCode::invalid_argument, "format: this FFmpeg does not read '{}'", options_.format);
    }
    Dictionary dictionary{options_.resumes ? media_options(location_) : nullptr};
    for (const auto& [name, value] : options_.options)
      av_dict_set(&dictionary.entries, name.c_str(), value.c_str(), 0);
    if (!options_.protocols.empty())
      av_dict_set(&dictionary.entries, "protocol_whitelist", options_.protocols.c_str(), 0);
    const int opened = avformat_open_input(&input, location_.c_str(), format, &dictionary.entries);
    if (opened < 0) return failed(opened);  // which has freed `input`
    input_.reset(input);
    for (const auto& [name, value] : options_.options)
      if (av_dict_get(dictionary.entries, name.c_str(), nullptr, 0))
        return fail(ErrorCode::invalid_argument, "{}: FFmpeg knows no option '{}' for it", shown_, name);
    if (!needs_parser(*input)) input->flags |= AVFMT_FLAG_NOPARSE;
    if (const int error = avformat_find_stream_info(input, nullptr); error < 0) return failed(error);
    const int index = av_find_best_stream(input, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
    if (index < 0) return fail(ErrorCode::unsupported, "{}: has no video", shown_);
    for (unsigned i = 0; i < input->nb_streams; ++i)
      if (int(i) != index) input->streams[i]->discard = AVDISCARD_ALL;
    stream_ = input->streams[index];
    const AVCodecParameters& codec = *stream_->codecpar;
    info_.codec = codec_name(codec.codec_id);
    info_.width = codec.width, info_.height = codec.height;
    info_.framerate = fraction(av_guess_frame_rate(input, stream_, nullptr), {0, 1});
    info_.pixel_aspect = fraction(av_guess_sample_aspect_ratio(input, stream_, nullptr), {1, 1});
    info_.time_base = {stream_->time_base.num, stream_->time_base.den};
    // Of a fragment's packets that FFmpeg reads before it knows the frame rate, and would know from the
    // video.
    if (input->flags & AVFMT_FLAG_NOPARSE) unsaid_duration_ = frame_duration();
    is_image_ = std::string_view(input->iformat->name).find("image2") != std::string_view::npos ||
                std::string_view(input->iformat->name).ends_with("_pipe");
    if (is_image_ && info_.codec == "mjpeg") info_.codec = "jpeg";
    packet_.reset(av_packet_alloc());
    if (!packet_) return failed(AVERROR(ENOMEM));
    return info_.codec.empty() ? open_decoder() : open_filter(filter_for(codec));
  }

  const MediaInfo& info() const override { return info_; }

  Result<std::optional<AccessUnit>> next() override { return decoder_ ? next_picture() : next_packet(); }

  Status seek(double seconds) override {
    int64_t to = int64_t(seconds * AV_TIME_BASE);
    if (input_->start_time != AV_NOPTS_VALUE) to += input_->start_time;
    deadline_.renew();
    if (const int error = av_seek_frame(input_.get(), -1, to, AVSEEK_FLAG_BACKWARD); error < 0)
      return failed(error);
    has_bypassed_ = true;
    if (decoder_) avcodec_flush_buffers(decoder_.get());
    next_pts_ = 0;
    return {};
  }

  void cancel() override { deadline_.cancel(); }

 private:
  std::unexpected<Error> failed(int error) const {
    if (deadline_.is_cancelled()) return fail(ErrorCode::cancelled, "{}: stopped on request", shown_);
    return media_error(shown_, error);
  }

  Status open_filter(const std::string& name) {
    if (name.empty()) return {};
    AVBSFContext* filter = nullptr;
    if (const int error = av_bsf_list_parse_str(name.c_str(), &filter); error < 0) return failed(error);
    filter_.reset(filter);
    avcodec_parameters_copy(filter->par_in, stream_->codecpar);
    filter->time_base_in = stream_->time_base;
    if (const int error = av_bsf_init(filter); error < 0) return failed(error);
    const AVCodecParameters& filtered = *filter->par_out;
    byte_stream_.emplace(*stream_->codecpar);
    byte_stream_->set_parameter_sets({filtered.extradata, size_t(std::max(filtered.extradata_size, 0))});
    return {};
  }

  Status open_decoder() {
    const AVCodec* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
    if (!codec) return fail(ErrorCode::unsupported, "{}: this FFmpeg has no decoder for its video", shown_);
    decoder_.reset(avcodec_alloc_context3(codec));
    picture_.reset(av_frame_alloc());
    if (!decoder_ || !picture_) return failed(AVERROR(ENOMEM));
    int error = avcodec_parameters_to_context(decoder_.get(), stream_->codecpar);
    decoder_->pkt_timebase = stream_->time_base;
    if (error >= 0) error = avcodec_open2(decoder_.get(), codec, nullptr);
    if (error < 0) return failed(error);
    info_.codec = "raw";
    info_.is_transcoded = true;
    return {};
  }

  // A packet of the stream, as it stands in the file; false: the end.
  Result<bool> read(AVPacket& packet) {
    for (;;) {
      av_packet_unref(&packet);
      deadline_.renew();
      const int error = av_read_frame(input_.get(), &packet);
      if (error == AVERROR_EOF) return false;
      if (error < 0) return failed(error);
      if (packet.stream_index == stream_->index && packet.size > 0) return true;
    }
  }

  Result<std::optional<AccessUnit>> next_packet() {
    for (;;) {
      Result<bool> more = read(*packet_);
      if (!more) return forward_error(more);
      if (!*more) return std::nullopt;
      if (!filter_) return unit();
      if (byte_stream_->convert(*packet_)) {
        has_bypassed_ = true;
        return unit();
      }
      // The filter knows nothing of the slices that went past it: behind them it begins anew.
      if (std::exchange(has_bypassed_, false)) av_bsf_flush(filter_.get());
      int error = av_bsf_send_packet(filter_.get(), packet_.get());
      if (error >= 0) error = av_bsf_receive_packet(filter_.get(), packet_.get());
      if (error == 0) return unit();
      if (error != AVERROR(EAGAIN)) return failed(error);
    }
  }

  // Of packet_, whose buffer goes with it.
  Result<std::optional<AccessUnit>> unit() {
    AVPacket& packet = *packet_;
    if (const int error = av_packet_make_refcounted(&packet); error < 0) return failed(error);
    Result<std::optional<AccessUnit>> result(std::in_place, std::in_place);
    AccessUnit& made = **result;
    made.pts = time_or_next(packet.pts, packet.duration);
    made.duration = packet.duration > 0 ? packet.duration : unsaid_duration_;
    if (packet.dts != AV_NOPTS_VALUE) made.dts = packet.dts;
    made.keyframe = packet.flags & AV_PKT_FLAG_KEY;
    made.payload.bytes = {packet.data, size_t(packet.size)};
    made.payload.owner = std::shared_ptr<AVBufferRef>(std::exchange(packet.buf, nullptr),
                                                      [](AVBufferRef* buffer) { av_buffer_unref(&buffer); });
    return result;
  }

  int64_t frame_duration() const {  // 0: unknown
    return info_.framerate.num > 0
               ? av_rescale_q(1, {info_.framerate.den, info_.framerate.num}, stream_->time_base)
               : 0;
  }

  // Times that a file leaves out follow each other at its frame rate.
  int64_t time_or_next(int64_t pts, int64_t duration) {
    if (pts == AV_NOPTS_VALUE) pts = next_pts_;
    if (duration <= 0) duration = frame_duration();
    next_pts_ = pts + std::max<int64_t>(duration, 1);
    return pts;
  }

  Result<std::optional<AccessUnit>> next_picture() {
    for (;;) {
      const int error = avcodec_receive_frame(decoder_.get(), picture_.get());
      if (error == 0) return picture();
      if (error == AVERROR_EOF) return std::nullopt;
      if (error != AVERROR(EAGAIN)) return failed(error);
      Result<bool> more = read(*packet_);
      if (!more) return forward_error(more);
      // A packet that cannot be decoded costs its picture only.
      const int sent = avcodec_send_packet(decoder_.get(), *more ? packet_.get() : nullptr);
      if (sent < 0 && sent != AVERROR_INVALIDDATA && sent != AVERROR_EOF) return failed(sent);
    }
  }

  Result<std::optional<AccessUnit>> picture() {
    const AVFrame& frame = *picture_;
    scaler_.reset(sws_getCachedContext(scaler_.release(), frame.width, frame.height,
                                       AVPixelFormat(frame.format), frame.width, frame.height,
                                       AV_PIX_FMT_YUV420P, SWS_POINT, nullptr, nullptr, nullptr));
    if (!scaler_) return fail(ErrorCode::unsupported, "{}: its pictures cannot be converted to I420", shown_);
    info_.width = frame.width, info_.height = frame.height;
    const auto strides = raw_strides(frame.width);
    const size_t luma = size_t(strides[0]) * size_t((frame.height + 1) & ~1);
    const size_t chroma = size_t(strides[1]) * size_t((frame.height + 1) / 2);
    std::vector<uint8_t> bytes(luma + 2 * chroma);
    uint8_t* planes[] = {bytes.data(), bytes.data() + luma, bytes.data() + luma + chroma, nullptr};
    sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes, strides);
    AccessUnit made;
    made.pts = time_or_next(frame.best_effort_timestamp, frame.duration);
    made.duration = frame.duration;
    made.keyframe = true;
    made.payload = stream::own(std::move(bytes));
    return made;
  }

  // As GStreamer lays out I420: rows of a multiple of four bytes, planes of whole pairs of rows.
  struct Strides {
    int values[4];
    operator const int*() const { return values; }
    int operator[](size_t i) const { return values[i]; }
  };
  static Strides raw_strides(int width) {
    const int luma = (width + 3) & ~3;
    const int chroma = (((width + 1) & ~1) / 2 + 3) & ~3;
    return {{luma, chroma, chroma, 0}};
  }

  const std::string location_;
  const std::string shown_;  // without secrets
  const MediaOptions options_;
  MediaDeadline deadline_;
  std::stop_callback<Cancel> on_stop_;
  AvInputPtr input_;
  AVStream* stream_ = nullptr;
  FilterPtr filter_;
  std::optional<ByteStream> byte_stream_;  // with the filter
  bool has_bypassed_ = false;              // packets, since the filter had one
  AvCodecPtr decoder_;
  AvPacketPtr packet_;
  AvFramePtr picture_;
  SwsPtr scaler_;
  MediaInfo info_;
  int64_t unsaid_duration_ = 0;  // of units whose packets have none
  int64_t next_pts_ = 0;         // for units without a time
  bool is_image_ = false;
};

}  // namespace

Result<std::unique_ptr<AccessUnits>> AccessUnits::open(const std::string& location,
                                                       const MediaOptions& options) {
  auto reader = std::make_unique<Reader>(location, options);
  if (Status status = reader->open(); !status) return forward_error(status);
  return reader;
}

}  // namespace sightglass::adapters
