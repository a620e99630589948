// Tells when a file has changed and stays as it is: looks at its facts three times a second, on a thread of
// its own. For development, where a change may take a moment; works on every file system.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>

namespace sightglass::module {

// Inode, size and time of change; zeros where there is no file.
using FileFacts = std::tuple<ino_t, off_t, time_t, long>;

class FileWatch {
 public:
  FileWatch(std::string path, std::function<void()> on_change);
  ~FileWatch();  // waits for a call of on_change that is under way
  FileWatch(const FileWatch&) = delete;

 private:
  void run();

  const std::string path_;
  const std::function<void()> on_change_;
  const FileFacts at_first_;
  std::mutex mutex_;
  std::condition_variable end_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace sightglass::module
