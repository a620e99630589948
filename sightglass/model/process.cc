#include "sightglass/model/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <sstream>

extern char** environ;

namespace sightglass {
namespace {

constexpr size_t most_output = 64 << 10;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int get() const { return fd_; }
  void set(int fd) { close(), fd_ = fd; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

Status make_pipe(Descriptor& read_end, Descriptor& write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return fail(ErrorCode::exhausted, "no pipe to a child process: {}", std::strerror(errno));
  read_end.set(ends[0]), write_end.set(ends[1]);
  return {};
}

// fd -1: /dev/null.
Result<pid_t> spawn(const std::vector<std::string>& command, const std::filesystem::path& where, int in,
                    int out, int error) {
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (in < 0)
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  else
    posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, error, 2);
  posix_spawn_file_actions_addchdir_np(&actions, where.c_str());
  // Whatever this process blocks or ignores, the child starts as from a shell.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, defaults;
  sigemptyset(&none), sigemptyset(&defaults), sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int code = posix_spawnp(&pid, command[0].c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (code == ENOENT) return fail(ErrorCode::unavailable, "{} is not installed", command[0]);
  if (code != 0)
    return fail(ErrorCode::unavailable, "{} cannot be started: {}", command[0], std::strerror(code));
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return text;
    text.append(buffer, size_t(count));
    if (text.size() > 2 * most_output) text.erase(0, text.size() - most_output);
  }
}

}  // namespace

std::string ProcessResult::reason() const {
  std::istringstream lines(output);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    line.erase(std::remove(line.begin(), line.end(), '\r'), line.end());
    if (line.find_first_not_of(" \t") == line.npos) continue;
    std::string lower = line;
    std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    last = line;
    const bool names_a_log =
        lower.find("complete log") != lower.npos || lower.find("error code") != lower.npos;
    if (!names_a_log && (lower.find("error") != lower.npos || lower.starts_with("e: "))) break;
  }
  return last.empty() ? std::format("exit code {}", exit_code) : last;
}

Result<ProcessResult> run_process(const std::vector<std::string>& command,
                                  const std::filesystem::path& where) {
  Descriptor read_end, write_end;
  if (auto status = make_pipe(read_end, write_end); !status) return forward_error(status);
  auto pid = spawn(command, where, -1, write_end.get(), write_end.get());
  if (!pid) return forward_error(pid);
  write_end.close();
  ProcessResult result;
  result.output = read_all(read_end.get());
  result.exit_code = wait_for(*pid);
  return result;
}

Result<ProcessResult> run_pipe(const std::vector<std::string>& first, const std::vector<std::string>& second,
                               const std::filesystem::path& where) {
  Descriptor read_end, write_end, data_out, data_in;
  if (auto status = make_pipe(read_end, write_end); !status) return forward_error(status);
  if (auto status = make_pipe(data_in, data_out); !status) return forward_error(status);
  auto producer = spawn(first, where, -1, data_out.get(), write_end.get());
  if (!producer) return forward_error(producer);
  data_out.close();
  auto consumer = spawn(second, where, data_in.get(), write_end.get(), write_end.get());
  data_in.close(), write_end.close();
  ProcessResult result;
  result.output = read_all(read_end.get());
  const int produced = wait_for(*producer);
  if (!consumer) return forward_error(consumer);
  const int consumed = wait_for(*consumer);
  // A producer whose reader has seen enough dies of SIGPIPE; that is no fault.
  result.exit_code = consumed != 0 ? consumed : produced == 128 + SIGPIPE ? 0 : produced;
  return result;
}

}  // namespace sightglass
