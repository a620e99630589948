#include "sightglass/stream/lifecycle/stream_table.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace sightglass::stream {

bool TokenBucket::take(Time now) {
  if (last_ != no_time && now > last_)
    tokens_ = std::min(burst_, tokens_ + rate_ * double(now - last_) / 1e9);
  last_ = std::max(last_, now);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

std::string_view to_string(Denial refusal) {
  static constexpr std::array<std::string_view, 5> names = {"none", "source_id", "source_flood",
                                                            "blacklisted", "draining"};
  return names[size_t(refusal)];
}

Status check(const StreamTable::Options& options) {
  if (auto valid = check(options.rules); !valid) return valid;
  const ParamTable& table = stream_rule_params();
  for (const auto& [pattern, rules] : options.overrides) {
    if (pattern.empty() || pattern.size() > max_source_id)
      return fail(ErrorCode::invalid_argument, "streams: a pattern of source ids has 1 to {} characters",
                  max_source_id);
    if (auto valid = check(rules); !valid)
      return fail(valid.error().code, "streams of '{}': {}", pattern, valid.error().message);
    for (const ParamDesc& desc : table.params)
      if (is_module_wide(desc.name) && desc.load(&rules) != desc.load(&options.rules))
        return fail(ErrorCode::invalid_argument,
                    "streams of '{}': {} holds for the whole module and cannot be overridden", pattern,
                    desc.name);
  }
  return {};
}

StreamTable::StreamTable(Options options, Factory make_entry)
    : make_entry_(std::move(make_entry)),
      max_streams_(options.rules.max_streams),
      max_stuck_(options.rules.max_stuck),
      newcomers_(options.rules.new_sources_per_second, options.rules.new_sources_burst) {
  set_rules(std::move(options));
}

StreamTable::~StreamTable() = default;

void StreamTable::set_rules(Options options) {
  std::vector<std::pair<std::string, std::shared_ptr<const StreamRules>>> overrides;
  for (PatternRules& pattern : options.overrides)
    overrides.emplace_back(std::move(pattern.pattern),
                           std::make_shared<StreamRules>(std::move(pattern.rules)));
  auto rules = std::make_shared<StreamRules>(std::move(options.rules));
  std::lock_guard lock(mutex_);
  rules_ = std::move(rules);
  overrides_ = std::move(overrides);
}

std::shared_ptr<const StreamRules> StreamTable::rules_for(std::string_view source_id) const {
  std::lock_guard lock(mutex_);
  return rules_for_locked(source_id);
}

std::shared_ptr<const StreamRules> StreamTable::rules_for_locked(std::string_view source_id) const {
  for (const auto& [pattern, rules] : overrides_)
    if (matches(pattern, source_id)) return rules;
  return rules_;
}

std::shared_ptr<StreamEntry> StreamTable::get(std::string_view source_id) const {
  std::lock_guard lock(mutex_);
  const auto found = entries_.find(source_id);
  return found == entries_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<StreamEntry>> StreamTable::entries() const {
  std::vector<std::shared_ptr<StreamEntry>> all;
  {
    std::lock_guard lock(mutex_);
    all.reserve(entries_.size());
    for (const auto& [id, entry] : entries_) all.push_back(entry);
  }
  std::ranges::sort(all, {}, [](const auto& entry) -> const std::string& { return entry->id(); });
  return all;
}

// The order of pin and look here, of mark and look at pins in remove(): one of the two sees the other.
bool StreamTable::pin(const std::shared_ptr<StreamEntry>& entry, Pin& pin) {
  entry->pins_.fetch_add(1);
  if (entry->forgotten_) {
    entry->pins_.fetch_sub(1);
    return false;
  }
  pin.entry_ = entry;
  return true;
}

StreamTable::Found StreamTable::Reader::find(std::string_view source_id, Time now) {
  // What others have removed is let go here before long.
  if (const uint64_t removals = table_->removals_; removals != removals_) {
    removals_ = removals;
    std::erase_if(known_, [](const auto& known) { return known.second->forgotten_.load(); });
  }
  Found found;
  if (const auto known = known_.find(source_id); known != known_.end()) {
    const std::shared_ptr<StreamEntry>& entry = known->second;
    if (entry->is_refused(now)) return {Denial::blacklisted, {}};
    if (pin(entry, found.pin)) return found;
    known_.erase(known);
  }
  found = table_->find_or_make(source_id, now);
  if (found.refusal == Denial::none) known_.emplace(std::string(source_id), found.pin.entry());
  return found;
}

StreamTable::Found StreamTable::find_or_make(std::string_view source_id, Time now) {
  if (!is_valid_source_id(source_id)) return {Denial::source_id, {}};
  std::shared_ptr<StreamEntry> forgotten;
  Found found;
  {
    std::lock_guard lock(mutex_);
    const auto known = entries_.find(source_id);
    if (known != entries_.end()) {
      if (known->second->is_refused(now)) return {Denial::blacklisted, {}};
      pin(known->second, found.pin);  // under the lock nobody marks it
      return found;
    }
    if (draining_) return {Denial::draining, {}};
    if (!newcomers_.take(now)) return {Denial::source_flood, {}};
    if (entries_.size() >= remembered_per_place * size_t(max_streams_)) {
      forgotten = make_room_locked();
      if (!forgotten) return {Denial::source_flood, {}};
    }
    std::shared_ptr<StreamEntry> entry = make_entry_({source_id, rules_for_locked(source_id)});
    entry->set_last_used(now);
    pin(entry, found.pin);
    const std::string_view id = entry->id();
    entries_.emplace(id, std::move(entry));
  }
  if (forgotten) forgotten->on_forgotten();
  return found;
}

// The one that is not needed and was used least recently.
std::shared_ptr<StreamEntry> StreamTable::make_room_locked() {
  std::shared_ptr<StreamEntry> oldest;
  for (const auto& [id, entry] : entries_)
    if (!entry->needed_ && !entry->has_slot_ && entry->pins_ == 0 && !entry->is_occupied() &&
        (!oldest || entry->last_used_ < oldest->last_used_))
      oldest = entry;
  if (oldest && remove_locked(*oldest)) return oldest;
  return nullptr;
}

bool StreamTable::remove_locked(StreamEntry& entry) {
  entry.forgotten_ = true;
  if (entry.pins_ > 0) {
    entry.forgotten_ = false;
    return false;
  }
  std::erase_if(waiting_, [&](const auto& waits) { return waits.get() == &entry; });
  entries_.erase(entry.id());
  ++removals_;
  return true;
}

bool StreamTable::forget(StreamEntry& entry) {
  std::shared_ptr<StreamEntry> kept;  // outlives the lock
  {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(entry.id());
    if (found == entries_.end() || found->second.get() != &entry) return true;
    kept = found->second;
    if (!remove_locked(entry)) return false;
  }
  release(entry);
  kept->on_forgotten();
  return true;
}

StreamEntry* StreamTable::choose_victim(const StreamEntry& newcomer, const StreamRules& rules) const {
  StreamEntry* victim = nullptr;
  for (const auto& [id, entry] : entries_) {
    if (!entry->has_slot_ || entry->is_evicted_ || entry.get() == &newcomer) continue;
    const Time idle = entry->idle_since_;
    switch (rules.on_max_streams) {
      case OnMaxStreams::reject:
        return nullptr;
      case OnMaxStreams::evict_idle: {
        if (idle == no_time) continue;
        if (!victim || idle < victim->idle_since_) victim = entry.get();
        break;
      }
      case OnMaxStreams::evict_lowest_priority: {
        if (entry->priority_ >= rules.priority) continue;
        if (!victim) {
          victim = entry.get();
          continue;
        }
        // Among equals an idle one, then the one that has run longest.
        const auto rank = [](const StreamEntry& e) {
          return std::tuple(e.priority_, e.idle_since_ == no_time, e.slot_order_);
        };
        if (rank(*entry) < rank(*victim)) victim = entry.get();
        break;
      }
    }
  }
  return victim;
}

StreamTable::Slot StreamTable::acquire(StreamEntry& entry, const StreamRules& rules) {
  std::shared_ptr<StreamEntry> victim;
  {
    std::lock_guard lock(mutex_);
    if (entry.has_slot_) return Slot::granted;
    entry.priority_ = rules.priority;
    if (slots_ < max_streams_) {
      ++slots_;
      entry.has_slot_ = true;
      entry.slot_order_ = ++slot_order_;
      return Slot::granted;
    }
    const auto self = entries_.find(entry.id());
    if (self == entries_.end() || self->second.get() != &entry) return Slot::refused;
    StreamEntry* chosen = choose_victim(entry, rules);
    if (!chosen) return Slot::refused;
    chosen->is_evicted_ = true;
    waiting_.push_back(self->second);
    victim = entries_.find(chosen->id())->second;
  }
  victim->on_evict();
  return Slot::pending;
}

bool StreamTable::has_slot(const StreamEntry& entry) const {
  std::lock_guard lock(mutex_);
  return entry.has_slot_;
}

void StreamTable::release(StreamEntry& entry) {
  std::shared_ptr<StreamEntry> next;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const auto& waits) { return waits.get() == &entry; });
    entry.is_evicted_ = false;
    if (!std::exchange(entry.has_slot_, false)) return;
    if (waiting_.empty()) {
      --slots_;
      return;
    }
    next = std::move(waiting_.front());
    waiting_.pop_front();
    next->has_slot_ = true;
    next->slot_order_ = ++slot_order_;
  }
  next->on_slot_granted();
}

}  // namespace sightglass::stream
