// The frames under way in one instance, from push() until their results are handed out: exactly one result
// per ticket, in order, whatever decoder and elements make of it. Pictures are found again by their
// timestamp, the instance's own, which is given here: it follows the frame's, is unique, and never goes back
// at a keyframe.
//
//   table.add(ticket, true);                       // strand: sets ticket->pts
//   auto ticket = table.decoded(pts, revision);    // decoder's output
//   table.finish(pts, std::move(result));          // end of the pipeline
//
// What does not come out is settled when something later does: of the decoder, frames that it has swallowed
// are `no_picture`; of the elements, frames that they have taken out are `dropped`.
//
// Thread-safe. Results are given to InstanceEvents under the table's lock, so that their order is kept; the
// events only post. Entries are used again: nothing is allocated once warm.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "sightglass/module/stream_instance.h"

namespace sightglass::module {

class TicketTable {
 public:
  enum class Order : uint8_t {
    pictures,   // as they are shown
    bitstream,  // as they came, which is that of a bitstream that is passed on
  };
  TicketTable(Order order, InstanceEvents& events) : order_(order), events_(&events) {}

  // A frame that goes into the decoder.
  void add(TicketRef ticket, bool is_keyframe);
  // One without a picture, which is as good as finished.
  void add_finished(TicketRef ticket, InstanceResult result);

  // The picture has come out of the decoder: its ticket; null when nobody waits for it.
  TicketRef decoded(Time pts, uint64_t param_revision);
  TicketRef find(Time pts) const;  // of a picture that has been decoded
  void drop(Time pts, std::string_view reason, FrameOutcome outcome = FrameOutcome::dropped);
  // Before an encoder: results that wait for their payload.
  void hold(Time pts, InstanceResult result);
  // `pts` has come out at the end. `result.ticket` is set here; with a held one only the payload is taken.
  void finish(Time pts, InstanceResult result);

  // Gives the oldest up while there are more than `most`: what a decoder or an element swallows, with nothing
  // behind it that comes out, would be kept for ever.
  void bound(size_t most);
  // Everything that is left: at EOS, and when the instance has stopped.
  void settle_all(std::string_view reason);
  unsigned in_flight() const;
  // Whether any frame under way is followed; else there is no need to look for its ticket.
  bool is_tracing() const { return traced_.load(std::memory_order_relaxed) > 0; }
  std::shared_ptr<FrameTrace> trace_of(Time pts) const;  // null: it is not followed
  int64_t oldest_held_ns() const;                        // steady clock; 0: none is held
  // No event is called any more afterwards.
  void detach();

 private:
  enum class State : uint8_t { pushed, decoded, held, done };
  struct Entry {
    InstanceResult result;
    Time pts = no_time;
    uint64_t number = 0;  // in order of push
    int64_t held_ns = 0;
    State state = State::pushed;
    std::string_view reason;
  };
  Time next_pts(const Ticket& ticket, bool is_keyframe);
  Entry& insert(TicketRef ticket);
  Entry* entry(Time pts) const;
  void settle(Entry& entry, FrameOutcome outcome, std::string_view reason);
  void settle_before(Time pts, State least, State most, FrameOutcome outcome, std::string_view reason);
  size_t first() const;  // whose result is due; there is one
  void release();
  void give_out(size_t index);

  const Order order_;
  mutable std::mutex mutex_;
  InstanceEvents* events_;
  std::vector<std::unique_ptr<Entry>> entries_;  // by pts
  std::vector<std::unique_ptr<Entry>> unused_;
  uint64_t next_number_ = 0;
  std::atomic<unsigned> traced_{0};
  Time shift_ = 0, latest_ = no_time, last_out_ = no_time, last_original_ = no_time, step_ = 40'000'000;
};

}  // namespace sightglass::module
