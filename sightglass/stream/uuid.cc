#include "sightglass/stream/uuid.h"

#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>

namespace sightglass::stream {
namespace {

// Eight random bytes, from the kernel by the hundred: a call for each would be the dearest part of a message.
// A forked process does not go on with what its parent had.
bool random_bytes(uint8_t* to) {
  static std::atomic<unsigned> forks{0};
  static const int registered = pthread_atfork(nullptr, nullptr, [] { ++forks; });
  thread_local struct {
    std::array<uint8_t, 256> bytes;
    size_t left = 0;
    unsigned forks = 0;
  } pool;
  if (pool.left < 8 || pool.forks != forks.load(std::memory_order_relaxed) || registered != 0) {
    pool.forks = forks.load(std::memory_order_relaxed);
    // So few bytes are never given short, and fail only where the system call is missing.
    pool.left = getrandom(pool.bytes.data(), pool.bytes.size(), 0) == ssize_t(pool.bytes.size())
                    ? pool.bytes.size()
                    : 0;
    if (pool.left == 0) return false;
  }
  pool.left -= 8;
  std::memcpy(to, pool.bytes.data() + pool.left, 8);
  return true;
}

}  // namespace

Uuid make_uuid_v7() {
  // Milliseconds and a counter of 12 bits below them, as one number that only grows.
  static std::atomic<uint64_t> last{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const uint64_t now_ms = uint64_t(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  uint64_t before = last.load(std::memory_order_relaxed), stamp;
  do {
    stamp = std::max(now_ms << 12, before + 1);
  } while (!last.compare_exchange_weak(before, stamp, std::memory_order_relaxed));

  Uuid uuid;
  if (!random_bytes(uuid.data() + 8)) {
    const uint64_t substitute = stamp * 0x9e3779b97f4a7c15;
    std::memcpy(uuid.data() + 8, &substitute, sizeof substitute);
  }
  const uint64_t ms = stamp >> 12;
  for (int i = 0; i < 6; ++i) uuid[size_t(i)] = uint8_t(ms >> (40 - 8 * i));
  uuid[6] = uint8_t(0x70 | (stamp >> 8 & 0x0f));
  uuid[7] = uint8_t(stamp);
  uuid[8] = uint8_t(0x80 | (uuid[8] & 0x3f));
  return uuid;
}

bool is_zero(const Uuid& uuid) { return uuid == Uuid{}; }

int64_t unix_ms(const Uuid& uuid) {
  int64_t ms = 0;
  for (size_t i = 0; i < 6; ++i) ms = ms << 8 | uuid[i];
  return ms;
}

std::string to_string(const Uuid& uuid) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits[uuid[i] >> 4];
    text += digits[uuid[i] & 15];
  }
  return text;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid uuid{};
  size_t digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return std::nullopt;
      continue;
    }
    const int value = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (value < 0) return std::nullopt;
    uuid[digits / 2] = uint8_t(uuid[digits / 2] << 4 | value);
    ++digits;
  }
  return uuid;
}

}  // namespace sightglass::stream
