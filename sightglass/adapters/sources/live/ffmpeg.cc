// Whatever FFmpeg reads by a URL: HLS, MJPEG over HTTP, transport streams over UDP, RTP, SRT, …
#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/live/live_source.h"
#include "sightglass/adapters/sources/live/stream_url.h"
#include "sightglass/adapters/sources/pace.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/stream/bitstream.h"

extern "C" {
#include <libavformat/avformat.h>
#include <libavutil/log.h>
}

namespace sightglass::adapters {
namespace {

struct Params : LiveParams, UrlParams {
  std::string format, pace = "live";
  std::vector<std::string> protocols{"http", "https", "tcp",  "tls", "udp",    "rtp",
                                     "srt",  "rtsp",  "rtmp", "hls", "crypto", "data"};
  std::vector<std::string> options;
};

// How far a source has come that ends, so that it goes on there: in order of decoding, in `base`.
struct Progress {
  std::optional<int64_t> first, last;
  Fraction base;
};

class FfmpegInput final : public LiveInput {
 public:
  FfmpegInput(std::string url, MediaOptions options, Pace pace, std::shared_ptr<Progress> progress)
      : url_(std::move(url)), options_(std::move(options)), pace_(pace), progress_(std::move(progress)) {
    options_.stop = stop_.get_token();
  }

  Status open() override {
    auto opened = AccessUnits::open(url_, options_);
    if (!opened) return forward_error(opened);
    units_ = std::move(*opened);
    info_ = std::make_shared<MediaInfo>(units_->info());
    if (!progress_ || !progress_->last) return {};
    const Fraction base = progress_->base;
    skip_through_ = int64_t(__int128(*progress_->last) * base.num * info_->time_base.den /
                            (__int128(base.den) * info_->time_base.num));
    // A little in front of it, since seeking goes by times of display in some containers. What cannot seek is
    // read once more from its beginning.
    const double played = double(*progress_->last - *progress_->first) * base.num / base.den;
    (void)units_->seek(std::max(played - 1, 0.0));
    return {};
  }

  Result<std::optional<LiveUnit>> next() override {
    is_pacing_ = false;
    for (;;) {
      auto unit = next_whole();
      if (!unit) return forward_error(unit);
      if (!*unit) return std::nullopt;
      if ((*unit)->keyframe) renew_info((*unit)->payload.bytes);
      const int64_t decoded = (*unit)->dts.value_or((*unit)->pts);
      if (skip_through_ && decoded <= *skip_through_) continue;
      const auto at = Time(double((*unit)->pts) * 1e9 * info_->time_base.num / info_->time_base.den);
      is_pacing_ = pace_.waits();
      if (pace_.waits() && !pace_.wait(at, stop_.get_token()))
        return fail(ErrorCode::cancelled, "stopped on request");
      if (progress_) *progress_ = {progress_->first ? progress_->first : decoded, decoded, info_->time_base};
      return LiveUnit{.info = info_, .unit = std::move(**unit)};
    }
  }

  void cancel() override { stop_.request_stop(); }
  bool is_pacing() const override { return is_pacing_; }

 private:
  // Where a connection breaks FFmpeg gives the beginning of a frame as if it were one. Of a recording the
  // frame comes again, whole; so each waits until something stands behind it.
  Result<std::optional<AccessUnit>> next_whole() {
    if (!progress_) return units_->next();
    for (;;) {
      auto read = units_->next();
      if (!read) return forward_error(read);
      auto unit = std::exchange(last_read_, std::move(*read));
      if (unit || !last_read_) return unit;
    }
  }

  // The headers that FFmpeg read first are not those of what comes later.
  void renew_info(std::span<const uint8_t> bytes) {
    MediaInfo now = units_->info();
    if (const auto size = stream::picture_size(now.codec, bytes); size && size->width > 0)
      now.width = size->width, now.height = size->height;
    if (now.width != info_->width || now.height != info_->height || now.codec != info_->codec)
      info_ = std::make_shared<MediaInfo>(std::move(now));
  }

