#include "sightglass/adapters/record_names.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace sightglass::adapters {
namespace {

// The schema's names, which are in capitals. `unknown` is the last of each.
template <class Enum>
std::string_view lower_name(Enum value) {
  static constexpr size_t count = size_t(Enum::unknown) + 1;
  static const auto names = [] {
    std::array<std::string, count> all;
    for (size_t i = 0; i < count; ++i)
      for (const char c : to_string(Enum(i))) all[i] += c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
    return all;
  }();
  return names[std::min(size_t(value), count - 1)];
}

}  // namespace

std::string_view name_of(RecordKind kind) {
  switch (kind) {
    case RecordKind::frame:
      return "frame";
    case RecordKind::frame_update:
      return "frame_update";
    case RecordKind::stream_update:
      return "stream_update";
    case RecordKind::end_of_stream:
      return "end_of_stream";
    case RecordKind::user_data:
      return "user_data";
  }
  std::unreachable();
}

std::string_view name_of(stream::StreamState state) { return lower_name(state); }
std::string_view name_of(stream::EndReason reason) { return lower_name(reason); }

}  // namespace sightglass::adapters
