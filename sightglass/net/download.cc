#include "sightglass/net/download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <thread>

#include "sightglass/core/masked_url.h"

namespace sightglass::net {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

class File {
 public:
  explicit File(int descriptor = -1) : descriptor_(descriptor) {}
  File(File&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

std::unexpected<Error> disk_error(const fs::path& path) {
  return fail(ErrorCode::io, "{}: cannot be written: {}", path.string(), std::strerror(errno));
}

// Opened and locked. Who had the lock before may have renamed or removed the file: then another one is made.
Result<File> open_part(const fs::path& part) {
  for (;;) {
    File file(open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (file.get() < 0) return disk_error(part);
    while (flock(file.get(), LOCK_EX) != 0)
      if (errno != EINTR) return disk_error(part);
    struct stat ours{}, there{};
    if (fstat(file.get(), &ours) == 0 && stat(part.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
        ours.st_dev == there.st_dev)
      return file;
  }
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "bytes 100-199/200" → 100 and 200.
struct Range {
  uint64_t first = 0, total = 0;
};
std::optional<Range> parse_range(const std::string* text) {
  constexpr std::string_view unit = "bytes ";
  if (!text || !text->starts_with(unit)) return {};
  Range range;
  const char* const end = text->data() + text->size();
  const auto first = std::from_chars(text->data() + unit.size(), end, range.first);
  if (first.ec != std::errc()) return {};
  if (const size_t slash = text->find('/'); slash != text->npos)
    std::from_chars(text->data() + slash + 1, end, range.total);
  return range;
}

// Says which version of a file this is; empty where that cannot be told, and then nothing is gone on with.
std::string version_of(const HttpAnswer& head) {
  const std::string* const tag = head.header("etag");
  if (tag && !tag->starts_with("W/")) return *tag;
  const std::string* const date = head.header("last-modified");
  return date ? *date : "";
}

class Download {
 public:
  Download(HttpClient& client, HttpRequest request, const fs::path& place, const DownloadOptions& options)
      : client_(client),
        request_(std::move(request)),
        place_(place),
        part_(place.string() + ".part"),
        tag_(place.string() + ".part.tag"),
        options_(options) {
    request_.compressed = false;
    request_.begin = [this](const HttpAnswer& head) { return begin(head); };
    request_.receive = [this](std::span<const std::byte> piece) { return receive(piece); };
    request_.max_bytes = options.max_bytes;
  }

  Status run();

 private:
  Status attempt();
  Status begin(const HttpAnswer& head);
  Status receive(std::span<const std::byte> piece);
  Status start_over();
  Status finish();
  void report(bool at_once);

  HttpClient& client_;
  HttpRequest request_;
  const fs::path place_, part_, tag_;
  const DownloadOptions& options_;
  int file_ = -1;
  uint64_t bytes_ = 0, total_ = 0, begun_at_ = 0;
  Clock::time_point reported_, begun_;
  uint64_t furthest_ = 0;
  bool is_complete_ = false;
};

Status Download::start_over() {
  if (ftruncate(file_, 0) != 0 || lseek(file_, 0, SEEK_SET) < 0) return disk_error(part_);
  std::error_code ignored;
  fs::remove(tag_, ignored);
  bytes_ = 0;
  return {};
}

Status Download::begin(const HttpAnswer& head) {
  total_ = 0;
  if (head.status == 206) {
    const auto range = parse_range(head.header("content-range"));
    if (!range || range->first != bytes_)
      return fail(ErrorCode::corrupt, "{}: answers with another part of the file than was asked for",
                  masked_url(request_.url));
    total_ = range->total;
  } else {
    if (auto again = start_over(); !again) return again;
    total_ = head.content_length();
    if (const std::string version = version_of(head); !version.empty())
      std::ofstream(tag_) << version << "\n";
  }
  if (total_ > options_.max_bytes)
    return fail(ErrorCode::exhausted, "{}: has {} bytes, more than the {} allowed", masked_url(request_.url),
                total_, options_.max_bytes);
  begun_ = Clock::now(), begun_at_ = bytes_;
  report(true);
  return {};
}

Status Download::receive(std::span<const std::byte> piece) {
  if (bytes_ + piece.size() > options_.max_bytes)
    return fail(ErrorCode::exhausted, "{}: has more than the {} bytes allowed", masked_url(request_.url),
                options_.max_bytes);
  while (!piece.empty()) {
    const ssize_t wrote = ::write(file_, piece.data(), piece.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return disk_error(part_);
    bytes_ += uint64_t(wrote);
    piece = piece.subspan(size_t(wrote));
  }
  report(false);
  return {};
}

void Download::report(bool at_once) {
  if (!options_.on_progress) return;
  const auto now = Clock::now();
  if (!at_once && now - reported_ < std::chrono::milliseconds(250)) return;
  reported_ = now;
  const double seconds = std::chrono::duration<double>(now - begun_).count();
  options_.on_progress(
      {.bytes = bytes_, .total = total_, .rate = seconds > 0 ? double(bytes_ - begun_at_) / seconds : 0});
}

Status Download::attempt() {
  const std::string version = first_line(tag_);
  if (bytes_ > 0 && version.empty())
    if (auto again = start_over(); !again) return again;
  const Headers usual = request_.headers;
  if (bytes_ > 0) {
    request_.headers.emplace_back("Range", std::format("bytes={}-", bytes_));
    request_.headers.emplace_back("If-Range", version);
  }
  auto answer = client_.request(request_);
  request_.headers = usual;
  if (!answer) return forward_error(answer);
  if (answer->status == 416 && bytes_ > 0) {
    // There is nothing behind what we have: that is all of it, or of something else. The check will tell.
    const std::string* const range = answer->header("content-range");
    if (range && range->ends_with(std::format("/{}", bytes_))) {
      is_complete_ = true;
      return {};
    }
    if (auto again = start_over(); !again) return again;
    return fail(ErrorCode::io, "{}: has changed meanwhile", masked_url(request_.url));
  }
  if (answer->status / 100 != 2) return std::unexpected(to_error(*answer));
  if (total_ && bytes_ != total_)
    return fail(ErrorCode::io, "{}: broken off after {} of {} bytes", masked_url(request_.url), bytes_,
                total_);
  is_complete_ = true;
  return {};
}

Status Download::finish() {
  std::error_code ignored;
  if (options_.check)
    if (auto good = options_.check(part_); !good) {
      fs::remove(part_, ignored);
      fs::remove(tag_, ignored);
      return good;
    }
  if (fsync(file_) != 0) return disk_error(part_);
  std::error_code error;
  fs::rename(part_, place_, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be written: {}", place_.string(), error.message());
  fs::remove(tag_, ignored);
  report(true);
  return {};
}

Status Download::run() {
  std::error_code error;
  if (fs::exists(place_, error)) return {};
  if (!place_.parent_path().empty()) fs::create_directories(place_.parent_path(), error);
  if (error)
    return fail(ErrorCode::io, "{}: cannot be made: {}", place_.parent_path().string(), error.message());
  auto file = open_part(part_);
  if (!file) return forward_error(file);
  // Another process may have finished it while we waited.
  if (fs::exists(place_, error)) {
    fs::remove(part_, error);
    return {};
  }
  file_ = file->get();
  const off_t size = lseek(file_, 0, SEEK_END);
  if (size < 0) return disk_error(part_);
  bytes_ = furthest_ = uint64_t(size);
  Status status;
  auto pause = options_.pause;
  for (unsigned failures = 0; !is_complete_;) {
    status = attempt();
    if (status) break;
    const bool try_again =
        status.error().code == ErrorCode::io || status.error().code == ErrorCode::unavailable;
    if (!try_again) return status;
    if (bytes_ > furthest_) {
      furthest_ = bytes_;
      failures = 0, pause = options_.pause;
      continue;
    }
    if (++failures >= options_.attempts) return status;
    std::this_thread::sleep_for(pause);
    pause *= 2;
  }
  return finish();
}

}  // namespace

Status download(HttpClient& client, HttpRequest request, const fs::path& place,
                const DownloadOptions& options) {
  return Download(client, std::move(request), place, options).run();
}

}  // namespace sightglass::net
