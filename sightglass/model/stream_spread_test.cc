#include "sightglass/model/stream_spread.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

namespace sightglass {
namespace {

using Share = StreamSpread::Share;

TEST(StreamSpread, GoesWhereFewestFramesAreThenWhereFewestStreamsAre) {
  StreamSpread spread(3);
  const Share fast(spread, 60);
  EXPECT_EQ(fast.place(), 0u);
  const Share second(spread, 25), third(spread, 25);
  EXPECT_EQ(second.place(), 1u);
  EXPECT_EQ(third.place(), 2u);
  const Share fourth(spread, 10), fifth(spread, 5), sixth(spread, 20);
  EXPECT_EQ(fourth.place(), 1u);
  EXPECT_EQ(fifth.place(), 2u);
  EXPECT_EQ(sixth.place(), 2u);
  const auto loads = spread.loads();
  EXPECT_EQ(loads[2].streams, 3u);
  EXPECT_EQ(loads[2].frames_per_second, 50);
}

TEST(StreamSpread, AShareThatEndsOrMovesTakesItsFramesAlong) {
  StreamSpread spread(2);
  std::optional<Share> first(std::in_place, spread, 30);
  Share second(spread, 30);
  first->set_rate(15);
  second.move_to(0);
  EXPECT_EQ(spread.loads()[0].streams, 2u);
  EXPECT_EQ(spread.loads()[0].frames_per_second, 45);
  EXPECT_EQ(spread.loads()[1].frames_per_second, 0);
  first.reset();
  EXPECT_EQ(spread.loads()[0].streams, 1u);
  EXPECT_EQ(spread.loads()[0].frames_per_second, 30);
}

TEST(StreamSpread, ARateThatCannotBeCountsAsTheUsualOne) {
  for (const double rate : {0.0, -1.0, 90'000.0, std::numeric_limits<double>::quiet_NaN()}) {
    StreamSpread spread(1);
    Share share(spread, rate);
    EXPECT_EQ(spread.loads()[0].frames_per_second, StreamSpread::usual_rate) << rate;
    share.set_rate(StreamSpread::most_rate);
    share.set_rate(rate);
    EXPECT_EQ(spread.loads()[0].frames_per_second, StreamSpread::usual_rate) << rate;
  }
}

}  // namespace
}  // namespace sightglass
