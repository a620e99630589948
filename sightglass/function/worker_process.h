// One worker: a process that runs functions of the user's, a socket to talk to it and memory that both share
// for the picture. Knows neither streams nor policies.
//
// Used by one thread at a time, but for interrupt(). The process ends with its socket, whatever becomes of
// this one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass::function {

class WorkerProcess {
 public:
  WorkerProcess() = default;
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;

  // `command` and behind it the numbers of the socket and of the shared memory. The process may not even have
  // begun when this returns.
  Status start(const std::vector<std::string>& command, const std::string& folder);
  bool is_running() const { return socket_ >= 0; }
  // Ends it and waits for its end.
  void kill();
  // From another thread: makes an exchange() under way end as `gone`.
  void interrupt();
  // Whether its end of the socket is closed, or it speaks out of turn.
  bool has_ended() const;
  pid_t pid() const { return pid_; }

  // Copies the picture into the shared memory, or back from it.
  Status put_picture(const Frame& frame);
  Status take_picture(const Frame& frame);

  // Sends `request` and reads what comes back into `answer` (without the length), until `deadline` (ns,
  // steady clock).
  enum class End : uint8_t { answered, late, gone, nonsense };
  End exchange(std::span<const uint8_t> request, Time deadline, std::vector<uint8_t>& answer);

 private:
  bool transfer(int events, Time deadline);  // waits; false: late
  Result<Frame> picture_like(const Frame& frame);

  std::mutex mutex_;  // of opening and closing socket_, against interrupt()
  int socket_ = -1, memory_ = -1;
  pid_t pid_ = -1;
  std::byte* shared_ = nullptr;
  size_t shared_bytes_ = 0;
};

// Steady clock, ns.
Time now_ns();

}  // namespace sightglass::function
