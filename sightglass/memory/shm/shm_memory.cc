#include "sightglass/memory/shm/shm_memory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <format>
#include <optional>

namespace sightglass {
namespace {

bool lock(int fd, int operation) {
  int done = 0;
  do done = flock(fd, operation);
  while (done != 0 && errno == EINTR);
  return done == 0;
}

bool has_name(int fd) {
  struct stat file = {};
  return fstat(fd, &file) == 0 && file.st_nlink > 0;
}

class ShmMemory final : public Memory {
 public:
  ShmMemory(std::string name, int fd, std::byte* data, size_t size)
      : Memory(MemoryKind::shm, size), name_(std::move(name)), fd_(fd), data_(data) {}

  ~ShmMemory() override {
    munmap(data_, size());
    // A child shares the lock of its parent and must not give it away. Else this succeeds for the last one
    // alone: everybody else still holds a shared lock.
    const bool last = getpid() == owner_ && lock(fd_, LOCK_EX | LOCK_NB);
    if (last && has_name(fd_)) shm_unlink(name_.c_str());
    close(fd_);
  }

  const std::string& name() const { return name_; }
  Result<std::byte*> map(Access) override { return data_; }
  void unmap(Access) override {}

 private:
  const std::string name_;  // with the slash
  const int fd_;            // holds the shared lock
  std::byte* const data_;
  const pid_t owner_ = getpid();
};

Result<std::string> full_name(std::string_view name) {
  const std::string_view bare = name.starts_with('/') ? name.substr(1) : name;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (bare.empty() || bare.size() > 200 || bare.front() == '.' || !std::ranges::all_of(bare, allowed))
    return fail(ErrorCode::invalid_argument,
                "'{}' cannot be the name of shared memory: letters, digits, '-', '_' and '.', at most 200",
                name);
  return std::format("/{}", bare);
}

std::unexpected<Error> failed(std::string_view what, std::string_view name) {
  const int reason = errno;
  return fail(reason == ENOSPC || reason == ENOMEM ? ErrorCode::exhausted : ErrorCode::io,
              "{} shared memory '{}': {}", what, name.substr(1), std::strerror(reason));
}

// Takes the descriptor, which has the shared lock.
Result<MemoryRef> mapped(std::string name, int fd, size_t size) {
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) {
    auto error = failed("cannot map", name);
    if (lock(fd, LOCK_EX | LOCK_NB) && has_name(fd)) shm_unlink(name.c_str());
    close(fd);
    return error;
  }
  return make_ref<ShmMemory>(std::move(name), fd, static_cast<std::byte*>(data), size);
}

// Removes what a crash has left. False while somebody has it open.
bool remove_leftover(const std::string& name) {
  const int fd = shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return errno == ENOENT;
  const bool nobodys = lock(fd, LOCK_EX | LOCK_NB);
  if (nobodys && has_name(fd)) shm_unlink(name.c_str());
  close(fd);
  return nobodys;
}

}  // namespace

Result<MemoryRef> create_shm(std::string_view wanted, size_t size) {
  auto name = full_name(wanted);
  if (!name) return forward_error(name);
  if (size == 0 || size > size_t(PTRDIFF_MAX))
    return fail(ErrorCode::invalid_argument, "shared memory of {} bytes cannot be", size);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int fd = shm_open(name->c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
      if (errno != EEXIST) return failed("cannot create", *name);
      if (!remove_leftover(*name))
        return fail(ErrorCode::invalid_argument, "shared memory '{}' is in use already", name->substr(1));
      continue;
    }
    // Until we hold the lock it looks like a leftover, and somebody may have removed it as such.
    if (!lock(fd, LOCK_EX | LOCK_NB) || !has_name(fd)) {
      close(fd);
      continue;
    }
    // Pages that do not exist would be a signal when they are first written.
    if (const int reason = posix_fallocate(fd, 0, off_t(size)); reason != 0) {
      errno = reason;
      auto error = failed("there is no room for", *name);
      shm_unlink(name->c_str());
      close(fd);
      return error;
    }
    lock(fd, LOCK_SH);
    return mapped(*std::move(name), fd, size);
  }
  return fail(ErrorCode::io, "shared memory '{}' is being created by others all the time", name->substr(1));
}

Result<MemoryRef> create_shm(size_t size) {
  static std::atomic<unsigned> count{0};
  return create_shm(std::format("sightglass-{}-{}", getpid(), count.fetch_add(1, std::memory_order_relaxed)),
                    size);
}

Result<MemoryRef> open_shm(std::string_view wanted) {
  auto name = full_name(wanted);
  if (!name) return forward_error(name);
  const int fd = shm_open(name->c_str(), O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) {
    if (errno != ENOENT) return failed("cannot open", *name);
    return fail(ErrorCode::not_found, "there is no shared memory '{}'", name->substr(1));
  }
  struct stat file = {};
  // The lock waits for one who is just creating it or going.
  if (!lock(fd, LOCK_SH) || fstat(fd, &file) != 0 || file.st_nlink == 0 || file.st_size <= 0) {
    close(fd);
    return fail(ErrorCode::not_found, "there is no shared memory '{}'", name->substr(1));
  }
  return mapped(*std::move(name), fd, size_t(file.st_size));
}

bool remove_shm(std::string_view wanted) {
  const auto name = full_name(wanted);
  return name && shm_unlink(name->c_str()) == 0;
}

std::string shm_name(const Memory& memory) {
  const auto* shm = dynamic_cast<const ShmMemory*>(&memory);
  return shm ? shm->name().substr(1) : std::string();
}

}  // namespace sightglass
