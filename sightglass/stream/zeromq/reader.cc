#include "sightglass/stream/zeromq/reader.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/recycler.h"
#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/zeromq/ack_desk.h"
#include "sightglass/stream/zeromq/control.h"
#include "sightglass/stream/zeromq/duplicate_filter.h"
#include "sightglass/stream/zeromq/parking.h"
#include "sightglass/stream/zeromq/shutdown_guard.h"

namespace sightglass::stream {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Between two looks at the events of the connections while messages keep coming.
constexpr int messages_per_look = 64;

std::string_view as_text(const Uuid& uuid) {
  return {reinterpret_cast<const char*>(uuid.data()), uuid.size()};
}

}  // namespace

struct ZmqReader::State {
  // A connection of a router on which the writer has said Hello.
  struct Peer {
    uint64_t connection = 0;
    Uuid producer{};
    uint64_t fingerprint = schema_fingerprint;
  };
  struct Parts {
    std::vector<MessagePart> parts;
  };

  State(Socket opened, ZmqReaderOptions given)
      : options(std::move(given)),
        socket(std::move(opened)),
        url(socket.url()),
        router(url.type == SocketType::router),
        schemas(options.messages.limits),
        reader(options.messages, &schemas),
        encoder(options.messages.limits),
        desk(std::make_shared<AckDesk>(options.acks)),
        gate(options.new_sources),
        guard(options.producers),
        shutdown(options.shutdown_token),
        filter(options.new_sources.remembered),
        peers(options.producers),
        routes(options.producers) {}

  ZmqReaderOptions options;
  Socket socket;
  const Url url;
  const bool router;
  const Uuid producer = make_uuid_v7();
  SchemaRegistry schemas;
  MessageReader reader;
  RejectionCounters rejections;  // of the transport
  MessageWriter encoder;
  std::shared_ptr<AckDesk> desk;
  SourceGate gate;
  ProducerGuard guard;
  ShutdownGuard shutdown;
  DuplicateFilter filter;
  Parking parking;
  RecentMap<Peer> peers;                    // by routing id
  RecentMap<std::string> routes;            // producer → routing id
  RecentMap<Clock::time_point> asked{256};  // routing ids that were told to greet
  RecentMap<Clock::time_point> told{256};   // those that were told of a source that may not come in
  uint64_t connection = 0;
  int64_t control_seq = 0;
  int until_look = 0;
  uint64_t awaited = 0;  // a schema that was just announced: its parked messages come first
  bool unparking = false;
  std::vector<Bytes> bytes;
  Recycler<Message> messages{256, [](Message&) {}};
  Recycler<Parts> part_lists{256, [](Parts& each) { each.parts.clear(); }};
  std::atomic<bool> interrupted{false}, paused{false};
  mutable std::mutex counts_mutex;
  Statistics counts;

  template <class Count>
  void count(Count Statistics::* which, Count more = 1) {
    std::lock_guard lock(counts_mutex);
    counts.*which += more;
  }

  // --- what has to be done from time to time

  void look_at_connections() {
    const uint64_t before = counts.connections.oversize;
    const Socket::Connections& current = socket.connections();
    if (current == counts.connections) return;
    for (uint64_t i = before; i < current.oversize; ++i) rejections.count(Rejection::oversize);
    std::lock_guard lock(counts_mutex);
    counts.connections = current;
  }

  void send_acks(Clock::time_point now, bool all = false) {
    std::vector<AckCollector::Due> due;
    {
      std::lock_guard lock(desk->mutex);
      for (const auto& [key, seq, uuid] : desk->forgotten) {
        filter.forget(key.producer, key.source, key.epoch, seq, uuid);
      }
      desk->forgotten.clear();
      due = desk->collector.due(now, all);
    }
    for (AckCollector::Due& each : due) {
      each.ack.level = options.level;
      send_ack(each.key, std::move(each.ack));
    }
  }

  void send_ack(const EpochKey& key, Ack ack) {
    const std::string* route = routes.find(as_text(key.producer));
    if (!route) return;
    Message message;
    message.source_id = key.source;
    message.epoch = key.epoch;
    message.ack = std::move(ack);
    // Where it does not go through, the writer sends again and gets the next one.
    reply(message, *route);
  }

