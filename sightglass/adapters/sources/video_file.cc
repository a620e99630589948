// One file, or one URL that ends, as one virtual stream: a video, parsed and not transcoded, or a picture as
// it is.
#include <filesystem>
#include <memory>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/file_feed.h"
#include "sightglass/adapters/sources/file_options.h"
#include "sightglass/adapters/sources/picture_units.h"

namespace sightglass::adapters {
namespace {

struct VideoParams : FileParams {
  Fraction fps{0, 1};
  double start = 0, stop = 0;  // seconds
};
struct ImageParams : FileParams {
  Fraction rate{30, 1};
};

class OneFile final : public Source {
 public:
  static Result<std::unique_ptr<Source>> create_video(const ParamSet& set, const SourceContext& context) {
    const VideoParams& params = set.as<VideoParams>();
    if (params.stop > 0 && params.stop <= params.start)
      return fail(ErrorCode::invalid_argument, "{}: stop ({} s) is not behind start ({} s)", context.name,
                  params.stop, params.start);
    auto made = create(params, context, params.fps, "a file or a URL");
    if (!made) return forward_error(made);
    (*made)->start_ = params.start, (*made)->stop_ = params.stop;
    return std::move(*made);
  }

  static Result<std::unique_ptr<Source>> create_image(const ParamSet& set, const SourceContext& context) {
    const ImageParams& params = set.as<ImageParams>();
    if (params.rate.num <= 0 || params.rate.den <= 0)
      return fail(ErrorCode::invalid_argument, "{}: rate {}/{} is not above 0", context.name, params.rate.num,
                  params.rate.den);
    auto made = create(params, context, {0, 1}, "a picture or its URL");
    if (!made) return forward_error(made);
    (*made)->rate_ = params.rate;
    return std::move(*made);
  }

  OneFile(FileParams params, const FileFeed::Options& options, std::string token)
      : params_(std::move(params)), feed_(options, params_.source_id), token_(std::move(token)) {}

  Status start() override {
    const std::stop_token stop = opening_.get_token();
    auto opened = rate_.num > 0 ? open_picture(params_.location, rate_, stop)
                                : AccessUnits::open(params_.location, {.stop = stop});
    if (!opened) return forward_error(opened);
    units_ = std::move(*opened);
    auto metadata = side_file(params_, params_.location, false);
    if (!metadata) return forward_error(metadata);
    metadata_ = std::move(*metadata);
    if (!metadata_ || !metadata_->counts_frames() || rate_.num > 0) return {};
    auto shown = shown_order(params_.location, stop);
    if (!shown) return forward_error(shown);
    shown_ = std::move(*shown);
    return {};
  }

  void cancel() override { opening_.request_stop(); }

  Status run(Deliver& out, std::stop_token stop) override {
    const std::stop_callback cancelled(stop, [this] { units_->cancel(); });
    const std::string name = std::filesystem::path(params_.location).filename();
    const FileFeed::Media media{.name = name,
                                .metadata = metadata_.get(),
                                .shown = shown_.empty() ? nullptr : &shown_,
                                .stop = stop_ > 0 ? stop_ - start_ : 0};
    Status status;
    for (unsigned round = 0; status && round <= params_.loop && !feed_.has_stopped(stop); ++round) {
      if (round > 0 || start_ > 0) status = units_->seek(start_);
      if (status) status = feed_.play(*units_, out, stop, media);
    }
    // Cut short by request: whoever asked ends the stream itself.
    if (feed_.has_stopped(stop)) return {};
    if (params_.eos != Eos::never) feed_.end(out, status ? stream::EndReason::end : stream::EndReason::error);
    if (!token_.empty() && !feed_.has_stopped(stop)) out.deliver(shutdown_message(token_));
    return status;
  }

 private:
  static Result<std::unique_ptr<OneFile>> create(const FileParams& given, const SourceContext& context,
                                                 Fraction fps, std::string_view what) {
    auto params = checked(given, context, what);
    if (!params) return forward_error(params);
    auto options = feed_options(*params, fps);
    if (!options) return forward_error(options);
    auto token = token_after_end(*params, context);
    if (!token) return forward_error(token);
    return std::make_unique<OneFile>(std::move(*params), *options, std::move(*token));
  }

  const FileParams params_;
  FileFeed feed_;
  const std::string token_;
  std::stop_source opening_;
  Fraction rate_{0, 1};  // of a picture
  double start_ = 0, stop_ = 0;
  std::unique_ptr<AccessUnits> units_;
  std::unique_ptr<Sidecar> metadata_;
  std::vector<int64_t> shown_;
};

std::vector<ParamDesc> video_params() {
  std::vector<ParamDesc> params;
  add_file_params<VideoParams>(params, "file or URL (mp4, mkv, ts, avi, …)",
                               "name of the stream; empty: from the name of the file");
  params.push_back(param("fps", &VideoParams::fps, "frame rate instead of the file's; 0: its own"));
  params.push_back(
      param("start", &VideoParams::start, "where to begin, at the keyframe before").range(0, 1e9).in("s"));
  params.push_back(param("stop", &VideoParams::stop, "where to end; 0: at the end").range(0, 1e9).in("s"));
  params.push_back(param("eos", static_cast<Eos VideoParams::*>(&FileParams::eos),
                         "whether the stream is ended behind the file; it is a list of one")
                       .choices({"file", "list", "never"}));
  return params;
}

std::vector<ParamDesc> image_params() {
  std::vector<ParamDesc> params;
  add_file_params<ImageParams>(params, "JPEG or PNG; file or URL",
                               "name of the stream; empty: from the name of the file");
  params.push_back(param("rate", &ImageParams::rate, "of the frames, when it is repeated"));
  params.push_back(param("eos", static_cast<Eos ImageParams::*>(&FileParams::eos),
                         "whether the stream is ended behind it; it is a list of one")
                       .choices({"file", "list", "never"}));
  return params;
}

const SourceRegistration video(SourceDesc{
    .name = "video_file",
    .doc = "a video file, or a URL that ends, as one stream; parsed, not transcoded",
    .params = ParamTable::of<VideoParams>(video_params()),
    .create = &OneFile::create_video,
});
const SourceRegistration image(SourceDesc{
    .name = "image_file",
    .doc = "a picture as a stream of one frame, or of as many as it is repeated; passed on encoded",
    .params = ParamTable::of<ImageParams>(image_params()),
    .create = &OneFile::create_image,
});

}  // namespace
}  // namespace sightglass::adapters
