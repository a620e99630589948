#include "sightglass/stream/zeromq/writer.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "sightglass/stream/avro/schema.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/schema_registry.h"
#include "sightglass/stream/uuid.h"
#include "sightglass/stream/zeromq/announcement.h"
#include "sightglass/stream/zeromq/control.h"

namespace sightglass::stream {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Sources of which nothing was sent for longest are forgotten beyond this; their epochs are never used again.
constexpr size_t most_sources = 4096;
constexpr auto hello_interval = 1s;
// Senders wait meanwhile.
constexpr int answers_at_once = 256;

bool is_keyframe(const Message& message) { return message.frame && message.frame->keyframe; }

}  // namespace

struct ZmqWriter::State {
  struct Numbering {
    int64_t epoch = 0, seq = 0;
    uint64_t used = 0;
  };

  State(Socket opened, ZmqWriterOptions given)
      : options(std::move(given)),
        socket(std::move(opened)),
        url(socket.url()),
        dealer(url.type == SocketType::dealer),
        producer(make_uuid_v7()),
        encoder(options.limits),
        window(options.window),
        reader({.limits = options.limits, .verify_payload = false}, &schemas) {}

  ZmqWriterOptions options;
  Socket socket;  // of the thread alone, as all that stands behind it up to the mutex
  const Url url;
  const bool dealer;
  const Uuid producer;
  Wakeup wakeup;
  AnnouncementTimer announcements;
  Clock::time_point hello_at{};
  Socket::Connections connections;
  SchemaRegistry schemas;

  mutable std::mutex mutex;
  std::condition_variable room, done;
  MessageWriter encoder;
  std::map<std::string, Numbering, std::less<>> numbering;
  int64_t first_epoch = 0;  // of a source that is new here
  uint64_t uses = 0;
  std::deque<std::shared_ptr<const Packet>> queue;     // push, pub
  AckWindow window;                                    // dealer
  std::vector<std::shared_ptr<Settlement>> processed;  // of the thread alone: whom it has to tell
  MessageReader reader;
  Message scratch;                                             // of the thread
  int64_t reader_takes = std::numeric_limits<int64_t>::max();  // bytes in one part
  bool greeted = false, idle = false, stopping = false;
  std::atomic<bool> needs_processed{false}, acknowledges_early{false};  // the writer, its reader
  int blocked = 0;
  Statistics counts;
  int64_t control_seq = 0;

  std::thread thread;
  std::once_flag joined;

  // --- senders

  bool has_room(std::string_view source, uint64_t bytes) const {
    return dealer ? window.has_room(source, bytes) : queue.size() < options.queue;
  }

  Numbering& number(const std::string& source) {
    auto found = numbering.find(source);
    if (found == numbering.end()) {
      if (numbering.size() >= most_sources) forget_oldest();
      found = numbering.try_emplace(source, Numbering{first_epoch, 0, 0}).first;
    }
    found->second.used = ++uses;
    return found->second;
  }

  void forget_oldest() {
    const auto oldest =
        std::ranges::min_element(numbering, {}, [](const auto& entry) { return entry.second.used; });
    first_epoch = std::max(first_epoch, oldest->second.epoch + 1);
    numbering.erase(oldest);
  }

