// What the benchmark measures with: clocks, the processor, the ledger, the memory of the device.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace sightglass::bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Bytes in use on the first device, by everybody (cuMemGetInfo); without one those of this process, resident.
uint64_t memory_in_use();

// Bytes copied so far, by hop of the ledger.
std::map<std::string, uint64_t> copied();
// `after` - `before` as a JSON object, hops without bytes left out.
std::string copied_json(const std::map<std::string, uint64_t>& before,
                        const std::map<std::string, uint64_t>& after);

// Counts frames. What is measured lies between the first `first` frames and end().
class Meter {
 public:
  explicit Meter(long first) : first_(std::max(first, 1L)) {}
  void frame() {
    if (++frames_ == first_) begin();
  }
  // At the first call; later ones do nothing.
  void end();
  // Until it has begun (at most a minute) and then so long, or until it has ended.
  void wait(double seconds) const;
  // "frames", "fps", "cpu_ms_per_100", "copied".
  std::string json() const;

 private:
  void begin();

  const long first_;
  std::atomic<long> frames_ = 0;
  std::mutex mutex_;
  double from_ = 0, from_cpu_ = 0, to_ = 0, to_cpu_ = 0;
  long in_all_ = 0;
  std::atomic<bool> is_over_ = false;
  std::map<std::string, uint64_t> copied_before_, copied_after_;
};

}  // namespace sightglass::bench