  bool reply(Message& message, std::string_view route) {
    message.producer = producer;
    message.seq = control_seq++;
    const Peer* peer = peers.find(route);
    const uint64_t fingerprint = peer ? peer->fingerprint : schema_fingerprint;
    if (encoder.fingerprint() != fingerprint && !encoder.use_schema(fingerprint)) {
      (void)encoder.use_schema(schema_fingerprint);
    }
    return send_control_message(socket, encoder, message, route);
  }

  void say_hello(std::string_view route, Resume resume) {
    Message message =
        hello_message("reader", options.name, static_cast<int64_t>(options.messages.limits.part), resume);
    message.source_id = control_topic;
    reply(message, route);
  }

  Clock::time_point next_deadline(Clock::time_point until) {
    if (const auto at = parking.deadline()) until = std::min(until, *at);
    std::lock_guard lock(desk->mutex);
    if (const auto at = desk->collector.deadline()) until = std::min(until, *at);
    return until;
  }

  // --- messages

  Result<std::optional<Received>> next(std::chrono::milliseconds timeout) {
    const auto until = Clock::now() + timeout;
    for (;;) {
      const auto now = Clock::now();
      if (router) send_acks(now);
      if (--until_look < 0) {
        look_at_connections();
        until_look = messages_per_look;
      }
      for (const std::string& each : parking.expire(now)) {
        rejections.count(Rejection::schema_unknown);
        note_dropped(each);
      }
      if (interrupted.exchange(false)) return std::nullopt;

      std::optional<Received> received;
      bool worked = false;
      if (unparking && !paused) {
        auto parked = parking.take(awaited);
        unparking = parked.has_value();
        if (parked) {
          worked = true;
          received = handle(std::move(parked->parts), now);
        }
      }
      if (!worked && !paused) {
        auto parts = part_lists.get();
        auto got = socket.receive(parts->parts);
        if (!got) return forward_error(got);
        if (*got) {
          worked = true;
          received = handle(std::move(parts), now);
        }
      }
      if (received) return received;
      if (now >= until) return std::nullopt;
      if (worked) continue;
      until_look = 0;
      socket.wait({.readable = !paused, .wakeup = &desk->wakeup}, next_deadline(until) - now);
    }
  }

  std::optional<Received> handle(std::vector<MessagePart> parts, Clock::time_point now) {
    auto list = part_lists.get();
    list->parts = std::move(parts);
    return handle(std::move(list), now);
  }

  std::optional<Received> handle(std::shared_ptr<Parts> parts, Clock::time_point now) {
    bytes.clear();
    for (const MessagePart& part : parts->parts) bytes.push_back(part.bytes());
    uint64_t size = 0;
    for (const Bytes each : bytes) size += each.size();
    count(&Statistics::received);
    count(&Statistics::bytes, size);

    std::string route;
    std::span<const Bytes> body = bytes;
    if (router && !body.empty()) {
      route = parts->parts[0].text();
      body = body.subspan(1);
      if (guard.muted(route, now)) {
        note_dropped(route);
        return count(&Statistics::muted), std::nullopt;
      }
    }
    // Topics match by prefix, so the whole id is compared again.
    const std::string_view topic =
        body.empty() ? std::string_view()
                     : std::string_view(reinterpret_cast<const char*>(body[0].data()), body[0].size());
    const bool wanted = topic == control_topic || is_wanted(topic);
    if (!wanted && !router && is_source_id(topic)) return count(&Statistics::filtered), std::nullopt;

    auto message = messages.get();
    const Reading reading = reader.read(body, *message, now);
    switch (reading.verdict) {
      case Reading::Verdict::needs_schema:
        park(route, reading.fingerprint, parts->parts, now);
        return std::nullopt;
      case Reading::Verdict::rejected:
        rejected(*message, reading, route, now);
        return std::nullopt;
      case Reading::Verdict::ignored:
        if (router) settle_at_once(*message, route, now);
        return std::nullopt;
      case Reading::Verdict::accepted:
        break;
    }
    if (!router && guard.muted(as_text(message->producer), now))
      return count(&Statistics::muted), std::nullopt;
    if (topic == control_topic) {
      if (!control(*message, reading.fingerprint, route, now)) return std::nullopt;
    } else if (message->ack) {
      // Nobody acknowledges to a reader.
      rejections.count(Rejection::ack);
      return std::nullopt;
    } else {
      return source_message(std::move(parts), std::move(message), reading.payload, std::move(route), wanted,
                            now);
    }
    Received received;
    received.delivery.message = std::move(message);
    received.delivery.received_ns = now.time_since_epoch().count();
    received.delivery.lossless = url.type != SocketType::sub;
    return received;
  }

