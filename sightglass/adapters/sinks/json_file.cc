// Records as lines of JSON, one file per stream.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <format>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/core/folder.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Params {
  std::string folder = ".";
  bool notes = false, empty = true, gzip = false;
  unsigned rotate_records = 10'000;
  int64_t rotate_bytes = int64_t(256) << 20;
  double rotate_time = 3600;

  bool rotates() const { return rotate_records > 0 || rotate_bytes > 0 || rotate_time > 0; }
};

std::unexpected<Error> cannot(const char* what, const fs::path& path, int reason) {
  const std::string text = std::error_code(reason, std::generic_category()).message();
  return fail(reason == ENOSPC || reason == EDQUOT ? ErrorCode::exhausted : ErrorCode::io, "cannot {} {}: {}",
              what, path.string(), text);
}

// Cuts off what stands behind the last line break: a line that was being written when the process ended.
Status cut_torn_line(int file, const fs::path& path) {
  off_t end = ::lseek(file, 0, SEEK_END);
  if (end < 0) return cannot("read", path, errno);
  char block[4096];
  for (off_t at = end; at > 0;) {
    const size_t size = size_t(std::min<off_t>(at, sizeof block));
    at -= off_t(size);
    if (::pread(file, block, size, at) != ssize_t(size)) return cannot("read", path, errno);
    const std::string_view text(block, size);
    if (const size_t line = text.find_last_of('\n'); line != text.npos) {
      if (at + off_t(line) + 1 == end) return {};
      return ::ftruncate(file, at + off_t(line) + 1) == 0 ? Status() : Status(cannot("mend", path, errno));
    }
  }
  return ::ftruncate(file, 0) == 0 ? Status() : Status(cannot("mend", path, errno));
}

// A file has one writer, whose lock goes with it.
bool is_locked_by_another(int file) { return ::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

// Given up, the file stays as it is.
Status compress(const fs::path& from, const std::atomic<bool>& is_cancelled) {
  const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  if (in < 0) return cannot("read", from, errno);
  if (is_locked_by_another(in)) {  // who is at it
    ::close(in);
    return {};
  }
  fs::path to = from;
  to += ".gz";
  fs::path part = to;
  part += ".part";
  gzFile out = gzopen(part.c_str(), "wb6");
  Status status;
  char block[1 << 16];
  while (out && status) {
    if (is_cancelled) status = fail(ErrorCode::cancelled, "{}: not compressed", from.string());
    if (!status) break;
    const ssize_t size = ::read(in, block, sizeof block);
    if (size == 0) break;
    if (size < 0 && errno == EINTR) continue;
    if (size < 0)
      status = cannot("read", from, errno);
    else if (gzwrite(out, block, unsigned(size)) != size)
      status = cannot("write", part, errno);
  }
  ::close(in);
  if (!out) return cannot("write", part, errno);
  if (gzclose(out) != Z_OK && status) status = cannot("write", part, errno);
  std::error_code error;
  if (status) {
    fs::rename(part, to, error);
    if (error) status = cannot("rename", part, error.value());
  }
  // What could not be compressed stays as it is.
  fs::remove(status ? from : part, error);
  return status;
}

// Ids have no '%', and names of files on some systems no ':'. A name that would be too long ends in its hash.
std::string file_name(std::string_view source_id) {
  std::string name;
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : source_id) {
    hash = (hash ^ uint8_t(c)) * 0x100000001b3;
    if (c == ':')
      name += "%3A";
    else
      name += c;
  }
  if (name.size() > 200) name = std::format("{}%{:016x}", name.substr(0, 180), hash);
  return name;
}

// One stream's file. With rotation it is called NAME-TIME-N.jsonl.part until it is complete, else NAME.jsonl.
class LineFile {
 public:
  LineFile(const Params& params, const std::atomic<bool>& is_cancelled, std::string name)
      : params_(params), is_cancelled_(is_cancelled), name_(std::move(name)) {}
  ~LineFile() { (void)close(); }
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  // All of the lines, or none of them.
  Status write(std::string_view lines, unsigned records) {
    if (file_ >= 0 && is_due(lines.size(), records))
      if (Status status = close(); !status) return status;
    if (file_ < 0)
      if (Status status = open(); !status) return status;
    const std::string_view all = lines;
    while (!lines.empty()) {
      const ssize_t written = ::write(file_, lines.data(), lines.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) {
        const int reason = errno;
        // What fitted in part is taken back, so that a retry does not show twice.
        if (::ftruncate(file_, bytes_) == 0) ::lseek(file_, bytes_, SEEK_SET);
        return cannot("write", path_, reason);
      }
      lines.remove_prefix(size_t(written));
    }
    bytes_ += int64_t(all.size());
    records_ += records;
    return {};
  }

