#include "sightglass/stream/avro/binary.h"

#include "sightglass/core/utf8.h"

namespace sightglass::stream {

bool is_utf8(Bytes text) {
  size_t i = 0;
  // Nearly all text is ASCII: eight characters at a time.
  for (uint64_t eight; i + sizeof eight <= text.size(); i += sizeof eight) {
    std::memcpy(&eight, text.data() + i, sizeof eight);
    if (eight & 0x8080808080808080) break;
  }
  std::string_view rest(reinterpret_cast<const char*>(text.data()) + i, text.size() - i);
  while (!rest.empty()) {
    const auto first = uint8_t(rest.front());
    if (first < 0x80) {
      rest.remove_prefix(1);
      continue;
    }
    // The character itself may be in the text: it has three bytes there, a damaged one gives it for one.
    const size_t before = rest.size();
    if (next_character(rest) == replacement_character && before - rest.size() == 1) return false;
  }
  return true;
}

}  // namespace sightglass::stream
