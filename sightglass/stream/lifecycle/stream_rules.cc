#include "sightglass/stream/lifecycle/stream_rules.h"

#include <algorithm>
#include <array>

namespace sightglass::stream {

std::string_view to_string(QueuePolicy policy) {
  static constexpr std::array<std::string_view, 6> names = {"automatic",        "block",  "drop_oldest",
                                                            "drop_to_keyframe", "latest", "spill"};
  return names[size_t(policy)];
}

namespace {

constexpr double day = 86'400e9;
constexpr double tick = 1'000'000;  // 1 ms: shorter times are mistakes of units

ParamTable make_table() {
  using R = StreamRules;
  const auto time = [](std::string_view name, Time R::* member, std::string_view doc) {
    return param(name, member, doc).range(tick, day).in("ns").live();
  };
  ParamTable table = ParamTable::of<R>({
      param("max-streams", &R::max_streams, "streams that have an instance at a time").range(1, 10'000),
      param("warm-instances", &R::warm_instances, "instances per codec that wait prebuilt").range(0, 64),
      param("max-stuck", &R::max_stuck, "instances that may fail to stop before the module gives up")
          .range(0, 1'000),
      param("new-sources-per-second", &R::new_sources_per_second,
            "new source ids that are let in, on average")
          .range(1, 100'000)
          .in("1/s"),
      param("new-sources-burst", &R::new_sources_burst, "new source ids that are let in at once")
          .range(1, 100'000),
      param("priority", &R::priority, "streams of higher priority keep their place")
          .range(-1'000, 1'000)
          .live(),
      param("on-max-streams", &R::on_max_streams,
            "what a new stream does to the others when all places are taken")
          .choices({"evict_idle", "evict_lowest_priority", "reject"})
          .live(),
      time("key-timeout", &R::key_timeout, "wait for a first keyframe"),
      time("start-timeout", &R::start_timeout, "wait for the first decoded frame"),
      time("stall-after", &R::stall_after,
           "silence that makes a stream IDLE; five frames where that is longer"),
      param("idle-timeout", &R::idle_timeout, "silence that ends a stream; never: none does")
          .range(tick, double(never))
          .in("ns")
          .live(),
      time("drain-timeout", &R::drain_timeout, "wait for the last results after EOS"),
      time("teardown-timeout", &R::teardown_timeout, "wait for an instance to stop before it is set aside"),
      time("quarantine-initial", &R::quarantine_initial,
           "back-off after the first failure, doubled at each further one"),
      time("quarantine-max", &R::quarantine_max, "longest back-off"),
      param("jitter", &R::jitter, "how far a back-off is moved at random, up or down")
          .range(0, 90)
          .in("%")
          .live(),
      param("max-failures", &R::max_failures,
            "failures within failure_window that put a stream on the blacklist")
          .range(1, 1'000)
          .live(),
      time("failure-window", &R::failure_window, "how long a failure counts"),
      time("healthy-after", &R::healthy_after,
           "time without failure after which the earlier ones are forgotten"),
      time("blacklist-ttl", &R::blacklist_ttl, "first time on the blacklist, doubled at each repeat"),
      time("blacklist-max", &R::blacklist_max, "longest time on the blacklist"),
      param("max-frame-errors", &R::max_frame_errors,
            "failed frames within frame_error_window that a stream survives")
          .range(0, 10'000)
          .live(),
      time("frame-error-window", &R::frame_error_window, "how long a failed frame counts"),
      param("on-conflict", &R::on_conflict, "which of two writers of one source id is heard")
          .choices({"newest", "oldest", "reject"})
          .live(),
      time("takeover-after", &R::takeover_after, "silence of a writer after which any other may take over"),
      time("revoke-timeout", &R::revoke_timeout,
           "wait for the last results when a partition goes to another module"),
      param("on-gap", &R::on_gap, "what follows on a loss where pictures build on each other")
          .choices({"drop_to_keyframe", "continue"})
          .live(),
      param("on-time-jump", &R::on_time_jump, "what follows when time goes back or far ahead")
          .choices({"rebase", "new_epoch", "drop"})
          .live(),
      time("time-jump-limit", &R::time_jump_limit, "step ahead that is no longer taken for a pause"),
      param("eos-on-change", &R::eos_on_change, "sinks see EOS when codec or size change within a stream")
          .live(),
      param("decoders", &R::decoders, "CODEC=ELEMENT, tried in this order before the built-in decoders"),
  });
  return table;
}

}  // namespace

const ParamTable& stream_rule_params() {
  static const ParamTable table = make_table();
  return table;
}

bool is_module_wide(std::string_view key) {
  std::string name(key);
  std::ranges::replace(name, '-', '_');
  return name == "max_streams" || name == "warm_instances" || name == "max_stuck" ||
         name == "new_sources_per_second" || name == "new_sources_burst";
}

Status check(const StreamRules& rules) {
  const ParamTable& table = stream_rule_params();
  for (const ParamDesc& desc : table.params) {
    auto valid = desc.check(desc.load(&rules));
    if (!valid) return forward_error(valid);
  }
  const auto ordered = [](std::string_view less, Time a, std::string_view more, Time b) -> Status {
    if (a <= b) return {};
    return fail(ErrorCode::invalid_argument, "{} ({} ms) must not be longer than {} ({} ms)", less,
                a / millisecond, more, b / millisecond);
  };
  if (auto valid =
          ordered("quarantine_initial", rules.quarantine_initial, "quarantine_max", rules.quarantine_max);
      !valid)
    return valid;
  if (auto valid = ordered("blacklist_ttl", rules.blacklist_ttl, "blacklist_max", rules.blacklist_max);
      !valid)
    return valid;
  // stall_after comes first: else no stream would ever be seen as IDLE before it ends.
  if (rules.idle_timeout < rules.stall_after)
    return ordered("stall_after", rules.stall_after, "idle_timeout", rules.idle_timeout);
  for (const std::string& decoder : rules.decoders) {
    const size_t equals = decoder.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == decoder.size())
      return fail(ErrorCode::invalid_argument, "decoders: '{}' is not CODEC=ELEMENT, as in h264=avdec_h264",
                  decoder);
  }
  return {};
}

bool matches(std::string_view pattern, std::string_view source_id) {
  // Goes back to the last star only: linear in the product at worst, and both are short.
  size_t p = 0, s = 0, star = std::string_view::npos, after_star = 0;
  while (s < source_id.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = s;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == source_id[s])) {
      ++p, ++s;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      s = ++after_star;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool is_valid_source_id(std::string_view id) {
  if (id.empty() || id.size() > max_source_id) return false;
  const auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (!is_word(id.front())) return false;
  for (size_t i = 1; i < id.size(); ++i) {
    const char c = id[i];
    if (!is_word(c) && c != '.' && c != '_' && c != ':' && c != '-') return false;
    if (c == '.' && id[i - 1] == '.') return false;
  }
  return true;
}

}  // namespace sightglass::stream
