// UUIDs version 7: what frames and producers are named by. They begin with the time in milliseconds, so they
// sort by age and a sink can file a frame by the date in its name, whenever it stores it.
//
//   frame.uuid = make_uuid_v7();
//   std::string name = to_string(frame.uuid);  // 0199c1a0-5f3e-7abc-8def-0123456789ab
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sightglass/stream/messages.h"

namespace sightglass::stream {

// Each one sorts after all that this process made before, also when the clock goes back: milliseconds, a
// counter of 12 bits that runs on into them (RFC 9562, 6.2, method 1), and 62 random bits, which each thread
// draws from the kernel once per millisecond and increments by a random amount within it (method 2). Any
// thread; does not allocate.
Uuid make_uuid_v7();
// For who has just looked at the clock: microseconds since 1970.
Uuid make_uuid_v7(int64_t unix_us);

bool is_zero(const Uuid& uuid);
int64_t unix_ms(const Uuid& uuid);  // when it was made, if it is of version 7

std::string to_string(const Uuid& uuid);
std::optional<Uuid> parse_uuid(std::string_view text);  // with hyphens, digits in either case

}  // namespace sightglass::stream
