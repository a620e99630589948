// The files of a folder as one virtual stream: videos, each an epoch of its own, or pictures, together one. A
// file is done with - moved, deleted, noted in the checkpoint - when all of its messages are.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/sources/file_feed.h"
#include "sightglass/adapters/sources/file_options.h"
#include "sightglass/adapters/sources/folder_list.h"
#include "sightglass/adapters/sources/picture_units.h"
#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct FolderParams : FileParams {
  std::string pattern = "*", move_to = "done", checkpoint;
  Order order = Order::name;
  After after = After::keep;
  bool watch = false;
  double settle = 2;
};
struct VideoParams : FolderParams {
  Fraction fps{0, 1};
};
struct ImageParams : FolderParams {
  Fraction rate{30, 1};
  ImageParams() { eos = Eos::list; }
};

// What has become of the messages of one file.
struct Progress {
  std::atomic<int64_t> open = 1;  // one is the source's own, while it reads
  std::atomic<bool> is_lost = false;
};
class Share final : public stream::Settlement {
 public:
  explicit Share(std::shared_ptr<Progress> progress) : progress_(std::move(progress)) { ++progress_->open; }
  ~Share() override {
    if (is_settled_.exchange(true)) return;
    progress_->is_lost = true;
    --progress_->open;
  }
  void processed() override { settle(false); }
  void refused(std::string_view, bool retry) override { settle(retry); }

 private:
  void settle(bool is_lost) {
    if (is_settled_.exchange(true)) return;
    if (is_lost) progress_->is_lost = true;
    --progress_->open;
  }
  const std::shared_ptr<Progress> progress_;
  std::atomic<bool> is_settled_ = false;
};

class FolderSource final : public Source {
 public:
  static Result<std::unique_ptr<Source>> create_video(const ParamSet& set, const SourceContext& context) {
    const VideoParams& params = set.as<VideoParams>();
    return create(params, context, params.fps, {0, 1});
  }
  static Result<std::unique_ptr<Source>> create_image(const ParamSet& set, const SourceContext& context) {
    const ImageParams& params = set.as<ImageParams>();
    if (params.rate.num <= 0 || params.rate.den <= 0)
      return fail(ErrorCode::invalid_argument, "{}: rate {}/{} is not above 0", context.name, params.rate.num,
                  params.rate.den);
    return create(params, context, {0, 1}, params.rate);
  }

  FolderSource(FileParams params, const FileFeed::Options& feed, FolderList::Options list, Fraction rate,
               std::string token)
      : params_(std::move(params)),
        marks_(list.after != After::keep || !list.checkpoint.empty()),
        watches_(list.watch),
        rate_(rate),
        token_(std::move(token)),
        feed_(feed, params_.source_id),
        list_(std::move(list)) {}
  // What was acknowledged while it was being stopped is done with as well.
  ~FolderSource() override { (void)settle_files(); }

  Status start() override {
    if (Status opened = list_.open(); !opened) return opened;
    if (params_.metadata.empty() || params_.metadata.find("{file}") != std::string::npos) return {};
    auto metadata = side_file(params_, params_.location, false);
    if (!metadata) return forward_error(metadata);
    metadata_ = std::move(*metadata);
    return {};
  }

  Status run(Deliver& out, std::stop_token stop) override {
    Status status;
    for (unsigned round = 0; status && round <= params_.loop && !feed_.has_stopped(stop); ++round) {
      if (round > 0) list_.rewind();
      status = read_all(out, stop);
    }
    if (!feed_.has_stopped(stop) && params_.eos != Eos::never)
      feed_.end(out, status ? stream::EndReason::end : stream::EndReason::error, last_settlement());
    while (status && !pending_.empty() && !stop.stop_requested()) {
      status = settle_files();
      std::this_thread::sleep_for(10ms);
    }
    if (status && !token_.empty() && !feed_.has_stopped(stop)) out.deliver(shutdown_message(token_));
    return status;
  }

  std::map<std::string, uint64_t> rejected() const override {
    std::map<std::string, uint64_t> counts;
    if (const uint64_t count = unreadable_) counts["unreadable_file"] = count;
    return counts;
  }

 private:
  static Result<std::unique_ptr<Source>> create(const FolderParams& given, const SourceContext& context,
                                                Fraction fps, Fraction rate) {
    auto params = checked(given, context, "a folder");
    if (!params) return forward_error(params);
    auto feed = feed_options(*params, fps);
    if (!feed) return forward_error(feed);
    auto token = token_after_end(*params, context);
    if (!token) return forward_error(token);
    if (given.loop > 0 && (given.watch || given.after != After::keep || !given.checkpoint.empty()))
      return fail(ErrorCode::invalid_argument,
                  "{}: loop reads the files again; it goes with neither watch, after nor checkpoint",
                  context.name);
    FolderList::Options list{
        .folder = params->location,
        .pattern = given.pattern,
        .order = given.order,
        .watch = given.watch,
        .settle = std::chrono::nanoseconds(int64_t(given.settle * 1e9)),
        .after = given.after,
        .move_to = path_from(params->location, given.move_to),
        .checkpoint = given.checkpoint.empty() ? "" : path_from(context.folder, given.checkpoint)};
    return std::make_unique<FolderSource>(std::move(*params), *feed, std::move(list), rate,
                                          std::move(*token));
  }

  bool is_pictures() const { return rate_.num > 0; }

