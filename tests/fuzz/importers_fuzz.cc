// Model descriptions that come from elsewhere. An input is a line that names the kind, and the text of the
// file.
#include <string_view>

#include "sightglass/model/importers.h"

using namespace sightglass;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  if (line == input.npos) return 0;
  const std::string_view kind = input.substr(0, line), text = input.substr(line + 1);
  const Origin origin{OriginKind::defaults, "fuzz"};
  // A folder that is not there: what a description names beside itself cannot be read.
  const std::filesystem::path folder = "/nonexistent";
  if (kind == "yaml") (void)import_yaml(text, "fuzz", folder, origin);
  if (kind == "model-proc") (void)import_model_proc(text, "fuzz", folder, origin);
  if (kind == "huggingface") (void)import_huggingface(text, text, origin);
  if (kind == "timm") (void)import_timm(text, origin);
  if (kind == "paddle") (void)import_paddle(text, "fuzz", origin);
  return 0;
}
