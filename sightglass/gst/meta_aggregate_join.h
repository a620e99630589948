// The inside of meta_aggregate: frames that wait for results, and results that wait for their frame.
//
// There is no thread here. Whoever completes the frame at the head, by a result or a gap, or by bringing it,
// sends it downstream in his own thread, and with it what is complete behind it. One thread does that at a
// time: what others complete meanwhile is left to it. The lock is not held while it pushes. Where a branch
// has ended, or a pad gone, GStreamer's pool sends: those threads bring nothing more, and would be kept for
// as long as there are frames.
//
// Frames that may wait are bounded, and so are results of a branch that are ahead of the frames: who brings
// more is held up until there is room, a flush or a stop. A branch is held up only where it has closed the
// frame at the head, so that nobody waits for it meanwhile.
//
// Only with max_wait, for live pipelines, a thread waits for the clock (meta_aggregate_deadline.cc).
//
// Frames and results belong to streams, from one STREAM_START to the next: a branch that has ended completes
// frames of its own stream and of earlier ones, and times are compared within a stream only. Streams are told
// apart by the event that has started both; of a branch that comes from elsewhere all results count as of the
// stream that is there.
//
// Thread-safe; each input is one thread at a time. What fails downstream is the answer to every input until
// the stream is flushed, starts anew or changes its format. That nothing is linked there is the answer to the
// main input alone, and each frame tries again.
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/ring.h"
#include "sightglass/gst/frame_bridge.h"
#include "sightglass/gst/results.h"
#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {

struct UnrefEvent {
  void operator()(GstEvent* event) const { gst_event_unref(event); }
};
using EventPtr = std::unique_ptr<GstEvent, UnrefEvent>;

// What the buffers of a branch are: one per caps. Used by the thread that sends, once results refer to it.
struct ResultFormat {
  FrameBridge bridge;
  Label model;
  std::vector<Label> tensors;
  bool warned = false;
};

class FrameJoin {
 public:
  struct Options {
    bool attach_tensors = true, write_roi = false;
    size_t max_frames = 0;  // that wait; 0: any number
    Time max_time = 0;      // between the first and the last one that wait; 0: any
    Time max_wait = -1;     // for results, in live pipelines; -1: without an end
  };
  struct Result {
    BufferPtr buffer;  // null: a gap
    std::shared_ptr<ResultFormat> format;
    std::optional<Time>
        time;            // running time; none: it belongs to the next frame that the branch has not closed
    bool closes = true;  // the last one of its frame
    bool begins = false, belongs = false;  // set here
    guint32 stream = GST_SEQNUM_INVALID;   // set here
  };
  class Branch;

  // Neither is owned; both outlive it.
  FrameJoin(GstElement* element, GstPad* src) : element_(element), src_(src) {}
  ~FrameJoin();

  // Between stop() and finish() the pads are deactivated: afterwards nobody is inside any more.
  void start(const Options& options);
  void stop();
  void finish();
  void set_playing(bool playing);
  // As asked upstream; `least` is what a frame may take until here.
  void set_latency(bool is_live, Time least);

  // ---- the main input. Gaps and serialized events and queries keep their place among the frames.
  GstFlowReturn put_frame(BufferPtr buffer, EventPtr gap, std::optional<Time> time);  // one of both
  bool put_event(EventPtr event);
  bool put_query(GstQuery* query);  // returns when it has been answered
  void flush_main();                // until end_main_flush(), which sends the event
  bool end_main_flush(EventPtr flush_stop);
  void remove_main();  // the stream ends behind what waits
  void add_main();

  // ---- branches
  std::shared_ptr<Branch> add_branch();
  void remove_branch(const std::shared_ptr<Branch>& branch);
  GstFlowReturn put_result(Branch& branch, Result result);
  void end_branch(Branch& branch);
  void start_branch(Branch& branch, guint32 stream);  // by the number of its STREAM_START
  void flush_branch(Branch& branch);                  // until end_flush()
  void end_flush(Branch& branch);

