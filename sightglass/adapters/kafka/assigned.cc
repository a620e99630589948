#include "sightglass/adapters/kafka/assigned.h"

#include <algorithm>
#include <utility>

#include "sightglass/stream/lifecycle/stream_events.h"

namespace sightglass::adapters {
namespace {

using namespace std::chrono_literals;

constexpr auto first_pause = 500ms;  // doubled with each further attempt

size_t bytes_of(const stream::Delivery& delivery) {
  return 512 + (delivery.payloads.empty() ? 0 : delivery.payloads[0].bytes.size());
}

}  // namespace

void RefusalCounts::add(std::string_view reason) {
  const std::scoped_lock lock(mutex_);
  const auto known = counts_.find(reason);
  ++(known != counts_.end() ? known->second : counts_[std::string(reason)]);
}

std::map<std::string, uint64_t> RefusalCounts::get() const {
  const std::scoped_lock lock(mutex_);
  return {counts_.begin(), counts_.end()};
}

// Keeps the message, which is offered again when it is refused for now.
class Assigned::Ticket final : public stream::Settlement {
 public:
  Ticket(std::shared_ptr<Assigned> partition, Item item)
      : partition_(std::move(partition)), item_(std::move(item)) {
    ++partition_->under_way_;
  }
  // Nobody has said anything: the message is not done, and is read again by whoever comes next.
  ~Ticket() override {
    if (!is_told_) --partition_->under_way_;
  }
  void processed() override {
    if (is_told_.exchange(true)) return;
    partition_->note_taken(item_.delivery.message->source_id);
    partition_->settle(item_.offset);
    item_.delivery = {};
    --partition_->under_way_;
  }
  void refused(std::string_view code, bool retry) override {
    if (is_told_.exchange(true)) return;
    // Whoever gets the partition next tries anew: that we are leaving says nothing about the message.
    const bool is_leaving = code == "draining" || code == "unfinished" || code == "abandoned";
    // A stream that is blacklisted is so for minutes; the others of its partition do not wait for it.
    if (retry && code != "blacklisted" && (is_leaving || is_tried_again(code))) {
      is_returned_ = true;
      partition_->give_back(std::move(item_));
    } else {
      partition_->refusals_->add(code);
      partition_->settle(item_.offset);
      item_.delivery = {};
    }
    --partition_->under_way_;
  }
  bool is_returned() const { return is_returned_; }

 private:
  // Of a source that is rejected as a whole, one message has waited for all.
  bool is_tried_again(std::string_view code) {
    const std::string& id = item_.delivery.message->source_id;
    if (partition_->has_given_up(id, code)) return false;
    if (++item_.attempts < most_attempts) return true;
    if (code == "rejected" || code == "quarantined") partition_->note_given_up(id, code);
    return false;
  }

  const std::shared_ptr<Assigned> partition_;
  Item item_;
  std::atomic<bool> is_told_{false}, is_returned_{false};
};

Assigned::Assigned(std::string topic, int partition, int64_t processed,
                   std::shared_ptr<RefusalCounts> refusals)
    : topic_(std::move(topic)),
      partition_(partition),
      processed_(processed),
      refusals_(std::move(refusals)) {}

void Assigned::take(stream::Delivery delivery, int64_t offset, int64_t time_ms) {
  const stream::Message& message = *delivery.message;
  const bool is_frame = message.frame.has_value();
  const bool ends = message.end_of_stream.has_value();
  const auto codec = is_frame ? stream::codec_of(message.frame->codec.value_or("")) : stream::Codec::none;
  const LogEntry entry{
      .source_id = message.source_id,
      .keyframe = is_frame && message.frame->keyframe,
      .stands_alone = is_frame && stream::is_intra(codec),
      .ends = ends,
      .time_ms = time_ms,
      .read_ms =
          std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch()).count()};
  const bool is_done = offset < processed_;
  {
    const std::scoped_lock lock(mutex_);
    log_.add(offset, entry);
    if (is_done) log_.done(offset);
  }
  Source& source = source_of(message.source_id);
  if (!is_done) {
    for (Item& item : source.open_group) enqueue(source, std::move(item));
    source.open_group.clear();
    enqueue(source, {.delivery = std::move(delivery), .offset = offset});
    return;
  }
  // Of what is done only the frames are needed that a decoder has to see before the next ones.
  if (entry.keyframe || entry.stands_alone || ends) source.open_group.clear();
  if (!is_frame || entry.stands_alone || (source.open_group.empty() && !entry.keyframe)) return;
  auto again = std::make_shared<stream::Message>(message);
  again->frame->replay = true;
  delivery.message = std::move(again);
  source.open_group.push_back({.delivery = std::move(delivery), .offset = offset});
}

