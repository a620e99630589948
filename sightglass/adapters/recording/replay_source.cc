// A recording once more: the same messages with the same uuids, from a time or a keyframe on, at any speed.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <map>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/recording/segment.h"
#include "sightglass/adapters/sources/pace.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/adapters/tls_params.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

struct Params {
  std::string location, start, stop, source_id;
  std::vector<std::string> sources;
  double speed = 1;
  int64_t frames = 0;
  bool results = true;
};

// A time as people write it, 2026-11-22T10:15:00.5Z or seconds since 1970, or the uuid of a frame.
struct Point {
  int64_t time_us = 0;
  std::optional<stream::Uuid> uuid;
};

std::optional<Point> parse_point(const std::string& text) {
  if (const auto uuid = stream::parse_uuid(text)) return Point{stream::unix_ms(*uuid) * 1000, uuid};
  double seconds = 0;
  const char* const end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, seconds); read.ec == std::errc{} && read.ptr == end)
    return seconds >= 0 && seconds < 9e12 ? std::optional(Point{int64_t(seconds * 1e6), {}}) : std::nullopt;
  std::tm utc{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
  if (!rest) return std::nullopt;
  double fraction = 0;
  if (*rest == '.') {
    const auto read = std::from_chars(rest, end, fraction);
    if (read.ec != std::errc{}) return std::nullopt;
    rest = read.ptr;
  }
  if (std::string_view(rest) != "Z") return std::nullopt;
  return Point{int64_t(timegm(&utc)) * 1'000'000 + int64_t(fraction * 1e6), {}};
}

class Replay final : public Source {
 public:
  Replay(Params params, Pace pace, Point from, Point to, stream::Limits limits)
      : params_(std::move(params)), pace_(pace), from_(from), to_(to), reader_(reader_options(limits)) {}

  static Result<std::unique_ptr<Source>> create(const ParamSet& set, const SourceContext& context) {
    Params params = set.as<Params>();
    if (params.location.empty())
      return fail(ErrorCode::invalid_argument, "{}: location is missing: the folder of a recording",
                  context.name);
    params.location = path_from(context.folder, params.location);
    const auto bad = [&](const char* key, const std::string& value) {
      return fail(
          ErrorCode::invalid_argument,
          "{}: {}: '{}' is neither a time such as 2026-11-22T10:15:00Z, seconds since 1970, nor the uuid "
          "of a frame",
          context.name, key, value);
    };
    Point from, to{.time_us = std::numeric_limits<int64_t>::max()};
    if (!params.start.empty()) {
      const auto point = parse_point(params.start);
      if (!point) return bad("start", params.start);
      from = *point;
    }
    if (!params.stop.empty()) {
      const auto point = parse_point(params.stop);
      if (!point) return bad("stop", params.stop);
      to = *point;
    }
    if (to.time_us < from.time_us)
      return fail(ErrorCode::invalid_argument, "{}: stop ({}) is before start ({})", context.name,
                  params.stop, params.start);
    if (!params.source_id.empty()) {
      std::string id = params.source_id;
      if (const size_t at = id.find("{id}"); at != id.npos) id.replace(at, 4, "x");
      if (Status valid = check_source_id(id); !valid) return forward_error(valid);
    }
    Pace pace;
    if (params.speed > 0) {
      auto parsed = Pace::parse(std::to_string(params.speed));
      if (!parsed) return forward_error(parsed);
      pace = *parsed;
    }
    return std::make_unique<Replay>(std::move(params), pace, from, to, context.limits);
  }

  Status start() override {
    auto segments = segments_of(params_.location);
    if (!segments) return forward_error(segments);
    if (segments->empty())
      return fail(ErrorCode::not_found, "{}: there is no recording in it", params_.location);
    // Records come a little out of order, after an outage of the sink by more: looked for this far.
    for (size_t i = 0; i < segments->size(); ++i) {
      const bool is_before =
          i + 1 < segments->size() && *segment_time((*segments)[i + 1]) + disorder_us < from_.time_us;
      const bool is_behind = *segment_time((*segments)[i]) - disorder_us > to_.time_us;
      if (!is_before && !is_behind) segments_.push_back((*segments)[i]);
    }
    return {};
  }

  Status run(Deliver& out, std::stop_token stop) override {
    for (const auto& path : segments_) {
      if (is_over_ || stop.stop_requested()) break;
      auto segment = SegmentReader::open(path);
      if (!segment) {
        // One that was deleted meanwhile, or whose writer had no room for its first bytes.
        if (segments_.size() == 1) return forward_error(segment);
        ++damaged_;
        continue;
      }
      while (auto place = (*segment)->next()) {
        if (stop.stop_requested() || is_over_) break;
        if (!is_wanted(*place)) continue;
        if (!deliver(**segment, *place, out, stop)) break;
      }
      damaged_ += (*segment)->is_torn();
    }
    if (is_refused_ || stop.stop_requested()) return {};
    if (from_.uuid && !has_begun_)
      return fail(ErrorCode::not_found, "start: no keyframe {} of this recording", params_.start);
    if (!conflict_.empty())
      return fail(
          ErrorCode::invalid_argument,
          "source-id: the recording also has the stream {}; name one in sources, or put {{id}} into {}",
          conflict_, params_.source_id);
    for (auto& [id, stream] : streams_)
      if (stream.is_open && !out.deliver(end_of(stream))) break;
    return {};
  }

  std::map<std::string, uint64_t> rejected() const override {
    std::map<std::string, uint64_t> counts;
    if (const uint64_t count = damaged_) counts["damaged"] = count;
    return counts;
  }

