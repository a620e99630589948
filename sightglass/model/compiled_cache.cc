#include "sightglass/model/compiled_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "sightglass/model/sha256.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

thread_local fs::path folder;

// To the disk: nothing half written takes the name after a crash. errno, or 0.
int write_through(const fs::path& path, std::string_view bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return errno;
  int reason = 0;
  while (!bytes.empty() && reason == 0) {
    const ssize_t written = write(file, bytes.data(), bytes.size());
    if (written > 0)
      bytes.remove_prefix(size_t(written));
    else if (written == 0 || errno != EINTR)
      reason = written == 0 ? EIO : errno;
  }
  if (reason == 0 && fsync(file) != 0) reason = errno;
  if (close(file) != 0 && reason == 0) reason = errno;
  return reason;
}

}  // namespace

CompiledFolder::CompiledFolder(fs::path path) : before_(std::exchange(folder, std::move(path))) {}
CompiledFolder::~CompiledFolder() { folder = std::move(before_); }

std::optional<fs::path> compiled_place(const fs::path& model, const LoadOptions& options,
                                       std::string_view engine, std::string_view what) {
  if (folder.empty()) return {};
  const auto sum = sha256_of_file(model);
  if (!sum) return {};
  std::string text = std::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n", *sum, engine, what, options.device,
                                 options.config, int(options.policy), options.free_batch);
  for (const Shape& shape : options.input_shapes) text += shape.to_string() + "\n";
  for (const std::string& output : options.outputs) text += output + "\n";
  return folder / std::format("{}-{}.{}", model.stem().string(), sha256(text).substr(0, 16), engine);
}

Status put_compiled(const fs::path& place, std::string_view bytes) {
  std::error_code error;
  fs::create_directories(place.parent_path(), error);
  static std::atomic<unsigned> count{0};  // threads may compile the same at the same time
  const fs::path part = std::format("{}.{}-{}.part", place.string(), getpid(), ++count);
  if (const int reason = write_through(part, bytes)) {
    fs::remove(part, error);
    return fail(ErrorCode::io, "{}: cannot be written: {}", place.string(), std::strerror(reason));
  }
  fs::rename(part, place, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be written: {}", place.string(), error.message());
  return {};
}

}  // namespace sightglass
