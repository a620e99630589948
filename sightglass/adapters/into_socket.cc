#include "sightglass/adapters/into_socket.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;

constexpr int64_t block_after_ns = 1'000'000'000;
constexpr size_t most_streams = 4096;

int64_t steady_now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

// --- SocketOutlet

std::optional<Error> SocketOutlet::error() const {
  if (Status status = writer_->status(); !status) return status.error();
  const std::lock_guard lock(mutex_);
  return error_;
}

std::string SocketOutlet::unsendable_reason() const {
  const std::lock_guard lock(mutex_);
  return unsendable_reason_;
}

void SocketOutlet::count_unsendable(const Error& error) {
  const std::lock_guard lock(mutex_);
  ++unsendable_;
  unsendable_reason_ = error.message;
}

void SocketOutlet::begin(const stream::Message& message) {
  const std::lock_guard lock(mutex_);
  if (streams_.size() >= most_streams && !streams_.contains(message.source_id)) forget_one();
  const auto [entry, is_new] = streams_.try_emplace(message.source_id);
  Stream& stream = entry->second;
  // What is offered again has waited since it was offered first.
  if (!stream.sending_ns) stream.sending_ns = steady_now_ns();
  if (is_new) stream.status.source_id = message.source_id, stream.since_ns = stream.sending_ns;
}

// One that has ended, else the one that has been silent for longest.
void SocketOutlet::forget_one() {
  const auto oldest = std::ranges::min_element(streams_, {}, [](const auto& entry) {
    const Stream& stream = entry.second;
    return std::tuple(stream.sending_ns != 0, stream.is_open, std::max(stream.last_ns, stream.since_ns));
  });
  if (!oldest->second.sending_ns) streams_.erase(oldest);
}

void SocketOutlet::sent(const stream::Message& message, bool taken) {
  const int64_t now = steady_now_ns();
  const std::lock_guard lock(mutex_);
  const auto entry = streams_.find(message.source_id);
  if (entry == streams_.end()) return;
  Stream& stream = entry->second;
  if (now - stream.sending_ns > block_after_ns)
    stream.status.blocked_seconds += double(now - stream.sending_ns) * 1e-9;
  stream.sending_ns = 0;
  if (!taken) return;
  const auto enter = [&](SourceState state) {
    if (stream.status.state != state) stream.status.state = state, stream.since_ns = now;
  };
  if (message.frame) {
    ++frames_;
    ++stream.frames, ++stream.status.frames;
    stream.last_frame = message.frame->uuid;
    const int64_t interval = now - stream.last_ns;
    if (stream.last_ns) stream.interval_ns += (interval - stream.interval_ns) / (stream.interval_ns ? 8 : 1);
    stream.last_ns = now;
    enter(SourceState::running);
  }
  // What is only announced has nothing to end.
  if (!message.stream_update) stream.is_open = !message.end_of_stream;
  if (message.end_of_stream) {
    stream.frames = 0;
    stream.last_frame.reset();
    enter(SourceState::ended);
  }
}

// Nothing of them waits here any more.
void SocketOutlet::release(std::span<const std::string> source_ids) {
  const std::lock_guard lock(mutex_);
  for (const std::string& id : source_ids)
    if (const auto entry = streams_.find(id); entry != streams_.end()) entry->second.sending_ns = 0;
}

std::vector<SourceStatus> SocketOutlet::status() const {
  const int64_t now = steady_now_ns();
  const std::lock_guard lock(mutex_);
  std::vector<SourceStatus> all;
  for (const auto& [id, stream] : streams_) {
    SourceStatus& status = all.emplace_back(stream.status);
    const int64_t waits = stream.sending_ns ? now - stream.sending_ns : 0;
    if (waits > block_after_ns) {
      status.state = SourceState::blocked;
      status.since = double(waits) * 1e-9;
      status.blocked_seconds += status.since;
    } else {
      status.since = double(now - stream.since_ns) * 1e-9;
    }
    if (status.state == SourceState::running && stream.interval_ns > 0)
      status.fps = 1e9 / double(std::max(stream.interval_ns, (now - stream.last_ns) / 2));
  }
  return all;
}

Status SocketOutlet::end_streams(stream::EndReason reason, std::chrono::milliseconds timeout) {
  std::vector<stream::Message> ends;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [id, stream] : streams_) {
      if (!stream.is_open) continue;
      stream::Message& message = ends.emplace_back();
      message.kind = stream::Kind::end_of_stream;
      message.source_id = id;
      stream::EndOfStream& end = message.end_of_stream.emplace();
      end.reason = reason;
      end.frames = stream.frames;
      end.last_frame = stream.last_frame;
    }
  }
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  Status all;
  for (stream::Message& message : ends) {
    using std::chrono::milliseconds;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    begin(message);
    const Status taken = writer_->send(message, {}, std::max(left, 0ms));
    sent(message, taken.has_value());
    if (!taken) all = taken;
  }
  return all;
}

// --- IntoSocket

Deliver::Offer IntoSocket::try_for(stream::Delivery& delivery, std::chrono::milliseconds timeout) {
  const stream::Payload payload = delivery.payloads.empty() ? stream::Payload() : delivery.payloads[0];
  const Status sent = outlet_->writer_->send(message_, payload, timeout, delivery.settlement);
  if (sent) {
    outlet_->sent(message_, true);
    return Offer::taken;
  }
  if (sent.error().code == ErrorCode::exhausted) return Offer::full;
  outlet_->sent(message_, false);
  // It is this message that cannot be sent; the next one may.
  if (sent.error().code == ErrorCode::invalid_argument || sent.error().code == ErrorCode::unsupported) {
    outlet_->count_unsendable(sent.error());
    if (delivery.settlement) delivery.settlement->refused("malformed", false);
    return Offer::taken;
  }
  if (sent.error().code != ErrorCode::cancelled) {
    const std::lock_guard lock(outlet_->mutex_);
    outlet_->error_ = sent.error();
  }
  return Offer::closed;
}

bool IntoSocket::deliver(stream::Delivery delivery) {
  message_ = *delivery.message;
  outlet_->begin(message_);
  while (!stop_.stop_requested()) {
    // The module may be away for any time: that is no reason to give up.
    if (const Offer taken = try_for(delivery, 1s); taken != Offer::full) return taken == Offer::taken;
  }
  outlet_->sent(message_, false);
  return false;
}

Deliver::Offer IntoSocket::offer(stream::Delivery& delivery) {
  if (stop_.stop_requested()) return Offer::closed;
  message_ = *delivery.message;
  outlet_->begin(message_);
  return try_for(delivery, 0ms);
}

void IntoSocket::release(std::span<const std::string> source_ids, bool) { outlet_->release(source_ids); }

}  // namespace sightglass::adapters