  bool is_wanted(std::string_view id) const {
    if (!id.starts_with(options.source_prefix)) return false;
    return options.sources.empty() || std::ranges::contains(options.sources, id);
  }

  void park(const std::string& route, uint64_t fingerprint, std::vector<MessagePart>& parts,
            Clock::time_point now) {
    if (router && parking.request_due(route, fingerprint, now)) {
      Message message;
      message.source_id = control_topic;
      message.schema_request.emplace().fingerprint = fingerprint_bytes(fingerprint);
      reply(message, route);
    }
    if (parking.park(route, fingerprint, parts, now)) {
      count(&Statistics::parked);
    } else {
      rejections.count(Rejection::schema_unknown);
      note_dropped(route);
    }
  }

  // A message is gone that its writer believes to be on its way.
  void note_dropped(const std::string& route) {
    const Peer* peer = router ? peers.find(route) : nullptr;
    if (!peer) return;
    std::lock_guard lock(desk->mutex);
    desk->collector.dropped(peer->connection);
  }

  void rejected(const Message& message, const Reading& reading, const std::string& route,
                Clock::time_point now) {
    if (!route.empty() || reading.identified) {
      if (guard.rejected(route.empty() ? as_text(message.producer) : std::string_view(route), now)) {
        count(&Statistics::mutes);
      }
    }
    // What is wrong now will be wrong when it comes again.
    const Peer* peer = router && reading.identified ? peers.find(route) : nullptr;
    if (!peer || peer->producer != message.producer || message.source_id == control_topic) {
      note_dropped(route);
      return;
    }
    const EpochKey key{message.producer, message.source_id, message.epoch};
    std::lock_guard lock(desk->mutex);
    if (!desk->collector.received(key, message.seq, peer->connection, now)) return;
    desk->collector.refuse(key, message.seq, reading.reason == Rejection::schema ? "schema" : "malformed",
                           false, now);
  }

  void settle_at_once(const Message& message, const std::string& route, Clock::time_point now) {
    const Peer* peer = peers.find(route);
    if (!peer || peer->producer != message.producer) return;
    const EpochKey key{message.producer, message.source_id, message.epoch};
    std::lock_guard lock(desk->mutex);
    if (desk->collector.received(key, message.seq, peer->connection, now))
      desk->collector.settle(key, message.seq, now);
  }

  // True: it is for the user.
  bool control(const Message& message, uint64_t fingerprint, const std::string& route,
               Clock::time_point now) {
    if (message.hello && router) {
      Peer& peer = peers[route];
      peer.connection = ++connection;
      peer.producer = message.producer;
      peer.fingerprint = fingerprint;
      routes[as_text(message.producer)] = route;
      say_hello(route, Resume::none);
    } else if (message.schema_announce) {
      uint64_t announced = 0;
      const Rejection reason =
          schemas.announce(message.producer, message.schema_announce->text, now, &announced);
      if (reason == Rejection::none) {
        awaited = announced;
        unparking = true;
      } else {
        rejections.count(reason);
        if (guard.rejected(route.empty() ? as_text(message.producer) : std::string_view(route), now)) {
          count(&Statistics::mutes);
        }
      }
    } else if (message.schema_request && router) {
      Message answer = announce_message();
      answer.source_id = control_topic;
      reply(answer, route);
    } else if (message.shutdown) {
      if (!message.shutdown->target.empty() && message.shutdown->target != options.shutdown_target)
        return false;
      if (shutdown.accept(message.shutdown->token, socket.trusted(), now)) return true;
      rejections.count(Rejection::token);
    }
    return false;
  }