 private:
  struct Stream {
    std::string id;
    int64_t epoch = 0, seq = 0, frames = 0;
    bool is_open = false;
    std::optional<stream::Uuid> last;
  };

  static stream::ReaderOptions reader_options(const stream::Limits& limits) {
    stream::ReaderOptions options;
    options.limits = limits;
    options.verify_payload = false;  // segments have checksums of their own
    return options;
  }

  bool is_wanted(const RecordedPlace& place) {
    if (!params_.sources.empty() && !std::ranges::contains(params_.sources, place.source_id)) return false;
    if (place.time_us > to_.time_us) return false;
    if (from_.uuid && !has_begun_) {
      if (place.uuid != *from_.uuid || !place.is_keyframe) return false;
      has_begun_ = true;
    } else if (place.time_us < from_.time_us) {
      return false;
    }
    // Two streams cannot become one.
    if (!params_.source_id.empty() && params_.source_id.find("{id}") == std::string::npos &&
        !streams_.empty() && !streams_.contains(place.source_id)) {
      conflict_ = place.source_id;
      is_over_ = true;
      return false;
    }
    // Nothing can be decoded before a keyframe.
    return streams_.contains(place.source_id) || (place.is_frame && place.is_keyframe);
  }

  bool deliver(SegmentReader& segment, const RecordedPlace& place, Deliver& out,
               const std::stop_token& stop) {
    stream::Bytes body;
    stream::Payload payload;
    auto message = std::make_shared<stream::Message>();
    if (!segment.read(body, payload)) {
      ++damaged_;
      return true;
    }
    const stream::Bytes topic{reinterpret_cast<const uint8_t*>(place.source_id.data()),
                              place.source_id.size()};
    const stream::Bytes parts[] = {topic, body, payload.bytes};
    const auto reading = reader_.read(std::span(parts).first(payload.bytes.empty() ? 2 : 3), *message);
    if (reading.verdict != stream::Reading::Verdict::accepted) {
      ++damaged_;
      return true;
    }
    Stream& stream = stream_of(place.source_id);
    // A life of the stream opens with a keyframe.
    if (!stream.is_open && !(message->frame && message->frame->keyframe)) return true;
    message->source_id = stream.id;
    message->producer = producer_;
    message->epoch = stream.epoch;
    message->seq = stream.seq++;
    message->attempt = 0;
    if (message->frame) {
      if (!params_.results) {
        message->frame->objects.clear(), message->frame->attributes.clear(), message->frame->tags.clear();
      }
      stream.is_open = true;
      ++stream.frames;
      stream.last = message->frame->uuid;
      if (!pace_.wait(place.time_us * 1000, stop)) return false;
    }
    const bool is_end = message->end_of_stream.has_value();
    const bool is_last = message->frame && params_.frames > 0 && ++delivered_ >= params_.frames;
    stream::Delivery delivery{.message = std::move(message)};
    if (!payload.bytes.empty()) delivery.payloads.push_back(std::move(payload));
    if (!out.deliver(std::move(delivery))) return !(is_over_ = is_refused_ = true);
    if (is_end) ++stream.epoch, stream.seq = stream.frames = 0, stream.is_open = false, stream.last.reset();
    if (is_last || (to_.uuid && place.uuid == *to_.uuid)) is_over_ = true;
    return true;
  }

  Stream& stream_of(const std::string& recorded) {
    const auto found = streams_.find(recorded);
    if (found != streams_.end()) return found->second;
    Stream& stream = streams_[recorded];
    stream.id = params_.source_id.empty() ? recorded : params_.source_id;
    if (const size_t at = stream.id.find("{id}"); at != stream.id.npos) stream.id.replace(at, 4, recorded);
    return stream;
  }

  stream::Delivery end_of(Stream& stream) {
    auto message = std::make_shared<stream::Message>();
    message->kind = stream::Kind::end_of_stream;
    message->source_id = stream.id;
    message->producer = producer_;
    message->epoch = stream.epoch;
    message->seq = stream.seq++;
    message->end_of_stream = {
        .reason = stream::EndReason::end, .frames = stream.frames, .last_frame = stream.last};
    return {.message = std::move(message)};
  }

  static constexpr int64_t disorder_us = int64_t(600) * 1'000'000;
  const Params params_;
  Pace pace_;
  const Point from_, to_;
  const stream::Uuid producer_ = stream::make_uuid_v7();
  stream::MessageReader reader_;
  std::vector<std::filesystem::path> segments_;
  std::map<std::string, Stream> streams_;
  std::string conflict_;
  int64_t delivered_ = 0;
  bool has_begun_ = false, is_over_ = false, is_refused_ = false;
  std::atomic<uint64_t> damaged_ = 0;
};

const SourceRegistration registration(SourceDesc{
    .name = "replay",
    .doc = "a recording (sink recording) once more: the same messages with the same uuids",
    .params = ParamTable::of<Params>({
        param("location", &Params::location, "folder of the recording").required(),
        param("start", &Params::start,
              "where to begin: a time (2026-11-22T10:15:00Z) or the uuid of a keyframe"),
        param("stop", &Params::stop, "where to end: a time, or the uuid of the last frame"),
        param("frames", &Params::frames, "after how many frames to end; 0: any").range(0, 1e15),
        param("sources", &Params::sources, "only these streams; empty: all"),
        param("source-id", &Params::source_id,
              "another name for the stream; {id} stands for the recorded one; empty: as recorded"),
        param("speed", &Params::speed, "1: as it was recorded; 0: as fast as it is taken").range(0, 1000),
        param("results", &Params::results, "also what was known of the frames: objects, attributes, tags"),
    }),
    .create = &Replay::create,
});

}  // namespace
}  // namespace sightglass::adapters
