// Records as messages in segments of a folder, for the source `replay`.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/recording/segment.h"
#include "sightglass/adapters/tls_params.h"
#include "sightglass/stream/message_writer.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;

struct Params {
  std::string folder;
  int64_t segment_bytes = int64_t(64) << 20;
  int64_t keep_bytes = 0;
  bool sync = false;
};

class RecordingSink final : public Sink {
 public:
  explicit RecordingSink(Params params) : params_(std::move(params)) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    Params params = set.as<Params>();
    if (params.folder.empty())
      return fail(ErrorCode::invalid_argument, "{}: folder is missing: where the recording is written",
                  context.name);
    params.folder = path_from(context.folder, params.folder);
    return std::make_unique<RecordingSink>(std::move(params));
  }

  Status start() override {
    std::error_code error;
    fs::create_directories(params_.folder, error);
    if (error) return fail(ErrorCode::io, "{}: {}", params_.folder, error.message());
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    for (size_t i = 0; i < records.size(); ++i) {
      const Status written = write(*records[i]);
      if (written) continue;
      if (written.error().code == ErrorCode::invalid_argument) {
        outcome[i] = Stored::never;
        continue;
      }
      std::fill(outcome.begin() + ptrdiff_t(i), outcome.end(), Stored::retry);
      return i == 0 ? written : Status();
    }
    return params_.sync && segment_ ? segment_->sync() : Status();
  }

  Status flush() override { return segment_ ? segment_->sync() : Status(); }
  void stop() override { segment_.reset(); }

 private:
  Status write(const Record& record) {
    to_message(record, message_);
    if (message_.frame) {
      stream::VideoFrame& frame = *message_.frame;
      if (record.payload.bytes.empty()) {
        frame.content = {};
        frame.crc32c.reset();
      } else {
        stream::set_part(frame, record.payload.bytes, false);  // segments have checksums of their own
        frame.keyframe = record.keyframe;
      }
      frame.replay = false;
    } else if (message_.user_data && !record.payload.bytes.empty()) {
      message_.user_data->content = stream::part_content(record.payload.bytes);
    }
    if (Status made = writer_.write(message_, record.payload.bytes, body_); !made)
      return fail(ErrorCode::invalid_argument, "{}", made.error().message);
    const RecordedPlace place{.time_us = stream::unix_ms(record.uuid) * 1000,
                              .uuid = record.uuid,
                              .source_id = message_.source_id,
                              .is_frame = record.kind == RecordKind::frame,
                              .is_keyframe = record.keyframe};
    if (segment_ && segment_->bytes() >= uint64_t(params_.segment_bytes)) {
      const Status synced = segment_->sync();
      segment_.reset();
      if (!synced) return synced;
      delete_oldest();
    }
    if (!segment_) {
      auto made = SegmentWriter::create(params_.folder, place.time_us);
      if (!made) return forward_error(made);
      segment_ = std::move(*made);
    }
    return segment_->append(place, body_, record.payload.bytes);
  }

  void delete_oldest() const {
    const auto segments = segments_of(params_.folder);
    if (params_.keep_bytes <= 0 || !segments) return;
    uintmax_t all = 0;
    std::error_code ignored;
    for (auto segment = segments->rbegin(); segment != segments->rend(); ++segment) {
      all += fs::file_size(*segment, ignored);
      if (all + uintmax_t(params_.segment_bytes) > uintmax_t(params_.keep_bytes))
        fs::remove(*segment, ignored);
    }
  }

  const Params params_;
  std::unique_ptr<SegmentWriter> segment_;
  stream::MessageWriter writer_;
  stream::Message message_;
  std::vector<uint8_t> body_;
};

const SinkRegistration registration(SinkDesc{
    .name = "recording",
    .doc = "messages with their pictures and results in files, to be played again by the source replay",
    .nature = SinkNature::data,
    .batch_records = 64,
    .params = ParamTable::of<Params>({
        param("folder", &Params::folder, "where the recording is written"),
        param("segment-bytes", &Params::segment_bytes, "size after which a new file begins")
            .range(1, 1e12)
            .in("bytes"),
        param("keep-bytes", &Params::keep_bytes, "size of all files, the oldest are deleted; 0: any")
            .range(0, 1e15)
            .in("bytes"),
        param("sync", &Params::sync, "force each batch to the disk itself"),
    }),
    .create = &RecordingSink::create,
});

}  // namespace
}  // namespace sightglass::adapters