  Status flush() {
    return file_ < 0 || ::fdatasync(file_) == 0 ? Status() : Status(cannot("write", path_, errno));
  }

  Status close() {
    if (file_ < 0) return {};
    Status status = flush();
    const fs::path complete = fs::path(path_).replace_extension();  // without .part
    std::error_code error;
    if (params_.rotates()) fs::rename(path_, complete, error);
    ::close(std::exchange(file_, -1));
    if (!params_.rotates()) return status;
    if (error) return cannot("rename", path_, error.value());
    return params_.gzip ? compress(complete, is_cancelled_) : status;
  }

  bool is_over_time() const {
    return file_ >= 0 && params_.rotate_time > 0 &&
           std::chrono::duration<double>(Clock::now() - opened_).count() >= params_.rotate_time;
  }

 private:
  bool is_due(size_t bytes, unsigned records) const {
    if (records_ == 0) return false;
    return is_over_time() || (params_.rotate_records > 0 && records_ + records > params_.rotate_records) ||
           (params_.rotate_bytes > 0 && bytes_ + int64_t(bytes) > params_.rotate_bytes);
  }

  Status open() {
    path_ = fs::path(params_.folder) /
            (params_.rotates() ? name_ + time_suffix() + ".jsonl.part" : name_ + ".jsonl");
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file_ < 0) return cannot("write", path_, errno);
    if (is_locked_by_another(file_)) {
      ::close(std::exchange(file_, -1));
      return fail(ErrorCode::io, "{}: another sink or process writes it", path_.string());
    }
    if (Status status = cut_torn_line(file_, path_); !status) {
      ::close(std::exchange(file_, -1));
      return status;
    }
    bytes_ = ::lseek(file_, 0, SEEK_END);
    records_ = 0;
    opened_ = Clock::now();
    return {};
  }

  // "-20261122T101500Z-0", counted where a second has several.
  std::string time_suffix() const {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    std::strftime(text, sizeof text, "-%Y%m%dT%H%M%SZ", &utc);
    for (unsigned n = 0;; ++n) {
      const std::string suffix = std::format("{}-{}", text, n);
      const fs::path path = fs::path(params_.folder) / (name_ + suffix + ".jsonl");
      std::error_code ignored;
      if (!fs::exists(path, ignored) && !fs::exists(path.string() + ".gz", ignored) &&
          !fs::exists(path.string() + ".part", ignored))
        return suffix;
    }
  }

  const Params& params_;
  const std::atomic<bool>& is_cancelled_;
  const std::string name_;
  fs::path path_;
  int file_ = -1;
  int64_t bytes_ = 0;
  unsigned records_ = 0;
  Clock::time_point opened_;
};

