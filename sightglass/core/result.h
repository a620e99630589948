// Expected failures are values. A function that can fail returns Result<T>; the error says what happened,
// where, and what to do, in one line that is fit to be shown to a user.
//
//   Result<Tensor> t = load(path);
//   if (!t) return std::unexpected(t.error());
//   return fail(ErrorCode::not_found, "{}: no such model; `sightglass models list` shows those known", path);
#pragma once

#include <expected>
#include <format>
#include <string>
#include <utility>

namespace sightglass {

enum class ErrorCode {
  invalid_argument,  // a value that the caller chose is wrong
  not_found,         // a file, element, model or name that does not exist
  unavailable,       // a device, library or plug-in that this machine lacks
  not_negotiated,    // formats that do not fit together
  corrupt,           // data that is damaged or lies about itself
  io,                // reading or writing failed: permissions, full disk, network
  exhausted,         // memory, slots or another limit
  cancelled,         // stopped on request, not a fault
  unsupported,       // valid, but not something that we do
  internal,          // a defect of ours or of a library
};

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string element;  // name of the element instance; empty outside of one
  std::string stream;   // name of the stream; empty where there is one only

  // "element: message" in one line.
  std::string to_string() const { return element.empty() ? message : element + ": " + message; }
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// Makes the error of a Result: `return fail(ErrorCode::io, "{}: {}", path, reason);`
template <class... Args>
std::unexpected<Error> fail(ErrorCode code, std::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{code, std::format(format, std::forward<Args>(args)...), {}, {}});
}

// Hands the error of one Result on as that of another type.
template <class T>
std::unexpected<Error> forward_error(Result<T>& failed) {
  return std::unexpected(std::move(failed).error());
}

}  // namespace sightglass
