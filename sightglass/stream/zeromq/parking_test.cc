#include "sightglass/stream/zeromq/parking.h"

#include <gtest/gtest.h>

namespace sightglass::stream {
namespace {

using namespace std::chrono_literals;

std::vector<MessagePart> message(std::string_view text, size_t size = 10) {
  std::vector<MessagePart> parts;
  parts.push_back(MessagePart::copy_of(text));
  parts.push_back(MessagePart::copy_of(std::string(size, 'x')));
  return parts;
}

bool park(Parking& parking, std::string_view producer, uint64_t fingerprint, std::string_view text,
          Parking::Time now) {
  auto parts = message(text);
  return parking.park(producer, fingerprint, parts, now);
}

TEST(Parking, GivesBackInOrderWhatWaitedForASchema) {
  Parking parking;
  Parking::Time now{1h};
  EXPECT_TRUE(park(parking, "p", 1, "a", now));
  EXPECT_TRUE(park(parking, "q", 2, "b", now));
  EXPECT_TRUE(park(parking, "q", 1, "c", now));
  EXPECT_EQ(parking.take(1)->parts[0].text(), "a");
  EXPECT_EQ(parking.take(1)->parts[0].text(), "c");
  EXPECT_FALSE(parking.take(1));
  EXPECT_EQ(parking.size(), 1U);
}

TEST(Parking, HoldsSixtyFourOfAProducer) {
  Parking parking;
  Parking::Time now{1h};
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(park(parking, "p", 1, "x", now));
  auto parts = message("late");
  EXPECT_FALSE(parking.park("p", 1, parts, now));
  EXPECT_EQ(parts.size(), 2U);  // still its owner's
  EXPECT_TRUE(park(parking, "q", 1, "x", now));
  for (int i = 0; i < 5000; ++i) park(parking, std::to_string(i), 1, "x", now);
  EXPECT_EQ(parking.size(), Parking::all);
}

TEST(Parking, GivesUpAfterTwoSeconds) {
  Parking parking;
  Parking::Time now{1h};
  EXPECT_FALSE(parking.deadline());
  park(parking, "p", 1, "a", now);
  park(parking, "p", 1, "b", now + 1s);
  EXPECT_EQ(parking.deadline(), now + 2s);
  EXPECT_TRUE(parking.expire(now + 1999ms).empty());
  EXPECT_EQ(parking.expire(now + 2s), std::vector<std::string>{"p"});
  EXPECT_EQ(parking.take(1)->parts[0].text(), "b");
}

TEST(Parking, AsksOnceASecond) {
  Parking parking;
  Parking::Time now{1h};
  EXPECT_TRUE(parking.request_due("p", 1, now));
  EXPECT_FALSE(parking.request_due("p", 1, now + 999ms));
  EXPECT_TRUE(parking.request_due("p", 2, now));
  EXPECT_TRUE(parking.request_due("q", 1, now));
  EXPECT_TRUE(parking.request_due("p", 1, now + 1s));
}

}  // namespace
}  // namespace sightglass::stream
