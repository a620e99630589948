#include "sightglass/elements/metapublish/json_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "sightglass/core/json_writer.h"

namespace sightglass {
namespace {

constexpr std::string_view array_end = "\n]\n";

std::string reason_text(int reason) { return std::error_code(reason, std::generic_category()).message(); }

std::unexpected<Error> cannot_open(const std::string& path, int reason) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code ignored;
  if (reason == ENOENT && !folder.empty() && !std::filesystem::exists(folder, ignored))
    return fail(ErrorCode::not_found,
                "cannot write {}: the folder {} does not exist; create it or choose another file-path", path,
                folder.string());
  return fail(ErrorCode::io, "cannot write {}: {}; choose a file-path that can be written", path,
              reason_text(reason));
}

// Appended to `line` without line breaks and the spaces behind them. Text within JSON has none.
void join_lines(std::string_view record, std::string& line) {
  while (!record.empty()) {
    const size_t length = std::min(record.find('\n'), record.size());
    line += record.substr(0, length);
    record.remove_prefix(length);
    record.remove_prefix(std::min(record.find_first_not_of("\n "), record.size()));
  }
}

}  // namespace

Status JsonFile::open(const std::string& path, Form form) {
  if (auto closed = close(); !closed) return closed;
  path_ = path;
  form_ = form;
  broken_ = false;
  end_ = 0;
  records_ = in_array_ = 0;
  if (path == "stdout") {
    file_ = STDOUT_FILENO;
    rewritable_ = false;
    return {};
  }
  // Appending lets two writers share a file of lines; an array has one writer, who overwrites its end.
  const int append = form == Form::json_lines ? O_APPEND : 0;
  file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | append, 0666);
  if (file_ < 0) return cannot_open(path, errno);
  struct stat status{};
  rewritable_ = ::fstat(file_, &status) == 0 && S_ISREG(status.st_mode);
  return form == Form::json && rewritable_ ? put("[]\n") : Status();
}

Status JsonFile::write(std::string_view record) {
  if (file_ < 0 || broken_) return fail(ErrorCode::io, "cannot write {}: it is closed", path_);
  text_.clear();
  if (form_ == Form::json_lines) {
    if (record.starts_with('{'))
      join_lines(record, text_);
    else
      text_ += record;
    text_ += '\n';
  } else {
    text_ += in_array_ ? ",\n" : "[\n";
    if (record.starts_with('{'))
      text_ += record;
    else
      JsonWriter(text_).value(record);
    if (rewritable_) text_ += array_end;
  }
  if (auto written = put(text_); !written) return written;
  if (form_ == Form::json && rewritable_) end_ += int64_t(text_.size() - array_end.size());
  ++records_;
  ++in_array_;
  return {};
}

// All of it or nothing, as far as the file allows that.
Status JsonFile::put(std::string_view text) {
  const bool in_place = form_ == Form::json && rewritable_;
  size_t done = 0;
  while (done < text.size()) {
    const char* from = text.data() + done;
    const size_t left = text.size() - done;
    const ssize_t count =
        in_place ? ::pwrite(file_, from, left, end_ + int64_t(done)) : ::write(file_, from, left);
    if (count > 0) {
      done += size_t(count);
    } else if (count < 0 && errno == EAGAIN) {
      pollfd ready{file_, POLLOUT, 0};
      (void)::poll(&ready, 1, -1);
    } else if (count < 0 && errno != EINTR) {
      const int reason = errno;
      if (in_place) {
        const std::string_view closing = in_array_ ? array_end : "[]\n";
        if (::ftruncate(file_, end_) == 0 && ::pwrite(file_, closing.data(), closing.size(), end_) < 0)
          errno = 0;
      } else if (struct stat status{}; rewritable_ && done > 0 && ::fstat(file_, &status) == 0) {
        (void)!::ftruncate(file_, status.st_size - off_t(done));
      }
      broken_ = true;
      return failed(reason);
    }
  }
  return {};
}

std::unexpected<Error> JsonFile::failed(int reason) const {
  return fail(ErrorCode::io, "cannot write {}: {}; the {} records before are complete", path_,
              reason_text(reason), records_);
}

Status JsonFile::finish() {
  if (file_ < 0 || broken_ || form_ != Form::json || rewritable_) return {};
  if (records_ > 0 && in_array_ == 0) return {};
  const std::string_view closing = in_array_ ? array_end : "[]\n";
  if (auto written = put(closing); !written) return written;
  in_array_ = 0;
  records_ += records_ == 0;  // the empty array is written once
  return {};
}

Status JsonFile::close() {
  if (file_ < 0) return {};
  Status status = finish();
  const int file = std::exchange(file_, -1);
  if (file != STDOUT_FILENO && ::close(file) != 0 && status && !broken_) return failed(errno);
  return status;
}

}  // namespace sightglass
