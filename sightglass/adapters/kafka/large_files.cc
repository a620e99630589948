#include "sightglass/adapters/kafka/large_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "sightglass/adapters/tls_params.h"

namespace sightglass::adapters {

std::optional<std::filesystem::path> find_large_file(const stream::Location& location,
                                                     const std::string& folder,
                                                     std::span<const std::string> allowed) {
  namespace fs = std::filesystem;
  constexpr std::string_view scheme = "file://";
  if (!location.uri.starts_with(scheme) || location.uri.find('\0') != std::string::npos) return std::nullopt;
  std::error_code failed;
  fs::path path = fs::canonical(location.uri.substr(scheme.size()), failed);
  if (failed) return std::nullopt;
  for (const std::string& one : allowed) {
    const fs::path root = fs::canonical(path_from(folder, one), failed);
    if (failed) continue;
    if (std::ranges::mismatch(root, path).in1 == root.end()) return path;
  }
  return std::nullopt;
}

std::optional<std::vector<uint8_t>> read_large_file(const stream::Location& location,
                                                    const std::string& folder,
                                                    std::span<const std::string> allowed, size_t most) {
  const auto path = find_large_file(location, folder, allowed);
  if (!path) return std::nullopt;
  const int file = open(path->c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return std::nullopt;
  std::optional<std::vector<uint8_t>> bytes;
  struct stat info{};
  if (fstat(file, &info) == 0 && S_ISREG(info.st_mode) && location.offset <= info.st_size) {
    const int64_t size = location.size.value_or(info.st_size - location.offset);
    if (size <= info.st_size - location.offset && size_t(size) <= most) {
      bytes.emplace(size_t(size));
      size_t done = 0;
      while (done < bytes->size()) {
        const ssize_t got =
            pread(file, bytes->data() + done, bytes->size() - done, off_t(location.offset) + off_t(done));
        if (got <= 0) break;
        done += size_t(got);
      }
      if (done < bytes->size()) bytes.reset();
    }
  }
  ::close(file);
  return bytes;
}

}  // namespace sightglass::adapters
