#include "sightglass/cli/detect_input.h"

#include <glob.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "sightglass/core/folder.h"
#include "sightglass/model/spelling.h"
#include "sightglass/model/store.h"

namespace sightglass::cli {
namespace {

namespace fs = std::filesystem;

bool is_number(const std::string& word) {
  return !word.empty() && word.size() < 4 &&
         std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
}

Result<Input> camera(const std::string& number) {
  const std::string device = "/dev/video" + number;
  std::error_code ignored;
  if (fs::exists(device, ignored)) return Input{Input::Kind::camera, "camera " + number, device, {}};
  std::vector<std::string> present;
  for (const auto& path : paths_in("/dev", ignored))
    if (path.filename().string().starts_with("video")) present.push_back(path.filename().string().substr(5));
  std::ranges::sort(present);
  return fail(ErrorCode::unavailable, "camera {}: there is no {}; {}", number, device,
              present.empty() ? "no camera was found on this machine" : "there are: " + joined(present));
}

std::vector<fs::path> pictures_in(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> found = paths_in(folder, ignored);
  std::erase_if(
      found, [&](const fs::path& path) { return !is_picture(path) || !fs::is_regular_file(path, ignored); });
  std::ranges::sort(found);
  return found;
}

std::vector<fs::path> matches(const std::string& pattern) {
  std::vector<fs::path> found;
  glob_t result{};
  if (glob(pattern.c_str(), GLOB_TILDE, nullptr, &result) == 0)
    for (size_t i = 0; i < result.gl_pathc; ++i) found.emplace_back(result.gl_pathv[i]);
  globfree(&result);
  return found;
}

// A fetched sample by its name; one manifest can be several files.
Result<std::vector<fs::path>> sample(const std::string& word) {
  auto manifests = known_manifests();
  std::vector<std::string> names;
  if (manifests) {
    for (const auto& manifest : *manifests) {
      if (manifest.kind != ManifestKind::media) continue;
      names.push_back(manifest.name);
      if (manifest.name != word) continue;
      if (!is_stored(manifest)) {
        return fail(ErrorCode::not_found,
                    "{}: this sample has not been fetched; run `sightglass models fetch {}`", word, word);
      }
      return stored_paths(manifest);
    }
  }
  return fail(ErrorCode::not_found, "{}: no such file, camera, URL or sample{}{}", word,
              did_you_mean(word, names), names.empty() ? "" : "; samples are " + joined(names));
}

Result<std::vector<fs::path>> files_of(const std::string& word) {
  std::error_code ignored;
  if (fs::is_directory(word, ignored)) {
    auto found = pictures_in(word);
    if (found.empty()) return fail(ErrorCode::not_found, "{}: there are no pictures in this folder", word);
    return found;
  }
  if (fs::exists(word, ignored)) return std::vector<fs::path>{word};
  if (word.find_first_of("*?[") != word.npos) {
    auto found = matches(word);
    if (found.empty()) return fail(ErrorCode::not_found, "{}: no file matches", word);
    return found;
  }
  return sample(word);
}

}  // namespace

bool is_picture(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  char bytes[16] = {};
  stream.read(bytes, sizeof bytes);
  const std::string_view start(bytes, size_t(stream.gcount()));
  return start.starts_with("\xff\xd8\xff") || start.starts_with("\x89PNG\r\n\x1a\n") ||
         (start.starts_with("RIFF") && start.substr(std::min<size_t>(8, start.size())).starts_with("WEBP")) ||
         start.starts_with(std::string_view("II*\0", 4)) || start.starts_with(std::string_view("MM\0*", 4)) ||
         (start.starts_with("BM") && start.size() == 16 &&
          start.substr(6, 4) == std::string_view("\0\0\0\0", 4));
}

Result<Input> find_input(const std::vector<std::string>& words) {
  const std::string& word = words.front();
  std::error_code ignored;
  if (words.size() == 1) {
    if (is_number(word)) return camera(word);
    if (word.contains("://")) return Input{Input::Kind::url, word, word, {}};
  }
  std::vector<fs::path> files;
  for (const auto& each : words) {
    auto found = files_of(each);
    if (!found) return forward_error(found);
    files.insert(files.end(), found->begin(), found->end());
  }
  for (const auto& file : files) {
    // Reading says at once what opening it in the pipeline would say later and less clearly.
    if (std::ifstream stream(file, std::ios::binary);
        !stream || stream.peek() == std::ifstream::traits_type::eof()) {
      const bool is_empty =
          stream.is_open() && fs::is_regular_file(file, ignored) && fs::file_size(file, ignored) == 0;
      if (is_empty) return fail(ErrorCode::corrupt, "{}: the file is empty", file.string());
      if (!stream.is_open())
        return fail(ErrorCode::io, "{}: cannot be read: {}", file.string(), std::strerror(errno));
    }
  }
  // Samples keep their name.
  const bool is_named = words.size() == 1 && !fs::exists(word, ignored);
  const std::string name = is_named || files.size() == 1 ? (is_named ? word : files.front().string())
                                                         : std::format("{} pictures", files.size());
  if (std::ranges::all_of(files, is_picture)) return Input{Input::Kind::pictures, name, {}, std::move(files)};
  if (files.size() == 1) return Input{Input::Kind::video, name, files.front().string(), {}};
  const auto other = std::ranges::find_if_not(files, is_picture);
  return fail(ErrorCode::unsupported, "{}: is no picture; give any number of pictures, or one video",
              other->string());
}

}  // namespace sightglass::cli
