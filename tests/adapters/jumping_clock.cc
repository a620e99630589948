#include "tests/adapters/jumping_clock.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <ctime>

namespace {
std::atomic<time_t> offset = 0;  // s
}

// In front of those of the C library, for the shared libraries of this program as well.
extern "C" {
int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long result = syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += offset;
  return int(result);
}
int gettimeofday(timeval* time, void*) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  *time = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
  return 0;
}
time_t time(time_t* to) noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  if (to) *to = now.tv_sec;
  return now.tv_sec;
}
}

namespace sightglass::test {

JumpingClock::~JumpingClock() { offset = 0; }

void JumpingClock::jump(std::chrono::seconds by) { offset += by.count(); }

}  // namespace sightglass::test
