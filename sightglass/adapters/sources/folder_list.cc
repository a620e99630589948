#include "sightglass/adapters/sources/folder_list.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <system_error>

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr auto look_again = std::chrono::milliseconds(250);

std::unexpected<Error> cannot(const char* what, const fs::path& path, const std::error_code& error) {
  return fail(ErrorCode::io, "cannot {} {}: {}", what, path.string(), error.message());
}

// A name that no other file of the folder has.
fs::path free_name(const fs::path& folder, const fs::path& name) {
  fs::path path = folder / name;
  std::error_code ignored;
  for (unsigned n = 2; fs::exists(path, ignored); ++n)
    path = folder / (name.stem().string() + "-" + std::to_string(n) + name.extension().string());
  return path;
}

// Also to another file system. What was copied appears under its name when it is complete.
void move(const fs::path& from, const fs::path& to, std::error_code& error) {
  fs::rename(from, to, error);
  if (error != std::errc::cross_device_link) return;
  const fs::path part = to.parent_path() / ("." + to.filename().string() + ".part");
  fs::copy_file(from, part, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(part, to, error);
  if (!error) fs::remove(from, error);
}

}  // namespace

Status FolderList::open() {
  std::error_code error;
  if (!fs::is_directory(options_.folder, error))
    return fail(ErrorCode::not_found, "{}: is no folder", options_.folder.string());
  if (options_.after == After::move) {
    fs::create_directories(options_.move_to, error);
    if (error) return cannot("make the folder", options_.move_to, error);
  }
  if (options_.checkpoint.empty()) return {};
  // What cannot be written later is said now.
  const int file = ::open(options_.checkpoint.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return cannot("write", options_.checkpoint, {errno, std::generic_category()});
  ::close(file);
  std::ifstream in(options_.checkpoint);
  uintmax_t whole = 0;
  for (std::string name; std::getline(in, name);) {
    // A last line without its end was being written when the process died: that file comes again.
    if (in.eof()) {
      in.close();
      fs::resize_file(options_.checkpoint, whole, error);
      if (error) return cannot("mend", options_.checkpoint, error);
      break;
    }
    whole += name.size() + 1;
    done_.insert(std::move(name));
  }
  return {};
}

void FolderList::look() {
  struct File {
    fs::path path;
    fs::file_time_type time;
  };
  std::vector<File> found;
  const auto now = Clock::now();
  std::map<std::string, Seen> growing;
  std::error_code error;
  for (fs::directory_iterator entry(options_.folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    // Names with a leading dot are those of files that somebody is still writing.
    if (name.starts_with('.') || fnmatch(options_.pattern.c_str(), name.c_str(), 0) != 0) continue;
    if (done_.contains(name) || given_.contains(name)) continue;
    std::error_code gone;
    if (!entry->is_regular_file(gone) || gone) continue;
    const uintmax_t size = entry->file_size(gone);
    const auto time = entry->last_write_time(gone);
    if (gone) continue;
    if (options_.watch) {
      const auto before = growing_.find(name);
      const bool is_same =
          before != growing_.end() && before->second.size == size && before->second.time == time;
      const Seen& seen =
          growing.insert_or_assign(name, Seen{size, time, is_same ? before->second.since : now})
              .first->second;
      if (now - seen.since < options_.settle) continue;
    }
    found.push_back({entry->path(), time});
  }
  growing_ = std::move(growing);
  std::ranges::sort(found, [this](const File& a, const File& b) {
    if (options_.order == Order::mtime && a.time != b.time) return a.time < b.time;
    return a.path.filename() < b.path.filename();
  });
  waiting_.clear();
  for (auto file = found.rbegin(); file != found.rend(); ++file) waiting_.push_back(std::move(file->path));
}

std::optional<fs::path> FolderList::next(const std::stop_token& stop, Clock::time_point until) {
  while (!stop.stop_requested()) {
    // A hot folder is looked at again now and then: an older file may have come meanwhile.
    const auto now = Clock::now();
    if (!looked_ || (options_.watch && (waiting_.empty() || now - *looked_ >= look_again)))
      look(), looked_ = now;
    if (!waiting_.empty()) {
      fs::path file = std::move(waiting_.back());
      waiting_.pop_back();
      given_.insert(file.filename());
      return file;
    }
    if (!options_.watch || Clock::now() >= until) return std::nullopt;
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    stopped.wait_until(lock, stop, std::min(until, Clock::now() + look_again), [] { return false; });
  }
  return std::nullopt;
}

Status FolderList::done(const fs::path& file) {
  const std::string name = file.filename();
  std::error_code error;
  if (options_.after == After::move)
    move(file, free_name(options_.move_to, name), error);
  else if (options_.after == After::remove)
    fs::remove(file, error);
  // Somebody else has taken it away.
  if (error == std::errc::no_such_file_or_directory) error.clear();
  if (error) return cannot(options_.after == After::move ? "move" : "delete", file, error);
  if (options_.after != After::keep) {
    // Another file of this name is a new one.
    given_.erase(name);
    return {};
  }
  done_.insert(name);
  if (options_.checkpoint.empty()) return {};
  const int out = ::open(options_.checkpoint.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const std::string line = name + "\n";
  const bool is_written =
      out >= 0 && ::write(out, line.data(), line.size()) == ssize_t(line.size()) && ::fdatasync(out) == 0;
  const std::error_code reason(errno, std::generic_category());
  if (out >= 0) ::close(out);
  if (!is_written) return cannot("write", options_.checkpoint, reason);
  return {};
}

void FolderList::rewind() {
  given_.clear();
  done_.clear();
  looked_.reset();
}

}  // namespace sightglass::adapters
