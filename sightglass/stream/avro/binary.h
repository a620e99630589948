// Avro's binary encoding. The reader trusts nothing: each length is checked against the bytes left and the
// caller's limit before it is used, so no input makes it allocate more than a small multiple of its own size.
// The first thing wrong makes everything after it read as zero or empty, so that callers ask ok() once, at
// the end.
//
//   BinaryReader in(body, limits);
//   message.seq = in.read_long();
//   in.read_string(message.source_id, limits.name);
//   if (!in.ok() || in.left() != 0) return Rejection::encoding;
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sightglass/stream/limits.h"

namespace sightglass::stream {

using Bytes = std::span<const uint8_t>;

static_assert(std::endian::native == std::endian::little, "the numbers of Avro are copied as they are");

bool is_utf8(Bytes text);

class BinaryReader {
 public:
  BinaryReader(Bytes bytes, const Limits& limits)
      : at_(bytes.data()),
        end_(at_ + bytes.size()),
        budget_(limits.structs + 2 * bytes.size()),
        limits_(&limits) {}
  BinaryReader(Bytes bytes, Limits&& limits) = delete;  // they are kept by reference

  bool ok() const { return ok_; }
  size_t left() const { return size_t(end_ - at_); }
  const uint8_t* position() const { return at_; }
  const Limits& limits() const { return *limits_; }
  void fail() {
    ok_ = false;
    at_ = end_;
  }

  bool read_boolean() {
    const uint64_t value = read_raw<uint8_t>();
    if (value > 1) fail();
    return value == 1;
  }
  int64_t read_long() {
    const uint64_t raw = read_varint();
    return int64_t(raw >> 1) ^ -int64_t(raw & 1);
  }
  int32_t read_int() {
    const int64_t value = read_long();
    if (value != int32_t(value)) fail();
    return ok_ ? int32_t(value) : 0;
  }
  float read_float() { return read_raw<float>(); }
  double read_double() { return read_raw<double>(); }
  // The branch of a union or the place of an enum's symbol, 0 … count − 1.
  size_t read_index(size_t count) {
    const int64_t value = read_long();
    if (value < 0 || uint64_t(value) >= count) fail();
    return ok_ ? size_t(value) : 0;
  }
  Bytes take(size_t size) {
    if (size > left()) {
      fail();
      return {};
    }
    at_ += size;
    return {at_ - size, size};
  }
  // The bytes behind a length, in place.
  Bytes take_sized(size_t limit) {
    const int64_t size = read_long();
    if (size < 0 || uint64_t(size) > limit) {
      fail();
      return {};
    }
    return take(size_t(size));
  }
  void read_string(std::string& out, size_t limit) {
    const Bytes text = take_sized(limit);
    if (!is_utf8(text)) fail();
    out.assign(reinterpret_cast<const char*>(text.data()), ok_ ? text.size() : 0);
  }
  void read_bytes(std::vector<uint8_t>& out, size_t limit) {
    const Bytes data = take_sized(limit);
    out.assign(data.begin(), data.end());
  }
  template <size_t n>
  void read_fixed(std::array<uint8_t, n>& out) {
    const Bytes data = take(n);
    if (ok_) std::memcpy(out.data(), data.data(), n);
  }

  // The count of the next block of an array or map, 0 at its end; `so_far` items have been read of `limit`.
  // An item takes at least `least` bytes, which may be 0.
  size_t read_block(size_t so_far, size_t limit, size_t least) {
    int64_t count = read_long();
    if (count < 0) {
      // A count below zero is followed by the size of the block, so that a reader can step over it.
      const int64_t size = read_long();
      if (size < 0 || uint64_t(size) > left() || count == INT64_MIN) fail();
      count = ok_ ? -count : 0;
    }
    if (uint64_t(count) > limit - so_far || (least && uint64_t(count) > left() / least)) fail();
    return ok_ ? size_t(count) : 0;
  }
  // Counts memory about to be allocated for structs; false and failed when it is more than the message may
  // need.
  bool charge(size_t bytes) {
    if (bytes > budget_) {
      fail();
      return false;
    }
    budget_ -= bytes;
    return true;
  }

 private:
  uint64_t read_varint() {
    if (at_ < end_ && *at_ < 0x80) return *at_++;
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && at_ < end_; shift += 7) {
      const uint64_t byte = *at_++;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) {
        // Ten bytes carry 70 bits: the last may hold one. Nor may a number be longer than it has to be.
        if ((shift == 63 && byte > 1) || (shift && !byte)) break;
        return value;
      }
    }
    fail();
    return 0;
  }
  template <class T>
  T read_raw() {
    T value{};
    const Bytes data = take(sizeof value);
    if (ok_) std::memcpy(&value, data.data(), sizeof value);
    return value;
  }

  const uint8_t* at_;
  const uint8_t* end_;
  size_t budget_;
  const Limits* limits_;
  bool ok_ = true;
};

// What is in `out` already is written over, so that its strings and vectors keep their memory.
template <class T, class ReadItem>
void read_array(BinaryReader& in, std::vector<T>& out, size_t limit, size_t least, ReadItem&& read_item) {
  size_t size = 0;
  while (const size_t count = in.read_block(size, limit, least)) {
    if (!in.charge(count * sizeof(T))) break;
    if (size == 0 && out.capacity() < count) out.reserve(count);
    for (size_t i = 0; i < count && in.ok(); ++i, ++size) {
      if constexpr (std::is_same_v<T, bool>) {
        bool item = false;
        read_item(item);
        if (size < out.size()) {
          out[size] = item;
        } else {
          out.push_back(item);
        }
      } else {
        read_item(size < out.size() ? out[size] : out.emplace_back());
      }
    }
  }
  out.resize(size);
}

template <class T>
T& engaged(std::optional<T>& value) {
  return value ? *value : value.emplace();
}
template <size_t i, class... Ts>
auto& engaged(std::variant<Ts...>& value) {
  if (auto* held = std::get_if<i>(&value)) return *held;
  return value.template emplace<i>();
}

// Appends to a vector, which keeps its memory when it is cleared.
class BinaryWriter {
 public:
  explicit BinaryWriter(std::vector<uint8_t>& out) : out_(out) {}

  void write_boolean(bool value) { out_.push_back(value); }
  void write_long(int64_t value) {
    uint64_t raw = (uint64_t(value) << 1) ^ uint64_t(value >> 63);
    if (raw < 0x80) {
      out_.push_back(uint8_t(raw));
      return;
    }
    uint8_t bytes[10];
    size_t size = 0;
    for (; raw >= 0x80; raw >>= 7) bytes[size++] = uint8_t(raw | 0x80);
    bytes[size++] = uint8_t(raw);
    write({bytes, size});
  }
  void write_float(float value) { write_raw(value); }
  void write_double(double value) { write_raw(value); }
  void write_sized(Bytes data) {
    write_long(int64_t(data.size()));
    write(data);
  }
  void write_string(std::string_view text) {
    write_sized({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  void write(Bytes data) { out_.insert(out_.end(), data.begin(), data.end()); }

 private:
  template <class T>
  void write_raw(T value) {
    uint8_t bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    write(bytes);
  }
  std::vector<uint8_t>& out_;
};

template <class T, class WriteItem>
void write_array(BinaryWriter& out, const std::vector<T>& items, WriteItem&& write_item) {
  if (!items.empty()) {
    out.write_long(int64_t(items.size()));
    for (const auto& item : items) write_item(item);
  }
  out.write_long(0);
}

}  // namespace sightglass::stream
