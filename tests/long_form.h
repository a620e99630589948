// The long form of a test: more of the same, for hours where need be. `./run test --long` sets
// SIGHTGLASS_TEST_LONG; what has one carries the ctest label `long`. SIGHTGLASS_TEST_LONG_SECONDS shortens
// what lasts a given time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>

namespace sightglass::test {

inline bool is_long() {
  const char* set = std::getenv("SIGHTGLASS_TEST_LONG");
  return set && *set && *set != '0';
}

template <class T>
T long_or(T long_form, T short_form) {
  return is_long() ? long_form : short_form;
}

// How long something is to be kept up.
inline std::chrono::seconds lasting(std::chrono::seconds long_form, std::chrono::seconds short_form) {
  if (!is_long()) return short_form;
  const char* set = std::getenv("SIGHTGLASS_TEST_LONG_SECONDS");
  const long seconds = set ? std::strtol(set, nullptr, 10) : 0;
  return seconds > 0 ? std::min(long_form, std::chrono::seconds(seconds)) : long_form;
}

}  // namespace sightglass::test
