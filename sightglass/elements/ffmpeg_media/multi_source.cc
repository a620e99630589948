#include "sightglass/elements/ffmpeg_media/multi_source.h"

extern "C" {
#include <libavutil/log.h>
}

#include <algorithm>
#include <climits>
#include <utility>

#include "sightglass/elements/module_element.h"
#include "sightglass/memory/ffmpeg/pixel_formats.h"

namespace sightglass {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds first_pause = 100ms, longest_pause = 10s;

std::unexpected<Error> cancelled_error() {
  return fail(ErrorCode::cancelled, "the source has been stopped on request");
}

}  // namespace

Result<std::unique_ptr<Element>> FfmpegMultiSource::create(const ParamSet& params) {
  // What goes wrong is told as errors and warnings of the element; a program that has set a level keeps it.
  if (av_log_get_level() == AV_LOG_INFO) av_log_set_level(AV_LOG_FATAL);
  return std::make_unique<FfmpegMultiSource>(params.as<Params>());
}

Status FfmpegMultiSource::start() {
  if (params_.inputs.empty())
    return fail(ErrorCode::invalid_argument,
                "inputs is empty; name files, URLs or cameras: inputs=<a.mp4,b.mp4>");
  if (params_.memory == Params::Memory::va || params_.memory == Params::Memory::cuda)
    return fail(ErrorCode::unavailable,
                "memory={} is not usable: pictures are decoded by the CPU; usable: auto, system",
                params_.memory == Params::Memory::va ? "va" : "cuda");
  for (const std::string& input : params_.inputs)
    if (input.empty()) return fail(ErrorCode::invalid_argument, "one of the inputs is an empty name");
  stop();
  cancelled_ = false;
  any_frame_ = false;
  first_error_ = {};
  arrivals_ = 0;
  const size_t count = params_.inputs.size();
  const size_t ahead = std::max<size_t>(1, params_.queue_size / count);
  const int threads = int(std::clamp<size_t>(std::thread::hardware_concurrency() / count, 1, 16));
  for (size_t i = 0; i < count; ++i)
    inputs_.push_back(
        std::make_unique<Input>(i,
                                InputDecoder::Options{.location = params_.inputs[i],
                                                      .threads = threads,
                                                      .timeout = std::chrono::milliseconds(params_.timeout)},
                                cancelled_, ahead));
  for (auto& input : inputs_) input->thread = std::jthread([this, &input = *input] { run(input); });
  return {};
}

void FfmpegMultiSource::cancel() {
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (auto& input : inputs_) input->space.notify_all();
  }
  arrived_.notify_all();
  cancelled_changed_.notify_all();
}

void FfmpegMultiSource::stop() {
  cancel();
  for (auto& input : inputs_)
    if (input->thread.joinable()) input->thread.join();
  inputs_.clear();
}