  std::optional<Received> source_message(std::shared_ptr<Parts> parts, std::shared_ptr<Message> message,
                                         Bytes payload, std::string route, bool wanted,
                                         Clock::time_point now) {
    const EpochKey key{message->producer, message->source_id, message->epoch};
    if (router) {
      const Peer* peer = peers.find(route);
      if (!peer || peer->producer != message->producer) {
        // It does not know that this connection is a new one, or we have forgotten it.
        count(&Statistics::not_greeted);
        const auto* at = asked.find(route);
        if (!at || now - *at >= 1s) {
          asked[route] = now;
          say_hello(route, Resume::keyframe);
        }
        return std::nullopt;
      }
      if (wanted && !gate.admit(message->source_id, now)) {
        rejections.count(Rejection::source_flood);
        refuse_for_now(key, message->seq, route, now);
        return std::nullopt;
      }
      std::lock_guard lock(desk->mutex);
      if (!desk->collector.received(key, message->seq, peer->connection, now))
        return count(&Statistics::out_of_place), std::nullopt;
      const bool replay = message->frame && message->frame->replay;
      if (!wanted) {
        desk->collector.settle(key, message->seq, now);
        return count(&Statistics::filtered), std::nullopt;
      }
      if (message->attempt > options.max_attempts && !replay) {
        desk->collector.refuse(key, message->seq, "poison", false, now);
        return count(&Statistics::poison), std::nullopt;
      }
    } else if (!gate.admit(message->source_id, now)) {
      return rejections.count(Rejection::source_flood), std::nullopt;
    }

    std::optional<Uuid> uuid;
    if (message->frame) uuid = message->frame->uuid;
    if (router && is_wanted_again(key, *message))
      filter.forget(key.producer, key.source, key.epoch, message->seq, uuid);
    const auto check = filter.check(key.producer, key.source, key.epoch, message->seq, uuid);
    if (!router && check.missing > 0) count(&Statistics::lost, static_cast<uint64_t>(check.missing));
    if (check.verdict != DuplicateFilter::Verdict::fresh) {
      count(check.verdict == DuplicateFilter::Verdict::late ? &Statistics::late : &Statistics::duplicates);
      if (router) repeat(key, message->seq, check, now);
      return std::nullopt;
    }

    Received received;
    received.missing = check.missing;
    received.routing_id = std::move(route);
    Delivery& delivery = received.delivery;
    if (!payload.empty()) {
      const bool part = uses_part(*message);
      std::shared_ptr<const void> owner = message;
      if (part) owner = std::move(parts);
      delivery.payloads.push_back({payload, std::move(owner)});
    }
    if (router && message->frame && message->frame->replay) {
      // Was acknowledged long ago, and has no result to wait for.
      desk->change([&](Clock::time_point at) { desk->collector.settle(key, message->seq, at); });
    } else if (router) {
      delivery.settlement = desk_settlement(desk, *message, options.level);
    }
    delivery.received_ns = now.time_since_epoch().count();
    delivery.lossless = url.type != SocketType::sub;
    delivery.message = std::move(message);
    count(&Statistics::delivered);
    return received;
  }

  // A source that may not come in. Of these nothing is kept; the writer is told once a second.
  void refuse_for_now(const EpochKey& key, int64_t seq, const std::string& route, Clock::time_point now) {
    note_dropped(route);
    const auto* at = told.find(route);
    if (at && now - *at < 1s) return;
    told[route] = now;
    Ack ack;
    ack.producer = key.producer;
    ack.epoch = key.epoch;
    ack.level = options.level;
    ack.through = -1;
    ack.refused.push_back({seq, "limit", true});
    send_ack(key, std::move(ack));
  }

