// /v1/streams, /v1/frames and /v1/events.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "sightglass/adapters/sources/frame_messages.h"
#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/console/api.h"
#include "sightglass/console/json_text.h"
#include "sightglass/stream/bitstream.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::console {
namespace {

using module::StreamAction;
using module::StreamStatus;

constexpr size_t most_listed = 1000;
constexpr int64_t most_pixels = 67'108'864;
constexpr auto picture_timeout = std::chrono::seconds(10);

// What its source says of a stream, where that is in this process.
Json describe(const adapters::SourceStatus& source) {
  return {{"state", adapters::to_string(source.state)},
          {"since", source.since},
          {"fps", source.fps},
          {"frames", source.frames},
          {"reconnects", source.reconnects},
          {"blocked_seconds", source.blocked_seconds},
          {"last_error", source.last_error}};
}

void add_source(const module::ModuleStatus& status, std::string_view id, Json& stream) {
  for (const adapters::SourceStatus& source : status.sources)
    if (source.source_id == id) stream["source"] = describe(source);
}

Json describe(const StreamStatus& stream) {
  Json dropped = Json::object();
  uint64_t total = 0;
  for (const auto& [reason, count] : stream.dropped) dropped[reason] = count, total += count;
  return {{"id", stream.id},
          {"state", stream.state},
          {"epoch", stream.epoch},
          {"since", stream.since},
          {"codec", stream.codec},
          {"size", {{"width", stream.width}, {"height", stream.height}}},
          {"fps", stream.fps},
          {"lag", stream.lag},
          {"inflight_age", stream.inflight_age},
          {"received", stream.received},
          {"stored", stream.stored},
          {"in_flight", stream.in_flight},
          {"queued", stream.queued},
          {"lost", stream.lost},
          {"duplicate", stream.duplicate},
          {"fenced", stream.fenced},
          {"decoder_fallbacks", stream.decoder_fallbacks},
          {"dropped", total},
          {"dropped_by", std::move(dropped)},
          {"last_error", stream.last_error},
          {"retry_in", stream.retry_in}};
}

std::optional<StreamAction> action_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, StreamAction>, 5> actions = {
      {{"end", StreamAction::end},
       {"quarantine", StreamAction::quarantine},
       {"release", StreamAction::release},
       {"recycle", StreamAction::recycle},
       {"request_keyframe", StreamAction::request_keyframe}}};
  const auto found = std::ranges::find(actions, name, &std::pair<std::string_view, StreamAction>::first);
  return found == actions.end() ? std::nullopt : std::optional(found->second);
}

class StreamRoutes {
 public:
  StreamRoutes(module::Module& module, module::AuditLog& audit) : module_(module), audit_(audit) {}

  Response list(const Request& request) const {
    const std::string state = value_or(request.query, "state", ""),
                      after = value_or(request.query, "after", "");
    size_t limit = 100;
    const std::string text = value_or(request.query, "limit", "100");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
    if (error != std::errc{} || end != text.data() + text.size() || limit < 1 || limit > most_listed)
      return problem(400, std::format("limit is a number of 1 to {}", most_listed));
    const module::ModuleStatus status = module_.status();
    std::vector<StreamStatus> streams = status.streams;
    std::ranges::sort(streams, {}, &StreamStatus::id);
    Json list = Json::array();
    for (const StreamStatus& stream : streams) {
      if (stream.id <= after && !after.empty()) continue;
      if (!state.empty() && !same_state(stream.state, state)) continue;
      list.push_back(describe(stream));
      add_source(status, stream.id, list.back());
      if (list.size() == limit) break;
    }
    return json_response(list);
  }

  Response get(const Request& request) const {
    const module::ModuleStatus status = module_.status();
    for (const StreamStatus& stream : status.streams) {
      if (stream.id != request.path.at("id")) continue;
      Json body = describe(stream);
      add_source(status, stream.id, body);
      return json_response(body);
    }
    return problem(404, "there is no stream " + request.path.at("id"));
  }

  Response end(const Request& request) { return act(request, "end", StreamAction::end); }

  Response act(const Request& request) {
    const Json body = parse_body(request.body);
    if (!body.is_object() || !body.contains("action") || !body["action"].is_string())
      return problem(400,
                     R"(the body is {"action": "quarantine", "release", "recycle" or "request_keyframe"})");
    const std::string name = body["action"].get<std::string>();
    const auto action = action_of(name);
    if (!action)
      return problem(422, "there is no action " + name,
                     {{"action", "one of end, quarantine, release, recycle, request_keyframe", {}}});
    return act(request, name, *action);
  }

  Response snapshot(const Request& request) const {
    auto picture = module_.snapshot(request.path.at("id"));
    if (!picture) return problem(picture.error());
    return {.content_type = "image/jpeg", .body = std::string(picture->begin(), picture->end())};
  }

