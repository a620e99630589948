// What a dealer has sent and not seen acknowledged: the order of transmission, the bound on it, and what is
// sent again. Values and times in, decisions out; no socket, no clock, no lock.
//
//   while (window.has_room(source, bytes)) window.add(packet);
//   if (auto next = window.next()) { socket.send(next->packet, next->attempt, next->replay);
//   window.sent(now); } window.acknowledge(source, epoch, through, refused, now);     // Ack
//   window.restart();                                             // a new connection
//   window.tick(now);                                             // at deadline()
//
// Sources take turns; each has a window of its own, so one whose messages are not acknowledged holds up only
// itself. Messages are sent again after `ack_timeout` without progress of their source, or on a new
// connection, always from the keyframe of the oldest one that is not acknowledged: for this, acknowledged
// frames since that keyframe are retained, and sent with replay = true. `attempt` counts the connections lost
// over a message.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/stream/messages.h"
#include "sightglass/stream/zeromq/packet.h"

namespace sightglass::stream {

class AckWindow {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Options {
    size_t messages = 64;           // not acknowledged, of one source
    uint64_t bytes = 64 << 20;      // the same; one message alone may be larger
    uint64_t retained = 256 << 20;  // acknowledged, kept for decoders to start at, of all sources
    std::chrono::milliseconds ack_timeout{5000};
  };
  explicit AckWindow(const Options& options) : options_(options) {}

  bool has_room(std::string_view source, uint64_t bytes) const;
  // `packet.seq` follows that of the one before in the same source and epoch.
  void add(std::shared_ptr<const Packet> packet);

  struct Transmission {
    std::shared_ptr<const Packet> packet;
    int attempt = 0;
    bool replay = false;
    bool repeated = false;  // not for the first time
    bool refused = false;   // for good: only its number is to be sent, so that no gap is left
  };
  // What is to be sent next; sent() says that it was, with no other call between the two.
  std::optional<Transmission> next();
  void sent(Time now);

  struct Outcome {
    bool known = false;  // false: of a source, epoch or seq that was never sent; nothing has changed
    size_t settled = 0;
    struct Refused {
      std::shared_ptr<const Packet> packet;
      std::string code;
    };
    std::vector<Refused> refused;                        // for good; they count as settled
    std::vector<std::shared_ptr<Settlement>> processed;  // of the others, where somebody wants to know
  };
  Outcome acknowledge(std::string_view source, int64_t epoch, int64_t through,
                      std::span<const Refusal> refused, Time now);
  // The reader asks for a restart at the retained keyframe, over the same connection.
  void rewind(std::string_view source);
  void restart();

  // Sends again what has waited too long. Returns the number of sources concerned.
  size_t tick(Time now);
  std::optional<Time> deadline() const;

  size_t unacknowledged() const { return unacknowledged_; }
  size_t unacknowledged(std::string_view source) const;
  uint64_t retained_bytes() const { return retained_; }

 private:
  struct Item {
    std::shared_ptr<const Packet> packet;
    int attempt = 0;
    bool sent = false, acknowledged = false, refused = false;
  };
  struct Source {
    std::deque<Item> items;
    size_t cursor = 0;      // the next to be sent
    size_t first_open = 0;  // the oldest that is not acknowledged
    size_t open = 0;        // how many are not
    uint64_t open_bytes = 0, retained_bytes = 0;
    Time progress{};         // last transmission of the first open one, or last acknowledgement
    bool repeating = false;  // sent again because of the time only: acknowledgements make it needless
  };
  using Sources = std::map<std::string, Source, std::less<>>;

  void settle(Source& source, Item& item);
  void prune(Sources::iterator source);
  void drop_front(Source& source, size_t count);
  void rewind(Source& source);
  static bool waiting(const Source& source);

  Options options_;
  Sources sources_;
  std::string turn_;  // the source that was served last
  size_t unacknowledged_ = 0;
  uint64_t retained_ = 0;
};

}  // namespace sightglass::stream
