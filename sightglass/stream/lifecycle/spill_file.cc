#include "sightglass/stream/lifecycle/spill_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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
#include <optional>
#include <string_view>
#include <system_error>

#include "sightglass/core/folder.h"
#include "sightglass/stream/message_writer.h"

namespace sightglass::stream {

namespace {

namespace fs = std::filesystem;

// All numbers little-endian; a folder never travels to a machine where that would matter.
struct SegmentHeader {
  std::array<char, 8> magic = {'S', 'G', 'S', 'P', 'I', 'L', 'L', '2'};
  uint64_t number = 0;
};
struct RecordHeader {
  uint32_t size = 0, crc = 0;  // of the bytes
  uint32_t check = 0;          // of the two, in this place of this segment
  bool operator==(const RecordHeader&) const = default;
};
struct PositionFile {
  std::array<char, 8> magic = {'S', 'G', 'S', 'P', 'I', 'L', 'L', 'P'};
  uint64_t segment = 0, offset = 0;
  uint32_t crc = 0, unused = 0;
};
constexpr uint64_t data_start = sizeof(SegmentHeader);
constexpr uint64_t least_segment = 4096;
constexpr std::string_view extension = ".spill";
// Behind the last record: what follows is of the file's earlier life.
constexpr RecordHeader end_mark;

uint32_t check_of(const RecordHeader& header, uint64_t segment, uint64_t offset) {
  const std::array<uint64_t, 3> values = {uint64_t(header.size) << 32 | header.crc, segment, offset};
  // Never that of the end mark.
  return crc32c({reinterpret_cast<const uint8_t*>(values.data()), sizeof(values)}) | 1;
}
uint32_t crc_of(const PositionFile& position) {
  return crc32c({reinterpret_cast<const uint8_t*>(&position), offsetof(PositionFile, crc)});
}

std::unexpected<Error> failed(std::string_view what, const std::string& path) {
  const int code = errno;
  return fail(code == ENOSPC || code == EDQUOT || code == EFBIG ? ErrorCode::exhausted : ErrorCode::io,
              "{}: {} failed: {}", path, what, std::generic_category().message(code));
}

// How many bytes were written: all of them, or errno says why not.
size_t write_all(int file, std::span<iovec> parts, off_t at) {
  size_t done = 0;
  while (!parts.empty()) {
    const ssize_t written = pwritev(file, parts.data(), int(parts.size()), at + off_t(done));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    done += size_t(written);
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
  return done;
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

// After a failed open(): it may work later, so that nothing is lost yet.
bool is_short_of_something() {
  return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EINTR;
}

std::string name_of(uint64_t segment) { return std::format("{:012}{}", segment, extension); }

}  // namespace

SpillFile::SpillFile(std::string folder, const Limits& limits)
    : folder_(std::move(folder)), limits_(limits) {}

SpillFile::~SpillFile() {
  if (write_ >= 0 && limits_.sync != SpillSync::none) fdatasync(write_), (void)sync_names();
  drop_spare();
  for (int* file : {&write_, &read_, &position_, &lock_}) close_file(*file);
}

std::string SpillFile::path(uint64_t segment) const {
  return std::format("{}/{}", folder_, name_of(segment));
}

Result<std::unique_ptr<SpillFile>> SpillFile::open(const std::string& folder, const Limits& limits) {
  Limits used = limits;
  used.segment_bytes = std::max(least_segment, std::min(limits.segment_bytes, limits.most_bytes / 8));
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

// What stands at `offset`. `damaged`: as long as `record`, which may be more than one, and another one stands
// behind it, or its size is known. `torn`: nothing behind it can be read; `unreadable`: nor can it itself.
SpillFile::Found SpillFile::look(int file, const Segment& segment, uint64_t offset,
                                 std::vector<uint8_t>& record) const {
  if (offset >= segment.bytes) return Found::end;
  RecordHeader header;
  const ssize_t got = read_all(file, &header, sizeof(header), off_t(offset));
  if (got < 0) return Found::unreadable;
  const bool is_end = got == ssize_t(sizeof(header)) && header == end_mark;
  if (is_end || got < ssize_t(sizeof(header)) || header.check != check_of(header, segment.number, offset) ||
      header.size > limits_.most_record || header.size > segment.bytes - offset - sizeof(header)) {
    const uint64_t gap = to_next_record(file, segment, offset);
    if (gap == 0) return is_end ? Found::end : Found::torn;
    record.resize(gap - sizeof(header));
    return Found::damaged;
  }
  record.resize(header.size);
  const ssize_t bytes = read_all(file, record.data(), header.size, off_t(offset + sizeof(header)));
  if (bytes < 0) return Found::unreadable;
  if (bytes < ssize_t(header.size)) return Found::torn;
  return crc32c(record) == header.crc ? Found::record : Found::damaged;
}

// How far it is from `offset`, where none stands, to the next whole record of this segment; 0: there is none.
uint64_t SpillFile::to_next_record(int file, const Segment& segment, uint64_t offset) const {
  std::vector<uint8_t> bytes(segment.bytes - std::min(segment.bytes, offset));
  const ssize_t got = read_all(file, bytes.data(), bytes.size(), off_t(offset));
  bytes.resize(size_t(std::max<ssize_t>(got, 0)));
  RecordHeader header;
  for (size_t at = sizeof(header); at + sizeof(header) <= bytes.size(); ++at) {
    std::memcpy(&header, bytes.data() + at, sizeof(header));
    const size_t rest = bytes.size() - at - sizeof(header);
    if (header.check != 0 && header.size <= rest &&
        header.check == check_of(header, segment.number, offset + at) &&
        crc32c(std::span(bytes).subspan(at + sizeof(header), header.size)) == header.crc)
      return at;
  }
  return 0;
}

Status SpillFile::recover() {
  std::error_code error;
  std::vector<uint64_t> numbers;
  for (const fs::path& each : paths_in(folder_, error)) {
    const std::string name = each.filename().string();
    uint64_t number = 0;
    std::from_chars(name.data(), name.data() + name.size(), number);
    if (name == name_of(number)) numbers.push_back(number);
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
  else
    (void)write_position();  // its room is there later, too
  last_segment_ = std::max(last_segment_, committed_.segment);

  unlink(spare_path().c_str());
  for (const uint64_t number : numbers)
    if (auto recovered = recover_segment(number); !recovered) return recovered;
  read_place_ = committed_;
  return {};
}

Status SpillFile::recover_segment(uint64_t number) {
  const std::string name = path(number);
  std::error_code ignored;
  if (number < committed_.segment) {
    fs::remove(name, ignored);
    return {};
  }
  int file = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) {
    if (is_short_of_something()) return failed("opening", name);
    if (errno != ENOENT) set_aside(name);
    ++damaged_;
    return {};
  }
  struct stat status{};
  SegmentHeader header;
  Segment segment{.number = number};
  if (fstat(file, &status) == 0) segment.bytes = uint64_t(status.st_size);
  header.magic = {};
  const ssize_t got = read_all(file, &header, sizeof(header), 0);
  const bool is_begun = got == 0 || (got > 0 && header.magic == std::array<char, 8>{});
  const bool is_ours =
      got == ssize_t(sizeof(header)) && header.magic == SegmentHeader{}.magic && header.number == number;
  uint64_t offset = data_start;
  if (number == committed_.segment)
    offset = std::clamp(committed_.offset, data_start, std::max(data_start, segment.bytes));
  bool is_readable = is_ours || is_begun;
  std::optional<uint64_t> damaged_at;  // the record before `offset`
  for (bool reads_on = is_ours; reads_on;) {
    switch (const Found found = look(file, segment, offset, scratch_)) {
      case Found::record:
      case Found::damaged:  // counted as such when it is met
        ++segment.unread;
        damaged_at.reset();
        if (found == Found::damaged) damaged_at = offset;
        offset += sizeof(RecordHeader) + scratch_.size();
        break;
      case Found::torn:
        if (number != last_segment_) {
          ++damaged_;
        } else {
          // Was being written when the process or the machine ended: it has never counted as stored.
          if (damaged_at) offset = *damaged_at, --segment.unread;
          note(std::format("{}: its end was torn, and was cut off", name));
        }
        [[fallthrough]];
      case Found::end:
        reads_on = false;
        if (offset < segment.bytes && ftruncate(file, off_t(offset)) == 0) segment.bytes = offset;
        break;
      case Found::unreadable:  // what comes behind it stays as it is: another disk may read it
        ++damaged_;
        is_readable = reads_on = false;
        break;
    }
  }
  close_file(file);
  if (!is_ours && !is_begun) ++damaged_;
  if (segment.unread == 0) {
    if (is_readable)
      fs::remove(name, ignored);
    else
      set_aside(name);
    return {};
  }
  unread_ += segment.unread;
  bytes_ += segment.bytes;
  segments_.push_back(segment);
  return {};
}

// Of another version of Sightglass, or of a disk that fails: somebody may still want what is in it.
void SpillFile::set_aside(const std::string& name) {
  const std::string aside = name + ".unreadable";
  std::error_code error;
  fs::rename(name, aside, error);
  if (!error) note(std::format("{}: cannot be read, and was set aside", aside));
}

void SpillFile::note(std::string notice) {
  if (notice_.empty()) notice_ = std::move(notice);
}

// What a segment may grow to: an eighth of what the disk has for us, so that dropping the oldest leaves most.
uint64_t SpillFile::segment_limit() const {
  struct statvfs disk{};
  if (statvfs(folder_.c_str(), &disk) != 0) return limits_.segment_bytes;
  const uint64_t ours = uint64_t(disk.f_bavail) * disk.f_frsize + bytes_;
  return std::clamp(ours / 8, std::min(limits_.segment_bytes, least_segment * 4), limits_.segment_bytes);
}

// The spare file, or a new one.
Status SpillFile::start_segment() {
  const uint64_t number = last_segment_ + 1;
  const std::string name = path(number);
  int file = std::exchange(spare_, -1);
  const bool is_reused = file >= 0;
  if (!is_reused) file = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
  if (file < 0) return failed("opening", name);
  SegmentHeader header{.number = number};
  RecordHeader mark = end_mark;
  std::array<iovec, 2> parts = {iovec{&header, sizeof(header)}, iovec{&mark, sizeof(mark)}};
  if (write_all(file, parts, 0) < sizeof(header) + sizeof(mark) ||
      (is_reused && rename(spare_path().c_str(), name.c_str()) != 0)) {
    auto error = failed("writing", name);
    close_file(file);
    unlink(is_reused ? spare_path().c_str() : name.c_str());
    return error;
  }
  if (limits_.sync == SpillSync::every_record)
    if (auto synced = sync_names(); !synced) {
      close_file(file);
      unlink(name.c_str());
      return synced;
    }
  write_ = file;
  last_segment_ = number;
  segments_.push_back({.number = number, .bytes = data_start});
  bytes_ += data_start;
  segment_limit_ = segment_limit();
  look_at_ = segment_limit_ / 8;
  return {};
}

// Of the segments: what is in a file without a name is lost in a power cut.
Status SpillFile::sync_names() const {
  int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return failed("opening", folder_);
  Status status;
  // Some file systems of other machines know no such thing, and say so.
  if (fsync(folder) != 0 && errno != EINVAL) status = failed("syncing", folder_);
  close_file(folder);
  return status;
}

Status SpillFile::finish_segment() {
  // What a reused file has beyond its end is not counted, and must not take room. A failure costs that alone.
  if (write_ >= 0) [[maybe_unused]]
    const int cut = ftruncate(write_, off_t(segments_.back().bytes));
  if (write_ >= 0 && limits_.sync == SpillSync::per_segment && fdatasync(write_) != 0)
    return failed("syncing", path(segments_.back().number));
  // Only now: a segment that is delivered before it is full never has to be on the disk itself.
  if (write_ >= 0 && limits_.sync == SpillSync::per_segment)
    if (auto synced = sync_names(); !synced) return synced;
  close_file(write_);
  return {};
}

std::vector<uint8_t>& SpillFile::begin_record() {
  batch_.resize(batch_end_ + sizeof(RecordHeader));
  return batch_;
}

Status SpillFile::end_record(bool is_kept) {
  const size_t size = batch_.size() - batch_end_;
  assert(size >= sizeof(RecordHeader));
  const size_t bytes = size - sizeof(RecordHeader);
  // The second: it does not fit even where all others have made room.
  if (bytes > limits_.most_record || size + 2 * data_start > limits_.most_bytes)
    return fail(ErrorCode::invalid_argument, "a record of {} bytes is too large to be spilled", bytes);
  if (bytes_ + batch_end_ + size + data_start > limits_.most_bytes)
    return fail(ErrorCode::exhausted, "{}: {} MiB of records are there, the limit", folder_, bytes_ >> 20);
  const RecordHeader header{.size = uint32_t(bytes),
                            .crc = crc32c(std::span(batch_).subspan(batch_end_ + sizeof(RecordHeader)))};
  std::memcpy(batch_.data() + batch_end_, &header, sizeof(header));
  batched_.push_back({.bytes = size, .is_kept = is_kept});
  batch_end_ += size;
  return {};
}

void SpillFile::forget(size_t records) {
  size_t bytes = 0;
  for (size_t i = 0; i < records; ++i) bytes += batched_[i].bytes;
  batched_.erase(batched_.begin(), batched_.begin() + ptrdiff_t(records));
  batch_.erase(batch_.begin(), batch_.begin() + ptrdiff_t(bytes));
  batch_end_ -= bytes;
}

Status SpillFile::write(size_t& written) {
  written = 0;
  Status status;
  for (size_t from = 0; written < batched_.size();) {
    status = write_run(written, from);
    if (status) continue;
    if (status.error().code != ErrorCode::exhausted || spare_ < 0) break;
    drop_spare();  // its room is needed
  }
  forget(written);
  return status;
}

// As many records as the segment has room for, from `first` on, whose bytes are at `from` of the batch.
Status SpillFile::write_run(size_t& first, size_t& from) {
  if (write_ >= 0 && segments_.back().bytes >= look_at_) {
    segment_limit_ = segment_limit();
    look_at_ = segments_.back().bytes + segment_limit_ / 8;
  }
  if (write_ >= 0 && segments_.back().bytes > data_start &&
      segments_.back().bytes + batched_[first].bytes > segment_limit_)
    if (auto finished = finish_segment(); !finished) return finished;
  if (write_ < 0)
    if (auto started = start_segment(); !started) return started;

  Segment& segment = segments_.back();
  size_t end = first, bytes = 0;
  do {
    RecordHeader header;
    std::memcpy(&header, batch_.data() + from + bytes, sizeof(header));
    header.check = check_of(header, segment.number, segment.bytes + bytes);
    std::memcpy(batch_.data() + from + bytes, &header, sizeof(header));
    bytes += batched_[end++].bytes;
  } while (end < batched_.size() && segment.bytes + bytes + batched_[end].bytes <= segment_limit_);

  RecordHeader mark = end_mark;
  std::array<iovec, 2> parts = {iovec{batch_.data() + from, bytes}, iovec{&mark, sizeof(mark)}};
  const size_t done = write_all(write_, parts, off_t(segment.bytes));
  Status status;
  if (done < bytes) status = failed("writing", path(segment.number));
  size_t last = first, good = 0;
  while (last < end && good + batched_[last].bytes <= done) good += batched_[last++].bytes;
  if (good > 0 && limits_.sync == SpillSync::every_record && fdatasync(write_) != 0) {
    status = failed("syncing", path(segment.number));
    last = first, good = 0;
  }
  // Half a record must not stand before the next one, nor one that is kept elsewhere now.
  if ((good < bytes || done < bytes + sizeof(mark)) && ftruncate(write_, off_t(segment.bytes + good)) != 0)
    close_file(write_);
  bytes_ += good;
  from += good;
  for (; first < last; ++first) {
    segment.bytes += batched_[first].bytes;
    if (batched_[first].is_kept) {
      assert(unread_ == 0);
      read_place_ = {segment.number, segment.bytes};
      reading_.push_back(read_place_);
    } else {
      ++segment.unread, ++unread_;
    }
  }
  return status;
}

Status SpillFile::append(std::span<const uint8_t> record) {
  auto& bytes = begin_record();
  bytes.insert(bytes.end(), record.begin(), record.end());
  if (auto ended = end_record(); !ended) return ended;
  size_t written = 0;
  auto status = write(written);
  if (!status) forget(batched_.size());
  return status;
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
      if (read_ < 0 && is_short_of_something()) return failed("opening", name);
      open_for_read_ = segment->number;
    }
    const Found found = read_ < 0 ? Found::unreadable : look(read_, *segment, read_place_.offset, record);
    if (found != Found::record && found != Found::damaged) {  // since it was written: the rest is lost
      damaged_ += segment->unread;
      unread_ -= std::exchange(segment->unread, 0);
      read_place_.offset = segment->bytes;
      // The next ones go where they can be read, also after a restart.
      if (segment->number == segments_.back().number) close_file(write_);
      continue;
    }
    read_place_.offset += sizeof(RecordHeader) + record.size();
    --segment->unread;
    --unread_;
    if (found == Found::damaged) {
      ++damaged_;
      continue;
    }
    reading_.push_back(read_place_);
    return true;
  }
  return false;
}

void SpillFile::remove_front(bool reuses) {
  const Segment front = segments_.front();
  const std::string name = path(front.number);
  int file = segments_.size() == 1 ? std::exchange(write_, -1) : -1;
  if (read_ >= 0 && open_for_read_ == front.number) close_file(read_);
  bytes_ -= front.bytes;
  segments_.pop_front();
  if (reuses && spare_ < 0 && file < 0) file = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
  if (reuses && spare_ < 0 && file >= 0 && rename(name.c_str(), spare_path().c_str()) == 0) {
    spare_ = std::exchange(file, -1);
  } else {
    close_file(file);
    unlink(name.c_str());
  }
  if (!segments_.empty() || spare_ < 0) return;
  // Nothing waits: little of the disk is kept.
  const auto least = off_t(segment_limit_ / 8);
  struct stat status{};
  if (fstat(spare_, &status) != 0 || (status.st_size > least && ftruncate(spare_, least) != 0)) drop_spare();
}

void SpillFile::drop_spare() {
  if (spare_ < 0) return;
  close_file(spare_);
  unlink(spare_path().c_str());
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
    remove_front(true);
  }
  return write_position();
}

Status SpillFile::write_position() {
  PositionFile position{.segment = committed_.segment, .offset = committed_.offset};
  position.crc = crc_of(position);
  iovec part{&position, sizeof(position)};
  if (write_all(position_, {&part, 1}, 0) < sizeof(position)) return failed("writing", folder_ + "/position");
  if (limits_.sync == SpillSync::every_record && fdatasync(position_) != 0)
    return failed("syncing", folder_ + "/position");
  return {};
}

Result<uint64_t> SpillFile::drop_oldest() {
  if (segments_.empty()) return 0;
  const Segment front = segments_.front();
  unread_ -= front.unread;
  if (committed_.segment <= front.number) committed_ = {front.number + 1, data_start};
  remove_front(false);
  if (auto written = write_position(); !written) return forward_error(written);
  return front.unread;
}

}  // namespace sightglass::stream
