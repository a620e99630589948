#include "sightglass/elements/gvafpscounter/frame_pipe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <system_error>

namespace sightglass {
namespace {

struct Message {
  uint64_t stream;
  uint32_t frames;
  uint32_t ended;
};

uint64_t new_stream() {
  static std::atomic<uint32_t> count = 0;
  return uint64_t(getpid()) << 32 | ++count;
}

// A reader that goes away must not end the process: its signal is blocked for the length of a write, and
// taken.
bool write_message(int file, const Message& message) {
  sigset_t broken, before, pending;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken, &before);
  const ssize_t written = ::write(file, &message, sizeof message);
  const int error = errno;
  if (written < 0 && error == EPIPE && !was_pending) {
    const timespec none{};
    sigtimedwait(&broken, nullptr, &none);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return written == ssize_t(sizeof message);
}

}  // namespace

FramePipeWriter::FramePipeWriter(std::string path) : path_(std::move(path)), stream_(new_stream()) {}

FramePipeWriter::~FramePipeWriter() {
  end();
  if (file_ >= 0) close(file_);
}

void FramePipeWriter::count() {
  ++waiting_;
  write();
}

void FramePipeWriter::end() {
  if (ended_) return;
  ended_ = true;
  write();
}

void FramePipeWriter::write() {
  // Fails until somebody has opened it for reading.
  if (file_ < 0) file_ = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (file_ < 0) return;
  if (write_message(file_, {stream_, waiting_, ended_})) {
    waiting_ = 0;
  } else if (errno == EPIPE) {
    close(file_);
    file_ = -1;
  }
}

Result<std::unique_ptr<FramePipeReader>> FramePipeReader::open(const std::string& path) {
  const auto why = [&](const char* what) {
    return fail(ErrorCode::io, "read-pipe={}: {}: {}", path, what, std::system_category().message(errno));
  };
  const bool made = mkfifo(path.c_str(), 0600) == 0;
  if (!made && errno != EEXIST) return why("the pipe cannot be made");
  struct stat about{};
  if (stat(path.c_str(), &about) != 0 || !S_ISFIFO(about.st_mode))
    return fail(ErrorCode::invalid_argument, "read-pipe={}: there is another file of this name", path);
  const int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return why("the pipe cannot be read");
  return std::unique_ptr<FramePipeReader>(new FramePipeReader(path, file, made));
}

FramePipeReader::~FramePipeReader() {
  close(file_);
  if (made_) unlink(path_.c_str());
}

void FramePipeReader::read(const std::function<void(uint64_t, uint32_t, bool)>& visit) {
  Message messages[64];
  for (;;) {
    const ssize_t bytes = ::read(file_, messages, sizeof messages);
    if (bytes < ssize_t(sizeof(Message))) return;
    for (ssize_t i = 0; i < bytes / ssize_t(sizeof(Message)); ++i)
      visit(messages[i].stream, messages[i].frames, messages[i].ended != 0);
  }
}

}  // namespace sightglass
