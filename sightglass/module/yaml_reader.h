// Reads YAML into values, strictly, and safe from whatever a stranger writes: nothing is built before it has
// been counted.
//
//   Diagnostics found;
//   Value tree = read_yaml(text, "gate.yml", found);
//   if (found.has_errors()) …
//
// The core schema of YAML 1.2: `on`, `no` and `0777` as texts and numbers are what they look like, numbers
// are finite. No tags, no merge keys, one document, keys are texts and none comes twice. Anchors and aliases
// are allowed as far as the limits go. Every value knows its place. No threads; about 20 MB/s.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "sightglass/module/diagnostic.h"
#include "sightglass/module/value.h"

namespace sightglass::module {

struct YamlLimits {
  size_t bytes = 1 << 20;  // of a file
  size_t depth = 32;       // of lists and maps within each other
  size_t nodes = 10'000;   // values and keys, aliases counted as what they stand for; of all files together
  size_t expanded = 4 << 20;  // bytes of all texts, aliases counted likewise
  size_t files = 64;          // included ones
};

// Null after an error. A document without content is null, too, without one.
Value read_yaml(std::string_view text, const std::string& file, Diagnostics& found,
                const YamlLimits& limits = {});

// The same with its `include: [file, …]`, if it has one: those files come first, in order, each with its own
// includes, relative to the file that names them; then the document itself over them. Maps merge key by key,
// lists and scalars replace. The key is gone from the result. `folder`: where paths of `text` start from.
Value read_yaml_with_includes(std::string_view text, const std::string& file,
                              const std::filesystem::path& folder, Diagnostics& found,
                              const YamlLimits& limits = {});

// Maps merge key by key, anything else of `over` replaces what is there.
void merge(Value& target, Value over);

// The whole of a file, up to `limit` bytes.
Result<std::string> read_text_file(const std::filesystem::path& path, size_t limit);

}  // namespace sightglass::module
