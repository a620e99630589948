// The picture of each record as a file: JPEG or PNG, as `output_frame` has encoded it. A picture of the same
// record, given again, is the same file.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <format>
#include <string>
#include <system_error>
#include <utility>

#include "sightglass/adapters/adapter.h"
#include "sightglass/adapters/tls_params.h"
#include "sightglass/stream/uuid.h"

namespace sightglass::adapters {
namespace {

namespace fs = std::filesystem;

struct Params {
  std::string folder;
  bool metadata = false, per_source = true;
};

std::unexpected<Error> cannot(const char* what, const fs::path& path, int reason) {
  return fail(reason == ENOSPC || reason == EDQUOT ? ErrorCode::exhausted : ErrorCode::io, "cannot {} {}: {}",
              what, path.string(), std::error_code(reason, std::generic_category()).message());
}

// Seen under its name only when it is complete.
Status write_file(const fs::path& path, const void* data, size_t size) {
  const fs::path part = path.string() + ".part";
  const int file = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return cannot("write", part, errno);
  int reason = 0;
  for (const auto* from = static_cast<const char*>(data); size > 0 && reason == 0;) {
    const ssize_t written = ::write(file, from, size);
    if (written > 0)
      from += written, size -= size_t(written);
    else if (written == 0 || errno != EINTR)
      reason = written == 0 ? ENOSPC : errno;
  }
  ::close(file);
  if (reason == 0 && ::rename(part.c_str(), path.c_str()) != 0) reason = errno;
  if (reason == 0) return {};
  ::unlink(part.c_str());
  return cannot("write", path, reason);
}

class ImageFiles final : public Sink {
 public:
  explicit ImageFiles(Params params) : params_(std::move(params)) {}

  static Result<std::unique_ptr<Sink>> create(const ParamSet& set, const SinkContext& context) {
    Params params = set.as<Params>();
    if (params.folder.empty())
      return fail(ErrorCode::invalid_argument, "{}: folder is missing: where the pictures are written",
                  context.name);
    params.folder = path_from(context.folder, params.folder);
    return std::make_unique<ImageFiles>(std::move(params));
  }

  Status start() override {
    std::error_code error;
    fs::create_directories(params_.folder, error);
    if (error) return cannot("make the folder", params_.folder, error.value());
    if (::access(params_.folder.c_str(), W_OK) != 0) return cannot("write in", params_.folder, errno);
    return {};
  }

  Status write(std::span<const RecordRef> records, std::span<Stored> outcome) override {
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& record = *records[i];
      if (record.kind != RecordKind::frame || record.payload.bytes.empty() || record.is_replay) continue;
      const std::string_view codec = record.message && record.message->frame && record.message->frame->codec
                                         ? std::string_view(*record.message->frame->codec)
                                         : std::string_view();
      const bool is_jpeg = codec == "jpeg" || codec == "mjpeg";
      // A video is no picture: output_frame.codec has to be jpeg or png.
      if (!is_jpeg && codec != "png") {
        outcome[i] = Stored::never;
        continue;
      }
      if (Status written = write(record, is_jpeg ? ".jpg" : ".png"); !written) {
        std::fill(outcome.begin() + ptrdiff_t(i), outcome.end(), Stored::retry);
        return i == 0 ? written : Status();
      }
    }
    return {};
  }

 private:
  Status write(const Record& record, const char* ending) {
    fs::path folder = params_.folder;
    if (params_.per_source) {
      folder /= record.source_id;
      std::error_code error;
      fs::create_directory(folder, error);
      if (error) return cannot("make the folder", folder, error.value());
    }
    const std::string name =
        std::format("{}_{}_{}", record.source_id, record.epoch, stream::to_string(record.uuid));
    if (params_.metadata) {
      line_.clear();
      write_record_json(record, line_);
      line_ += '\n';
      if (Status written = write_file(folder / (name + ".json"), line_.data(), line_.size()); !written)
        return written;
    }
    return write_file(folder / (name + ending), record.payload.bytes.data(), record.payload.bytes.size());
  }

  const Params params_;
  std::string line_;
};

const SinkRegistration registration(SinkDesc{
    .name = "image_files",
    .doc = "the picture of each record as a file; needs output_frame.codec jpeg or png",
    .nature = SinkNature::video,
    .params = ParamTable::of<Params>({
        param("folder", &Params::folder, "where the pictures are written"),
        param("per-source", &Params::per_source, "a folder for each stream"),
        param("metadata", &Params::metadata, "write the record beside each picture, as NAME.json"),
    }),
    .create = &ImageFiles::create,
});

}  // namespace
}  // namespace sightglass::adapters
