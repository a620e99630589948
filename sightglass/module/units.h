// Quantities as people write them.
//
//   parse_duration("10ms") == 10'000'000      parse_size("64MiB") == 67'108'864      parse_rate("2M") ==
//   2'000'000
//
// A number with a unit right behind it or after spaces, fractions allowed ("1.5s"); never negative.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"

namespace sightglass::module {

Result<Time> parse_duration(std::string_view text);  // ns; ns, us, ms, s, m, h, d; "0" needs none
Result<uint64_t> parse_size(
    std::string_view text);  // bytes; B, KiB, MiB, GiB, kB, MB, GB; a plain number: bytes
Result<uint64_t> parse_rate(std::string_view text);   // per second; k, M, G as powers of 1000
Result<double> parse_percent(std::string_view text);  // "20 %" == 0.2

// The shortest text that reads back as the same: "10ms", "64MiB", "2M".
std::string duration_text(Time nanoseconds);
std::string size_text(uint64_t bytes);
std::string rate_text(uint64_t per_second);

}  // namespace sightglass::module