  Status send(Message& message, const Payload& payload, std::chrono::milliseconds timeout,
              std::shared_ptr<Settlement> settlement) {
    if (acknowledges_early) return too_early();
    if (!is_source_id(message.source_id)) {
      return fail(ErrorCode::invalid_argument,
                  "source id '{}': 1 to 128 letters, digits and . _ : -, the first a letter or digit, no ..",
                  message.source_id.substr(0, 128));
    }
    std::unique_lock lock(mutex);
    if (static_cast<int64_t>(payload.bytes.size()) > reader_takes) {
      return fail(ErrorCode::invalid_argument, "{}: a payload of {} bytes; the reader takes {} at most",
                  url.to_string(), payload.bytes.size(), reader_takes);
    }
    const uint64_t bytes = payload.bytes.size() + 1024;  // the body is not known yet, and small
    if (!has_room(message.source_id, bytes) && !stopping) {
      ++blocked;
      const bool in_time =
          room.wait_for(lock, timeout, [&] { return stopping || has_room(message.source_id, bytes); });
      --blocked;
      if (!in_time) {
        return fail(ErrorCode::exhausted, "{}: no room for '{}' within {} ms; {}", url.to_string(),
                    message.source_id, timeout.count(),
                    !counts.linked ? "no reader is connected"
                    : dealer       ? "the reader has not acknowledged what it got"
                                   : "the reader does not keep up");
      }
    }
    if (stopping) return fail(ErrorCode::cancelled, "{}: closed", url.to_string());

    Numbering& numbers = number(message.source_id);
    message.kind = kind_of(message);
    message.protocol = 1;
    message.producer = producer;
    message.epoch = numbers.epoch;
    message.seq = numbers.seq;
    message.attempt = 0;
    message.sent_us = now_us();
    auto packet = std::make_shared<Packet>();
    std::vector<uint8_t> body;
    if (Status status = encoder.write(message, payload.bytes, body); !status) return status;

    packet->source = message.source_id;
    packet->epoch = numbers.epoch;
    packet->seq = numbers.seq;
    packet->keyframe = is_keyframe(message);
    packet->end = message.end_of_stream.has_value();
    packet->bytes = body.size() + payload.bytes.size();
    packet->parts.reserve(3);
    packet->parts.push_back(MessagePart::copy_of(message.source_id));
    packet->parts.push_back(MessagePart::copy_of(body));
    if (!payload.bytes.empty() && uses_part(message)) packet->parts.push_back(MessagePart::share(payload));
    ++numbers.seq;
    if (packet->end) ++numbers.epoch, numbers.seq = 0;
    ++counts.sent;
    counts.bytes += packet->bytes;
    if (dealer) {
      packet->settlement = std::move(settlement);
      window.add(std::move(packet));
    } else {
      queue.push_back(std::move(packet));
    }
    const bool wake = std::exchange(idle, false);
    lock.unlock();
    if (wake) wakeup.wake();
    if (settlement) settlement->processed();
    return {};
  }

