#include "sightglass/memory/cuda/kernel_cache.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <format>
#include <fstream>
#include <iterator>

namespace sightglass {
namespace {

namespace fs = std::filesystem;

// Empty: nothing is kept.
fs::path folder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path(value ? value : "");
  };
  if (fs::path own = variable("SIGHTGLASS_CACHE"); !own.empty()) return own / "kernels";
  if (fs::path caches = variable("XDG_CACHE_HOME"); !caches.empty()) return caches / "sightglass" / "kernels";
  const fs::path home = variable("HOME");
  return home.empty() ? fs::path() : home / ".cache" / "sightglass" / "kernels";
}

// FNV-1a, for the name of a file and against damage; what it stands for is compared itself.
uint64_t hash_of(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) hash = (hash ^ uint8_t(byte)) * 0x100000001b3;
  return hash;
}

std::string head_of(const KernelKey& key) {
  return std::format("sightglass kernels 1\n{}\nsm_{}\n{}\n{}\n{}\n", key.name, key.capability, key.compiler,
                     key.text.size(), key.text);
}

fs::path place_of(const KernelKey& key, const std::string& head) {
  const fs::path in = folder();
  return in.empty() ? in : in / std::format("{}-sm_{}-{:016x}", key.name, key.capability, hash_of(head));
}

}  // namespace

std::optional<std::vector<std::byte>> find_kernels(const KernelKey& key) {
  const std::string head = head_of(key);
  const fs::path place = place_of(key, head);
  if (place.empty()) return {};
  std::ifstream file(place, std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::string_view rest = all;
  uint64_t sum = 0;
  if (!rest.starts_with(head) || rest.size() <= head.size() + sizeof sum) return {};
  rest.remove_prefix(head.size());
  std::memcpy(&sum, rest.data(), sizeof sum);
  rest.remove_prefix(sizeof sum);
  if (sum != hash_of(rest)) return {};
  const auto* bytes = reinterpret_cast<const std::byte*>(rest.data());
  return std::vector<std::byte>(bytes, bytes + rest.size());
}

void keep_kernels(const KernelKey& key, const std::vector<std::byte>& binary) noexcept try {
  const std::string head = head_of(key);
  const fs::path place = place_of(key, head);
  if (place.empty()) return;
  std::error_code error;
  fs::create_directories(place.parent_path(), error);
  std::string part = place.string() + ".XXXXXX";
  const int made = mkstemp(part.data());
  if (made < 0) return;
  close(made);
  const std::string_view bytes(reinterpret_cast<const char*>(binary.data()), binary.size());
  const uint64_t sum = hash_of(bytes);
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file << head << std::string_view(reinterpret_cast<const char*>(&sum), sizeof sum) << bytes;
  file.close();
  if (file.good()) fs::rename(part, place, error);
  if (!file.good() || error) fs::remove(part, error);
} catch (const std::exception&) {  // no memory, no place: the next process compiles again
}

}  // namespace sightglass
