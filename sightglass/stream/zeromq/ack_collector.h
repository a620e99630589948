// What a router's user has finished, gathered into acknowledgements: one for each producer, source and epoch,
// covering every seq up to a point, after 16 messages or 20 ms. Values and times in, acknowledgements out; no
// socket, no clock, no lock.
//
// Only what is proven is acknowledged. The first message over a new connection proves that everything before
// it has been acknowledged already, because a writer starts each source at the oldest message that is not
// (ack_window.h); from there on every single seq has to be settled. Where messages of the connection were
// dropped before they could be told from each other, the first one of a source proves nothing: the writer is
// asked to start it again, and what comes before it does is not taken.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/stream/messages.h"

namespace sightglass::stream {

// One epoch of one source, as one producer numbers it.
struct EpochKey {
  Uuid producer{};
  std::string source;
  int64_t epoch = 0;
  auto operator<=>(const EpochKey&) const = default;
};

class AckCollector {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Options {
    int messages = 16;
    std::chrono::milliseconds delay{20};
    size_t epochs = 4096;  // remembered; of those with nothing open the longest silent one is forgotten
    size_t ahead = 1024;   // settled beyond a gap; more than any window
  };
  explicit AckCollector(const Options& options) : options_(options) {}

  // A message came in over `connection`, whatever becomes of it. Before settle() of the same. False: those
  // before it may have been lost, so it is not to be taken; it comes again.
  bool received(const EpochKey& key, int64_t seq, uint64_t connection, Time now);
  // A message that came in over `connection` was thrown away, and of which epoch it was is not known.
  void dropped(uint64_t connection);
  // It need not be sent again: stored, dropped by a policy, or a duplicate of such a one.
  void settle(const EpochKey& key, int64_t seq, Time now);
  // Without `retry` this settles it as well.
  void refuse(const EpochKey& key, int64_t seq, std::string_view code, bool retry, Time now);
  // What was acknowledged before is to be said again.
  void repeat(const EpochKey& key, Time now);
  // The next acknowledgement asks the writer to go back to its last retained keyframe.
  void request_keyframe(const EpochKey& key, Time now);

  // Acknowledgements whose time has come; `all`: whatever there is. Fields other than `ack`, `epoch` and the
  // source are the caller's.
  struct Due {
    EpochKey key;
    Ack ack;
  };
  std::vector<Due> due(Time now, bool all = false);
  std::optional<Time> deadline() const { return deadline_; }

  // Every seq up to this one is settled; −1: none, or not known.
  int64_t through(const EpochKey& key) const;

 private:
  struct Epoch {
    int64_t through = -1;
    int64_t newest = -1;  // greatest that came
    int64_t last = -1;    // that came last over this connection
    uint64_t connection = 0;
    bool is_proven = false;   // what is up to `through` is settled, and what comes is taken
    uint64_t drops_seen = 0;  // of the connection, when the last one came
    std::set<int64_t> ahead;
    std::vector<Refusal> refused;
    Resume resume = Resume::none;
    int unsaid = 0;  // settled since the last acknowledgement
    std::optional<Time> since;
    Time last_message{};
    std::optional<Time> asked;  // to start again
  };
  void changed(Epoch& epoch, int weight, Time now);
  void finish(Epoch& epoch, int64_t seq) const;
  static void advance(Epoch& epoch);
  bool forget_oldest(Time now);
  void ask_again(Epoch& epoch, Time now);
  uint64_t drops(uint64_t connection) const;

  static constexpr size_t most_dropped = 4096;
  // A writer with open messages is never silent for so long: it sends them again.
  static constexpr std::chrono::seconds gone_after{60}, between_requests{1};

  Options options_;
  // Of connections with drops the number of the latest; of connections up to `forgotten_` nothing is known.
  std::map<uint64_t, uint64_t> drops_;
  uint64_t last_drop_ = 0, forgotten_ = 0;
  std::map<EpochKey, Epoch> epochs_;
  std::optional<Time> deadline_;
};

}  // namespace sightglass::stream
