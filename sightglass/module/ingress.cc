#include "sightglass/module/ingress.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "sightglass/module/frame_trace.h"
#include "sightglass/module/record_maker.h"

namespace sightglass::module {
namespace {

constexpr std::chrono::milliseconds look_again{100};

std::string_view name_of(stream::Kind kind) {
  switch (kind) {
    case stream::Kind::frame:
      return "frame";
    case stream::Kind::frame_update:
      return "frame_update";
    case stream::Kind::stream_update:
      return "stream_update";
    case stream::Kind::end_of_stream:
      return "end_of_stream";
    case stream::Kind::user_data:
      return "user_data";
    case stream::Kind::shutdown:
      return "shutdown";
    default:
      return "other";
  }
}

}  // namespace

void IngressCounters::count_received(stream::Kind kind) {
  received_[std::min(size_t(kind), received_.size() - 1)].fetch_add(1, std::memory_order_relaxed);
}

void IngressCounters::count_rejected(std::string_view reason) {
  const std::scoped_lock lock(mutex_);
  const auto known = rejected_.find(reason);
  ++(known == rejected_.end() ? rejected_[std::string(reason)] : known->second);
}

std::map<std::string, uint64_t> IngressCounters::received() const {
  std::map<std::string, uint64_t> counts;
  for (size_t kind = 0; kind < received_.size(); ++kind)
    if (const uint64_t count = received_[kind]) counts[std::string(name_of(stream::Kind(kind)))] += count;
  return counts;
}

std::map<std::string, uint64_t> IngressCounters::rejected() const {
  const std::scoped_lock lock(mutex_);
  return {rejected_.begin(), rejected_.end()};
}

adapters::Deliver::Offer Ingress::offer(stream::Delivery& delivery) {
  if (shared_.is_closed) return Offer::closed;
  stream::FrameFacts facts;
  if (delivery.message && facts_of(delivery, facts)) {
    const auto found = reader_.find(delivery.message->source_id, steady_now_ns());
    if (found.refusal == stream::Denial::none &&
        !static_cast<StreamRunner&>(*found.pin).has_room(facts, delivery.lossless))
      return Offer::full;
  }
  return deliver(std::move(delivery)) ? Offer::taken : Offer::closed;
}

void Ingress::release(std::span<const std::string> source_ids, bool at_once) {
  for (const std::string& id : source_ids)
    if (const auto entry = shared_.services->table->get(id))
      static_cast<StreamRunner&>(*entry).post_command(at_once ? StreamRunner::Command::abandon
                                                              : StreamRunner::Command::revoke);
}

Status Ingress::take(stream::Delivery delivery, int deadline_ms, const std::function<bool()>& gives_up) {
  if (!delivery.message) return fail(ErrorCode::invalid_argument, "a delivery without a message");
  const int64_t start = steady_now_ns();
  if (!delivery.received_ns) delivery.received_ns = start;
  const stream::Message& message = *delivery.message;
  shared_.counters.count_received(message.kind);
  if (message.kind == stream::Kind::shutdown && message.shutdown) {
    if (shared_.on_shutdown && !shared_.is_gone) shared_.on_shutdown(*message.shutdown);
    if (delivery.settlement) delivery.settlement->processed();
    return {};
  }
  stream::FrameFacts facts;
  if (!facts_of(delivery, facts)) {
    if (delivery.settlement) delivery.settlement->processed();
    return {};
  }
  const auto refuse = [&](std::string_view reason, bool retry) -> Status {
    shared_.counters.count_rejected(reason);
    // Of a source that is known it counts as received; for others no state is made.
    if (auto account = shared_.services->accounts->find(message.source_id);
        account && message.kind == stream::Kind::frame)
      Receipt(account, delivery.settlement, delivery.received_ns).refuse(reason, retry);
    else if (delivery.settlement)
      delivery.settlement->refused(reason, retry);
    return fail(ErrorCode::exhausted, "{}: refused ({})", message.source_id, reason);
  };
  if (shared_.is_closed) return refuse("draining", true);
  auto found = reader_.find(message.source_id, start);
  if (found.refusal != stream::Denial::none)
    return refuse(to_string(found.refusal), found.refusal != stream::Denial::source_id);
  auto& stream = static_cast<StreamRunner&>(*found.pin);

  auto job = std::make_shared<Job>();
  job->delivery = std::move(delivery);
  if (facts.kind == stream::MessageKind::frame)
    job->receipt =
        std::make_unique<Receipt>(stream.account(), job->delivery.settlement, job->delivery.received_ns);
  TraceRef trace;
  if (job->receipt && shared_.services->tracer) {
    trace = shared_.services->tracer->begin(message, job->delivery.received_ns);
    job->receipt->follow(trace);
  }
  if (job->receipt && wants_ && !wants_(message)) {
    shared_.counters.count_rejected("accept");
    stream.note_refused();
    job->receipt->drop("accept");
    return {};
  }
  const auto give_up = [&](std::string_view reason) {
    if (job->receipt)
      job->receipt->refuse(reason, true);
    else if (job->delivery.settlement)
      job->delivery.settlement->refused(reason, true);
  };
  const std::string source_id = message.source_id;        // the message may be gone once it is taken
  const int64_t received_ns = job->delivery.received_ns;  // nor is the job ours then
  int64_t asked_ns = start;
  for (bool has_waited = false;;) {
    const int64_t queued_ns = trace ? steady_now_ns() : 0;
    if (trace) trace->queued(queued_ns);
    switch (stream.push(facts, job)) {
      case StreamRunner::Queue::Status::taken:
        if (trace) trace->add("receive", received_ns, queued_ns);
        return {};
      case StreamRunner::Queue::Status::dropped:
        return {};
      case StreamRunner::Queue::Status::closed:
        give_up("draining");
        return fail(ErrorCode::cancelled, "{}: the module is shutting down", source_id);
      case StreamRunner::Queue::Status::full:
        break;
    }
    auto wait = std::chrono::nanoseconds(look_again);
    if (deadline_ms >= 0) {
      const int64_t left = start + int64_t(deadline_ms) * 1'000'000 - steady_now_ns();
      if (left <= 0) {
        give_up("queue_full");
        return fail(ErrorCode::exhausted, "{}: its queue was full for {} ms", source_id, deadline_ms);
      }
      wait = std::min(wait, std::chrono::nanoseconds(left));
    }
    if (shared_.is_closed) {
      give_up("draining");
      return fail(ErrorCode::cancelled, "{}: the module is shutting down", source_id);
    }
    if (gives_up && steady_now_ns() - asked_ns >= std::chrono::nanoseconds(look_again).count()) {
      asked_ns = steady_now_ns();
      if (gives_up()) {
        give_up("queue_full");
        return fail(ErrorCode::cancelled, "{}: given up, its queue is full", source_id);
      }
    }
    // There may be room, only not for this one: then it is asked again a little later.
    if (stream.wait_for_room(wait)) {
      if (has_waited) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      has_waited = true;
    }
  }
}

}  // namespace sightglass::module
