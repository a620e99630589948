#include "sightglass/model/compiled_cache.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "sightglass/model/sha256.h"

namespace sightglass {
namespace {

namespace fs = std::filesystem;

thread_local fs::path folder;

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
  const fs::path part = std::format("{}.{}.part", place.string(), getpid());
  std::ofstream file(part, std::ios::binary);
  file.write(bytes.data(), std::streamsize(bytes.size()));
  file.close();
  if (!file) {
    const int reason = errno;
    fs::remove(part, error);
    return fail(ErrorCode::io, "{}: cannot be written: {}", place.string(), std::strerror(reason));
  }
  fs::rename(part, place, error);
  if (error) return fail(ErrorCode::io, "{}: cannot be written: {}", place.string(), error.message());
  return {};
}

}  // namespace sightglass
