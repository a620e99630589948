#include "sightglass/stream/lifecycle/stream_table.h"

#include <gtest/gtest.h>

#include <format>
#include <thread>

namespace sightglass::stream {
namespace {

struct Entry final : StreamEntry {
  Entry(std::string id, std::shared_ptr<const StreamRules> its_rules)
      : StreamEntry(std::move(id)), rules(std::move(its_rules)) {}
  void on_slot_granted() override { ++granted; }
  void on_evict() override { ++evicted; }
  void on_forgotten() override { ++forgotten; }
  bool is_occupied() const override { return occupied; }
  std::shared_ptr<const StreamRules> rules;
  std::atomic<int> granted = 0, evicted = 0, forgotten = 0;
  std::atomic<bool> occupied = false;
};

struct Table : StreamTable {
  explicit Table(Options options)
      : StreamTable(std::move(options), [](const NewStream& stream) {
          return std::make_shared<Entry>(std::string(stream.id), stream.rules);
        }) {}
  std::shared_ptr<Entry> make(std::string_view id, Time now = 0) {
    auto found = Reader(*this).find(id, now);
    return std::static_pointer_cast<Entry>(found.pin.entry());
  }
  Slot acquire(Entry& entry) { return StreamTable::acquire(entry, *entry.rules); }
};
StreamTable::Options with(StreamRules rules) { return {.rules = rules, .overrides = {}}; }
// No limit on newcomers.
StreamRules open_rules(unsigned max_streams) {
  return {.max_streams = max_streams, .new_sources_per_second = 100'000, .new_sources_burst = 100'000};
}

TEST(StreamTable, FindsTheSameEntryAgain) {
  Table table(with({}));
  StreamTable::Reader reader(table);
  const auto first = reader.find("cam-1", 0), again = reader.find("cam-1", 0);
  ASSERT_TRUE(first.pin);
  EXPECT_EQ(first.pin.entry(), again.pin.entry());
  EXPECT_NE(reader.find("cam-10", 0).pin.entry(), first.pin.entry());
  EXPECT_EQ(table.entries().size(), 2u);
  EXPECT_EQ(table.get("cam-1"), first.pin.entry());
  EXPECT_EQ(table.get("cam-2"), nullptr);
}

TEST(W01StreamTable, RefusesBadIds) {
  Table table(with({}));
  EXPECT_EQ(StreamTable::Reader(table).find("../etc", 0).refusal, Denial::source_id);
  EXPECT_TRUE(table.entries().empty());
}

TEST(W13, FloodOfNewIdsPassesATokenBucketAndMakesNoState) {
  Table table(with({}));
  StreamTable::Reader reader(table);
  size_t let_in = 0;
  for (int i = 0; i < 1000; ++i) let_in += reader.find(std::format("id{}", i), 0).refusal == Denial::none;
  EXPECT_EQ(let_in, 64u);
  EXPECT_EQ(table.entries().size(), 64u);
  EXPECT_EQ(reader.find("late", 0).refusal, Denial::source_flood);
  EXPECT_EQ(reader.find("id3", 0).refusal, Denial::none) << "known ones are not concerned";
  for (int i = 0; i < 1000; ++i) let_in += reader.find(std::format("x{}", i), second).refusal == Denial::none;
  EXPECT_EQ(let_in, 74u);
}

TEST(W13, AtMostTenTimesMaxStreamsAreRemembered) {
  Table table(with(open_rules(4)));
  auto first = table.make("first", 1), needed = table.make("needed", 0), waits = table.make("waits", 0);
  needed->set_needed(true);
  waits->occupied = true;
  for (int i = 0; i < 100; ++i) table.make(std::format("id{}", i), 10 + i);
  EXPECT_EQ(table.entries().size(), 40u);
  EXPECT_EQ(first->forgotten, 1);
  EXPECT_EQ(table.get("first"), nullptr);
  EXPECT_EQ(needed->forgotten, 0);
  EXPECT_EQ(table.get("needed"), needed);
  EXPECT_EQ(waits->forgotten, 0) << "its messages have not been looked at";
  for (const auto& entry : table.entries()) entry->set_needed(true);
  EXPECT_EQ(StreamTable::Reader(table).find("one-more", 0).refusal, Denial::source_flood);
}

TEST(L21StreamTable, BlacklistedIdsAreRefusedBeforeTheBodyIsRead) {
  Table table(with({}));
  StreamTable::Reader reader(table);
  auto entry = table.make("cam");
  reader.find("cam", 0);
  entry->set_refused_until(60 * second);
  EXPECT_EQ(reader.find("cam", second).refusal, Denial::blacklisted);
  EXPECT_EQ(StreamTable::Reader(table).find("cam", second).refusal, Denial::blacklisted);
  EXPECT_EQ(reader.find("cam", 60 * second).refusal, Denial::none);
}

TEST(L24StreamTable, NoNewStreamsWhileDraining) {
  Table table(with({}));
  table.make("known");
  table.drain();
  EXPECT_EQ(StreamTable::Reader(table).find("new", 0).refusal, Denial::draining);
  EXPECT_EQ(StreamTable::Reader(table).find("known", 0).refusal, Denial::none);
}

TEST(L03StreamTable, LongestIdleStreamGivesItsPlace) {
  Table table(with({.max_streams = 2}));
  auto a = table.make("a"), b = table.make("b"), c = table.make("c"), d = table.make("d");
  EXPECT_EQ(table.acquire(*a), StreamTable::Slot::granted);
  EXPECT_EQ(table.acquire(*b), StreamTable::Slot::granted);
  EXPECT_EQ(table.acquire(*c), StreamTable::Slot::refused) << "none is idle";
  a->set_idle_since(20);
  b->set_idle_since(10);
  EXPECT_EQ(table.acquire(*c), StreamTable::Slot::pending);
  EXPECT_EQ(b->evicted, 1);
  EXPECT_EQ(table.acquire(*d), StreamTable::Slot::pending) << "the other one";
  EXPECT_EQ(a->evicted, 1);
  table.release(*b);
  EXPECT_EQ(c->granted, 1);
  EXPECT_TRUE(table.has_slot(*c));
  EXPECT_FALSE(table.has_slot(*b));
  table.release(*d);  // gives up waiting
  table.release(*a);
  EXPECT_EQ(d->granted, 0);
  EXPECT_EQ(table.slots_in_use(), 1u);
  table.release(*a);
  EXPECT_EQ(table.slots_in_use(), 1u);
}

TEST(L03StreamTable, LowestPriorityGoesOnlyForAHigherOne) {
  StreamRules base{.max_streams = 2, .on_max_streams = OnMaxStreams::evict_lowest_priority};
  StreamTable::Options options = with(base);
  for (const int priority : {1, 5, 9}) {
    options.overrides.push_back({std::format("p{}-*", priority), base});
    options.overrides.back().rules.priority = priority;
  }
  Table table(options);
  auto low = table.make("p1-a"), high = table.make("p9-a"), same = table.make("p1-b"),
       middle = table.make("p5-a");
  table.acquire(*low);
  table.acquire(*high);
  EXPECT_EQ(table.acquire(*same), StreamTable::Slot::refused);
  EXPECT_EQ(table.acquire(*middle), StreamTable::Slot::pending);
  EXPECT_EQ(low->evicted, 1);
  EXPECT_EQ(high->evicted, 0);
}

TEST(L03StreamTable, RejectKeepsEverybody) {
  Table table(with({.max_streams = 1, .on_max_streams = OnMaxStreams::reject}));
  auto a = table.make("a"), b = table.make("b");
  table.acquire(*a);
  a->set_idle_since(1);
  EXPECT_EQ(table.acquire(*b), StreamTable::Slot::refused);
  EXPECT_EQ(a->evicted, 0);
}

TEST(L23StreamTable, TooManyStuckInstancesAreNoticed) {
  Table table(with({.max_stuck = 2}));
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(table.has_too_many_stuck());
    table.note_stuck(+1);
  }
  EXPECT_TRUE(table.has_too_many_stuck());
  table.note_stuck(-1);
  EXPECT_FALSE(table.has_too_many_stuck());
}

TEST(StreamTable, PinnedEntriesAreNotForgotten) {
  Table table(with({}));
  StreamTable::Reader reader(table);
  auto found = reader.find("cam", 0);
  auto entry = std::static_pointer_cast<Entry>(found.pin.entry());
  EXPECT_FALSE(table.forget(*entry));
  found.pin = {};
  EXPECT_TRUE(table.forget(*entry));
  EXPECT_EQ(entry->forgotten, 1);
  EXPECT_TRUE(table.forget(*entry)) << "long gone";
  EXPECT_EQ(entry->forgotten, 1);
  EXPECT_NE(reader.find("cam", 0).pin.entry(), entry);
}

TEST(StreamTable, ForgottenStreamGivesItsPlaceBack) {
  Table table(with({.max_streams = 1}));
  auto entry = table.make("cam");
  table.acquire(*entry);
  EXPECT_TRUE(table.forget(*entry));
  EXPECT_EQ(table.slots_in_use(), 0u);
}

TEST(StreamTable, RulesOfTheFirstPatternThatMatchesHold) {
  StreamTable::Options options;
  options.overrides = {{"cam-1*", {.priority = 3}}, {"cam-*", {.priority = 2}}};
  ASSERT_TRUE(check(options));
  Table table(options);
  EXPECT_EQ(table.rules_for("cam-10")->priority, 3);
  EXPECT_EQ(table.rules_for("cam-2")->priority, 2);
  EXPECT_EQ(table.rules_for("door")->priority, 0);
  EXPECT_EQ(table.make("cam-2")->rules->priority, 2);
  table.set_rules(with({.priority = 7}));
  EXPECT_EQ(table.rules_for("cam-2")->priority, 7);
}

TEST(StreamTable, WhatHoldsForTheModuleCannotBeOverridden) {
  StreamTable::Options options;
  options.overrides = {{"cam-*", {.max_streams = 3}}};
  ASSERT_FALSE(check(options));
  EXPECT_NE(check(options).error().message.find("max-streams"), std::string::npos);
  options.overrides = {{"", {}}};
  EXPECT_FALSE(check(options));
  options.overrides = {{"a", {.quarantine_initial = 90 * second}}};
  EXPECT_FALSE(check(options));
}

TEST(StreamTable, NoMessageReachesAForgottenEntry) {
  Table table(with(open_rules(8)));
  std::atomic<bool> stops = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t)
    readers.emplace_back([&, t] {
      StreamTable::Reader reader(table);
      for (int i = 0; i < 20'000; ++i) {
        auto found = reader.find(std::format("id{}", (i + t) % 5), 0);
        if (found.refusal != Denial::none) continue;
        wrong += static_cast<Entry&>(*found.pin).forgotten;
      }
      stops = true;
    });
  while (!stops)
    for (const auto& entry : table.entries()) table.forget(*entry);
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST(TokenBucket, NeverHoldsMoreThanItsBurst) {
  TokenBucket bucket(10, 3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(0));
  EXPECT_FALSE(bucket.take(0));
  EXPECT_TRUE(bucket.take(second / 10));
  EXPECT_FALSE(bucket.take(second / 10));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(1000 * second));
  EXPECT_FALSE(bucket.take(1000 * second));
  EXPECT_FALSE(bucket.take(0)) << "a clock that goes back gives nothing";
}

}  // namespace
}  // namespace sightglass::stream
