#include "sightglass/stream/lifecycle/spill_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <format>
#include <string_view>
#include <system_error>

#include "sightglass/stream/message_writer.h"

namespace sightglass::stream {

namespace {

namespace fs = std::filesystem;

// All numbers little-endian; a folder never travels to a machine where that would matter.
struct SegmentHeader {
  std::array<char, 8> magic = {'S', 'G', 'S', 'P', 'I', 'L', 'L', '1'};
  uint64_t number = 0;
};
struct RecordHeader {
  uint32_t size = 0, crc = 0;  // crc: of the size and the bytes
};
struct PositionFile {
  std::array<char, 8> magic = {'S', 'G', 'S', 'P', 'I', 'L', 'L', 'P'};
  uint64_t segment = 0, offset = 0;
  uint32_t crc = 0, unused = 0;
};
constexpr uint64_t data_start = sizeof(SegmentHeader);
constexpr std::string_view extension = ".spill";

uint32_t crc_of(const RecordHeader& header, std::span<const uint8_t> record) {
  const uint32_t of_size = crc32c({reinterpret_cast<const uint8_t*>(&header.size), sizeof(header.size)});
  // Bound to the size by exclusive or: a record of another size has another sum.
  return crc32c(record) ^ (of_size * 0x9e3779b1u);
}
uint32_t crc_of(const PositionFile& position) {
  return crc32c({reinterpret_cast<const uint8_t*>(&position), offsetof(PositionFile, crc)});
}

std::unexpected<Error> failed(std::string_view what, const std::string& path) {
  const int code = errno;
  return fail(code == ENOSPC || code == EDQUOT || code == EFBIG ? ErrorCode::exhausted : ErrorCode::io,
              "{}: {} failed: {}", path, what, std::generic_category().message(code));
}

// All of it, or an error.
bool write_all(int file, std::span<iovec> parts, off_t at) {
  while (!parts.empty()) {
    const ssize_t written = pwritev(file, parts.data(), int(parts.size()), at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    at += written;
    size_t rest = size_t(written);
    while (!parts.empty() && rest >= parts.front().iov_len) {
      rest -= parts.front().iov_len;
      parts = parts.subspan(1);
    }
    if (!parts.empty()) {
      parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + rest;
      parts.front().iov_len -= rest;
    }
  }
  return true;
}

// How many bytes were there.
ssize_t read_all(int file, void* to, size_t size, off_t at) {
  size_t done = 0;
  while (done < size) {
    const ssize_t got = pread(file, static_cast<char*>(to) + done, size - done, at + off_t(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += size_t(got);
  }
  return ssize_t(done);
}

void close_file(int& file) {
  if (file >= 0) close(std::exchange(file, -1));
}

}  // namespace

SpillFile::SpillFile(std::string folder, const Limits& limits)
    : folder_(std::move(folder)), limits_(limits) {}

SpillFile::~SpillFile() {
  if (write_ >= 0 && limits_.sync != SpillSync::none) fdatasync(write_), sync_names();
  for (int* file : {&write_, &read_, &position_, &lock_}) close_file(*file);
}

std::string SpillFile::path(uint64_t segment) const {
  return std::format("{}/{:012}{}", folder_, segment, extension);
}

Result<std::unique_ptr<SpillFile>> SpillFile::open(const std::string& folder, const Limits& limits) {
  Limits used = limits;
  used.segment_bytes = std::max<uint64_t>(4096, std::min(limits.segment_bytes, limits.most_bytes / 8));
  std::unique_ptr<SpillFile> file(new SpillFile(folder, used));
  if (auto locked = file->lock(); !locked) return forward_error(locked);
  if (auto recovered = file->recover(); !recovered) return forward_error(recovered);
  return file;
}

Status SpillFile::lock() {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be made: {}", folder_, error.message());
  const std::string name = folder_ + "/lock";
  lock_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (lock_ < 0) return failed("opening", name);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0)
    return fail(ErrorCode::unavailable,
                "{}: another process spills there; give every sink a folder of its own", folder_);
  return {};
}

// What stands at `offset`. `torn`: nothing behind it can be read.
Result<SpillFile::Found> SpillFile::look(int file, const Segment& segment, uint64_t offset,
                                         std::vector<uint8_t>& record) const {
  if (offset >= segment.bytes) return Found::end;
  RecordHeader header;
  const ssize_t got = read_all(file, &header, sizeof(header), off_t(offset));
  if (got < 0) return failed("reading", path(segment.number));
  if (got < ssize_t(sizeof(header)) || header.size > limits_.most_record ||
      header.size > segment.bytes - offset - sizeof(header))
    return Found::torn;
  record.resize(header.size);
  const ssize_t bytes = read_all(file, record.data(), header.size, off_t(offset + sizeof(header)));
  if (bytes < 0) return failed("reading", path(segment.number));
  if (bytes < ssize_t(header.size)) return Found::torn;
  return crc_of(header, record) == header.crc ? Found::record : Found::damaged;
}

Status SpillFile::recover() {
  std::error_code error;
  std::vector<uint64_t> numbers;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    uint64_t number = 0;
    const char* const end = name.data() + name.size() - std::min(name.size(), extension.size());
    if (!name.ends_with(extension) || std::from_chars(name.data(), end, number).ptr != end) continue;
    numbers.push_back(number);
  }
  if (error) return fail(ErrorCode::io, "{}: cannot be read: {}", folder_, error.message());
  std::ranges::sort(numbers);
  last_segment_ = numbers.empty() ? 0 : numbers.back();

  const std::string position_name = folder_ + "/position";
  position_ = ::open(position_name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (position_ < 0) return failed("opening", position_name);
  PositionFile position;
  if (read_all(position_, &position, sizeof(position), 0) == ssize_t(sizeof(position)) &&
      position.magic == PositionFile{}.magic && position.crc == crc_of(position))
    committed_ = {position.segment, position.offset};
  last_segment_ = std::max(last_segment_, committed_.segment);

  for (const uint64_t number : numbers) {
    const std::string name = path(number);
    if (number < committed_.segment) {
      fs::remove(name, error);
      continue;
    }
    int file = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) return failed("opening", name);
    struct stat status{};
    SegmentHeader header;
    Segment segment{.number = number};
    if (fstat(file, &status) == 0) segment.bytes = uint64_t(status.st_size);
    const bool is_ours = read_all(file, &header, sizeof(header), 0) == ssize_t(sizeof(header)) &&
                         header.magic == SegmentHeader{}.magic && header.number == number;
    uint64_t offset = data_start;
    if (number == committed_.segment)
      offset = std::clamp(committed_.offset, data_start, std::max(data_start, segment.bytes));
    bool reads_on = is_ours;
    while (reads_on) {
      auto found = look(file, segment, offset, scratch_);
      if (!found) {
        close_file(file);
        return forward_error(found);
      }
      switch (*found) {
        case Found::record:
        case Found::damaged:  // counted as such when it is met
          ++segment.unread;
          break;
        case Found::torn:
          ++damaged_;
          if (ftruncate(file, off_t(offset)) == 0) segment.bytes = offset;
          [[fallthrough]];
        case Found::end:
          reads_on = false;
          continue;
      }
      offset += sizeof(RecordHeader) + scratch_.size();
    }
    close_file(file);
    if (!is_ours) ++damaged_;
    if (segment.unread == 0) {
      fs::remove(name, error);
      continue;
    }
    unread_ += segment.unread;
    bytes_ += segment.bytes;
    segments_.push_back(segment);
  }
  read_place_ = committed_;
  return {};
}

Status SpillFile::start_segment() {
  const uint64_t number = last_segment_ + 1;
  const std::string name = path(number);
  write_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  if (write_ < 0) return failed("opening", name);
  SegmentHeader header{.number = number};
  iovec part{&header, sizeof(header)};
  if (!write_all(write_, {&part, 1}, 0)) {
    auto error = failed("writing", name);
    close_file(write_);
    unlink(name.c_str());
    return error;
  }
  last_segment_ = number;
  segments_.push_back({.number = number, .bytes = data_start});
  bytes_ += data_start;
  if (limits_.sync == SpillSync::every_record) sync_names();
  return {};
}

// Of the segments: what is in a file without a name is lost in a power cut.
void SpillFile::sync_names() const {
  int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) fsync(folder);
  close_file(folder);
}

Status SpillFile::finish_segment() {
  if (write_ >= 0 && limits_.sync == SpillSync::per_segment && fdatasync(write_) != 0)
    return failed("syncing", path(segments_.back().number));
  // Only now: a segment that is delivered before it is full never has to be on the disk itself.
  if (write_ >= 0 && limits_.sync == SpillSync::per_segment) sync_names();
  close_file(write_);
  return {};
}

Status SpillFile::append(std::span<const uint8_t> record) {
  if (record.size() > limits_.most_record)
    return fail(ErrorCode::invalid_argument, "a record of {} bytes is too large to be spilled",
                record.size());
  const uint64_t size = sizeof(RecordHeader) + record.size();
  if (bytes_ + size + data_start > limits_.most_bytes)
    return fail(ErrorCode::exhausted, "{}: {} MiB of records are there, the limit", folder_, bytes_ >> 20);
  if (write_ >= 0 && segments_.back().bytes > data_start &&
      segments_.back().bytes + size > limits_.segment_bytes)
    if (auto finished = finish_segment(); !finished) return finished;
  if (write_ < 0)
    if (auto started = start_segment(); !started) return started;

  Segment& segment = segments_.back();
  RecordHeader header{.size = uint32_t(record.size())};
  header.crc = crc_of(header, record);
  std::array<iovec, 2> parts = {iovec{&header, sizeof(header)},
                                iovec{const_cast<uint8_t*>(record.data()), record.size()}};
  if (!write_all(write_, std::span(parts).first(record.empty() ? 1 : 2), off_t(segment.bytes))) {
    auto error = failed("writing", path(segment.number));
    // Half a record must not stand before the next one.
    if (ftruncate(write_, off_t(segment.bytes)) != 0) close_file(write_);
    return error;
  }
  segment.bytes += size;
  bytes_ += size;
  ++segment.unread;
  ++unread_;
  if (limits_.sync == SpillSync::every_record && fdatasync(write_) != 0)
    return failed("syncing", path(segment.number));
  return {};
}

Result<bool> SpillFile::read(std::vector<uint8_t>& record) {
  while (unread_ > 0) {
    auto segment =
        std::ranges::find_if(segments_, [&](const Segment& s) { return s.number >= read_place_.segment; });
    if (segment == segments_.end()) break;
    if (segment->number != read_place_.segment) read_place_ = {segment->number, data_start};
    read_place_.offset = std::max(read_place_.offset, data_start);
    if (segment->unread == 0) {  // on to the next one
      read_place_ = {segment->number + 1, data_start};
      continue;
    }
    if (read_ < 0 || open_for_read_ != segment->number) {
      close_file(read_);
      const std::string name = path(segment->number);
      read_ = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
      if (read_ < 0) return failed("opening", name);
      open_for_read_ = segment->number;
    }
    auto found = look(read_, *segment, read_place_.offset, record);
    if (!found) return forward_error(found);
    if (*found == Found::torn || *found == Found::end) {  // damaged since it was written: the rest is lost
      damaged_ += segment->unread;
      unread_ -= std::exchange(segment->unread, 0);
      continue;
    }
    read_place_.offset += sizeof(RecordHeader) + record.size();
    --segment->unread;
    --unread_;
    if (*found == Found::damaged) {
      ++damaged_;
      continue;
    }
    reading_.push_back(read_place_);
    return true;
  }
  return false;
}

void SpillFile::skip() {
  assert(unread_ == 1 && !segments_.empty());
  Segment& segment = segments_.back();
  read_place_ = {segment.number, segment.bytes};
  segment.unread = unread_ = 0;
  reading_.push_back(read_place_);
}

void SpillFile::remove_front() {
  const Segment& front = segments_.front();
  if (write_ >= 0 && segments_.size() == 1) close_file(write_);
  if (read_ >= 0 && open_for_read_ == front.number) close_file(read_);
  unlink(path(front.number).c_str());
  bytes_ -= front.bytes;
  segments_.pop_front();
}

Status SpillFile::commit(uint64_t records) {
  records = std::min<uint64_t>(records, reading_.size());
  if (records == 0) return {};
  Place place = reading_[records - 1];
  reading_.erase(reading_.begin(), reading_.begin() + ptrdiff_t(records));
  if (place.segment < committed_.segment) return {};  // of a segment that was dropped meanwhile
  committed_ = place;
  // All read and delivered: the whole segment goes.
  while (!segments_.empty() &&
         (segments_.front().number < committed_.segment ||
          (segments_.front().number == committed_.segment && segments_.front().unread == 0 &&
           (reading_.empty() || reading_.front().segment > committed_.segment)))) {
    if (segments_.front().number == committed_.segment) committed_ = {committed_.segment + 1, data_start};
    remove_front();
  }
  return write_position();
}

Status SpillFile::write_position() {
  PositionFile position{.segment = committed_.segment, .offset = committed_.offset};
  position.crc = crc_of(position);
  iovec part{&position, sizeof(position)};
  if (!write_all(position_, {&part, 1}, 0)) return failed("writing", folder_ + "/position");
  if (limits_.sync == SpillSync::every_record && fdatasync(position_) != 0)
    return failed("syncing", folder_ + "/position");
  return {};
}

Result<uint64_t> SpillFile::drop_oldest() {
  if (segments_.empty()) return 0;
  const Segment front = segments_.front();
  unread_ -= front.unread;
  if (committed_.segment <= front.number) committed_ = {front.number + 1, data_start};
  remove_front();
  if (auto written = write_position(); !written) return forward_error(written);
  return front.unread;
}

}  // namespace sightglass::stream
