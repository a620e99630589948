#include "sightglass/module/file_watch.h"

#include <sys/stat.h>

#include <chrono>

namespace sightglass::module {
namespace {

constexpr auto period = std::chrono::milliseconds(330);

FileFacts facts_of(const std::string& path) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) < 0) return {};
  return {facts.st_ino, facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec};
}

}  // namespace

FileWatch::FileWatch(std::string path, std::function<void()> on_change)
    : path_(std::move(path)),
      on_change_(std::move(on_change)),
      at_first_(facts_of(path_)),
      thread_([this] { run(); }) {}

FileWatch::~FileWatch() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
  }
  end_.notify_all();
  thread_.join();
}

void FileWatch::run() {
  FileFacts used = at_first_, last = used;
  std::unique_lock lock(mutex_);
  while (!end_.wait_for(lock, period, [this] { return ends_; })) {
    const FileFacts now = facts_of(path_);
    const bool is_settled = now == last && now != FileFacts{};
    last = now;
    if (!is_settled || now == used) continue;
    used = now;
    lock.unlock();
    on_change_();
    lock.lock();
  }
}

}  // namespace sightglass::module
