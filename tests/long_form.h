// The long form of a test: more of the same, for hours where need be. `./run test --long` sets SIGHTGLASS_TEST_LONG;
// what has one carries the ctest label `long`.
#pragma once

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

}  // namespace sightglass::test
