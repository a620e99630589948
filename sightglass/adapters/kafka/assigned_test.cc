#include "sightglass/adapters/kafka/assigned.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <format>

namespace sightglass::adapters {
namespace {

stream::Delivery delivery(const std::string& id, bool keyframe = true, bool ends = false) {
  auto message = std::make_shared<stream::Message>();
  message->source_id = id;
  if (ends) {
    message->end_of_stream.emplace();
  } else {
    auto& frame = message->frame.emplace();
    frame.codec = "h264";
    frame.keyframe = keyframe;
  }
  return {.message = std::move(message)};
}

// Takes all; settles at once, or keeps it.
class Taker final : public Deliver {
 public:
  bool deliver(stream::Delivery given) override {
    if (settles && given.settlement) given.settlement->processed();
    if (!settles) kept.push_back(std::move(given));
    return true;
  }
  std::unique_ptr<Deliver> another() override { return nullptr; }
  bool settles = true;
  std::vector<stream::Delivery> kept;
};

class KafkaAssigned : public testing::Test {
 protected:
  void take(stream::Delivery given) {
    partition->take(std::move(given), next++, -1);
    EXPECT_TRUE(partition->pump(out));
  }
  bool has(const std::string& id) const { return std::ranges::contains(partition->source_ids(), id); }

  static constexpr size_t most = Assigned::most_sources;
  Taker out;
  std::shared_ptr<Assigned> partition =
      std::make_shared<Assigned>("topic", 0, 0, std::make_shared<RefusalCounts>());
  int64_t next = 0;
};

TEST_F(KafkaAssigned, IdsWithoutEndAreForgottenOnceTheirStreamsHaveEnded) {
  take(delivery("camera"));
  for (size_t i = 0; i < 3 * most; ++i) {
    take(delivery(std::format("visitor-{}", i)));
    take(delivery(std::format("visitor-{}", i), false, true));
    ASSERT_LE(partition->source_ids().size(), most);
  }
  EXPECT_TRUE(has("camera"));  // its group is open
  EXPECT_EQ(partition->position().offset, 0);
  take(delivery("camera"));
  EXPECT_EQ(partition->position().offset, next - 1);
}

TEST_F(KafkaAssigned, AmongIdsThatNeverEndThoseSilentForLongestAreForgotten) {
  for (size_t i = 0; i < 3 * most; ++i) {
    take(delivery(std::format("visitor-{}", i)));
    if (i % 16 == 0) take(delivery("camera", i == 0));
    ASSERT_LE(partition->source_ids().size(), most);
  }
  EXPECT_TRUE(has("camera"));
  EXPECT_TRUE(has(std::format("visitor-{}", 3 * most - 1)));
  EXPECT_FALSE(has("visitor-0"));
  EXPECT_EQ(partition->position().offset, 1);  // the camera's keyframe; those of the forgotten hold nothing
}

TEST_F(KafkaAssigned, WhatIsUnfinishedIsNeverForgotten) {
  out.settles = false;
  for (size_t i = 0; i < 2 * most; ++i) take(delivery(std::format("visitor-{}", i)));
  EXPECT_EQ(partition->source_ids().size(), 2 * most);
  for (const auto& one : out.kept) one.settlement->processed();
  out.settles = true;
  for (size_t i = 0; i < most; ++i) take(delivery(std::format("later-{}", i)));
  EXPECT_LE(partition->source_ids().size(), most);
  EXPECT_EQ(partition->under_way(), 0u);
}

}  // namespace
}  // namespace sightglass::adapters