  Status flush(const std::function<bool()>& finished, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex);
    if (done.wait_for(lock, timeout, [&] { return stopping || acknowledges_early || finished(); }) &&
        finished())
      return {};
    if (acknowledges_early) return too_early();
    if (stopping) return fail(ErrorCode::cancelled, "{}: closed", url.to_string());
    return fail(ErrorCode::exhausted, "{}: {} messages {} after {} ms", url.to_string(), waiting(),
                dealer ? "are not acknowledged" : "could not be sent", timeout.count());
  }

  std::unexpected<Error> too_early() const {
    return fail(
        ErrorCode::not_negotiated,
        "{}: the reader acknowledges messages that stand in its queue, which may be lost; it has to say "
        "`ack: processed`",
        url.to_string());
  }

  size_t waiting() const { return dealer ? window.unacknowledged() : queue.size(); }

  // --- the thread

  // Control messages are small and sent at once or not at all; who needs them will ask or wait for the next.
  bool send_control(Message& message) {
    message.source_id = control_topic;
    message.producer = producer;
    message.seq = control_seq++;
    return send_control_message(socket, encoder, message, {});
  }

  // A connection that is not there yet would keep the greeting, and all that are tried meanwhile.
  bool can_greet() const {
    return !greeted && (url.bind || url.transport == Transport::inproc || connections.up);
  }

  void greet(Clock::time_point now) {
    Message message = hello_message("writer", options.name, static_cast<int64_t>(options.limits.part));
    hello_at = now + (send_control(message) ? hello_interval : 20ms);
  }

  void announce() {
    Message message = announce_message();
    (void)send_control(message);
  }

  void watch_connections(Clock::time_point now) {
    const Socket::Connections& current = socket.connections();
    if (current == connections) return;
    if (current.connected != connections.connected) announcements.again(now), hello_at = now;
    if (dealer && current.disconnected != connections.disconnected) greeted = false, hello_at = now;
    connections = current;
    counts.connections = current;
    counts.linked = dealer ? greeted : current.connected > current.disconnected;
  }

  void timers(Clock::time_point now) {
    if (!dealer) {
      if (announcements.due(now)) announce();
      return;
    }
    if (can_greet() && now >= hello_at) greet(now);
    if (greeted) window.tick(now);
  }

  void receive(Clock::time_point now, std::vector<DeadLetter>& letters) {
    std::vector<MessagePart> parts;
    for (int left = answers_at_once; left > 0; --left) {
      const auto got = socket.receive(parts);
      if (!got || !*got) break;
      std::vector<Bytes> bytes;
      for (const MessagePart& part : parts) bytes.push_back(part.bytes());
      const Reading reading = reader.read(bytes, scratch, now);
      if (reading.verdict != Reading::Verdict::accepted) continue;
      if (scratch.ack) {
        take(*scratch.ack, scratch.source_id, now, letters);
      } else if (scratch.hello) {
        write_as_read(fingerprint_of(bytes[1]));
        take(*scratch.hello, now);
      } else if (scratch.schema_request) {
        write_as_read(fingerprint_of(bytes[1]));
        announce();
      } else if (scratch.schema_announce) {
        (void)schemas.announce(scratch.producer, scratch.schema_announce->text, now);
      }
    }
  }

  // What the reader writes it can read; of two releases the older one's schema is that which both know.
  void write_as_read(uint64_t fingerprint) {
    if (fingerprint != encoder.fingerprint()) (void)encoder.use_schema(fingerprint);
  }

  void take(const Hello& hello, Clock::time_point now) {
    if (hello.resume == Resume::keyframe) {
      // It does not know us on this connection and has thrown away what came.
      if (greeted || now + hello_interval - hello_at > 100ms) greet(now);
      greeted = false;
    } else if (!greeted) {
      greeted = true;
      if (hello.max_part > 0) reader_takes = hello.max_part;
      if (!knows_schema(hello, encoder.fingerprint())) announce();
      window.restart();
    }
    counts.linked = greeted;
  }

  void take(const Ack& ack, std::string_view source, Clock::time_point now,
            std::vector<DeadLetter>& letters) {
    if (needs_processed && ack.level == AckLevel::accepted) {
      acknowledges_early = true;
      room.notify_all();
      done.notify_all();
      return;
    }
    AckWindow::Outcome outcome;
    if (ack.producer == producer)
      outcome = window.acknowledge(source, ack.epoch, ack.through, ack.refused, now);
    if (!outcome.known) {
      ++counts.bad_acks;
      return;
    }
    if (ack.resume == Resume::keyframe) window.rewind(source);
    counts.acknowledged += outcome.settled;
    counts.refused += outcome.refused.size();
    for (auto& each : outcome.refused) letters.push_back({std::move(each.packet), std::move(each.code)});
    std::ranges::move(outcome.processed, std::back_inserter(processed));
    if (outcome.settled == 0) return;
    room.notify_all();
    done.notify_all();
  }

  // Instead of a message that was refused for good, so that its number is not missing: a kind that nobody
  // knows, which readers acknowledge and ignore.
  std::vector<MessagePart> placeholder(const Packet& packet) const {
    Message message;
    message.source_id = packet.source;
    message.producer = producer;
    message.epoch = packet.epoch;
    message.seq = packet.seq;
    message.sent_us = now_us();
    std::vector<uint8_t> body;
    avro::write_header(schema_fingerprint, body);
    encode(message, body);
    std::vector<MessagePart> parts;
    parts.push_back(MessagePart::copy_of(packet.source));
    parts.push_back(MessagePart::copy_of(body));
    return parts;
  }

  // The parts of a message that is not sent for the first time.
  std::vector<MessagePart> renewed(const AckWindow::Transmission& next) {
    if (next.refused) return placeholder(*next.packet);
    std::vector<Bytes> bytes;
    std::vector<MessagePart> parts;
    for (const MessagePart& part : next.packet->parts) {
      bytes.push_back(part.bytes());
      parts.push_back(part.again());
    }
    const Reading reading = reader.read(bytes, scratch);
    std::vector<uint8_t> body;
    if (reading.verdict != Reading::Verdict::accepted) return parts;
    scratch.attempt = next.attempt;
    scratch.sent_us = now_us();
    if (scratch.frame) scratch.frame->replay = scratch.frame->replay || next.replay;
    const Bytes payload = uses_part(scratch) ? reading.payload : Bytes();
    if (encoder.write(scratch, payload, body)) parts[1] = MessagePart::copy_of(body);
    return parts;
  }

  // False: no room; true: nothing left.
  bool transmit(Clock::time_point now) {
    if (!dealer) {
      bool taken = false;
      while (!queue.empty()) {
        const auto& parts = queue.front()->parts;
        if (url.type == SocketType::pub) {
          const auto sent = socket.publish(parts);
          if (sent && !*sent) ++counts.dropped;
        } else if (const auto sent = socket.send(parts); sent && !*sent) {
          break;
        }
        queue.pop_front();
        taken = true;
      }
      if (taken) room.notify_all();
      if (queue.empty()) done.notify_all();
      return queue.empty();
    }
    if (!greeted) return true;
    while (const auto next = window.next()) {
      const bool as_it_is =
          !next->repeated && fingerprint_of(next->packet->parts[1].bytes()) == encoder.fingerprint();
      const auto sent = as_it_is ? socket.send(next->packet->parts) : socket.send(renewed(*next));
      if (sent && !*sent) return false;
      if (next->repeated) ++counts.resent;
      window.sent(now);
    }
    return true;
  }

  void run() {
    std::vector<DeadLetter> letters;
    for (;;) {
      Clock::time_point wake_at;
      Socket::Wait wait{.wakeup = &wakeup};
      {
        std::lock_guard lock(mutex);
        if (stopping) break;
        const auto now = Clock::now();
        watch_connections(now);
        if (dealer) receive(now, letters);
        timers(now);
        wait.writable = !transmit(now);
        wait.readable = dealer;
        idle = !wait.writable;
        wake_at = now + 1h;
        if (!dealer) wake_at = announcements.next();
        if (dealer && can_greet()) wake_at = std::min(wake_at, hello_at);
        if (dealer && greeted) wake_at = std::min(wake_at, window.deadline().value_or(wake_at));
      }
      for (const DeadLetter& letter : letters) {
        if (letter.packet->settlement) letter.packet->settlement->refused(letter.code, false);
        if (options.dead_letter) options.dead_letter(letter);
      }
      letters.clear();
      for (const auto& settlement : processed) settlement->processed();
      processed.clear();
      socket.wait(wait, wake_at - Clock::now());
    }
    // What was taken goes as far as ZeroMQ at least, which lingers over it.
    std::lock_guard lock(mutex);
    (void)transmit(Clock::now());
  }

  void cancel() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    room.notify_all();
    done.notify_all();
    wakeup.wake();
  }

  // Whoever comes second waits for the first.
  void close() {
    cancel();
    std::call_once(joined, [this] {
      if (thread.joinable()) thread.join();
    });
  }
};