class JsonFileSink final : public Sink {
 public:
  explicit JsonFileSink(Params params) : params_(std::move(params)) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    Params params = set.as<Params>();
    if (!context.folder.empty())
      params.folder = (fs::path(context.folder) / params.folder).lexically_normal().string();
    if (params.gzip && !params.rotates())
      return fail(ErrorCode::invalid_argument,
                  "{}: gzip needs rotation, since only complete files are compressed", context.name);
    return std::make_unique<JsonFileSink>(std::move(params));
  }

  Status start() override {
    std::error_code error;
    fs::create_directories(params_.folder, error);
    if (error) return cannot("make the folder", params_.folder, error.value());
    if (::access(params_.folder.c_str(), W_OK) != 0) return cannot("write in", params_.folder, errno);
    return params_.rotates() ? complete_old_files() : Status();
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    // Runs of records of one stream are one write().
    for (size_t begin = 0; begin < records.size();) {
      size_t end = begin;
      text_.clear();
      unsigned lines = 0;
      bool has_ended = false;
      for (; end < records.size() && records[end]->source_id == records[begin]->source_id; ++end) {
        has_ended = records[end]->kind == RecordKind::end_of_stream;
        if (!is_wanted(*records[end])) continue;
        write_record_json(*records[end], text_);
        text_ += '\n';
        ++lines;
      }
      if (lines > 0)
        if (Status status = file(records[begin]->source_id).write(text_, lines); !status) {
          std::fill(outcome.begin() + ptrdiff_t(begin), outcome.end(), Stored::retry);
          // Records before these are stored: their outcome counts.
          return begin == 0 ? status : Status();
        }
      if (has_ended) close(files_.find(records[begin]->source_id));
      begin = end;
    }
    return {};
  }

  Status flush() override {
    Status status = std::exchange(closed_, {});
    for (auto& [id, open] : files_) {
      LineFile& file = open.file;
      if (Status flushed = file.is_over_time() ? file.close() : file.flush(); !flushed) status = flushed;
    }
    return status;
  }

  void stop() override { files_.clear(); }
  void cancel() override { is_cancelled_ = true; }

 private:
  bool is_wanted(const Record& record) const {
    if (record.kind != RecordKind::frame) return params_.notes;
    return params_.empty || !record.results.regions.empty() || record.results.attributes;
  }

  LineFile& file(const std::string& source_id) {
    auto found = files_.find(source_id);
    if (found == files_.end()) {
      // Not every stream says that it ends.
      if (files_.size() >= most_files)
        close(std::ranges::min_element(files_, {}, [](const auto& each) { return each.second.used; }));
      found = files_.try_emplace(source_id, params_, is_cancelled_, file_name(source_id)).first;
    }
    found->second.used = ++uses_;
    return found->second.file;
  }

  // What an earlier process left behind: its last line may be torn.
  Status complete_old_files() {
    std::error_code error;
    for (const fs::path& path : paths_in(params_.folder, error)) {
      if (!path.string().ends_with(".jsonl.part")) continue;
      const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
      if (file < 0) continue;
      if (is_locked_by_another(file)) {
        ::close(file);
        continue;
      }
      const Status mended = cut_torn_line(file, path);
      const bool is_empty = ::lseek(file, 0, SEEK_END) == 0;
      const fs::path complete = fs::path(path).replace_extension();
      if (mended && is_empty)
        fs::remove(path, error);
      else if (mended)
        fs::rename(path, complete, error);
      ::close(file);
      if (!mended) return mended;
    }
    if (!params_.gzip) return {};
    // Also those whose compression was given up.
    for (const fs::path& path : paths_in(params_.folder, error))
      if (is_rotated(path.filename().string()))
        if (Status status = compress(path, is_cancelled_); !status) return status;
    return {};
  }

  // NAME-20261122T101500Z-0.jsonl
  static bool is_rotated(std::string_view name) {
    constexpr std::string_view ending = ".jsonl";
    if (!name.ends_with(ending)) return false;
    name.remove_suffix(ending.size());
    const size_t number = name.rfind('-');
    if (number == name.npos || number < 17 || number + 1 == name.size()) return false;
    constexpr std::string_view pattern = "-00000000T000000Z";
    const std::string_view time = name.substr(number - pattern.size(), pattern.size());
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    return std::ranges::all_of(name.substr(number + 1), is_digit) &&
           std::ranges::equal(time, pattern,
                              [&](char c, char of) { return of == '0' ? is_digit(c) : c == of; });
  }

  struct OpenFile {
    OpenFile(const Params& params, const std::atomic<bool>& is_cancelled, std::string name)
        : file(params, is_cancelled, std::move(name)) {}
    LineFile file;
    uint64_t used = 0;
  };
  using Files = std::map<std::string, OpenFile, std::less<>>;

  // What goes wrong is told by the next flush().
  void close(Files::iterator place) {
    if (place == files_.end()) return;
    if (Status status = place->second.file.close(); !status) closed_ = std::move(status);
    files_.erase(place);
  }

  static constexpr size_t most_files = 128;
  const Params params_;
  std::atomic<bool> is_cancelled_{false};
  Files files_;
  uint64_t uses_ = 0;
  Status closed_;
  std::string text_;
};

const SinkRegistration registration(SinkDesc{
    .name = "json_file",
    .doc = "one JSON object a line, a file per stream",
    .nature = SinkNature::data,
    .batch_records = 256,
    .params = ParamTable::of<Params>({
        param("folder", &Params::folder, "where the files are written"),
        param("notes", &Params::notes, "also what is said about streams: starts, ends, user data"),
        param("empty", &Params::empty, "also frames without results"),
        param("rotate-records", &Params::rotate_records,
              "records after which a new file begins; 0: any number"),
        param("rotate-bytes", &Params::rotate_bytes, "size after which a new file begins; 0: any")
            .range(0, 1e15)
            .in("bytes"),
        param("rotate-time", &Params::rotate_time, "age after which a new file begins; 0: any")
            .range(0, 1e9)
            .in("s"),
        param("gzip", &Params::gzip, "complete files are compressed"),
    }),
    .create = &JsonFileSink::create,
});

}  // namespace
}  // namespace sightglass::adapters
