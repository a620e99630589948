// How much memory this process has come to use since a moment.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <fstream>

namespace sightglass::test {

class Resident {
 public:
  void begin() { before_ = bytes(); }
  void look() {
    if (before_ > 0) growth_ = std::max(growth_.load(), std::max(before_, bytes()) - before_);
  }
  size_t growth() const { return growth_; }  // at most, of all looks

 private:
  static size_t bytes() {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;
    return pages * size_t(sysconf(_SC_PAGESIZE));
  }
  size_t before_ = 0;
  std::atomic<size_t> growth_ = 0;
};

}  // namespace sightglass::test
