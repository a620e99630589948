// A schema as text: JSON Schema (draft 2020-12), with which editors complete and check a description while it
// is written, and a reference page.
//
//   file << json_schema(module_schema());   // `sightglass schema module`, docs/schema/module.json
//
// Types with a name become $defs, so that each is there once.
#pragma once

#include <string>
#include <string_view>

#include "sightglass/module/schema.h"

namespace sightglass::module {

std::string json_schema(const Schema& schema);
// Markdown, a section per named type and per section of the file; without the properties of elements, which
// have pages of their own.
std::string reference_page(const Schema& schema);
// Text for a cell of a table in Markdown.
std::string markdown_cell(std::string_view text);

}  // namespace sightglass::module