std::vector<std::string> FfmpegMultiSource::take_warnings() {
  std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

void FfmpegMultiSource::warn(std::string warning) {
  std::lock_guard lock(mutex_);
  warnings_.push_back(std::move(warning));
}

bool FfmpegMultiSource::wait(std::chrono::nanoseconds time) {
  std::unique_lock lock(mutex_);
  return !cancelled_changed_.wait_for(lock, time, [&] { return cancelled_.load(); });
}

// ---- the thread of an input

int FfmpegMultiSource::allowed_retries(const Input& input) const {
  if (params_.on_eos == Params::OnEos::wait && !input.delivered) return INT_MAX;
  if (!input.decoder.network() || !input.delivered) return 0;
  if (params_.retries >= 0) return params_.retries;
  return input.decoder.live() ? INT_MAX : 5;
}

bool FfmpegMultiSource::open_with_retries(Input& input) {
  std::chrono::nanoseconds pause = first_pause;
  const bool again = input.delivered;
  bool told = again;  // the outage itself has been told already
  for (int attempt = 0;; ++attempt) {
    if (cancelled_) return false;
    if (again || attempt > 0) {
      if (!wait(pause)) return false;
      pause = std::min(pause * 2, longest_pause);
    }
    auto opened = input.decoder.open();
    if (opened) return true;
    if (cancelled_) return false;
    if (attempt + (again ? 1 : 0) >= allowed_retries(input)) {
      end(input, std::move(opened.error()));
      return false;
    }
    if (!std::exchange(told, true)) warn(opened.error().message + "; it is tried again");
  }
}

void FfmpegMultiSource::run(Input& input) {
  while (open_with_retries(input)) {
    const Outcome outcome = play(input);
    if (outcome == Outcome::cancelled) return;
    const bool lost = outcome == Outcome::broken || input.decoder.live();
    if (lost && allowed_retries(input) > 0) continue;
    if (!input.delivered && input.failure.message.empty())
      input.failure = {ErrorCode::corrupt, input.name + ": no picture in it can be decoded", {}, {}};
    return end(input, std::move(input.failure));
  }
}

// One connection, or all passes of a file.
FfmpegMultiSource::Outcome FfmpegMultiSource::play(Input& input) {
  InputDecoder& decoder = input.decoder;
  if (input.delivered && decoder.live()) {
    // The gap of the outage stays visible in the times.
    const auto since_first = std::chrono::nanoseconds(Clock::now() - input.first_shown).count();
    input.offset = std::max<Time>(input.next, since_first);
  }
  Time resume_after = decoder.live() ? -1 : input.decoded_to;
  uint64_t damaged = decoder.damaged_packets();
  bool damage_told = false, any = false;
  while (true) {
    Ref<AvPicture> picture = pictures_->take();
    auto times = decoder.read(picture->av());
    if (cancelled_) return Outcome::cancelled;
    if (!damage_told && decoder.damaged_packets() > damaged) {
      damage_told = true;
      warn(input.name + ": some of its pictures are damaged");
    }
    if (!times) {
      if (input.delivered)
        warn(times.error().message);
      else
        input.failure = std::move(times.error());
      if (decoder.network()) return Outcome::broken;
    }
    if (!times || !*times) {
      const bool loop = params_.on_eos == Params::OnEos::loop && !decoder.live();
      if (!loop || !any) return Outcome::ended;  // a file that gives nothing is not read for ever
      any = false;
      input.offset = input.next;
      input.decoded_to = resume_after = -1;
      if (auto back = decoder.rewind(); !back) {
        if (cancelled_) return Outcome::cancelled;
        warn(back.error().message);
        return decoder.network() ? Outcome::broken : Outcome::ended;
      }
      continue;
    }
    any = true;
    if ((*times)->pts <= resume_after) continue;  // seen before the connection broke
    Item item;
    item.picture = std::move(picture);
    item.pts = (*times)->pts + input.offset;
    item.duration = (*times)->duration;
    item.frame_rate = decoder.frame_rate();
    input.decoded_to = std::max(input.decoded_to, (*times)->pts);
    input.next = std::max(input.next, item.pts + std::max<Time>(item.duration, 1));
    if (!std::exchange(input.delivered, true))
      input.first_shown = Clock::now() - std::chrono::nanoseconds(item.pts);
    if (params_.realtime && !decoder.live()) {
      const auto early = input.first_shown + std::chrono::nanoseconds(item.pts) - Clock::now();
      if (early > 0ns && !wait(early)) return Outcome::cancelled;
    }
    if (!push(input, std::move(item))) return Outcome::cancelled;
  }
}

bool FfmpegMultiSource::push(Input& input, Item item) {
  {
    std::unique_lock lock(mutex_);
    input.space.wait(lock, [&] { return cancelled_ || input.count < input.items.size(); });
    if (cancelled_) return false;
    item.arrival = ++arrivals_;
    input.items[(input.first + input.count++) % input.items.size()] = std::move(item);
    any_frame_ = true;
  }
  arrived_.notify_one();
  return true;
}

void FfmpegMultiSource::end(Input& input, Error error) {
  {
    std::lock_guard lock(mutex_);
    input.ended = true;
    if (!error.message.empty()) {
      if (!input.delivered && first_error_.message.empty()) first_error_ = error;
      warnings_.push_back(error.message);
    }
  }
  arrived_.notify_all();
}

// ---- the reader

FfmpegMultiSource::Input* FfmpegMultiSource::next_input() {
  Input* next = nullptr;
  for (auto& input : inputs_)
    if (input->count > 0 && (!next || input->items[input->first].arrival < next->items[next->first].arrival))
      next = input.get();
  return next;
}

bool FfmpegMultiSource::all_ended() const {
  return std::ranges::all_of(inputs_, [](const auto& input) { return input->ended && input->count == 0; });
}

Result<std::vector<Format>> FfmpegMultiSource::formats() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return cancelled_ || next_input() || all_ended(); });
  if (cancelled_) return cancelled_error();
  const Input* const input = next_input();
  if (!input) {
    if (!first_error_.message.empty()) return std::unexpected(first_error_);
    return fail(ErrorCode::corrupt, "{}: no picture in {}", inputs_.front()->name,
                inputs_.size() > 1 ? "this and all other inputs" : "it");
  }
  const Item& item = input->items[input->first];
  const AVFrame& picture = item.picture->av();
  std::vector<Format> formats;
  const auto add = [&](const VideoInfo& video) { formats.emplace_back().media = video; };
  if (PictureAdapter::needed(picture)) {
    VideoInfo video;
    video.width = picture.width;
    video.height = picture.height;
    video.frame_rate = item.frame_rate;
    for (const PixelFormat choice : PictureAdapter::choices(picture)) {
      video.format = choice;
      add(video);
    }
  } else {
    auto native = video_of(picture);
    if (!native) return forward_error(native);
    native->frame_rate = item.frame_rate;
    add(*native);
  }
  return formats;
}

