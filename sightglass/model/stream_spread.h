// Streams spread over places that do the same, such as the devices of a machine: a new one goes to the place
// with the fewest frames per second, of places with equally many to the one with the fewest streams.
//
//   StreamSpread devices(2);
//   StreamSpread::Share share(devices, 30);  // of a stream, as long as it lives
//   decode_on(share.place());
//
// Thread-safe, a Share is not. Costs a lock and a look at each place.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

namespace sightglass {

class StreamSpread {
 public:
  // Frames per second that a stream counts for that has not said how far its frames are apart, or has said
  // more than most_rate: clock rates, which some sources give in their place.
  static constexpr double usual_rate = 30, most_rate = 1000;

  explicit StreamSpread(size_t places) : loads_(places) {}  // at least one

  struct Load {
    size_t streams = 0;
    double frames_per_second = 0;
  };
  std::vector<Load> loads() const;  // by place

  class Share {
   public:
    Share(StreamSpread& spread, double frames_per_second);
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share();
    size_t place() const { return place_; }
    void move_to(size_t place);
    void set_rate(double frames_per_second);

   private:
    StreamSpread& spread_;
    double rate_;
    size_t place_;
  };

 private:
  size_t take(double rate);
  void leave(size_t place, double rate);

  mutable std::mutex mutex_;
  std::vector<Load> loads_;
};

}  // namespace sightglass
