// Loads a module's description: YAML, included files, checks, all of it at once.
//
//   Loaded loaded = load_module("gate.yml");
//   for (const Diagnostic& d : loaded.diagnostics.items()) print(d.to_string());   // errors and warnings
//   if (!loaded) return 2;
//   auto module = Module::create(*loaded.value);
//
// Touches no device: files are looked for, models' descriptions read, GStreamer's registry asked.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "sightglass/module/checks.h"
#include "sightglass/module/diagnostic.h"
#include "sightglass/module/spec.h"

namespace sightglass::module {

struct LoadOptions {
  // A map that is merged over the file before it is checked: `{pipeline: {source: null}}`. A null takes a key
  // away.
  Value overrides;
  // False: `include` is an error. For text from elsewhere, whose errors would tell what is in local files.
  bool includes = true;
  CheckOptions checks;
};

struct Loaded {
  std::optional<ModuleSpec> value;  // none after errors
  Diagnostics diagnostics;
  Value tree;  // what the files say together, with origins; inline models moved to `models`

  explicit operator bool() const { return value.has_value(); }
  // The same as a Result; warnings are lost.
  Result<ModuleSpec> result() const;
};

Loaded load_module(const std::filesystem::path& file, const LoadOptions& options = {});
// `name` is the file in messages, `folder` where its paths start from (empty: the current one).
Loaded load_module_text(std::string_view text, const std::string& name, const std::filesystem::path& folder,
                        const LoadOptions& options = {});

}  // namespace sightglass::module
