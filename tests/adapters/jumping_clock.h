// The system clock of a test program that jumps, as a clock does that is set: std::chrono::system_clock and
// whatever else of this process asks for the time of day. The steady clock goes on as it was, and so do other
// processes.
//
//   JumpingClock clock;       // right again at its end
//   clock.jump(-48h);
//
// What waits in the kernel until a time of day would not notice; our code waits by the steady clock,
// librdkafka does not, so this is not for its tests.
#pragma once

#include <chrono>

namespace sightglass::test {

class JumpingClock {
 public:
  JumpingClock() = default;
  JumpingClock(const JumpingClock&) = delete;
  ~JumpingClock();
  void jump(std::chrono::seconds by);
};

}  // namespace sightglass::test
