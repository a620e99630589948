#include "sightglass/stream/schema_registry.h"

#include <algorithm>
#include <utility>

namespace sightglass::stream {

SchemaRegistry::SchemaRegistry(Limits limits)
    : limits_(limits), ours_(std::move(*avro::Schema::parse(schema_text(), avro::Defaults::keep))) {
  for (const ReleasedSchema& released : released_schemas()) {
    auto schema = avro::Schema::parse(released.text, avro::Defaults::leave_out);
    Entry& entry = entries_[released.fingerprint];
    entry.canonical = schema->canonical_form();
    entry.compiled_in = true;
    if (auto made = avro::Resolution::make(std::move(*schema), ours_)) {
      entry.resolution = std::make_shared<const avro::Resolution>(std::move(*made));
    }
  }
}

Rejection SchemaRegistry::announce(const Uuid& producer, std::string_view text, Time now,
                                   uint64_t* fingerprint) {
  if (text.size() > limits_.schema_text) return Rejection::schema_bad;
  auto schema = avro::Schema::parse(text, avro::Defaults::leave_out);
  if (!schema) return Rejection::schema_bad;
  const avro::Node& root = schema->root();
  std::string canonical = schema->canonical_form();
  const uint64_t number = avro::fingerprint(canonical);
  if (fingerprint) *fingerprint = number;
  const std::string_view name = root.name;
  if (root.type != avro::Type::record || name.substr(name.rfind('.') + 1) != "Message")
    return Rejection::schema_bad;
  if (number == schema_fingerprint) {
    return canonical == ours_.canonical_form() ? Rejection::none : Rejection::schema_bad;
  }

  const std::lock_guard lock(mutex_);
  auto found = entries_.find(number);
  if (found != entries_.end() && found->second.canonical != canonical) return Rejection::schema_bad;
  if (found != entries_.end() && found->second.compiled_in) return Rejection::none;
  if (!announced_.contains(producer) && announced_.size() >= most_producers) {
    forget_locked(
        std::ranges::min_element(announced_, {}, [](const auto& each) { return each.second.used; })->first,
        true);
    found = entries_.find(number);
  }
  Announcer& announcer = announced_[producer];
  announcer.used = ++uses_;
  if (found == entries_.end() || !std::ranges::contains(found->second.producers, producer)) {
    if (announcer.schemas >= schemas_per_producer) return Rejection::schema_bad;
    ++announcer.schemas;
  }
  if (found == entries_.end()) {
    if (entries_.size() >= most_schemas) make_room();
    found = entries_.try_emplace(number).first;
    found->second.canonical = std::move(canonical);
    found->second.at = now;
  }
  Entry& entry = found->second;
  entry.used = uses_;
  if (!std::ranges::contains(entry.producers, producer)) entry.producers.push_back(producer);
  if (!entry.resolution) {
    entry.at = now;
    if (auto made = avro::Resolution::make(std::move(*schema), ours_)) {
      entry.resolution = std::make_shared<const avro::Resolution>(std::move(*made));
    }
  }
  return entry.resolution ? Rejection::none : Rejection::schema_incompatible;
}

SchemaRegistry::Found SchemaRegistry::find(uint64_t fingerprint, Time now) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(fingerprint);
  if (found == entries_.end()) return {};
  Entry& entry = found->second;
  if (entry.resolution) {
    entry.used = ++uses_;
    entry.has_messages = true;
  }
  if (entry.resolution || entry.compiled_in) return {entry.resolution, !entry.resolution};
  // After a minute it may be asked for again: whoever writes it may have been replaced.
  return {nullptr, now - entry.at < remember_incompatible};
}

void SchemaRegistry::forget(const Uuid& producer) {
  const std::lock_guard lock(mutex_);
  forget_locked(producer, false);
}

void SchemaRegistry::forget_locked(const Uuid& producer, bool keep_used) {
  const Uuid gone = producer;  // it may be the key that is erased
  announced_.erase(gone);
  std::erase_if(entries_, [&](auto& item) {
    Entry& entry = item.second;
    return std::erase(entry.producers, gone) > 0 && entry.producers.empty() && !entry.compiled_in &&
           !(keep_used && entry.has_messages);
  });
}

void SchemaRegistry::make_room() {
  auto victim = entries_.end();
  const auto rank = [](const Entry& entry) { return std::pair(entry.resolution != nullptr, entry.used); };
  for (auto each = entries_.begin(); each != entries_.end(); ++each) {
    if (each->second.compiled_in) continue;
    if (victim == entries_.end() || rank(each->second) < rank(victim->second)) victim = each;
  }
  if (victim == entries_.end()) return;
  for (const Uuid& producer : victim->second.producers) {
    if (const auto found = announced_.find(producer); found != announced_.end()) --found->second.schemas;
  }
  entries_.erase(victim);
}

}  // namespace sightglass::stream
