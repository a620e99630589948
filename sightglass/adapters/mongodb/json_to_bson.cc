#include "sightglass/adapters/mongodb/json_to_bson.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace sightglass::adapters {
namespace {

constexpr int most_depth = 38;

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += char(code);
  } else if (code < 0x800) {
    text += char(0xc0 | code >> 6);
    text += char(0x80 | (code & 63));
  } else if (code < 0x10000) {
    text += char(0xe0 | code >> 12);
    text += char(0x80 | (code >> 6 & 63));
    text += char(0x80 | (code & 63));
  } else {
    text += char(0xf0 | code >> 18);
    text += char(0x80 | (code >> 12 & 63));
    text += char(0x80 | (code >> 6 & 63));
    text += char(0x80 | (code & 63));
  }
}

bool hex4(const char* from, const char* end, uint32_t& code) {
  if (end - from < 4) return false;
  const auto [stop, error] = std::from_chars(from, from + 4, code, 16);
  return error == std::errc{} && stop == from + 4;
}

}  // namespace

bool JsonToBson::append(std::string_view json, bson_t& to, std::string_view prefix) {
  at_ = json.data();
  end_ = at_ + json.size();
  space();
  if (at_ == end_ || *at_ != '{') return false;
  out_.clear();
  if (!object(prefix, 0, true)) return false;
  space();
  bson_t document;
  return at_ == end_ &&
         bson_init_static(&document, reinterpret_cast<const uint8_t*>(out_.data()), out_.size()) &&
         bson_concat(&to, &document);
}