ZmqWriter::ZmqWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
ZmqWriter::~ZmqWriter() { close(); }

Result<std::unique_ptr<ZmqWriter>> ZmqWriter::open(const Url& url, ZmqWriterOptions options) {
  if (!is_writer(url.type)) {
    return fail(ErrorCode::invalid_argument, "{}: {} reads, and this end writes; one of pub, push, dealer",
                url.to_string(), to_string(url.type));
  }
  auto socket = Socket::open(url, options.socket);
  if (!socket) return forward_error(socket);
  auto state = std::make_unique<State>(std::move(*socket), std::move(options));
  state->thread = std::thread([running = state.get()] { running->run(); });
  return std::unique_ptr<ZmqWriter>(new ZmqWriter(std::move(state)));
}

Status ZmqWriter::send(Message& message, const Payload& payload) {
  return state_->send(message, payload, state_->options.send_timeout, nullptr);
}

Status ZmqWriter::send(Message& message, const Payload& payload, std::chrono::milliseconds timeout) {
  return state_->send(message, payload, timeout, nullptr);
}

Status ZmqWriter::send(Message& message, const Payload& payload, std::chrono::milliseconds timeout,
                       std::shared_ptr<Settlement> settlement) {
  return state_->send(message, payload, timeout, std::move(settlement));
}

Status ZmqWriter::flush(std::chrono::milliseconds timeout) {
  return state_->flush([this] { return state_->waiting() == 0; }, timeout);
}

Status ZmqWriter::flush(std::string_view source, std::chrono::milliseconds timeout) {
  return state_->flush(
      [this, source] {
        return state_->dealer ? state_->window.unacknowledged(source) == 0 : state_->queue.empty();
      },
      timeout);
}

void ZmqWriter::need_processed() { state_->needs_processed = true; }

Status ZmqWriter::status() const {
  if (state_->acknowledges_early) return state_->too_early();
  return {};
}

void ZmqWriter::close() { state_->close(); }
void ZmqWriter::cancel() { state_->cancel(); }
const Uuid& ZmqWriter::producer() const { return state_->producer; }
const Url& ZmqWriter::url() const { return state_->url; }
const std::vector<std::string>& ZmqWriter::warnings() const { return state_->socket.warnings(); }

ZmqWriter::Statistics ZmqWriter::statistics() const {
  std::lock_guard lock(state_->mutex);
  Statistics out = state_->counts;
  out.waiting = state_->waiting();
  out.blocked = state_->blocked > 0;
  return out;
}

}  // namespace sightglass::stream
