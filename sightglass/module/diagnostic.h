// What is wrong with a module description, and where: all of it at once, so that a file is mended in one go.
//
//   Diagnostics found;
//   found.error(value.origin, "pipeline.elements[0].type", "'detectr' is no type", "detector");
//   for (const Diagnostic& d : found.items()) print(d.to_string());
//     gate.yml:7:22: pipeline.elements[0].type: 'detectr' is no type; did you mean 'detector'?
//
// Plain values, one thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sightglass/core/result.h"
#include "sightglass/module/value.h"

namespace sightglass::module {

// A place in a tree of values, by keys and indices.
class Path {
 public:
  Path operator/(std::string_view key) const;
  Path operator[](size_t index) const;
  std::string to_string() const;  // "pipeline.elements[0].select"
  bool empty() const { return steps_.empty(); }
  // The value there, or the nearest that there is above it: messages about what is missing stand at its map.
  const Value* nearest(const Value& root) const;

 private:
  std::vector<std::string> steps_;  // a key, or "[3]"
};

enum class Severity : uint8_t { error, warning };

struct Diagnostic {
  Origin origin;
  std::string path;        // of keys: "pipeline.elements[0].type"; empty: the document
  std::string message;     // what was expected and what is there
  std::string suggestion;  // what may have been meant: a name, nothing else; empty: no idea
  Severity severity = Severity::error;

  std::string to_string() const;  // "file:line:column: path: message; did you mean 'X'?"
};

class Diagnostics {
 public:
  // Errors and warnings beyond so many are counted, not kept.
  static constexpr size_t limit = 50;

  void error(Origin origin, std::string path, std::string message, std::string suggestion = {});
  void warning(Origin origin, std::string path, std::string message, std::string suggestion = {});
  void add(Diagnostic diagnostic);

  bool has_errors() const { return errors_ > 0; }
  size_t errors() const { return errors_; }  // also those beyond the limit
  const std::vector<Diagnostic>& items() const { return items_; }
  size_t left_out() const { return left_out_; }
  // By file, in the order in which the files were first met, and place.
  void sort();
  // One line per diagnostic, and one that says how many there are besides.
  std::string to_string() const;
  // All of them as one error; only with has_errors().
  Error to_error() const;

 private:
  std::vector<Diagnostic> items_;
  size_t errors_ = 0, left_out_ = 0;
};

// The nearest of `known` to `word`: at most two letters added, left out, exchanged or in the wrong order,
// case and '-' for '_' aside. Empty: none is near.
std::string nearest_name(std::string_view word, std::span<const std::string> known);

}  // namespace sightglass::module