// The order of bytes is little-endian, as that of every machine that we build for.
template <class T>
void JsonToBson::raw(T value) {
  static_assert(std::endian::native == std::endian::little);
  out_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void JsonToBson::entry(bson_type_t type, std::string_view key) {
  out_ += char(type);
  out_ += key;
  out_ += '\0';
}

size_t JsonToBson::begin_document() {
  const size_t begin = out_.size();
  raw(int32_t(0));
  return begin;
}

void JsonToBson::end_document(size_t begin) {
  out_ += '\0';
  const auto size = int32_t(out_.size() - begin);
  std::memcpy(out_.data() + begin, &size, sizeof size);
}

bool JsonToBson::append_late(std::string_view json, bson_t& to) {
  constexpr std::string_view begin = R"({"late":)";
  if (!json.starts_with(begin) || !json.ends_with('}')) return false;
  json.remove_prefix(begin.size());
  json.remove_suffix(1);
  return append(json, to, "late.");
}

void JsonToBson::space() {
  while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
}

bool JsonToBson::object(std::string_view prefix, int depth, bool is_top) {
  if (depth > most_depth) return false;
  const size_t begin = begin_document();
  ++at_;  // {
  space();
  if (at_ != end_ && *at_ == '}') return ++at_, end_document(begin), true;
  for (;;) {
    space();
    std::string_view name;
    std::string& storage = key_[depth];
    if (!text(name, storage)) return false;
    // The text may lie in the JSON: it is not read again before the entry is appended.
    if (is_top && (!prefix.empty() || name.contains('.') || name.starts_with('$'))) {
      std::string whole(name);
      std::ranges::replace(whole, '.', '_');
      if (whole.starts_with('$')) whole[0] = '_';
      storage.assign(prefix).append(whole);
      name = storage;
    }
    if (std::memchr(name.data(), 0, name.size())) return false;
    space();
    if (at_ == end_ || *at_++ != ':') return false;
    space();
    if (!value(name, depth + 1)) return false;
    space();
    if (at_ == end_) return false;
    if (*at_ == '}') return ++at_, end_document(begin), true;
    if (*at_++ != ',') return false;
  }
}

bool JsonToBson::array(int depth) {
  if (depth > most_depth) return false;
  const size_t begin = begin_document();
  ++at_;  // [
  space();
  if (at_ != end_ && *at_ == ']') return ++at_, end_document(begin), true;
  for (uint32_t i = 0;; ++i) {
    char digits[16];
    const char* key = nullptr;
    const size_t size = bson_uint32_to_string(i, &key, digits, sizeof digits);
    space();
    if (!value({key, size}, depth + 1)) return false;
    space();
    if (at_ == end_) return false;
    if (*at_ == ']') return ++at_, end_document(begin), true;
    if (*at_++ != ',') return false;
  }
}

bool JsonToBson::value(std::string_view key, int depth) {
  if (at_ == end_) return false;
  switch (*at_) {
    case '{':
      entry(BSON_TYPE_DOCUMENT, key);
      return object({}, depth, false);
    case '[':
      entry(BSON_TYPE_ARRAY, key);
      return array(depth);
    case '"': {
      std::string_view found;
      if (!text(found, text_)) return false;
      entry(BSON_TYPE_UTF8, key);
      raw(int32_t(found.size() + 1));
      out_ += found;
      out_ += '\0';
      return true;
    }
    case 't':
    case 'f':
      entry(BSON_TYPE_BOOL, key);
      out_ += *at_ == 't' ? '\1' : '\0';
      return literal(*at_ == 't' ? "true" : "false");
    case 'n':
      entry(BSON_TYPE_NULL, key);
      return literal("null");
    default:
      return number(key);
  }
}

bool JsonToBson::literal(std::string_view word) {
  if (size_t(end_ - at_) < word.size() || std::string_view(at_, word.size()) != word) return false;
  at_ += word.size();
  return true;
}

bool JsonToBson::number(std::string_view key) {
  int64_t whole = 0;
  const auto [stop, error] = std::from_chars(at_, end_, whole);
  if (error == std::errc{} && (stop == end_ || (*stop != '.' && *stop != 'e' && *stop != 'E'))) {
    at_ = stop;
    if (whole >= INT32_MIN && whole <= INT32_MAX) {
      entry(BSON_TYPE_INT32, key);
      raw(int32_t(whole));
    } else {
      entry(BSON_TYPE_INT64, key);
      raw(whole);
    }
    return true;
  }
  double real = 0;
  const auto read = std::from_chars(at_, end_, real);
  if (read.ec != std::errc{}) return false;
  at_ = read.ptr;
  entry(BSON_TYPE_DOUBLE, key);
  raw(real);
  return true;
}

// Without escapes it is the text of the JSON itself.
bool JsonToBson::text(std::string_view& out, std::string& scratch) {
  if (at_ == end_ || *at_ != '"') return false;
  const char* const begin = ++at_;
  while (at_ != end_ && *at_ != '"' && *at_ != '\\') ++at_;
  if (at_ == end_) return false;
  if (*at_ == '"') {
    out = {begin, size_t(at_ - begin)};
    ++at_;
    return true;
  }
  scratch.assign(begin, at_);
  while (at_ != end_ && *at_ != '"') {
    if (*at_ != '\\') {
      scratch += *at_++;
      continue;
    }
    if (++at_ == end_) return false;
    const char c = *at_++;
    static constexpr std::string_view from = "\"\\/bfnrt", into = "\"\\/\b\f\n\r\t";
    if (const size_t place = from.find(c); place != from.npos) {
      scratch += into[place];
      continue;
    }
    uint32_t code = 0, low = 0;
    if (c != 'u' || !hex4(at_, end_, code)) return false;
    at_ += 4;
    if (code >= 0xd800 && code < 0xdc00 && end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u' &&
        hex4(at_ + 2, end_, low) && low >= 0xdc00 && low < 0xe000) {
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      at_ += 6;
    } else if (code >= 0xd800 && code < 0xe000) {
      code = 0xfffd;
    }
    append_utf8(scratch, code);
  }
  if (at_ == end_) return false;
  ++at_;
  out = scratch;
  return true;
}

}  // namespace sightglass::adapters
