#include "sightglass/adapters/kafka/partition_log.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <format>
#include <utility>
#include <vector>

namespace sightglass::adapters {
namespace {

constexpr std::string_view note_head = "sightglass 1";

template <class Number>
bool read_field(std::string_view text, std::string_view name, Number& value) {
  const size_t at = text.find(name);
  if (at == text.npos) return false;
  const char* const first = text.data() + at + name.size();
  const char* const end = text.data() + text.size();
  const auto [last, error] = std::from_chars(first, end, value);
  return error == std::errc() && (last == end || *last == ' ');
}

}  // namespace

void PartitionLog::add(int64_t offset, const LogEntry& entry) {
  const auto known = sources_.find(entry.source_id);
  Source& source = known != sources_.end() ? known->second : sources_[std::string(entry.source_id)];
  auto& groups = source.groups;
  if (groups.empty() || groups.back().complete || entry.keyframe || entry.stands_alone) {
    if (!groups.empty()) groups.back().complete = true;
    // Without a keyframe in front nothing can be made of it, and nothing later will need it.
    groups.push_back({.first = offset, .complete = !entry.keyframe || entry.stands_alone});
  }
  ++groups.back().open;
  if (entry.ends) groups.back().complete = true;
  source.last_ms = entry.time_ms;
  source.read_ms = entry.read_ms;
  source.last_offset = offset;
  messages_.push_back(
      {.offset = offset, .source = &source, .group = source.first_group + int64_t(groups.size()) - 1});
  ++unfinished_;
  next_ = offset + 1;
  trim(source);  // an earlier group may have become complete
  if (entry.read_ms - looked_ms_ > silence_ms / 4) forget_silent(entry);
}

bool PartitionLog::done(int64_t offset) {
  const auto found = std::ranges::lower_bound(messages_, offset, {}, &Message::offset);
  if (found == messages_.end() || found->offset != offset || !found->source) return false;
  --unfinished_;
  Source& source = *std::exchange(found->source, nullptr);
  --source.groups[size_t(found->group - source.first_group)].open;
  while (!messages_.empty() && !messages_.front().source) messages_.pop_front();
  trim(source);
  return true;
}

void PartitionLog::skip_to(int64_t offset) { next_ = std::max(next_, offset); }

void PartitionLog::trim(Source& source) {
  while (!source.groups.empty() && source.groups.front().complete && source.groups.front().open == 0) {
    source.groups.pop_front();
    ++source.first_group;
  }
}

void PartitionLog::forget_silent(const LogEntry& latest) {
  looked_ms_ = latest.read_ms;
  std::erase_if(sources_, [&](auto& item) {
    Source& source = item.second;
    // A stamp far in the future is as far away as one of the past.
    if (latest.read_ms - source.read_ms <= silence_ms ||
        std::abs(latest.time_ms - source.last_ms) <= silence_ms)
      return false;
    if (!source.groups.empty()) source.groups.back().complete = true;
    trim(source);
    return source.groups.empty();
  });
}

bool PartitionLog::Source::is_done() const {
  return std::ranges::none_of(groups, [](const Group& group) { return group.open > 0; });
}

void PartitionLog::forget(size_t most) {
  std::erase_if(sources_, [](const auto& item) { return item.second.groups.empty(); });
  if (sources_.size() <= most) return;
  std::vector<decltype(sources_)::iterator> done;
  for (auto source = sources_.begin(); source != sources_.end(); ++source)
    if (source->second.is_done()) done.push_back(source);
  std::ranges::sort(done, {}, [](const auto& source) { return source->second.last_offset; });
  done.resize(std::min(done.size(), sources_.size() - most));
  for (const auto& source : done) sources_.erase(source);
}

bool PartitionLog::knows(std::string_view source_id) const {
  const auto found = sources_.find(source_id);
  return found != sources_.end() && !found->second.groups.empty();
}

LogPosition PartitionLog::position() const {
  if (next_ < 0) return {};
  LogPosition position{.offset = next_, .processed = messages_.empty() ? next_ : messages_.front().offset};
  for (const auto& [id, source] : sources_)
    if (!source.groups.empty()) position.offset = std::min(position.offset, source.groups.front().first);
  return position;
}

std::string to_string(const CommitNote& note) {
  return std::format("{} processed={} partitions={}", note_head, note.processed, note.partitions);
}

std::optional<CommitNote> parse_commit_note(std::string_view text) {
  CommitNote note;
  if (!text.starts_with(note_head) || !read_field(text, " processed=", note.processed) ||
      !read_field(text, " partitions=", note.partitions) || note.processed < 0 || note.partitions <= 0)
    return std::nullopt;
  return note;
}

}  // namespace sightglass::adapters