  Status read_all(Deliver& out, const std::stop_token& stop) {
    int64_t number = 0;  // of pictures
    while (!feed_.has_stopped(stop)) {
      if (Status settled = settle_files(); !settled) return settled;
      const auto file = list_.next(stop, std::chrono::steady_clock::now() + 100ms);
      if (!file && (!watches_ || stop.stop_requested())) return {};
      if (!file) continue;
      const auto progress = std::make_shared<Progress>();
      const Status played = play(*file, out, stop, progress, number);
      number += is_pictures();
      if (feed_.has_stopped(stop)) return {};
      if (params_.eos == Eos::file)
        feed_.end(out, played ? stream::EndReason::end : stream::EndReason::error,
                  std::make_shared<Share>(progress));
      --progress->open;
      if (played) {
        if (marks_) pending_.push_back({*file, progress});
      } else {
        // It stays where it is, for whoever looks after it.
        ++unreadable_;
        std::fprintf(stderr, "%s: left out: %s\n", params_.source_id.c_str(), played.error().message.c_str());
      }
    }
    return {};
  }

  Status play(const fs::path& file, Deliver& out, const std::stop_token& stop,
              const std::shared_ptr<Progress>& progress, int64_t number) {
    auto units = is_pictures() ? open_picture(file, rate_) : AccessUnits::open(file);
    if (!units) return forward_error(units);
    std::unique_ptr<Sidecar> own;
    if (!metadata_) {
      auto beside = side_file(params_, file, true);
      if (!beside) return forward_error(beside);
      own = std::move(*beside);
    }
    const Sidecar* metadata = own ? own.get() : metadata_.get();
    std::vector<int64_t> shown;
    if (metadata && metadata->counts_frames() && !is_pictures()) {
      auto order = shown_order(file);
      if (!order) return forward_error(order);
      shown = std::move(*order);
    }
    const std::stop_callback cancel(stop, [&] { (*units)->cancel(); });
    const std::string name = file.filename();
    FileFeed::Media media{.name = name,
                          .metadata = metadata,
                          .shown = shown.empty() ? nullptr : &shown,
                          .number = own ? 0 : number};
    if (marks_) media.settlement = [&] { return std::make_shared<Share>(progress); };
    return feed_.play(**units, out, stop, media);
  }

  // The end of a list belongs to its last file.
  std::shared_ptr<stream::Settlement> last_settlement() const {
    return pending_.empty() ? nullptr : std::make_shared<Share>(pending_.back().progress);
  }

  Status settle_files() {
    for (auto file = pending_.begin(); file != pending_.end();) {
      if (file->progress->open > 0) {
        ++file;
        continue;
      }
      if (!file->progress->is_lost)
        if (Status done = list_.done(file->path); !done) return done;
      file = pending_.erase(file);
    }
    return {};
  }

  struct Pending {
    fs::path path;
    std::shared_ptr<Progress> progress;
  };
  const FileParams params_;
  const bool marks_, watches_;
  const Fraction rate_;  // of pictures; 0: videos
  const std::string token_;
  FileFeed feed_;
  FolderList list_;
  std::unique_ptr<Sidecar> metadata_;
  std::vector<Pending> pending_;
  std::atomic<uint64_t> unreadable_ = 0;
};

template <class P>
std::vector<ParamDesc> folder_params() {
  std::vector<ParamDesc> params;
  add_file_params<P>(params, "folder", "name of the stream; empty: from the name of the folder");
  const auto add = [&](std::string_view name, auto FolderParams::* member,
                       std::string_view doc) -> ParamDesc& {
    using T = std::remove_reference_t<decltype(std::declval<FolderParams>().*member)>;
    params.push_back(param(name, static_cast<T P::*>(member), doc));
    return params.back();
  };
  add("pattern", &FolderParams::pattern, "names of the files, with * and ?");
  add("order", &FolderParams::order, "in which they come").choice_names = {"name", "mtime"};
  add("watch", &FolderParams::watch, "wait for further files, for ever");
  ParamDesc& settle =
      add("settle", &FolderParams::settle, "how long the size of a file has to stay the same, with watch");
  settle.unit = "s", settle.min = 0, settle.max = 3600;
  add("after", &FolderParams::after, "what becomes of a file that is done with").choice_names = {
      "keep", "move", "delete"};
  add("move-to", &FolderParams::move_to, "folder for after: move, from the folder that is read");
  add("checkpoint", &FolderParams::checkpoint, "file that remembers which files are done with");
  return params;
}

std::vector<ParamDesc> video_params() {
  auto params = folder_params<VideoParams>();
  params.push_back(param("fps", &VideoParams::fps, "frame rate instead of the files'; 0: their own"));
  params.push_back(param("eos", static_cast<Eos VideoParams::*>(&FileParams::eos),
                         "ends the stream behind each file, behind all of them, or not at all")
                       .choices({"file", "list", "never"}));
  return params;
}

std::vector<ParamDesc> image_params() {
  auto params = folder_params<ImageParams>();
  params.push_back(param("rate", &ImageParams::rate, "of the frames"));
  params.push_back(param("eos", static_cast<Eos ImageParams::*>(&FileParams::eos),
                         "ends the stream behind each picture, behind all of them, or not at all")
                       .choices({"file", "list", "never"}));
  return params;
}

const SourceRegistration videos(SourceDesc{
    .name = "video_dir",
    .doc = "the video files of a folder, one after another, as one stream; parsed, not transcoded",
    .params = ParamTable::of<VideoParams>(video_params()),
    .create = &FolderSource::create_video,
});
const SourceRegistration images(SourceDesc{
    .name = "image_dir",
    .doc = "the pictures of a folder as one stream; passed on encoded",
    .params = ParamTable::of<ImageParams>(image_params()),
    .create = &FolderSource::create_image,
});

}  // namespace
}  // namespace sightglass::adapters
