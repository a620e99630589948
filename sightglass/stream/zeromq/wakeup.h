// Ends another thread's wait: an eventfd, which can be polled beside sockets. Thread-safe; wakes that nobody
// has seen yet become one.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace sightglass::stream {

class Wakeup {
 public:
  Wakeup() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  ~Wakeup() {
    if (fd_ >= 0) close(fd_);
  }
  Wakeup(const Wakeup&) = delete;
  Wakeup& operator=(const Wakeup&) = delete;

  void wake() { eventfd_write(fd_, 1); }
  // Whether somebody called wake() since.
  bool take() {
    uint64_t count = 0;
    return eventfd_read(fd_, &count) == 0;
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace sightglass::stream
