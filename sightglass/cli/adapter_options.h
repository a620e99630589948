// Options of adapters as words of a command line: the keys that the same adapter has in a module's file, by
// the same names and with the same checks.
//
//   sightglass sink sqlite path=events.db keep=14d batch.count=500 queue.policy=spill --from …
//
//   auto source = source_entry("rtsp", words);      // {type: rtsp, url: …}
//   auto params = source_params(*desc, words);      // the same, for SourceDesc::create()
//
// A word is KEY=VALUE; `-` is as good as `_`. A key inside of a map is written with a dot: tls.ca=ca.pem (or
// tls-ca=ca.pem). A key that takes a list may be given again and again. Values that are no texts are read as
// YAML, so that when='{label: person}' works.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/adapters/adapter.h"
#include "sightglass/module/schema.h"
#include "sightglass/module/spec.h"

namespace sightglass::cli {

// Of what stands behind `source` and `sink`: the kind of adapter, or a file, if that comes first.
std::string take_name(std::vector<std::string>& words);
// "--stall-after 5" and "--stall-after=5" as "stall-after=5".
std::vector<std::string> as_settings(const std::vector<std::string>& words);

// One line per error: the option, its value, what is allowed, what may have been meant.
Result<module::SinkSpec> sink_entry(std::string_view type, std::span<const std::string> words);
Result<module::SourceSpec> source_entry(std::string_view type, std::span<const std::string> words);
Result<std::shared_ptr<ParamSet>> source_params(const adapters::SourceDesc& desc,
                                                std::span<const std::string> words);

// For --help: a line per option with its default, and what it means.
std::string sink_help(std::string_view type);
std::string source_help(std::string_view type);
// A line per type; those that this program cannot run are left out.
std::string sink_list();
std::string source_list();

}  // namespace sightglass::cli
