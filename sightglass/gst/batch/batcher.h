// Fills batches: of one stream, or of all that name the same shared-instance-id.
//
// Samples and gaps are appended in order; a batch leaves when it holds `batch_size` samples, when the oldest
// has waited for the time-out, and when a member changes its caps, ends, pauses, flushes or leaves. It leaves
// through the source pad of one member, the leader, as one buffer list, so that order per stream holds; when
// the leader leaves, what it carries comes out first and another takes over. A gap that no sample of its
// stream waits in front of goes at once.
//
// Members are never held up by one another: nobody waits but for a batch that is being handed to the
// leader's pipeline, and that ends at its batch_split, which does not wait either.
//
// All functions are thread-safe. One thread of its own watches the time-out.
#pragma once

#include <gst/gst.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sightglass/gst/batch/batch_stream.h"

namespace sightglass::gst {

// Guarded by the Batcher.
struct BatchMember {
  GstPad* src = nullptr;                // of its batch_create
  std::shared_ptr<BatchStream> stream;  // null: not shared
  uint64_t id = 0;                      // of the stream, stamped on its samples
  CapsPtr caps, key;                    // the key is what has to be equal within a batch
  GstClockTime period = 0;              // of a frame; 0: unknown
  bool ready = false;                   // its source pad has caps and segment: it can lead
  bool retired = false;                 // it must not lead any more
  bool flushing = false;
  bool has_sent = false;               // something of it may be under way
  GstFlowReturn failed = GST_FLOW_OK;  // what its pipeline has answered as leader
};

class Batcher {
 public:
  struct Options {
    std::optional<int> batch_size;  // unset: as who made it has it
    std::optional<int> timeout;     // ms; 0: never wait, -1: two frame periods of the slowest member
  };
  // The batcher of this id, made with these options if there is none yet; an empty id gives one of its own.
  static std::shared_ptr<Batcher> shared(const std::string& id, const Options& options);

  explicit Batcher(const Options& options);
  ~Batcher();
  Batcher(const Batcher&) = delete;

  // What of these options differs from what holds here, in words; empty: nothing.
  std::string difference(const Options& options) const;
  void set_timeout(int milliseconds);
  int batch_size() const { return batch_size_; }
  // Most that a sample waits, as things are.
  GstClockTime wait_time() const;

  void join(BatchMember& member);
  void leave(BatchMember& member);
  // It leads no more; what it carries for others has come out when this returns.
  void retire(BatchMember& member);

  // Sends what is pending, then the member's caps event on its own pad; takes the event.
  bool push_caps(BatchMember& member, GstEvent* event);
  void set_ready(BatchMember& member);
  // Both take the buffer.
  GstFlowReturn append(BatchMember& member, GstBuffer* sample);
  GstFlowReturn append_gap(BatchMember& member, GstBuffer* gap);
  // The batch leaves as it is, if it holds anything of this member.
  void send_partial(BatchMember& member);
  // Sends what is pending, then an event on the member's own pad, with no batch between; takes the event.
  bool push_event(BatchMember& member, GstEvent* event);
  // Sends an event of this stream in order with its samples, by way of the leader; takes the event.
  void route_event(BatchMember& member, GstEvent* event);
  void set_flushing(BatchMember& member, bool flushing);

 private:
  using Clock = std::chrono::steady_clock;
  using Lock = std::unique_lock<std::mutex>;
  struct Entry {
    BatchMember* member;
    BufferPtr buffer;
    bool is_gap;
  };

  BatchMember* choose_leader();
  bool waits(const BatchMember& member) const;  // something of it is pending
  GstFlowReturn dispatch(Lock& lock);
  GstFlowReturn send(Lock& lock, std::vector<Entry> entries);
  void begin_push(Lock& lock);
  void end_push();
  std::chrono::milliseconds timeout() const;
  void start_clock();
  void watch(std::stop_token stop);

  const int batch_size_;
  mutable std::mutex mutex_;
  std::condition_variable pushed_;  // pushing_ or pending_ has changed
  std::condition_variable_any clock_set_;
  int timeout_;  // the rest is guarded
  std::vector<BatchMember*> members_;
  BatchMember* leader_ = nullptr;
  CapsPtr leader_key_;  // of what the leader's pad has last announced
  std::vector<Entry> pending_;
  int samples_ = 0;  // in pending_, gaps not counted
  Clock::time_point deadline_ = Clock::time_point::max();
  bool pushing_ = false;
  GstFlowReturn flow_ = GST_FLOW_OK;  // of a batcher that is not shared
  std::jthread watcher_;              // last: it uses the rest
};

}  // namespace sightglass::gst
