#include "sightglass/module/adapter_checks.h"

#include <algorithm>
#include <filesystem>
#include <format>
#include <set>

#include "sightglass/module/adapter_types.h"
#include "sightglass/module/element_checks.h"
#include "sightglass/module/spec_schema.h"
#include "sightglass/stream/zeromq/url.h"

namespace sightglass::module {
namespace {

class AdapterChecks {
 public:
  AdapterChecks(const ModuleSpec& spec, const Value& tree, const CheckOptions& options, Diagnostics& found)
      : spec_(spec), tree_(tree), options_(options), found_(found) {}

  void source(const SourceSpec& source, const Path& path) {
    path_ = path, origin_ = source.origin;
    secrets(source.properties);
    if (source.type == "zeromq") {
      zeromq(source.properties, false);
      function(source.properties.find("accept"), "accept");
    } else if (!is_source_available(source.type)) {
      unavailable(source.type, source_variants(), "source");
    }
  }

  void sink(const SinkSpec& sink, const Path& path) {
    path_ = path, origin_ = sink.origin;
    secrets(sink.properties);
    if (sink.type == "zeromq") zeromq(sink.properties, true);
    if (!is_sink_available(sink.type)) unavailable(sink.type, sink_variants(), "sink");
    if (sink.queue.policy == QueuePolicy::latest)
      error(path_ / "queue" / "policy",
            "latest is for streams; a sink may block, drop_oldest, drop_to_keyframe or spill");
    if (sink.queue.policy != QueuePolicy::spill && sink.queue.policy != QueuePolicy::automatic &&
        sink.queue.spill_bytes != QueueSpec{}.spill_bytes)
      error(path_ / "queue" / "spill_bytes", "is not used without policy spill");
    if (sink.queue.policy != QueuePolicy::spill && sink.queue.policy != QueuePolicy::automatic &&
        sink.queue.durable)
      error(path_ / "queue" / "durable", "needs policy spill");
    // Records of frames; notes about streams pass always.
    check_selector(sink.when, "when", true, spec_, path_ / "when", found_);
    if (sink.map) check_function(*sink.map, spec_, options_, path_ / "map", tree_, found_);
  }

  void error(const Path& path, std::string message) {
    const Value& value = *path.nearest(tree_);
    found_.error(value.origin.file ? value.origin : origin_, path.to_string(), std::move(message));
  }

  void place(const Path& path, const Origin& origin) { path_ = path, origin_ = origin; }

 private:
  // Known elsewhere: a description may be written here for another machine.
  void unavailable(const std::string& type, const std::vector<Variant>& variants, std::string_view what) {
    if (!std::ranges::contains(variants, type, &Variant::name)) return;  // said by the schema
    const Path path = path_ / "type";
    const Value& value = *path.nearest(tree_);
    found_.warning(
        value.origin.file ? value.origin : origin_, path.to_string(),
        std::format("this program has no {} of type {}: it checks the description, but cannot run it", what,
                    type));
  }

  void function(const Value* value, std::string_view key) {
    if (!value || !value->entries()) return;
    FunctionSpec function;
    read(*value, *function_schema(), &function);
    check_function(function, spec_, options_, path_ / key, tree_, found_);
  }

  void zeromq(const Value& properties, bool writes) {
    const Value* curve = properties.find("curve");
    const Value* url = properties.find("url");
    if (!url) return;  // said by the schema
    if (const auto* items = url->items())
      for (size_t i = 0; i < items->size(); ++i) address((*items)[i], (path_ / "url")[i], writes, curve);
    else
      address(*url, path_ / "url", writes, curve);
    if (!curve || !curve->entries()) return;
    const bool has_server = curve->find("server_key"), has_allowed = curve->find("allowed_keys_dir");
    if (has_server && has_allowed)
      error(path_ / "curve",
            "server_key is for the side that connects, allowed_keys_dir for the one that binds");
    if (!curve->find("secret_key_file"))
      error(path_ / "curve", "needs the key of this side: secret_key_file");
    for (const char* key : {"secret_key_file", "allowed_keys_dir"})
      file(curve->find(key), path_ / "curve" / key);
  }

  // Files that adapters read secrets from.
  void secrets(const Value& properties) {
    for (const char* key : {"password_file", "token_file", "api_key_file", "secret_file", "secret_key_file",
                            "url_file", "shutdown_token_file"})
      file(properties.find(key), path_ / key);
  }

  void file(const Value* name, const Path& path) {
    if (!options_.files || !name || !name->text() || name->text()->empty() || name->text()->contains("${"))
      return;
    std::error_code failed;
    const auto full = std::filesystem::path(spec_.folder) / *name->text();
    if (!exists(full, failed)) error(path, std::format("{}: is not there", full.string()));
  }

  void address(const Value& value, const Path& path, bool writes, const Value* curve) {
    if (!value.text() || value.text()->find("${") != std::string::npos) return;
    const auto url =
        writes ? stream::parse_writer_url(*value.text(), "") : stream::parse_reader_url(*value.text(), "");
    if (!url) {
      std::string message = url.error().message;
      if (message.starts_with(": ")) message.erase(0, 2);
      error(path, message);
      return;
    }
    const bool is_open = url->transport == stream::Transport::tcp && url->bind && !url->local();
    if (!is_open || (curve && curve->entries())) return;
    if (spec_.security.require_auth)
      error(path, "security.require_auth: an address that other machines reach needs curve");
    else
      found_.warning(path.nearest(tree_)->origin, path.to_string(),
                     "whoever reaches this address is let in: see curve");
  }

  const ModuleSpec& spec_;
  const Value& tree_;
  const CheckOptions& options_;
  Diagnostics& found_;
  Path path_;
  Origin origin_;
};

}  // namespace

void check_sources(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                   Diagnostics& found) {
  AdapterChecks checks(spec, tree, options, found);
  for (size_t i = 0; i < spec.pipeline.sources.size(); ++i)
    checks.source(spec.pipeline.sources[i], (Path() / "pipeline" / "source")[i]);
  const auto policy = spec.buffers.policy;
  if (policy == QueuePolicy::drop_oldest || policy == QueuePolicy::spill)
    checks.error(Path() / "buffers" / "stream" / "policy",
                 "is for sinks; a stream's queue may block, drop_to_keyframe or keep the latest");
}

void check_sinks(const ModuleSpec& spec, const Value& tree, const CheckOptions& options, Diagnostics& found) {
  AdapterChecks checks(spec, tree, options, found);
  std::set<std::string> names;
  for (size_t i = 0; i < spec.pipeline.sinks.size(); ++i) {
    const SinkSpec& sink = spec.pipeline.sinks[i];
    const Path path = (Path() / "pipeline" / "sinks")[i];
    checks.place(path, sink.origin);
    if (!sink.name.empty() && !names.insert(sink.name).second)
      checks.error(path / "name", std::format("a second sink is called {}", sink.name));
    checks.sink(sink, path);
  }
}

}  // namespace sightglass::module