 private:
  struct Item {
    BufferPtr buffer;
    EventPtr event;
    GstQuery* query = nullptr;
    std::optional<Time> time;
    bool is_frame = false;  // or a gap: it waits for results
    bool is_late = false;   // it does not wait any more
    guint32 stream = GST_SEQNUM_INVALID;
  };
  struct Joining {
    std::shared_ptr<ResultFormat> format;
    BufferPtr buffer;
  };
  using Lock = std::unique_lock<std::mutex>;

  // With the lock.
  GstFlowReturn put(Item item);
  void append(Item item);
  Item* first_frame();  // null: none waits
  bool is_full(std::optional<Time> time);
  GstFlowReturn answer() const;
  GstFlowReturn state_of(const Branch& branch) const;
  bool is_ahead(const Branch& branch) const;
  bool knows(guint32 stream) const;
  int stream_order(guint32 a, guint32 b) const;
  bool has_closed(Branch& branch, const Item& head);
  void examine(Branch& branch, const Item& head);
  bool may_go(const Item& head);
  bool can_send();
  void collect();
  bool take();
  void send_complete(Lock& lock, const Branch* caller = nullptr);
  void send_later();
  void drop_items(std::vector<Item>& dropped, bool all);
  void wake_all();
  std::optional<GstClockTime> due();
  void look_again();
  void ask_for_latency(Lock& lock);

  // Of the thread that sends, without it.
  GstFlowReturn send(Item& item);
  GstFlowReturn send_frame(BufferPtr buffer);
  void send_event(EventPtr event);
  void join_result(ResultFormat& format, GstBuffer* buffer);
  void warn_of_missing_time();

  void watch();

  GstElement* const element_;
  GstPad* const src_;
  Options options_;  // changes between finish() and start() only

  std::mutex mutex_;
  std::condition_variable room_, ahead_, answered_;
  // Guarded, up to the next remark.
  bool started_ = false, has_main_ = false, main_flushing_ = false, main_ended_ = false;
  uint64_t main_number_ = 0;          // of the main pad, which may go and another one come
  GstFlowReturn flow_ = GST_FLOW_OK;  // what downstream has said last
  uint64_t flushes_ = 0;
  Ring<Item> items_;
  size_t frames_ = 0;             // among the items, gaps included
  size_t renewals_ = 0;           // among the items: events behind which downstream may take frames again
  std::vector<guint32> streams_;  // of the main input, the last one at the end
  std::vector<std::shared_ptr<Branch>> branches_;
  bool is_sending_ = false;
  enum class Query : uint8_t { none, queued, running, done } query_ = Query::none;
  bool query_answer_ = false;

  // Of the thread that sends. Kept for their capacity.
  Item item_;
  bool drops_ = false;  // the item
  std::vector<Joining> joining_;
  FrameBridge bridge_;
  Frame frame_, before_, result_;
  ResultWriter writer_;
  bool warned_ = false;

  // Of max_wait; guarded.
  std::thread watcher_;
  std::condition_variable changed_;
  bool is_playing_ = false, is_live_ = false, knows_latency_ = false, awaits_frame_ = false;
  Time latency_ = 0;
  GstClockID waits_for_ = nullptr;
};

// What has come from one branch.
class FrameJoin::Branch {
  friend class FrameJoin;
  // Guarded by the lock of the join.
  Ring<Result> results;
  size_t examined = 0;      // of them, against the frame at the head
  bool has_closed = false;  // the frame at the head
  size_t frames = 0;        // that the results are of, but for those that came too late
  bool ended = false, has_restarted = false, flushing = false, removed = false;
  guint32 stream = GST_SEQNUM_INVALID;
  bool last_closed = true;     // the result that came last
  std::optional<Time> latest;  // time of a result

  void forget();
};

}  // namespace sightglass::gst
