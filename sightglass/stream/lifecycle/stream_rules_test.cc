#include "sightglass/stream/lifecycle/stream_rules.h"

#include <gtest/gtest.h>

#include <set>

namespace sightglass::stream {
namespace {

TEST(StreamRules, DefaultsAreThoseOfTheTable) {
  const StreamRules rules;
  EXPECT_EQ(rules.max_streams, 64u);
  EXPECT_EQ(rules.warm_instances, 1u);
  EXPECT_EQ(rules.key_timeout, 30 * second);
  EXPECT_EQ(rules.start_timeout, 10 * second);
  EXPECT_EQ(rules.stall_after, 3 * second);
  EXPECT_EQ(rules.idle_timeout, 10 * second);
  EXPECT_EQ(rules.drain_timeout, 10 * second);
  EXPECT_EQ(rules.teardown_timeout, 5 * second);
  EXPECT_EQ(rules.quarantine_initial, second);
  EXPECT_EQ(rules.quarantine_max, 60 * second);
  EXPECT_EQ(rules.jitter, 20u);
  EXPECT_EQ(rules.max_failures, 6u);
  EXPECT_EQ(rules.failure_window, 300 * second);
  EXPECT_EQ(rules.healthy_after, 30 * second);
  EXPECT_EQ(rules.blacklist_ttl, 60 * second);
  EXPECT_EQ(rules.blacklist_max, 3600 * second);
  EXPECT_EQ(rules.max_frame_errors, 50u);
  EXPECT_EQ(rules.takeover_after, 2 * second);
  EXPECT_EQ(rules.revoke_timeout, 10 * second);
  EXPECT_TRUE(check(rules));
}

TEST(StreamRules, EveryKeyIsDeclaredWithRangeAndDoc) {
  std::set<std::string> names;
  for (const ParamDesc& desc : stream_rule_params().params) {
    EXPECT_TRUE(names.insert(desc.name).second) << desc.name;
    EXPECT_FALSE(desc.doc.empty()) << desc.name;
    EXPECT_TRUE(desc.check(desc.default_value)) << desc.name;
  }
  EXPECT_EQ(names.size(), 31u);
  ParamSet set(stream_rule_params());
  EXPECT_TRUE(set.set_text("on_max_streams", "evict_lowest_priority"));
  EXPECT_TRUE(set.set_text("on-gap", "continue"));
  EXPECT_EQ(set.as<StreamRules>().on_max_streams, OnMaxStreams::evict_lowest_priority);
  EXPECT_EQ(set.as<StreamRules>().on_gap, OnGap::continue_);
  EXPECT_FALSE(set.set_text("max_streams", "0"));
  EXPECT_TRUE(set.set("idle_timeout", never));
}

TEST(StreamRules, ContradictionsAreRefused) {
  StreamRules rules{.quarantine_initial = 61 * second};
  ASSERT_FALSE(check(rules));
  EXPECT_NE(check(rules).error().message.find("quarantine_max"), std::string::npos);
  rules = {.blacklist_ttl = 7200 * second};
  EXPECT_FALSE(check(rules));
  rules = {.stall_after = 20 * second};
  EXPECT_FALSE(check(rules));
  rules = {.start_timeout = 10};  // ns: a mistake
  EXPECT_FALSE(check(rules));
  rules = {.decoders = {"avdec_h264"}};
  EXPECT_FALSE(check(rules));
  rules = {.idle_timeout = never, .decoders = {"h264=avdec_h264"}};
  EXPECT_TRUE(check(rules));
}

TEST(SourceId, FollowsItsRule) {
  for (const std::string& good :
       {std::string("a"), std::string("cam-1"), std::string("9.x_y:z-"), std::string(128, 'a')})
    EXPECT_TRUE(is_valid_source_id(good)) << good;
  for (const std::string& bad :
       {std::string(""), std::string("$ctl"), std::string("-cam"), std::string(".cam"), std::string("a..b"),
        std::string("a b"), std::string("a/b"), std::string("caf\xc3\xa9"), std::string(129, 'a'),
        std::string("a\0b", 3)})
    EXPECT_FALSE(is_valid_source_id(bad)) << bad;
}

TEST(SourcePattern, StarsAndQuestionMarks) {
  EXPECT_TRUE(matches("cam-*", "cam-17"));
  EXPECT_TRUE(matches("*", "x"));
  EXPECT_TRUE(matches("cam-?", "cam-1"));
  EXPECT_TRUE(matches("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(matches("cam-?", "cam-17"));
  EXPECT_FALSE(matches("cam-1", "cam-10"));
  EXPECT_FALSE(matches("", "x"));
  // Does not explode.
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", std::string(128, 'a')));
}

}  // namespace
}  // namespace sightglass::stream
