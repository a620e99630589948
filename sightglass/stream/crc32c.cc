// CRC-32C, with the processor's instruction where there is one.
#include <array>
#include <cstring>

#include "sightglass/stream/message_writer.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace sightglass::stream {
namespace {

// table[k][b]: what byte b does to the checksum when k bytes follow it.
constexpr auto table = [] {
  std::array<std::array<uint32_t, 256>, 8> rows{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    rows[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (size_t k = 1; k < rows.size(); ++k)
      rows[k][i] = rows[k - 1][i] >> 8 ^ rows[0][rows[k - 1][i] & 0xff];
  }
  return rows;
}();

uint32_t by_table(uint32_t crc, Bytes data) {
  for (; data.size() >= 8; data = data.subspan(8)) {
    uint64_t eight;
    std::memcpy(&eight, data.data(), sizeof eight);
    eight ^= crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) crc ^= table[7 - k][eight >> (8 * k) & 0xff];
  }
  for (const uint8_t byte : data) crc = crc >> 8 ^ table[0][(crc ^ byte) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t start, Bytes data) {
  uint64_t crc = start;
  for (; data.size() >= 8; data = data.subspan(8)) {
    uint64_t eight;
    std::memcpy(&eight, data.data(), sizeof eight);
    crc = _mm_crc32_u64(crc, eight);
  }
  auto rest = uint32_t(crc);
  for (const uint8_t byte : data) rest = _mm_crc32_u8(rest, byte);
  return rest;
}
#endif

}  // namespace

uint32_t crc32c(Bytes data) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~by_instruction(~0u, data);
#endif
  return ~by_table(~0u, data);
}

}  // namespace sightglass::stream
