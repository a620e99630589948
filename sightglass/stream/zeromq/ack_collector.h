// What a router's user has finished, gathered into acknowledgements: one for each producer, source and epoch,
// covering every seq up to a point, after 16 messages or 20 ms. Values and times in, acknowledgements out; no
// socket, no clock, no lock.
//
// Only what is proven is acknowledged. The first message over a new connection proves that everything before
// it has been acknowledged already, because a writer starts each source at the oldest message that is not
// (ack_window.h); from there on every single seq has to be settled.
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
    size_t epochs = 4096;  // remembered; the one that was silent for longest is forgotten
    size_t ahead = 1024;   // settled beyond a gap; more than any window
  };
  explicit AckCollector(const Options& options) : options_(options) {}

  // A message came in over `connection`, whatever becomes of it. Before settle() of the same.
  void received(const EpochKey& key, int64_t seq, uint64_t connection, Time now);
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
    uint64_t connection = 0;
    std::set<int64_t> ahead;
    std::vector<Refusal> refused;
    Resume resume = Resume::none;
    int unsaid = 0;  // settled since the last acknowledgement
    std::optional<Time> since;
    Time last_message{};
  };
  void changed(Epoch& epoch, int weight, Time now);
  void finish(Epoch& epoch, int64_t seq) const;
  static void advance(Epoch& epoch);
  void forget_oldest();

  Options options_;
  std::map<EpochKey, Epoch> epochs_;
  std::optional<Time> deadline_;
};

}  // namespace sightglass::stream