  // One picture as a stream of its own.
  Response frame(const Request& request) {
    const std::string codec = request.content_type.starts_with("image/jpeg")  ? "jpeg"
                              : request.content_type.starts_with("image/png") ? "png"
                                                                              : "";
    if (codec.empty()) return problem(415, "the body is a picture: image/jpeg or image/png");
    const std::span bytes(reinterpret_cast<const uint8_t*>(request.body.data()), request.body.size());
    const auto size = stream::picture_size(codec, bytes);
    if (!size) return problem(422, "the body is no " + codec + " picture");
    if (int64_t(size->width) * size->height > most_pixels)
      return problem(422, std::format("a picture of over {} pixels", most_pixels));

    // It may wait for long, and other calls want to be served.
    const std::unique_lock turn(one_at_a_time_, std::try_to_lock);
    if (!turn) return problem(503, "another picture is being worked on");
    const auto deadline = std::chrono::steady_clock::now() + picture_timeout;
    const auto left_ms = [&] {
      using std::chrono::milliseconds;
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
      return int(std::max(left, milliseconds(0)).count());
    };

    const std::string id = "http-" + stream::to_string(stream::make_uuid_v7());
    struct Waiting {
      std::mutex mutex;
      std::condition_variable done;
      std::string record, ended;
    };
    const auto waiting = std::make_shared<Waiting>();
    const auto subscription = module_.subscribe([waiting, id](const adapters::RecordRef& record) {
      if (record->source_id != id) return;
      std::string text;
      const bool is_frame = record->kind == adapters::RecordKind::frame;
      if (!is_frame && record->kind != adapters::RecordKind::end_of_stream) return;
      adapters::write_record_json(*record, text);
      const std::lock_guard lock(waiting->mutex);
      (is_frame ? waiting->record : waiting->ended) = std::move(text);
      waiting->done.notify_all();
    });
    adapters::FrameMessages messages(id, stream::make_uuid_v7());
    const adapters::MediaInfo info{.codec = codec, .width = size->width, .height = size->height};
    adapters::AccessUnit unit;
    unit.payload = stream::own({bytes.begin(), bytes.end()});
    unit.keyframe = true;
    if (Status pushed = module_.push(messages.frame(info, unit), left_ms()); !pushed)
      return problem(pushed.error());
    (void)module_.push(messages.end(stream::EndReason::end), left_ms());
    std::unique_lock lock(waiting->mutex);
    waiting->done.wait_until(lock, deadline,
                             [&] { return !waiting->record.empty() || !waiting->ended.empty(); });
    if (!waiting->record.empty()) return {.body = waiting->record};
    if (!waiting->ended.empty()) return problem(422, "the picture could not be decoded");
    return problem(504, "no result within ten seconds");
  }

 private:
  static bool same_state(std::string_view a, std::string_view b) {
    return std::ranges::equal(
        a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
  }

  Response act(const Request& request, const std::string& name, StreamAction action) {
    const std::string& id = request.path.at("id");
    const Status done = module_.act(id, action);
    audit_.add({.who = request.who,
                .call = std::string(to_string(request.method)) + " /v1/streams/" + id + " " + name,
                .result = done ? "accepted" : done.error().message});
    if (!done) return problem(done.error());
    return json_response({{"id", id}, {"action", name}}, 202);
  }

  module::Module& module_;
  module::AuditLog& audit_;
  std::mutex one_at_a_time_;  // pictures
};

}  // namespace

void add_stream_routes(module::Module& module, module::AuditLog& audit, std::vector<Route>& routes) {
  const auto calls = std::make_shared<StreamRoutes>(module, audit);
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/streams",
                    .summary = "Virtual streams, by id",
                    .statuses = {200, 400},
                    .query = {{"state", "only of this state"},
                              {"limit", "1 to 1000, default 100"},
                              {"after", "only ids behind this one"}},
                    .answer = "state, size, rate, lag and counts of each",
                    .handle = [calls](const Request& r) { return calls->list(r); }});
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/streams/{id}",
                    .summary = "One stream",
                    .statuses = {200, 404},
                    .answer = "state, size, rate, lag and counts",
                    .handle = [calls](const Request& r) { return calls->get(r); }});
  routes.push_back({.method = Method::delete_,
                    .pattern = "/v1/streams/{id}",
                    .scope = Scope::control,
                    .summary = "Ends a stream behind the frames that wait",
                    .statuses = {202, 404, 409},
                    .answer = "accepted",
                    .handle = [calls](const Request& r) { return calls->end(r); }});
  routes.push_back({.method = Method::post,
                    .pattern = "/v1/streams/{id}/actions",
                    .scope = Scope::control,
                    .summary = "quarantine, release, recycle, request_keyframe",
                    .statuses = {202, 400, 404, 409, 422},
                    .request_example = R"({"action":"recycle"})",
                    .answer = "accepted",
                    .handle = [calls](const Request& r) { return calls->act(r); }});
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/streams/{id}/snapshot.jpg",
                    .summary = "The latest picture with its results drawn",
                    .statuses = {200, 404, 503},
                    .answer = "a JPEG picture",
                    .handle = [calls](const Request& r) { return calls->snapshot(r); }});
  routes.push_back({.method = Method::post,
                    .pattern = "/v1/frames",
                    .scope = Scope::control,
                    .summary = "One JPEG or PNG picture through the pipeline",
                    .statuses = {200, 415, 422, 503, 504},
                    .answer = "its record",
                    .handle = [calls](const Request& r) { return calls->frame(r); },
                    .most_body = size_t(32) << 20,
                    .takes_json = false});
  routes.push_back({.method = Method::get,
                    .pattern = "/v1/events",
                    .summary = "Changes of state as they happen (server-sent events)",
                    .statuses = {200, 503},
                    .answer = "events `stream` with {id, from, to, reason, at_us}"});
}

}  // namespace sightglass::console
