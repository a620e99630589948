#include "sightglass/adapters/sources/file_feed.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "sightglass/stream/uuid.h"

extern "C" {
#include <libavutil/mathematics.h>
}

namespace sightglass::adapters {
namespace {

constexpr AVRational ns{1, 1'000'000'000};

AVRational rational(Fraction value) { return {value.num, value.den}; }

bool stands_alone(std::string_view codec) {
  return codec == "raw" || codec == "mjpeg" || codec == "jpeg" || codec == "png";
}

Time wall_clock_ns() {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(system_clock::now().time_since_epoch()).count();
}

// As if the file had been recorded with this rate: each unit of its time base becomes longer or shorter.
void set_rate(MediaInfo& info, Fraction fps) {
  if (fps.num <= 0) return;
  if (info.framerate.num > 0) {
    const AVRational base =
        av_mul_q(rational(info.time_base), av_div_q(rational(info.framerate), rational(fps)));
    int num = 0, den = 0;
    av_reduce(&num, &den, base.num, base.den, 1'000'000'000);
    if (num > 0 && den > 0) info.time_base = {num, den};
  }
  info.framerate = fps;
}

}  // namespace

FileFeed::FileFeed(const Options& options, std::string source_id)
    : options_(options), messages_(std::move(source_id), stream::make_uuid_v7()) {}

Status FileFeed::play(AccessUnits& units, Deliver& out, const std::stop_token& stop, const Media& media) {
  // Nothing is converted per frame that nobody asks for: a file as fast as possible is limited by this loop.
  const bool needs_time = media.stop > 0 || options_.max_fps > 0 || options_.pace.waits() ||
                          options_.timestamps == Timestamps::wall || media.metadata;
  std::optional<int64_t> first;
  int64_t shift = 0, at_number = media.number, end = 0;
  Time wall_begin = 0;
  const Time list_begin = played_;
  MediaInfo info;
  AVRational base{};
  Status status;
  while (!has_stopped(stop)) {
    auto next = units.next();
    if (!next) {
      if (next.error().code != ErrorCode::cancelled) status = forward_error(next);
      break;
    }
    if (!*next) break;
    AccessUnit& unit = **next;
    const int64_t pts = unit.pts;
    if (const MediaInfo& now = units.info(); !first || now.width != info.width || now.height != info.height) {
      info = now;
      set_rate(info, options_.fps);
      base = rational(info.time_base);
    }
    if (!first) {
      first = end = unit.pts;
      if (options_.timestamps == Timestamps::wall) {
        if (!wall_) wall_ = wall_clock_ns();
        wall_begin = *wall_ + list_begin;
        shift = av_rescale_q(wall_begin, ns, base) - unit.pts;
      } else if (has_epoch_) {
        // Goes on where the last file, or the last round, has ended.
        shift = av_rescale_q(epoch_end_, ns, base) - unit.pts;
      }
    }
    const Time at = needs_time ? av_rescale_q(unit.pts - *first, base, ns) : 0;
    if (media.stop > 0 && double(at) * 1e-9 >= media.stop) break;
    int64_t duration = unit.duration;
    if (duration <= 0 && info.framerate.num > 0)
      duration = av_rescale_q(1, {info.framerate.den, info.framerate.num}, base);
    end = std::max(end, unit.pts + std::max<int64_t>(duration, 1));
    int64_t number = at_number++;
    if (media.shown) {
      const auto place = std::ranges::lower_bound(*media.shown, unit.pts);
      number = place - media.shown->begin();
    }
    if (is_surplus(info, list_begin + at)) continue;
    if (!options_.pace.wait(list_begin + at, stop)) break;
    stream::Delivery delivery = messages_.frame(info, std::move(unit), shift);
    has_epoch_ = true;
    if (media.metadata || wall_) {
      // Nobody else has it yet.
      auto& frame = *std::const_pointer_cast<stream::Message>(delivery.message)->frame;
      if (wall_) frame.captured_us = (wall_begin + at) / 1000;
      if (media.metadata) {
        const Time half = std::max<Time>(av_rescale_q(duration, base, ns) / 2, 1'000'000);
        media.metadata->add_to(frame, number, av_rescale_q(pts, base, ns), half, media.name);
      }
    }
    if (media.settlement) delivery.settlement = media.settlement();
    is_refused_ = !out.deliver(std::move(delivery));
  }
  if (first) {
    played_ = list_begin + av_rescale_q(end - *first, base, ns);
    epoch_end_ = std::max(epoch_end_, av_rescale_q(end + shift, base, ns));
  }
  return status;
}

void FileFeed::end(Deliver& out, stream::EndReason reason, std::shared_ptr<stream::Settlement> settlement) {
  if (is_refused_) return;
  if (!has_epoch_) {  // there is nothing to end
    if (settlement) settlement->processed();
    return;
  }
  stream::Delivery end = messages_.end(reason);
  end.settlement = std::move(settlement);
  is_refused_ = !out.deliver(std::move(end));
  messages_.begin_epoch();
  has_epoch_ = false;
  epoch_end_ = 0;
}

bool FileFeed::is_surplus(const MediaInfo& info, Time at) {
  if (options_.max_fps <= 0 || !stands_alone(info.codec)) return false;
  if (at < next_due_) return true;
  next_due_ = std::max(next_due_ + Time(1e9 / options_.max_fps), at);
  return false;
}

stream::Delivery shutdown_message(const std::string& token) {
  auto message = std::make_shared<stream::Message>();
  message->kind = stream::Kind::shutdown;
  message->source_id = "shutdown";  // of no stream, but names are checked
  message->producer = stream::make_uuid_v7();
  message->shutdown.emplace().token = token;
  return {.message = std::move(message)};
}

}  // namespace sightglass::adapters
