#include "sightglass/model/stream_spread.h"

#include <algorithm>
#include <utility>

namespace sightglass {
namespace {

double believable(double rate) {
  return rate > 0 && rate <= StreamSpread::most_rate ? rate : StreamSpread::usual_rate;
}

}  // namespace

std::vector<StreamSpread::Load> StreamSpread::loads() const {
  const std::lock_guard lock(mutex_);
  return loads_;
}

size_t StreamSpread::take(double rate) {
  const std::lock_guard lock(mutex_);
  const auto least = std::ranges::min_element(
      loads_, {}, [](const Load& load) { return std::pair(load.frames_per_second, load.streams); });
  ++least->streams, least->frames_per_second += rate;
  return size_t(least - loads_.begin());
}

void StreamSpread::leave(size_t place, double rate) {
  const std::lock_guard lock(mutex_);
  Load& load = loads_[place];
  // Without a stream exactly nothing: sums of fractions leave rests.
  load.frames_per_second = --load.streams == 0 ? 0 : load.frames_per_second - rate;
}

StreamSpread::Share::Share(StreamSpread& spread, double frames_per_second)
    : spread_(spread), rate_(believable(frames_per_second)), place_(spread.take(rate_)) {}

StreamSpread::Share::~Share() { spread_.leave(place_, rate_); }

void StreamSpread::Share::move_to(size_t place) {
  spread_.leave(std::exchange(place_, place), rate_);
  const std::lock_guard lock(spread_.mutex_);
  ++spread_.loads_[place].streams, spread_.loads_[place].frames_per_second += rate_;
}

void StreamSpread::Share::set_rate(double frames_per_second) {
  const double rate = believable(frames_per_second);
  const std::lock_guard lock(spread_.mutex_);
  spread_.loads_[place_].frames_per_second += rate - std::exchange(rate_, rate);
}

}  // namespace sightglass
