// What became of every frame. A Receipt is made when a frame is received and settled exactly once: stored, or
// dropped for a reason; until then the frame is in flight. So per source, at any moment and under one lock,
//
//   received = stored + dropped by reason + in flight
//
//   auto account = accounts.open("cam-1");
//   Receipt receipt(account, delivery.settlement, now_ns);
//   receipt.drop("no_keyframe");                              // or accept() … store()
//
// A receipt that goes without having been settled counts as dropped, "abandoned": frames cannot get lost
// unseen. Settling tells the writer as well (acknowledgements). Thread-safe; a lock per source is held for
// some ten instructions.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/stream/delivery.h"

namespace sightglass::module {

class FrameTrace;  // frame_trace.h

enum class Stage : uint8_t { queue, elements, sinks };
std::string_view to_string(Stage stage);

// One source's numbers, taken together.
struct SourceCounts {
  uint64_t received = 0, stored = 0, in_flight = 0, lost = 0, duplicate = 0, fenced = 0;
  std::vector<std::pair<std::string, uint64_t>> dropped;  // by reason
  struct Dropped {
    Stage stage = Stage::queue;  // that the frame was in
    std::string_view reason;     // static
    uint64_t count = 0;
  };
  std::vector<Dropped> dropped_by_stage;  // the same frames
  int64_t oldest_ns = 0;                  // when the oldest frame in flight was received; 0: none
  Stage oldest_stage = Stage::queue;
  uint64_t results = 0;  // frames that came out of the elements
  uint64_t decoder_fallbacks = 0;
  double fps = 0;  // of results, over the last five seconds
  double lag = 0;  // s from receipt to result, smoothed
  uint64_t dropped_in_all() const;
};

class Receipt;

// Of one source id, also after its stream has gone.
class SourceAccount {
 public:
  explicit SourceAccount(std::string id) : id_(std::move(id)) {}
  const std::string& id() const { return id_; }
  SourceCounts counts(int64_t now_ns) const;
  void count_lost(uint64_t frames);
  void count_duplicate();
  void count_fenced();
  void count_decoder_fallback();  // the next decoder was taken
  void count_result(int64_t received_ns, int64_t now_ns);
  // When anything was last received.
  int64_t last_seen_ns() const;
  // Its stream has gone; 0: it is there again.
  void set_ended_ns(int64_t now_ns) { ended_ns_ = now_ns; }
  // Since when there has been no stream, nor anything for one.
  int64_t silent_since_ns() const { return std::max(ended_ns_.load(), last_seen_ns()); }

 private:
  friend class Receipt;
  static constexpr int fps_seconds = 5;

  const std::string id_;
  mutable std::mutex mutex_;
  uint64_t received_ = 0, stored_ = 0, in_flight_ = 0, lost_ = 0, duplicate_ = 0, fenced_ = 0, results_ = 0;
  uint64_t decoder_fallbacks_ = 0;
  std::vector<SourceCounts::Dropped> dropped_;
  Receipt *oldest_ = nullptr, *newest_ = nullptr;  // in flight, in the order of receipt
  std::array<uint32_t, fps_seconds + 1> per_second_{};
  int64_t second_ = 0, first_result_ns_ = 0, last_seen_ns_ = 0;
  double lag_ = 0;
  std::atomic<int64_t> ended_ns_{0};
};

// Neither copied nor moved: part of the ticket of its frame.
class Receipt {
 public:
  Receipt(std::shared_ptr<SourceAccount> account, std::shared_ptr<stream::Settlement> settlement,
          int64_t received_ns);
  ~Receipt();
  Receipt(const Receipt&) = delete;
  Receipt& operator=(const Receipt&) = delete;

  // Its frame is followed until it is settled. Before anybody else sees the receipt.
  void follow(std::shared_ptr<FrameTrace> trace) { trace_ = std::move(trace); }
  // Null: it is not followed, or settled. By who has the frame at the moment.
  const std::shared_ptr<FrameTrace>& trace() const { return trace_; }

  void accept();  // it stands in its queue
  void move_to(Stage stage);
  void store();                                      // stored, or as good as
  void drop(std::string_view reason);                // by a policy; nobody has to send it again. Static text
  void refuse(std::string_view reason, bool retry);  // dropped, and the writer is told so
  bool is_settled() const;
  int64_t received_ns() const { return received_ns_; }
  SourceAccount& account() const { return *account_; }

 private:
  friend class SourceAccount;
  bool settle(std::string_view reason);  // empty: stored. False: had been settled
  void note_settled(std::string_view reason);

  const std::shared_ptr<SourceAccount> account_;
  const std::shared_ptr<stream::Settlement> settlement_;
  const int64_t received_ns_;
  std::shared_ptr<FrameTrace> trace_;
  // All below under the account's lock.
  bool is_open_ = true;
  Stage stage_ = Stage::queue;
  Receipt *older_ = nullptr, *newer_ = nullptr;
};

// The accounts of all sources, by id. Those whose streams have gone are forgotten after five minutes, the
// oldest first when there are more than `most`.
class Accounts {
 public:
  explicit Accounts(size_t most) : most_(most) {}
  std::shared_ptr<SourceAccount> open(std::string_view id);
  std::shared_ptr<SourceAccount> find(std::string_view id) const;  // null: none
  std::vector<std::shared_ptr<SourceAccount>> all() const;         // by id
  void forget_old(int64_t now_ns);

 private:
  const size_t most_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<SourceAccount>, std::less<>> accounts_;
};

int64_t steady_now_ns();
int64_t wall_now_us();

}  // namespace sightglass::module
