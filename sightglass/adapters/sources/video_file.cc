// One file, or one URL that ends, as one virtual stream: parsed, not transcoded.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/access_units.h"
#include "sightglass/adapters/sources/frame_messages.h"
#include "sightglass/adapters/sources/pace.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

enum class Eos { file, never };

struct Params {
  std::string location, source_id, pace = "asap";
  unsigned loop = 0;
  double start = 0, stop = 0;  // seconds
  double max_fps = 0;
  Eos eos = Eos::file;
};

class VideoFile final : public Source {
 public:
  VideoFile(Params params, Pace pace) : params_(std::move(params)), pace_(pace) {}

  static Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
    Params params = set.as<Params>();
    if (params.location.empty())
      return fail(ErrorCode::invalid_argument, "{}: location is missing: a file or a URL", context.name);
    if (params.location.find("://") == std::string::npos && !context.folder.empty())
      params.location = (std::filesystem::path(context.folder) / params.location).lexically_normal();
    if (params.source_id.empty()) params.source_id = source_id_of(params.location);
    if (Status valid = check_source_id(params.source_id); !valid) return forward_error(valid);
    if (params.stop > 0 && params.stop <= params.start)
      return fail(ErrorCode::invalid_argument, "{}: stop ({} s) is not behind start ({} s)", context.name,
                  params.stop, params.start);
    auto pace = Pace::parse(params.pace);
    if (!pace) return forward_error(pace);
    return std::make_unique<VideoFile>(std::move(params), *pace);
  }

  Status start() override {
    auto opened = AccessUnits::open(params_.location);
    if (!opened) return forward_error(opened);
    units_ = std::move(*opened);
    return {};
  }

  Status run(Deliver& out, std::stop_token stop) override {
    const std::stop_callback cancel(stop, [this] { units_->cancel(); });
    FrameMessages messages(params_.source_id, stream::make_uuid_v7());
    Status status;
    for (unsigned round = 0; status && round <= params_.loop && !stop.stop_requested() && !is_refused_;
         ++round) {
      if (round > 0 || params_.start > 0) status = units_->seek(params_.start);
      // The next round goes on where the last has ended.
      if (round > 0) shift_ = end_ - first_;
      if (status) status = deliver_all(out, stop, messages);
    }
    // Cut short by request: whoever asked ends the stream itself.
    if (stop.stop_requested() || is_refused_) return {};
    if (params_.eos == Eos::file &&
        !out.deliver(messages.end(status ? stream::EndReason::end : stream::EndReason::error)))
      return {};
    return status;
  }

 private:
  Status deliver_all(Deliver& out, const std::stop_token& stop, FrameMessages& messages) {
    const MediaInfo& info = units_->info();
    const double unit_ns = 1e9 * info.time_base.num / info.time_base.den;
    while (!stop.stop_requested()) {
      auto unit = units_->next();
      if (!unit) return unit.error().code == ErrorCode::cancelled ? Status() : forward_error(unit);
      if (!*unit) return {};
      const AccessUnit& frame = **unit;
      if (!has_first_) has_first_ = true, first_ = frame.pts;
      end_ = std::max(end_, frame.pts + shift_ + std::max<int64_t>(frame.duration, 1));
      const Time at = Time(double(frame.pts + shift_ - first_) * unit_ns);
      if (params_.stop > 0 && double(at) * 1e-9 >= params_.stop - params_.start) return {};
      if (is_surplus(info, at)) continue;
      if (!pace_.wait(at, stop)) return {};
      if (!out.deliver(messages.frame(info, frame, shift_))) {
        is_refused_ = true;
        return {};
      }
    }
    return {};
  }

  // Left out to keep to max_fps: only of codecs whose frames stand alone.
  bool is_surplus(const MediaInfo& info, Time at) {
    if (params_.max_fps <= 0 ||
        (info.codec != "raw" && info.codec != "mjpeg" && info.codec != "jpeg" && info.codec != "png"))
      return false;
    if (at < next_due_) return true;
    next_due_ = std::max(next_due_ + Time(1e9 / params_.max_fps), at);
    return false;
  }

  const Params params_;
  Pace pace_;
  std::unique_ptr<AccessUnits> units_;
  bool has_first_ = false, is_refused_ = false;
  int64_t first_ = 0, end_ = 0, shift_ = 0;  // in the time base of the file
  Time next_due_ = 0;
};

const SourceRegistration registration(SourceDesc{
    .name = "video_file",
    .doc = "a video file, or a URL that ends, as one stream; parsed, not transcoded",
    .params = ParamTable::of<Params>({
        param("location", &Params::location, "file or URL (mp4, mkv, ts, avi, …)"),
        param("source-id", &Params::source_id, "name of the stream; empty: from the name of the file"),
        param("pace", &Params::pace, "asap, realtime, or a factor of the recorded speed"),
        param("loop", &Params::loop, "how often it is repeated, with times that go on growing"),
        param("start", &Params::start, "where to begin, at the keyframe before").range(0, 1e9).in("s"),
        param("stop", &Params::stop, "where to end; 0: at the end").range(0, 1e9).in("s"),
        param("max-fps", &Params::max_fps,
              "frames above this rate are left out where each stands alone; 0: none")
            .range(0, 1000),
        param("eos", &Params::eos, "whether the stream is ended behind the file").choices({"file", "never"}),
    }),
    .create = &VideoFile::create,
});

}  // namespace
}  // namespace sightglass::adapters