Status FfmpegMultiSource::configure(const Format&, const Format& output) {
  if (const VideoInfo* video = output.video()) wanted_ = video->format;
  return {};
}

Status FfmpegMultiSource::show(Input& input, Item& item, Frame& frame) {
  AVFrame& picture = item.picture->av();
  if (PictureAdapter::needed(picture)) {
    const auto choices = PictureAdapter::choices(picture);
    const bool can = wanted_ && std::ranges::find(choices, *wanted_) != choices.end();
    if (auto status = input.adapter.adapt(picture, can ? *wanted_ : choices.front()); !status) return status;
  }
  item.picture->apply_crop(frame.crop);
  auto video = video_of(picture);
  if (!video) return forward_error(video);
  video->frame_rate = item.frame_rate;
  if (auto status = item.picture->show(*video, MemoryKind::system, frame); !status) return status;
  frame.pts = item.pts;
  frame.duration = item.duration > 0 ? item.duration : no_time;
  frame.source = SourceId{.stream = input.place, .pts = item.pts};
  return {};
}

Result<bool> FfmpegMultiSource::read(Frame& frame, Output&) {
  frame.clear();
  while (true) {
    Item item;
    Input* input = nullptr;
    {
      std::unique_lock lock(mutex_);
      const bool stays = params_.on_eos == Params::OnEos::wait;
      arrived_.wait(lock, [&] { return cancelled_ || next_input() || (!stays && all_ended()); });
      if (cancelled_) return cancelled_error();
      input = next_input();
      if (!input) {
        if (!any_frame_ && !first_error_.message.empty()) return std::unexpected(first_error_);
        return false;
      }
      item = std::move(input->items[input->first]);
      input->first = (input->first + 1) % input->items.size();
      --input->count;
    }
    input->space.notify_one();
    auto shown = show(*input, item, frame);
    if (shown) return true;
    warn(input->name + ": " + shown.error().message);
    frame.clear();
  }
}

namespace {
const ModuleElement registration("ffmpeg_multi_source", &FfmpegMultiSource::create);
}

}  // namespace sightglass
