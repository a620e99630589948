// One stream that shares batches with others: what its batch_create and its batch_split have in common.
//
// Its samples travel through whichever pipeline carries the batch; the results are put here, in order, from
// the thread of that pipeline, which never waits, and are sent on by the thread of the stream's own
// batch_split. Results are found by the stream's id. Ids are counted and never used again, and a stream gets
// a new one at each flush, so what belongs to a stream that has ended, or to the time before a seek, finds
// nobody and is dropped.
//
// All functions are thread-safe.
#pragma once

#include <gst/gst.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include "sightglass/memory/gst/handles.h"

namespace sightglass::gst {

// Events of these names travel with the batches: an event of a stream, to be sent on by its batch_split, and
// the end of what a pipeline carries that will carry no more.
inline constexpr const char* routed_event_name = "sightglass-batch-event";
inline constexpr const char* drained_event_name = "sightglass-batch-drained";
// The query by which a batch_create finds the batch_split behind it.
inline constexpr const char* binding_query_name = "sightglass-batch-binding";

uint64_t new_stream_id();

struct MiniObjectUnref {
  void operator()(GstMiniObject* object) const { gst_mini_object_unref(object); }
};

// A buffer, with the caps that it has, or an event.
struct StreamItem {
  std::unique_ptr<GstMiniObject, MiniObjectUnref> object;  // null: only the caps
  CapsPtr caps;
};

class BatchStream;

// The batch_split of a stream.
class StreamOutlet {
 public:
  virtual ~StreamOutlet() = default;
  virtual void flush_start(GstEvent* event) = 0;  // both take the event
  virtual void flush_stop(GstEvent* event) = 0;
};

// The batch_create of a stream.
class StreamInlet {
 public:
  virtual ~StreamInlet() = default;
  // Nothing may be sent through this stream's pipeline any more; returns when what was sent has come out.
  virtual void retire() = 0;
};

class BatchStream {
 public:
  explicit BatchStream(StreamInlet& inlet) : inlet_(&inlet) {}

  // ---- batch_create
  void open(const std::shared_ptr<BatchStream>& self);  // a new id, known from now on
  void close();                                         // forgets the id and what is held
  void inlet_gone();
  uint64_t id() const;
  // False when nobody answered the query.
  bool bound() const;
  void flush_start(GstEvent* event);
  void flush_stop(GstEvent* event, const std::shared_ptr<BatchStream>& self);
  // Waits while `limit` results are held. What batch_split's downstream has answered last.
  GstFlowReturn wait_for_room(size_t limit);
  // Waits until note_drained(), for some seconds at most: an element in between may have dropped the event.
  void wait_until_drained();
  void expect_drained();

  // ---- batch_split
  void bind(StreamOutlet* outlet);  // null: it has gone
  // The next item; false when there is none because the stream flushes, or is closed or unbound.
  bool take(StreamItem& item);
  void set_flow(GstFlowReturn flow);
  void note_drained();
  void retire();

  // ---- whoever has results
  // Held until batch_split sends it on; dropped when the stream has another id by now.
  void put(uint64_t id, StreamItem item);

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::mutex inlet_mutex_;
  StreamInlet* inlet_;  // guarded by inlet_mutex_
  StreamOutlet* outlet_ = nullptr;
  uint64_t id_ = 0;  // 0: closed
  bool flushing_ = false;
  bool drained_ = true;
  GstFlowReturn flow_ = GST_FLOW_OK;
  std::deque<StreamItem> items_;
};

// The stream that has this id now; null when there is none.
std::shared_ptr<BatchStream> find_stream(uint64_t id);

}  // namespace sightglass::gst