  bool is_wanted_again(const EpochKey& key, const Message& message) {
    std::lock_guard lock(desk->mutex);
    const auto found = desk->restarting.find(key);
    if (found == desk->restarting.end()) return false;
    const bool replay = message.frame && message.frame->replay;
    if (replay) found->second.is_replaying = true;
    if (!replay && found->second.is_replaying) desk->restarting.erase(found);
    return replay;
  }

  // A duplicate is acknowledged again. One that has another number than the first time, by its uuid, will not
  // be heard of under this number from anybody else; one of an epoch that is over neither.
  void repeat(const EpochKey& key, int64_t seq, const DuplicateFilter::Check& check, Clock::time_point now) {
    std::lock_guard lock(desk->mutex);
    if (check.verdict == DuplicateFilter::Verdict::late || check.by_uuid) {
      desk->collector.settle(key, seq, now);
    } else {
      desk->collector.repeat(key, now);
    }
  }
};

ZmqReader::ZmqReader(std::unique_ptr<State> state) : state_(std::move(state)) {}

ZmqReader::~ZmqReader() {
  // What was settled in the last milliseconds.
  if (state_->router) state_->send_acks(Clock::now(), true);
}

Result<std::unique_ptr<ZmqReader>> ZmqReader::open(const Url& url, ZmqReaderOptions options) {
  if (is_writer(url.type)) {
    return fail(ErrorCode::invalid_argument, "{}: {} writes, and this end reads; one of sub, pull, router",
                url.to_string(), to_string(url.type));
  }
  SocketOptions& socket_options = options.socket;
  socket_options.max_part =
      std::min<int64_t>(socket_options.max_part, static_cast<int64_t>(options.messages.limits.part));
  if (url.type == SocketType::sub) {
    socket_options.subscriptions = options.sources;
    if (options.sources.empty()) socket_options.subscriptions.push_back(options.source_prefix);
    socket_options.subscriptions.emplace_back(control_topic);
  }
  auto socket = Socket::open(url, socket_options);
  if (!socket) return forward_error(socket);
  return std::unique_ptr<ZmqReader>(
      new ZmqReader(std::make_unique<State>(std::move(*socket), std::move(options))));
}

Result<std::optional<Received>> ZmqReader::next(std::chrono::milliseconds timeout) {
  return state_->next(timeout);
}

void ZmqReader::interrupt() {
  state_->interrupted = true;
  state_->desk->wakeup.wake();
}

void ZmqReader::pause() { state_->paused = true; }

void ZmqReader::resume() {
  state_->paused = false;
  state_->desk->wakeup.wake();
}

void ZmqReader::processed(const Uuid& producer, std::string_view source, int64_t epoch, int64_t seq) {
  AckDesk& desk = *state_->desk;
  desk.change([&](Clock::time_point now) {
    desk.collector.settle({producer, std::string(source), epoch}, seq, now);
  });
}

void ZmqReader::request_keyframe(const Uuid& producer, std::string_view source, int64_t epoch) {
  AckDesk& desk = *state_->desk;
  desk.change([&](Clock::time_point now) {
    const EpochKey key{producer, std::string(source), epoch};
    if (desk.restarting.size() >= AckDesk::most_restarts && !desk.restarting.contains(key)) {
      desk.restarting.erase(
          std::ranges::min_element(desk.restarting, {}, [](const auto& each) { return each.second.order; }));
    }
    desk.restarting[key] = {.is_replaying = false, .order = ++desk.restarts};
    desk.collector.request_keyframe(key, now);
  });
}

const Url& ZmqReader::url() const { return state_->url; }
const std::vector<std::string>& ZmqReader::warnings() const { return state_->socket.warnings(); }

ZmqReader::Statistics ZmqReader::statistics() const {
  Statistics out;
  {
    std::lock_guard lock(state_->counts_mutex);
    out = state_->counts;
  }
  std::lock_guard lock(state_->desk->mutex);
  out.refused = state_->desk->refused;
  return out;
}

uint64_t ZmqReader::rejected(Rejection reason) const {
  return state_->reader.rejections().of(reason) + state_->rejections.of(reason);
}

uint64_t ZmqReader::rejected() const {
  return state_->reader.rejections().total() + state_->rejections.total();
}

}  // namespace sightglass::stream
