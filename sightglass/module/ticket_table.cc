#include "sightglass/module/ticket_table.h"

#include <algorithm>

#include "sightglass/module/accounting.h"
#include "sightglass/module/frame_trace.h"

namespace sightglass::module {
TicketTable::Entry* TicketTable::entry(Time pts) const {
  const auto found = std::ranges::lower_bound(entries_, pts, {}, [](const auto& one) { return one->pts; });
  return found != entries_.end() && (*found)->pts == pts ? found->get() : nullptr;
}

// Timestamps of a stream with reordered pictures go back and forth between keyframes, which a decoder relies
// on; what goes back further than that, or stands still, is replaced by what just follows the latest.
Time TicketTable::next_pts(const Ticket& ticket, bool is_keyframe) {
  const Time original = ticket.original_pts;
  if (original != no_time && last_original_ != no_time && original > last_original_ &&
      original - last_original_ < 1'000'000'000)
    step_ = original - last_original_;
  Time pts = original == no_time ? latest_ + step_ : original + shift_;
  if (latest_ == no_time) {
    pts = 0;
    shift_ = original == no_time ? 0 : -original;
  } else if (is_keyframe && pts <= latest_) {
    pts = latest_ + step_;
    if (original != no_time) shift_ = pts - original;
  } else if (pts <= last_out_ || pts < 0 || (pts <= latest_ && entry(pts))) {
    pts = latest_ + 1;
  }
  last_original_ = original;
  latest_ = std::max(latest_, pts);
  return pts;
}

TicketTable::Entry& TicketTable::insert(TicketRef ticket) {
  std::unique_ptr<Entry> made;
  if (unused_.empty()) {
    made = std::make_unique<Entry>();
  } else {
    made = std::move(unused_.back());
    unused_.pop_back();
  }
  made->pts = ticket->pts;
  made->number = next_number_++;
  made->state = State::pushed;
  made->reason = {};
  if (ticket->trace) traced_.fetch_add(1, std::memory_order_relaxed);
  made->result.ticket = std::move(ticket);
  const auto place =
      std::ranges::upper_bound(entries_, made->pts, {}, [](const auto& one) { return one->pts; });
  return **entries_.insert(place, std::move(made));
}

void TicketTable::add(TicketRef ticket, bool is_keyframe) {
  std::lock_guard lock(mutex_);
  ticket->pts = next_pts(*ticket, is_keyframe);
  ticket->pushed_ns = steady_now_ns();
  insert(std::move(ticket));
}

void TicketTable::add_finished(TicketRef ticket, InstanceResult result) {
  std::lock_guard lock(mutex_);
  ticket->pts = next_pts(*ticket, false);
  ticket->pushed_ns = ticket->decoded_ns = steady_now_ns();
  Entry& added = insert(ticket);
  added.result = std::move(result);
  added.result.ticket = std::move(ticket);
  added.state = State::done;
  release();
}

TicketRef TicketTable::decoded(Time pts, uint64_t param_revision) {
  std::lock_guard lock(mutex_);
  Entry* found = entry(pts);
  if (!found || found->state != State::pushed) return nullptr;
  found->state = State::decoded;
  Ticket& ticket = *found->result.ticket;
  ticket.decoded_ns = steady_now_ns();
  ticket.param_revision = param_revision;
  last_out_ = std::max(last_out_, pts);
  TicketRef result = found->result.ticket;
  settle_before(pts, State::pushed, State::pushed, FrameOutcome::no_picture, "decoder");
  return result;
}

TicketRef TicketTable::find(Time pts) const {
  std::lock_guard lock(mutex_);
  const Entry* found = entry(pts);
  return found && found->state == State::decoded ? found->result.ticket : nullptr;
}

std::shared_ptr<FrameTrace> TicketTable::trace_of(Time pts) const {
  const TicketRef ticket = is_tracing() ? find(pts) : nullptr;
  return ticket ? ticket->trace : nullptr;
}

void TicketTable::settle(Entry& entry, FrameOutcome outcome, std::string_view reason) {
  entry.result.outcome = outcome;
  entry.result.reason = reason;
  entry.state = State::done;
}

void TicketTable::settle_before(Time pts, State least, State most, FrameOutcome outcome,
                                std::string_view reason) {
  for (auto& one : entries_) {
    if (one->pts >= pts) break;
    if (one->state < least || one->state > most) continue;
    if (one->state == State::held)
      settle(*one, FrameOutcome::stored, {});  // its results are there, only the encoder gave nothing
    else
      settle(*one, outcome, one->reason.empty() ? reason : one->reason);
  }
  release();
}

void TicketTable::drop(Time pts, std::string_view reason, FrameOutcome outcome) {
  std::lock_guard lock(mutex_);
  Entry* found = entry(pts);
  if (!found || found->state == State::done) return;
  settle(*found, outcome, reason);
  release();
}

void TicketTable::hold(Time pts, InstanceResult result) {
  std::lock_guard lock(mutex_);
  Entry* found = entry(pts);
  if (!found || found->state != State::decoded) return;
  TicketRef ticket = std::move(found->result.ticket);
  found->result = std::move(result);
  found->result.ticket = std::move(ticket);
  found->state = State::held;
  found->held_ns = steady_now_ns();
  settle_before(pts, State::decoded, State::decoded, FrameOutcome::dropped, "element");
}

void TicketTable::finish(Time pts, InstanceResult result) {
  std::lock_guard lock(mutex_);
  Entry* found = entry(pts);
  if (!found || (found->state != State::decoded && found->state != State::held)) return;
  TicketRef ticket = std::move(found->result.ticket);
  const bool was_held = found->state == State::held;
  if (was_held && ticket->trace) ticket->trace->add("encode", found->held_ns, steady_now_ns());
  if (was_held) {
    found->result.payload = std::move(result.payload);
    found->result.codec = std::move(result.codec);
    found->result.codec_data = std::move(result.codec_data);
    found->result.raw = std::move(result.raw);
    found->result.width = result.width;
    found->result.height = result.height;
    found->result.keyframe = result.keyframe;
  } else {
    found->result = std::move(result);
  }
  found->result.ticket = std::move(ticket);
  settle(*found, FrameOutcome::stored, {});
  // Frames that go past the encoder overtake those in it.
  settle_before(pts, State::decoded, was_held ? State::held : State::decoded, FrameOutcome::dropped,
                "element");
}

void TicketTable::give_out(size_t index) {
  std::unique_ptr<Entry> entry = std::move(entries_[index]);
  entries_.erase(entries_.begin() + ptrdiff_t(index));
  if (entry->result.ticket->trace) traced_.fetch_sub(1, std::memory_order_relaxed);
  if (events_) events_->result(std::move(entry->result));
  entry->result = {};
  unused_.push_back(std::move(entry));
}

size_t TicketTable::first() const {
  if (order_ == Order::pictures) return 0;
  const auto first = std::ranges::min_element(entries_, {}, [](const auto& one) { return one->number; });
  return size_t(first - entries_.begin());
}

void TicketTable::release() {
  while (!entries_.empty()) {
    const size_t next = first();
    if (entries_[next]->state != State::done) return;
    give_out(next);
  }
}

void TicketTable::bound(size_t most) {
  std::lock_guard lock(mutex_);
  while (entries_.size() > most) {
    Entry& oldest = *entries_[first()];
    if (oldest.state == State::pushed)
      settle(oldest, FrameOutcome::no_picture, "decoder");
    else if (oldest.state == State::held)
      settle(oldest, FrameOutcome::stored, {});
    else
      settle(oldest, FrameOutcome::dropped, oldest.reason.empty() ? "element" : oldest.reason);
    release();
  }
}

void TicketTable::settle_all(std::string_view reason) {
  std::lock_guard lock(mutex_);
  for (auto& one : entries_) {
    if (one->state == State::held)
      settle(*one, FrameOutcome::stored, {});
    else if (one->state == State::pushed && reason.empty())
      settle(*one, FrameOutcome::no_picture, "decoder");
    else if (one->state != State::done)
      settle(*one, FrameOutcome::dropped,
             !one->reason.empty() ? one->reason
             : reason.empty()     ? "element"
                                  : reason);
  }
  release();
}

unsigned TicketTable::in_flight() const {
  std::lock_guard lock(mutex_);
  return unsigned(entries_.size());
}

int64_t TicketTable::oldest_held_ns() const {
  std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(entries_, State::held, [](const auto& one) { return one->state; });
  return found == entries_.end() ? 0 : (*found)->held_ns;
}

void TicketTable::detach() {
  std::lock_guard lock(mutex_);
  events_ = nullptr;
}

}  // namespace sightglass::module
