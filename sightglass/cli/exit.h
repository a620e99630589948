// How commands end: with an exit code, after one line on stderr if something is wrong.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdio>
#include <print>

#include "sightglass/core/result.h"

namespace sightglass::cli {

// "error: what, where, what to do"; gives the exit code 1.
inline int complain(const Error& error) {
  std::println(stderr, "error: {}", error.to_string());
  return 1;
}
template <class First, class... Rest>
int complain(std::format_string<First, Rest...> format, First&& first, Rest&&... rest) {
  return complain(Error{ErrorCode::invalid_argument,
                        std::format(format, std::forward<First>(first), std::forward<Rest>(rest)...),
                        {},
                        {}});
}

// From a command's callback: the exit code of the program.
inline void exit_with(int code) {
  if (code) throw CLI::RuntimeError(code);
}

}  // namespace sightglass::cli
