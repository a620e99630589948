// A recording: the messages of streams as files, to be played again (sink `recording`, source `replay`).
//
// A folder of segments, YYYYMMDDTHHMMSS.mmmZ-NNNN.sgrec by the time of their first frame, so that names tell
// where to look. A segment is 16 bytes of header ("SGREC1", zeros, its number) and then entries, each
//
//   u32 bytes behind this field · u32 CRC-32C of what follows · u32 bytes of body · u8 flags · 3 zeros
//   i64 time, µs since 1970 · uuid (16 bytes; zeros: no frame) · u16 bytes of source id · source id
//   body: the message, as its part 1 on the wire (marker, fingerprint of the schema, Avro) · payload
//
// little-endian. Time, uuid and flags stand in front, so that finding a place reads no pictures. A torn tail
// (crash, power cut) ends a segment; a damaged entry is skipped and counted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/stream/delivery.h"

namespace sightglass::adapters {

struct RecordedPlace {
  int64_t time_us = 0;
  stream::Uuid uuid{};
  std::string source_id;
  bool is_frame = false, is_keyframe = false;
};

// One thread.
class SegmentWriter {
 public:
  static Result<std::unique_ptr<SegmentWriter>> create(const std::filesystem::path& folder, int64_t time_us);
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  // All of it or nothing.
  Status append(const RecordedPlace& place, std::span<const uint8_t> body, std::span<const uint8_t> payload);
  Status sync();
  uint64_t bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit SegmentWriter(std::filesystem::path path) : path_(std::move(path)) {}
  const std::filesystem::path path_;
  int file_ = -1;
  uint64_t bytes_ = 0;
  std::vector<uint8_t> head_;
};

// One thread.
class SegmentReader {
 public:
  static Result<std::unique_ptr<SegmentReader>> open(const std::filesystem::path& path);
  ~SegmentReader();
  SegmentReader(const SegmentReader&) = delete;
  SegmentReader& operator=(const SegmentReader&) = delete;

  // The next entry, without its content; none: the end.
  std::optional<RecordedPlace> next();
  // Body and payload of the entry that next() has given; they lie in one block. False: damaged.
  bool read(std::span<const uint8_t>& body, stream::Payload& payload);
  bool is_torn() const { return is_torn_; }

 private:
  SegmentReader() = default;
  int file_ = -1;
  uint64_t size_ = 0, at_ = 0, next_ = 0, content_ = 0;
  uint32_t body_bytes_ = 0;
  bool is_torn_ = false;
};

// By time.
Result<std::vector<std::filesystem::path>> segments_of(const std::filesystem::path& folder);
// From the name; µs since 1970.
std::optional<int64_t> segment_time(const std::filesystem::path& path);

}  // namespace sightglass::adapters
