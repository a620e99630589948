#include "sightglass/function/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "sightglass/function/wire.h"
#include "sightglass/memory/system/system_frame.h"
#include "sightglass/memory/system/wrapped_memory.h"

extern char** environ;

namespace sightglass::function {
namespace {

constexpr int worker_socket = 3, worker_memory = 4;  // as the worker sees them

class SpawnSetup {
 public:
  SpawnSetup() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

}  // namespace

Time now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

WorkerProcess::~WorkerProcess() { kill(); }

Status WorkerProcess::start(const std::vector<std::string>& command, const std::string& folder) {
  kill();
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return fail(ErrorCode::exhausted, "no socket for a worker: {}", strerror(errno));
  {
    std::lock_guard lock(mutex_);
    socket_ = pair[0];
  }
  fcntl(socket_, F_SETFL, O_NONBLOCK);
  memory_ = memfd_create("sightglass-pictures", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  // The worker may not take memory away that this process looks into.
  if (memory_ >= 0) fcntl(memory_, F_ADD_SEALS, F_SEAL_SHRINK);

  SpawnSetup setup;
  // First away from the low numbers, since one may stand where the other is to go.
  const int high_socket = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
  const int high_memory = fcntl(memory_, F_DUPFD_CLOEXEC, 10);
  posix_spawn_file_actions_addopen(&setup.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&setup.actions, STDERR_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&setup.actions, high_socket, worker_socket);
  posix_spawn_file_actions_adddup2(&setup.actions, high_memory, worker_memory);
  if (!folder.empty()) posix_spawn_file_actions_addchdir_np(&setup.actions, folder.c_str());
  // A group of its own: an interrupt from the keyboard is for the module, which lets its frames finish; and
  // what the worker has started ends with it.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&setup.attributes, &none);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&setup.attributes, &defaults);
  posix_spawnattr_setpgroup(&setup.attributes, 0);
  posix_spawnattr_setflags(&setup.attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> words = command;
  words.push_back(std::to_string(worker_socket));
  words.push_back(std::to_string(worker_memory));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int error =
      posix_spawnp(&pid_, arguments[0], &setup.actions, &setup.attributes, arguments.data(), environ);
  close(pair[1]);
  if (high_socket >= 0) close(high_socket);
  if (high_memory >= 0) close(high_memory);
  if (error == 0) return {};
  pid_ = -1;
  kill();
  return fail(ErrorCode::unavailable, "a worker cannot be started: {}: {}", command[0], strerror(error));
}

void WorkerProcess::kill() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);  // should it not have its group yet
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  {
    std::lock_guard lock(mutex_);
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }
  if (shared_) munmap(shared_, shared_bytes_);
  if (memory_ >= 0) close(memory_);
  memory_ = -1;
  shared_ = nullptr;
  shared_bytes_ = 0;
}

void WorkerProcess::interrupt() {
  std::lock_guard lock(mutex_);
  if (socket_ >= 0) shutdown(socket_, SHUT_RDWR);
}

bool WorkerProcess::has_ended() const {
  char byte;
  const ssize_t waiting = recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return waiting >= 0 || (errno != EAGAIN && errno != EINTR);
}

Result<Frame> WorkerProcess::picture_like(const Frame& frame) {
  const FrameLayout layout = FrameLayout::of(*frame.video);
  if (layout.bytes > shared_bytes_) {
    if (shared_) munmap(shared_, shared_bytes_);
    shared_ = nullptr;
    shared_bytes_ = 0;
    if (memory_ < 0 || ftruncate(memory_, off_t(layout.bytes)) < 0)
      return fail(ErrorCode::exhausted, "no memory to share with a worker: {}", strerror(errno));
    void* address = mmap(nullptr, layout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_, 0);
    if (address == MAP_FAILED)
      return fail(ErrorCode::exhausted, "no memory to share with a worker: {}", strerror(errno));
    shared_ = static_cast<std::byte*>(address);
    shared_bytes_ = layout.bytes;
  }
  return frame_in(wrap_memory(shared_, shared_bytes_, []() noexcept {}), *frame.video, layout);
}

Status WorkerProcess::put_picture(const Frame& frame) {
  auto shared = picture_like(frame);
  if (!shared) return forward_error(shared);
  return copy_content(frame, *shared);
}

Status WorkerProcess::take_picture(const Frame& frame) {
  auto shared = picture_like(frame);
  if (!shared) return forward_error(shared);
  return copy_content(*shared, frame);
}

bool WorkerProcess::transfer(int events, Time deadline) {
  while (true) {
    const Time left = deadline - now_ns();
    if (left <= 0) return false;
    pollfd waiting{.fd = socket_, .events = short(events), .revents = 0};
    const timespec time{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    const int ready = ppoll(&waiting, 1, &time, nullptr);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

WorkerProcess::End WorkerProcess::exchange(std::span<const uint8_t> request, Time deadline,
                                           std::vector<uint8_t>& answer) {
  if (socket_ < 0) return End::gone;
  while (!request.empty()) {
    const ssize_t sent = send(socket_, request.data(), request.size(), MSG_NOSIGNAL);
    if (sent > 0)
      request = request.subspan(size_t(sent));
    else if (errno != EAGAIN && errno != EINTR)
      return End::gone;
    else if (!transfer(POLLOUT, deadline))
      return End::late;
  }
  uint32_t size = 0;
  size_t received = 0;
  answer.resize(sizeof size);
  bool has_size = false;
  while (received < answer.size()) {
    const ssize_t got = recv(socket_, answer.data() + received, answer.size() - received, 0);
    if (got > 0) {
      received += size_t(got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      return End::gone;
    } else if (!transfer(POLLIN, deadline)) {
      return End::late;
    }
    if (received < answer.size() || has_size) continue;
    std::memcpy(&size, answer.data(), sizeof size);
    if (size == 0 || size > wire_limits.message_bytes) return End::nonsense;
    has_size = true;
    received = 0;
    answer.resize(size);
  }
  return End::answered;
}

}  // namespace sightglass::function
