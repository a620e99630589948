#include "sightglass/adapters/sources/file_options.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "sightglass/adapters/sources/source_names.h"
#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

namespace fs = std::filesystem;

Result<FileParams> checked(FileParams params, const SourceContext& context, std::string_view what) {
  if (params.location.empty())
    return fail(ErrorCode::invalid_argument, "{}: location is missing: {}", context.name, what);
  if (params.location.find("://") == std::string::npos)
    params.location = path_from(context.folder, params.location);
  if (params.source_id.empty()) params.source_id = source_id_of(params.location);
  if (Status valid = check_source_id(params.source_id); !valid) return forward_error(valid);
  if (params.metadata.find("{file}") == std::string::npos)
    params.metadata = path_from(context.folder, params.metadata);
  return params;
}

Result<FileFeed::Options> feed_options(const FileParams& params, Fraction fps) {
  auto pace = Pace::parse(params.pace);
  if (!pace) return forward_error(pace);
  if (fps.num < 0 || fps.den < 1 || fps.num > 1'000'000)
    return fail(ErrorCode::invalid_argument, "fps: {}/{} is no frame rate", fps.num, fps.den);
  return FileFeed::Options{
      .pace = *pace, .max_fps = params.max_fps, .fps = fps, .timestamps = params.timestamps};
}

Result<std::string> token_after_end(const FileParams& params, const SourceContext& context) {
  if (!params.shutdown_after_end) return std::string();
  if (!params.shutdown_token_file.empty())
    return read_secret(context.folder, params.shutdown_token_file, "shutdown-token-file");
  if (!context.shutdown_token.empty()) return context.shutdown_token;
  return fail(ErrorCode::invalid_argument,
              "{}: shutdown-after-end needs a token: shutdown-token-file here, or "
              "security.shutdown_token_file of the module",
              context.name);
}

Result<std::unique_ptr<Sidecar>> side_file(const FileParams& params, const std::string& media,
                                           bool is_optional) {
  if (params.metadata.empty()) return nullptr;
  std::string path = params.metadata;
  if (const size_t at = path.find("{file}"); at != path.npos)
    path.replace(at, 6, fs::path(media).replace_extension().string());
  std::error_code ignored;
  if (is_optional && !fs::exists(path, ignored)) return nullptr;
  auto loaded = Sidecar::load(path);
  if (!loaded) return forward_error(loaded);
  return std::make_unique<Sidecar>(std::move(*loaded));
}

Result<std::vector<int64_t>> shown_order(const std::string& media, std::stop_token stop) {
  auto units = AccessUnits::open(media, {.stop = std::move(stop)});
  if (!units) return forward_error(units);
  std::vector<int64_t> times;
  for (;;) {
    auto unit = (*units)->next();
    if (!unit) return forward_error(unit);
    if (!*unit) break;
    times.push_back((*unit)->pts);
  }
  if (std::ranges::is_sorted(times)) return std::vector<int64_t>();
  std::ranges::sort(times);
  return times;
}

}  // namespace sightglass::adapters
