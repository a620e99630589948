#include "sightglass/adapters/recording/segment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <format>
#include <system_error>

#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr std::array<char, 16> file_header = {'S', 'G', 'R', 'E', 'C', '1'};
constexpr uint8_t is_frame_flag = 1, is_keyframe_flag = 2;
constexpr uint64_t most_entry = uint64_t(512) << 20;

struct EntryHead {
  uint32_t size = 0;  // behind this field
  uint32_t crc = 0;   // of what is behind this field
  uint32_t body_bytes = 0;
  uint8_t flags = 0, zeros[3] = {};
  int64_t time_us = 0;
  stream::Uuid uuid{};
  uint16_t id_bytes = 0;
} __attribute__((packed));
static_assert(sizeof(EntryHead) == 42);

std::unexpected<Error> cannot(const char* what, const fs::path& path, int reason) {
  return fail(reason == ENOSPC || reason == EDQUOT ? ErrorCode::exhausted : ErrorCode::io, "cannot {} {}: {}",
              what, path.string(), std::error_code(reason, std::generic_category()).message());
}

bool read_at(int file, void* data, size_t size, uint64_t at) {
  for (auto* to = static_cast<uint8_t*>(data); size > 0;) {
    const ssize_t got = ::pread(file, to, size, off_t(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got, at += uint64_t(got), size -= size_t(got);
  }
  return true;
}

std::string name_of(int64_t time_us, unsigned n) {
  const std::time_t seconds = time_us / 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%S", &utc);
  return std::format("{}.{:03}Z-{:04}.sgrec", text, time_us / 1000 % 1000, n);
}

}  // namespace

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::create(const fs::path& folder, int64_t time_us) {
  for (unsigned n = 0; n < 10'000; ++n) {
    std::unique_ptr<SegmentWriter> writer(
        new SegmentWriter(folder / name_of(std::max<int64_t>(time_us, 0), n)));
    writer->file_ = ::open(writer->path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (writer->file_ < 0 && errno == EEXIST) continue;
    if (writer->file_ < 0) return cannot("write", writer->path_, errno);
    errno = 0;
    if (::write(writer->file_, file_header.data(), file_header.size()) != ssize_t(file_header.size())) {
      const int reason = errno ? errno : ENOSPC;
      ::unlink(writer->path_.c_str());
      return cannot("write", writer->path_, reason);
    }
    writer->bytes_ = file_header.size();
    return writer;
  }
  return fail(ErrorCode::exhausted, "{}: has too many segments of one moment", folder.string());
}

SegmentWriter::~SegmentWriter() {
  if (file_ >= 0) ::close(file_);
}

Status SegmentWriter::append(const RecordedPlace& place, std::span<const uint8_t> body,
                             std::span<const uint8_t> payload) {
  EntryHead head{
      .body_bytes = uint32_t(body.size()),
      .flags = uint8_t((place.is_frame ? is_frame_flag : 0) | (place.is_keyframe ? is_keyframe_flag : 0)),
      .time_us = place.time_us,
      .uuid = place.uuid,
      .id_bytes = uint16_t(place.source_id.size())};
  const uint64_t size = sizeof head - 4 + place.source_id.size() + body.size() + payload.size();
  if (size > most_entry)
    return fail(ErrorCode::invalid_argument, "{}: a message of {} bytes", place.source_id, size);
  head.size = uint32_t(size);
  // The checksum of each of the parts, of which the whole is made.
  head_.resize(sizeof head);
  std::memcpy(head_.data(), &head, sizeof head);
  head_.insert(head_.end(), place.source_id.begin(), place.source_id.end());
  const uint32_t sums[] = {stream::crc32c(std::span(head_).subspan(8)), stream::crc32c(body),
                           stream::crc32c(payload)};
  head.crc = stream::crc32c({reinterpret_cast<const uint8_t*>(sums), sizeof sums});
  std::memcpy(head_.data(), &head, sizeof head);
  const auto part = [](std::span<const uint8_t> bytes) {
    return iovec{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  };
  iovec parts[] = {part(head_), part(body), part(payload)};
  uint64_t left = 4 + size;
  for (iovec* first = parts; left > 0;) {
    const ssize_t written = ::writev(file_, first, int(std::end(parts) - first));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = errno;
      // What fitted in part is taken back.
      if (::ftruncate(file_, off_t(bytes_)) == 0) ::lseek(file_, off_t(bytes_), SEEK_SET);
      return cannot("write", path_, reason);
    }
    left -= uint64_t(written);
    for (auto done = size_t(written); done > 0;) {
      const size_t here = std::min(done, first->iov_len);
      first->iov_base = static_cast<uint8_t*>(first->iov_base) + here;
      first->iov_len -= here, done -= here;
      if (first->iov_len == 0 && first + 1 != std::end(parts)) ++first;
    }
  }
  bytes_ += 4 + size;
  return {};
}

Status SegmentWriter::sync() {
  return ::fdatasync(file_) == 0 ? Status() : Status(cannot("write", path_, errno));
}

Result<std::unique_ptr<SegmentReader>> SegmentReader::open(const fs::path& path) {
  std::unique_ptr<SegmentReader> reader(new SegmentReader);
  reader->file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts{};
  if (reader->file_ < 0 || ::fstat(reader->file_, &facts) != 0) return cannot("read", path, errno);
  std::array<char, file_header.size()> header{};
  if (!read_at(reader->file_, header.data(), header.size(), 0) || header != file_header)
    return fail(ErrorCode::corrupt, "{}: is no recording of this version", path.string());
  reader->size_ = uint64_t(facts.st_size);
  reader->next_ = file_header.size();
  return reader;
}

SegmentReader::~SegmentReader() {
  if (file_ >= 0) ::close(file_);
}

std::optional<RecordedPlace> SegmentReader::next() {
  at_ = next_;
  if (at_ == size_) return std::nullopt;
  EntryHead head;
  RecordedPlace place;
  is_torn_ = true;
  if (!read_at(file_, &head, sizeof head, at_)) return std::nullopt;
  const uint64_t most = std::min(size_ - at_ - 4, most_entry);
  if (head.size > most || head.size < sizeof head - 4 + head.id_bytes ||
      head.size - (sizeof head - 4) - head.id_bytes < head.body_bytes)
    return std::nullopt;
  place.source_id.resize(head.id_bytes);
  if (!read_at(file_, place.source_id.data(), head.id_bytes, at_ + sizeof head)) return std::nullopt;
  is_torn_ = false;
  place.time_us = head.time_us;
  place.uuid = head.uuid;
  place.is_frame = head.flags & is_frame_flag;
  place.is_keyframe = head.flags & is_keyframe_flag;
  content_ = at_ + sizeof head + head.id_bytes;
  body_bytes_ = head.body_bytes;
  next_ = at_ + 4 + head.size;
  return place;
}

bool SegmentReader::read(std::span<const uint8_t>& body, stream::Payload& payload) {
  std::vector<uint8_t> bytes(next_ - at_);
  if (!read_at(file_, bytes.data(), bytes.size(), at_)) return false;
  EntryHead head;
  std::memcpy(&head, bytes.data(), sizeof head);
  const stream::Payload all = stream::own(std::move(bytes));
  const auto content = all.bytes.subspan(content_ - at_);
  body = content.first(body_bytes_);
  payload = {content.subspan(body_bytes_), all.owner};
  const uint32_t sums[] = {stream::crc32c(all.bytes.first(content_ - at_).subspan(8)), stream::crc32c(body),
                           stream::crc32c(payload.bytes)};
  return head.crc == stream::crc32c({reinterpret_cast<const uint8_t*>(sums), sizeof sums});
}

Result<std::vector<fs::path>> segments_of(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (segment_time(entry->path())) found.push_back(entry->path());
  if (error) return fail(ErrorCode::not_found, "{}: {}", folder.string(), error.message());
  std::ranges::sort(found);
  return found;
}

std::optional<int64_t> segment_time(const fs::path& path) {
  if (path.extension() != ".sgrec") return std::nullopt;
  const std::string name = path.stem();
  std::tm utc{};
  const char* rest = strptime(name.c_str(), "%Y%m%dT%H%M%S", &utc);
  if (!rest || *rest != '.' || std::strlen(rest) < 5) return std::nullopt;
  const int64_t ms = std::strtol(rest + 1, nullptr, 10);
  return int64_t(timegm(&utc)) * 1'000'000 + ms * 1000;
}

}  // namespace sightglass::adapters
