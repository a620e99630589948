// The reading end of a stream: validated messages out of one ZeroMQ socket (sub, pull or router), whoever
// writes there.
//
//   auto reader = ZmqReader::open(*parse_reader_url("router+bind:tcp://0.0.0.0:5560"), {});
//   while (running) {
//     auto received = (*reader)->next(100ms);
//     if (!received) return received.error();       // the socket is unusable
//     if (*received) ingress.take(std::move((*received)->delivery));
//   }
//
// Payloads lie where ZeroMQ read them; their owner keeps that memory, and messages are used again once nobody
// holds them.
//
// Hostile or damaged messages never come out of next(), nor end it: they are counted by reason; producers
// that send many are muted; new source ids are rationed (producer_guard.h). Duplicates are dropped
// (duplicate_filter.h), messages in a schema that is not known wait a moment for it to be announced
// (parking.h).
//
// On a router each delivery has a settlement, which has to be told what became of it; from this the writer's
// acknowledgements are made (ack_collector.h). A settlement that is dropped untold means that the message is
// sent again. Frames with replay = true have none: they were acknowledged before.
//
// One thread calls next(), all the time: acknowledgements, greetings and time-outs happen within it, while
// paused too. Everything else may be called by any thread. Settlements may outlive the reader.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sightglass/stream/delivery.h"
#include "sightglass/stream/message_reader.h"
#include "sightglass/stream/rejection.h"
#include "sightglass/stream/zeromq/ack_collector.h"
#include "sightglass/stream/zeromq/producer_guard.h"
#include "sightglass/stream/zeromq/socket.h"

namespace sightglass::stream {

struct ZmqReaderOptions {
  SocketOptions socket;
  ReaderOptions messages;                // limits, checks
  std::vector<std::string> sources;      // only these ids; empty: all
  std::string source_prefix;             // only ids that begin so
  AckLevel level = AckLevel::processed;  // what settles a message: accepted() or processed()
  int max_attempts = 5;  // after as many lost connections over a message it is refused as poison
  AckCollector::Options acks;
  SourceGate::Options new_sources;
  size_t producers = 1024;      // remembered
  std::string name;             // shown to writers
  std::string shutdown_token;   // Shutdown records without it are ignored, and all when it is empty
  std::string shutdown_target;  // records that name another are ignored
};

struct Received {
  Delivery delivery;
  std::string routing_id;  // router: of the connection
  int64_t missing = 0;     // messages of this source and epoch that are missing right before it
};

class ZmqReader {
 public:
  static Result<std::unique_ptr<ZmqReader>> open(const Url& url, ZmqReaderOptions options);
  ~ZmqReader();
  ZmqReader(const ZmqReader&) = delete;
  ZmqReader& operator=(const ZmqReader&) = delete;

  // The next message of a source, or a valid Shutdown. Nothing: the time is over, or interrupt() was called.
  Result<std::optional<Received>> next(std::chrono::milliseconds timeout);
  // Ends the current next(), or the one that is called next.
  void interrupt();
  // From now on nothing is read, so that what comes stays with its writer, up to its high-water mark or
  // window.
  void pause();
  void resume();

  // For what was kept without its settlement.
  void processed(const Uuid& producer, std::string_view source, int64_t epoch, int64_t seq);
  // Asks a router's writer to start the source again at the last keyframe that it retains.
  void request_keyframe(const Uuid& producer, std::string_view source, int64_t epoch);

  // With the real port.
  const Url& url() const;
  const std::vector<std::string>& warnings() const;

  struct Statistics {
    uint64_t received = 0, bytes = 0;  // whole messages, of whatever kind and quality
    uint64_t delivered = 0;
    uint64_t lost = 0;  // seqs that never came (sub, pull)
    uint64_t duplicates = 0, late = 0;
    uint64_t filtered = 0;          // of sources that were not asked for
    uint64_t muted = 0, mutes = 0;  // messages of muted producers; how often one was
    uint64_t poison = 0;
    uint64_t not_greeted = 0;   // router: before the writer's Hello
    uint64_t out_of_place = 0;  // router: behind dropped ones; they come again from the first of those
    uint64_t parked = 0;        // waited for their schema
    uint64_t refused = 0;       // by the user, for good or for now
    Socket::Connections connections;
  };
  Statistics statistics() const;
  uint64_t rejected(Rejection reason) const;
  uint64_t rejected() const;

 private:
  struct State;
  explicit ZmqReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sightglass::stream