Assigned::Source& Assigned::source_of(const std::string& id) {
  if (const auto known = sources_.find(id); known != sources_.end()) return known->second;
  if (sources_.size() >= forget_at_) forget();
  return sources_[id];
}

void Assigned::forget() {
  const std::scoped_lock lock(mutex_);
  log_.forget(most_sources * 3 / 4);
  std::erase_if(sources_,
                [&](const auto& item) { return item.second.waiting.empty() && !log_.knows(item.first); });
  std::erase_if(given_up_, [&](const auto& item) { return !sources_.contains(item.first); });
  // What is unfinished stays, however much that is; it is not looked through for each one that comes.
  forget_at_ = std::max(most_sources, sources_.size() + most_sources / 4);
}

void Assigned::skip(int64_t offset) {
  const std::scoped_lock lock(mutex_);
  log_.skip_to(offset + 1);
}

// By offset: what comes back stands in front of what was never given out.
void Assigned::enqueue(Source& source, Item item) {
  ++waiting_;
  waiting_bytes_ += bytes_of(item.delivery);
  const auto place = std::ranges::upper_bound(source.waiting, item.offset, {}, &Item::offset);
  source.waiting.insert(place, std::move(item));
}

void Assigned::give_back(Item item) {
  const std::scoped_lock lock(mutex_);
  if (!is_closed_) returned_.push_back(std::move(item));
}

void Assigned::take_back() {
  std::vector<Item> returned;
  {
    const std::scoped_lock lock(mutex_);
    if (returned_.empty()) return;
    returned.swap(returned_);
  }
  for (Item& item : returned) {
    Source& source = source_of(item.delivery.message->source_id);
    const unsigned doublings = std::max(item.attempts, 1u) - 1;
    source.hold_until = std::max(source.hold_until, Clock::now() + first_pause * (1 << doublings));
    enqueue(source, std::move(item));
  }
}

bool Assigned::pump(Deliver& out) {
  take_back();
  if (waiting_ == 0) return true;
  const auto now = Clock::now();
  for (auto& [id, source] : sources_) {
    if (source.hold_until > now) continue;
    while (!source.waiting.empty()) {
      Item& item = source.waiting.front();
      const size_t bytes = bytes_of(item.delivery);
      stream::Delivery delivery = item.delivery;
      // What becomes of frames that were done before is of no interest.
      std::shared_ptr<Ticket> ticket;
      if (item.offset >= processed_)
        delivery.settlement = ticket = std::make_shared<Ticket>(shared_from_this(), item);
      const auto offered = out.offer(delivery);
      if (offered == Deliver::Offer::full) break;
      if (offered == Deliver::Offer::closed) return false;
      --waiting_;
      waiting_bytes_ -= bytes;
      source.waiting.pop_front();
      if (ticket && ticket->is_returned()) break;  // first it, then what stands behind it
    }
  }
  return true;
}

std::vector<std::string> Assigned::source_ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, source] : sources_) ids.push_back(id);
  return ids;
}

void Assigned::stop_delivering() {
  for (auto& [id, source] : sources_) {
    source.waiting.clear();
    source.open_group.clear();
  }
  waiting_ = waiting_bytes_ = 0;
}

void Assigned::settle(int64_t offset) {
  const std::scoped_lock lock(mutex_);
  if (!is_closed_) (void)log_.done(offset);
}

bool Assigned::has_given_up(std::string_view source_id, std::string_view code) const {
  const std::scoped_lock lock(mutex_);
  const auto found = given_up_.find(source_id);
  return found != given_up_.end() && found->second == code;
}

void Assigned::note_given_up(std::string_view source_id, std::string_view code) {
  const std::scoped_lock lock(mutex_);
  given_up_.insert_or_assign(std::string(source_id), std::string(code));
}

void Assigned::note_taken(std::string_view source_id) {
  const std::scoped_lock lock(mutex_);
  if (const auto found = given_up_.find(source_id); found != given_up_.end()) given_up_.erase(found);
}

LogPosition Assigned::position() const {
  const std::scoped_lock lock(mutex_);
  LogPosition position = log_.position();
  // An earlier owner had come further already.
  if (position.offset >= 0) position.processed = std::max(position.processed, processed_);
  return position;
}

void Assigned::close() {
  const std::scoped_lock lock(mutex_);
  is_closed_ = true;
  returned_.clear();
}

}  // namespace sightglass::adapters
