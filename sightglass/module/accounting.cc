#include "sightglass/module/accounting.h"

#include <algorithm>
#include <chrono>

#include "sightglass/module/frame_trace.h"

namespace sightglass::module {
namespace {

constexpr int64_t second_ns = 1'000'000'000;
constexpr int64_t remembered_ns = 300 * second_ns;

}  // namespace

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::queue:
      return "queue";
    case Stage::elements:
      return "elements";
    case Stage::sinks:
      return "sinks";
  }
  return "";
}

int64_t steady_now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t wall_now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

uint64_t SourceCounts::dropped_in_all() const {
  uint64_t sum = 0;
  for (const auto& [reason, count] : dropped) sum += count;
  return sum;
}

SourceCounts SourceAccount::counts(int64_t now_ns) const {
  const std::scoped_lock lock(mutex_);
  SourceCounts counts{.received = received_,
                      .stored = stored_,
                      .in_flight = in_flight_,
                      .lost = lost_,
                      .duplicate = duplicate_,
                      .fenced = fenced_,
                      .results = results_,
                      .decoder_fallbacks = decoder_fallbacks_,
                      .lag = lag_};
  counts.dropped_by_stage = dropped_;
  for (const SourceCounts::Dropped& dropped : dropped_) {
    const auto known =
        std::ranges::find(counts.dropped, dropped.reason, &std::pair<std::string, uint64_t>::first);
    if (known == counts.dropped.end())
      counts.dropped.emplace_back(dropped.reason, dropped.count);
    else
      known->second += dropped.count;
  }
  if (oldest_) {
    counts.oldest_ns = oldest_->received_ns_;
    counts.oldest_stage = oldest_->stage_;
  }
  // Whole seconds that have passed, but for the one under way.
  const int64_t now = now_ns / second_ns;
  uint32_t frames = 0;
  for (int64_t s = std::max(now - fps_seconds, second_ - fps_seconds); s < now && s <= second_; ++s)
    if (s >= 0) frames += per_second_[size_t(s % int64_t(per_second_.size()))];
  const auto seconds = std::clamp<int64_t>(now - first_result_ns_ / second_ns, 1, fps_seconds);
  counts.fps = double(frames) / double(seconds);
  return counts;
}

void SourceAccount::count_lost(uint64_t frames) {
  const std::scoped_lock lock(mutex_);
  lost_ += frames;
}
void SourceAccount::count_duplicate() {
  const std::scoped_lock lock(mutex_);
  ++duplicate_;
}
void SourceAccount::count_fenced() {
  const std::scoped_lock lock(mutex_);
  ++fenced_;
}

void SourceAccount::count_decoder_fallback() {
  const std::scoped_lock lock(mutex_);
  ++decoder_fallbacks_;
}

void SourceAccount::count_result(int64_t received_ns, int64_t now_ns) {
  const std::scoped_lock lock(mutex_);
  ++results_;
  if (!first_result_ns_) first_result_ns_ = now_ns;
  const int64_t now = now_ns / second_ns;
  const auto size = int64_t(per_second_.size());
  for (int64_t s = std::max(second_ + 1, now - size + 1); s <= now; ++s) per_second_[size_t(s % size)] = 0;
  second_ = std::max(second_, now);
  ++per_second_[size_t(second_ % size)];
  const double lag = double(now_ns - received_ns) / 1e9;
  lag_ = lag_ == 0 ? lag : lag_ + 0.1 * (lag - lag_);
}

int64_t SourceAccount::last_seen_ns() const {
  const std::scoped_lock lock(mutex_);
  return last_seen_ns_;
}

Receipt::Receipt(std::shared_ptr<SourceAccount> account, std::shared_ptr<stream::Settlement> settlement,
                 int64_t received_ns)
    : account_(std::move(account)), settlement_(std::move(settlement)), received_ns_(received_ns) {
  const std::scoped_lock lock(account_->mutex_);
  ++account_->received_;
  ++account_->in_flight_;
  account_->last_seen_ns_ = received_ns;
  older_ = account_->newest_;
  (older_ ? older_->newer_ : account_->oldest_) = this;
  account_->newest_ = this;
}

Receipt::~Receipt() {
  if (settle("abandoned") && settlement_) settlement_->refused("abandoned", true);
}

bool Receipt::settle(std::string_view reason) {
  {
    const std::scoped_lock lock(account_->mutex_);
    if (!is_open_) return false;
    is_open_ = false;
    note_settled(reason);
  }
  if (const auto trace = std::move(trace_)) trace->settled(reason, steady_now_ns());
  return true;
}

// Under the account's lock.
void Receipt::note_settled(std::string_view reason) {
  --account_->in_flight_;
  (older_ ? older_->newer_ : account_->oldest_) = newer_;
  (newer_ ? newer_->older_ : account_->newest_) = older_;
  if (reason.empty()) {
    ++account_->stored_;
  } else {
    auto& dropped = account_->dropped_;
    auto entry = std::ranges::find_if(dropped, [&](const SourceCounts::Dropped& one) {
      return one.stage == stage_ && one.reason == reason;
    });
    if (entry == dropped.end()) entry = dropped.insert(entry, {.stage = stage_, .reason = reason});
    ++entry->count;
  }
}

void Receipt::accept() {
  if (settlement_) settlement_->accepted();
}

void Receipt::move_to(Stage stage) {
  const std::scoped_lock lock(account_->mutex_);
  stage_ = stage;
}

void Receipt::store() {
  if (settle({}) && settlement_) settlement_->processed();
}

void Receipt::drop(std::string_view reason) {
  if (settle(reason) && settlement_) settlement_->processed();
}

void Receipt::refuse(std::string_view reason, bool retry) {
  if (settle(reason) && settlement_) settlement_->refused(reason, retry);
}

bool Receipt::is_settled() const {
  const std::scoped_lock lock(account_->mutex_);
  return !is_open_;
}

std::shared_ptr<SourceAccount> Accounts::open(std::string_view id) {
  const std::scoped_lock lock(mutex_);
  const auto known = accounts_.find(id);
  if (known != accounts_.end()) return known->second;
  return accounts_.emplace(id, std::make_shared<SourceAccount>(std::string(id))).first->second;
}

std::shared_ptr<SourceAccount> Accounts::find(std::string_view id) const {
  const std::scoped_lock lock(mutex_);
  const auto known = accounts_.find(id);
  return known == accounts_.end() ? nullptr : known->second;
}

std::vector<std::shared_ptr<SourceAccount>> Accounts::all() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<SourceAccount>> all;
  all.reserve(accounts_.size());
  for (const auto& [id, account] : accounts_) all.push_back(account);
  return all;
}

void Accounts::forget_old(int64_t now_ns) {
  const std::scoped_lock lock(mutex_);
  // One user: nobody but us knows it, so no frame of it is under way and no stream is open.
  std::vector<std::pair<int64_t, const std::string*>> idle;
  for (const auto& [id, account] : accounts_)
    if (account.use_count() == 1) idle.emplace_back(account->silent_since_ns(), &id);
  std::ranges::sort(idle);
  size_t excess = accounts_.size() > most_ ? accounts_.size() - most_ : 0;
  for (const auto& [seen, id] : idle) {
    if (!excess && now_ns - seen < remembered_ns) break;
    if (excess) --excess;
    accounts_.erase(accounts_.find(std::string_view(*id)));
  }
}

}  // namespace sightglass::module
