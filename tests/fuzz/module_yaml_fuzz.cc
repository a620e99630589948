// Descriptions of modules: YAML, schema, checks. What is accepted has to read the same when it is written
// again.
#include <cstdlib>
#include <string_view>

#include "sightglass/module/module_file.h"
#include "sightglass/module/spec_schema.h"

using namespace sightglass::module;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Files that the text may name are not looked for; includes are, in a folder that is not there.
  const LoadOptions options{.checks = {.files = false, .names = true}};
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto loaded = load_module_text(text, "fuzz.yml", "/nonexistent", options);
  if (!loaded) {
    if (!loaded.diagnostics.has_errors() || loaded.diagnostics.items().size() > Diagnostics::limit)
      std::abort();
    return 0;
  }
  const Value tree = write_spec(*loaded.value);
  const auto again = load_module_text(tree.to_json(), "again.yml", "/nonexistent", options);
  if (!again || !(write_spec(*again.value) == tree)) {
    std::fputs(again.diagnostics.to_string().c_str(), stderr);
    std::abort();
  }
  return 0;
}
