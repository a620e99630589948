#include "sightglass/stream/uuid.h"

#include <pthread.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstring>

namespace sightglass::stream {
namespace {

// A call of the kernel for each would be the dearest part of a message that is made as fast as possible, and
// within a millisecond the counter tells them apart. A forked process does not go on with what its parent
// had.
uint64_t random_bits(uint64_t ms, uint64_t stamp) {
  static std::atomic<unsigned> forks{0};
  static const int registered = pthread_atfork(nullptr, nullptr, [] { ++forks; });
  thread_local struct {
    uint64_t ms = 0, next = 0, step = 0;
    unsigned forks = 0;
  } drawn;
  const unsigned now = forks.load(std::memory_order_relaxed);
  if (drawn.ms != ms || drawn.forks != now || registered != 0) {
    std::array<uint64_t, 2> bits;
    // So few bytes are never given short, and fail only where the system call is missing.
    if (getrandom(bits.data(), sizeof bits, 0) != ssize_t(sizeof bits)) return stamp * 0x9e3779b97f4a7c15;
    drawn = {.ms = ms, .next = bits[0], .step = bits[1] | 1, .forks = now};
  }
  return drawn.next += drawn.step;
}

void write_big_endian(uint64_t number, uint8_t* to) {
  if constexpr (std::endian::native == std::endian::little) number = std::byteswap(number);
  std::memcpy(to, &number, sizeof number);
}

}  // namespace

Uuid make_uuid_v7() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return make_uuid_v7(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

Uuid make_uuid_v7(int64_t unix_us) {
  // Milliseconds and the counter below them, as one number that only grows.
  static std::atomic<uint64_t> last{0};
  const uint64_t now = uint64_t(unix_us) / 1000 << 12;
  uint64_t before = last.load(std::memory_order_relaxed), stamp;
  do {
    stamp = std::max(now, before + 1);
  } while (!last.compare_exchange_weak(before, stamp, std::memory_order_relaxed));

  const uint64_t ms = stamp >> 12;
  Uuid uuid;
  write_big_endian(ms << 16 | 0x7000 | (stamp & 0xfff), uuid.data());
  write_big_endian(uint64_t(1) << 63 | random_bits(ms, stamp) >> 2, uuid.data() + 8);
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