  const std::string url_;
  MediaOptions options_;
  Pace pace_;
  const std::shared_ptr<Progress> progress_;
  std::stop_source stop_;
  std::atomic<bool> is_pacing_ = false;
  std::unique_ptr<AccessUnits> units_;
  std::shared_ptr<const MediaInfo> info_;
  std::optional<int64_t> skip_through_;
  std::optional<AccessUnit> last_read_;  // of a recording
};

Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
  Params params = set.as<Params>();
  auto url = stream_url(params, context);
  if (!url) return forward_error(url);
  const std::string scheme = url->scheme();
  if (!std::ranges::contains(params.protocols, scheme)) {
    std::string allowed;
    for (const auto& each : params.protocols) allowed += (allowed.empty() ? "" : ", ") + each;
    return fail(ErrorCode::invalid_argument, "{}: url: the protocol '{}' is not among `protocols`: {}",
                context.name, scheme, allowed);
  }
  MediaOptions options{.timeout_ms = 60'000, .format = params.format};
  for (const auto& each : params.protocols)
    options.protocols += (options.protocols.empty() ? "" : ",") + each;
  for (const std::string& option : params.options) {
    const size_t equals = option.find('=');
    if (equals == 0 || equals == option.npos)
      return fail(ErrorCode::invalid_argument, "{}: options: '{}' is not written NAME=VALUE", context.name,
                  option.substr(0, option.find('=')));
    options.options.emplace_back(option.substr(0, equals), option.substr(equals + 1));
  }
  if (!params.format.empty() && !av_find_input_format(params.format.c_str()))
    return fail(ErrorCode::invalid_argument, "{}: format: this FFmpeg does not read '{}'", context.name,
                params.format);
  const bool ends = params.pace != "live";
  auto pace = ends ? Pace::parse(params.pace) : Pace();
  if (!pace)
    return fail(ErrorCode::invalid_argument,
                "{}: pace: '{}' is neither live, asap, realtime nor a factor of 0.001 to 1000", context.name,
                params.pace);
  // A recording waits for its reader, and loses nothing.
  if (ends) params.queue_policy = LiveParams::Policy::block;
  options.resumes = ends;
  if (params.source_id.empty()) params.source_id = source_id_of(url->shown());
  if (Status valid = check_source_id(params.source_id); !valid) return forward_error(valid);
  // Its messages name URLs, which may hold secrets; ours do not.
  if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
  const auto progress = ends ? std::make_shared<Progress>() : nullptr;
  return std::make_unique<LiveSource>(
      params,
      [url = url->with_credentials(), options, pace = *pace, progress] {
        return std::make_shared<FfmpegInput>(url, options, pace, progress);
      },
      ends);
}

std::vector<ParamDesc> params() {
  std::vector<ParamDesc> all;
  add_url_params<Params>(all,
                         "URL that FFmpeg reads: http://HOST/live.m3u8, udp://:5000, srt://HOST:PORT, …");
  all.push_back(param("format", &Params::format, "FFmpeg's name of the container; empty: found out"));
  all.push_back(param("protocols", &Params::protocols,
                      "what FFmpeg may use, also by what a playlist names; `file` is left out on purpose"));
  all.push_back(param("options", &Params::options, "further options of FFmpeg, each NAME=VALUE"));
  all.push_back(param("pace", &Params::pace,
                      "live: frames are taken when they come, and the end is a broken connection; asap, "
                      "realtime or a factor: it is a recording that ends, of which nothing is dropped"));
  add_live_params<Params>(all);
  return all;
}

const SourceRegistration registration(SourceDesc{
    .name = "ffmpeg",
    .doc = "any URL that FFmpeg reads (HLS, MJPEG, UDP, RTP, SRT), connected again for ever; not transcoded",
    .params = ParamTable::of<Params>(params()),
    .create = &create,
});

}  // namespace
}  // namespace sightglass::adapters
