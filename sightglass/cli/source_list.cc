#include "sightglass/cli/source_list.h"

#include <algorithm>
#include <filesystem>
#include <format>
#include <utility>

#include "sightglass/adapters/tls_params.h"
#include "sightglass/module/adapter_types.h"
#include "sightglass/module/schema.h"
#include "sightglass/module/spec_schema.h"
#include "sightglass/module/yaml_reader.h"

namespace sightglass::cli {
namespace {

using module::Diagnostics;
using module::Kind;
using module::Path;
using module::Schema;
using module::Value;

constexpr size_t most_bytes = 1 << 20;

module::Key text_key(std::string name, std::string doc,
                     std::shared_ptr<Schema> type = Schema::of_kind(Kind::text)) {
  return {.name = std::move(name), .doc = std::move(doc), .type = std::move(type)};
}

// An entry of `sources`: as one of a module's, and `out`.
std::shared_ptr<Schema> entry_schema() {
  auto entry = Schema::of_kind(Kind::map);
  entry->tag = "type";
  entry->variants = module::source_variants();
  std::erase_if(entry->variants,
                [](const module::Variant& variant) { return !module::is_source_available(variant.name); });
  entry->keys.push_back(text_key("type", "where frames come from"));
  entry->keys.back().is_required = true;
  entry->keys.push_back(text_key("out", "address of the reader"));
  return entry;
}

std::shared_ptr<Schema> list_schema() {
  auto shutdown = Schema::of_kind(Kind::map);
  shutdown->keys = {text_key("token_file", "file with the module's shutdown token")};
  shutdown->keys[0].is_required = true;
  auto open = Schema::of_kind(Kind::map);
  open->is_open = true;  // checked with each source that it is merged into
  auto curve = std::make_shared<Schema>(*module::curve_schema());
  auto sources = Schema::list_of(entry_schema());
  sources->min_items = 1;
  auto file = Schema::of_kind(Kind::map);
  file->keys = {
      text_key("name", "of this process, shown to readers"),
      text_key("out", "address of the reader, as dealer+connect:tcp://127.0.0.1:5560"),
      text_key("http", "host:port of probes and metrics; off: none"),
      text_key("http_token_file", "who may ask for more than the probes; needed beyond this machine"),
      text_key("curve", "encryption", curve),
      text_key("shutdown_after_end", "asks the module to end behind the last source", shutdown),
      text_key("defaults", "keys of all sources", open),
      text_key("sources", "each with its type and keys", sources)};
  file->keys.back().is_required = true;
  return file;
}

std::string text_of(const Value& map, std::string_view key) {
  const Value* value = map.find(key);
  return value && value->text() ? *value->text() : std::string();
}

// False: its url is known, and that of a server without TLS, as rtsp://; adapters refuse keys of `tls` then.
bool may_use_tls(const Value& source, const std::string& folder) {
  std::string url = text_of(source, "url");
  if (const std::string file = text_of(source, "url_file"); !file.empty())
    if (auto read = adapters::read_secret(folder, file, "url_file")) url = std::move(*read);
  const size_t end = url.find("://");
  return end == 0 || end == std::string::npos || url[end - 1] == 's' || url[end - 1] == 'S';
}

// Gives each source the defaults, if they are not for another type. Before it is checked, so that nothing
// seems to be missing from it. `tls` is for those that use it: a list may mix rtsp:// and rtsps://.
void inherit(Value& tree, const std::string& folder) {
  const Value* defaults = tree.find("defaults");
  const Value* sources = tree.find("sources");
  if (!defaults || !defaults->entries() || !sources || !sources->items()) return;
  const std::string type = text_of(*defaults, "type");
  Value merged = Value::list();
  merged.origin = sources->origin;
  for (const Value& item : *sources->items()) {
    const std::string own = text_of(item, "type");
    if (!item.entries() || (!own.empty() && !type.empty() && own != type)) {
      merged.add(item);
      continue;
    }
    Value whole = *defaults;
    whole.origin = item.origin;
    module::merge(whole, item);
    if (defaults->find("tls") && !may_use_tls(whole, folder)) {
      auto entries = *defaults->entries();
      std::erase_if(entries, [](const auto& entry) { return entry.first == "tls"; });
      whole = Value::map(std::move(entries));
      whole.origin = item.origin;
      module::merge(whole, item);
    }
    merged.add(std::move(whole));
  }
  tree.set("sources", std::move(merged));
}

}  // namespace

Result<SourceList> read_source_list(const std::string& file, const std::string& out) {
  auto text = module::read_text_file(file, most_bytes);
  if (!text) return forward_error(text);
  SourceList list{.folder = std::filesystem::absolute(file).parent_path()};
  Diagnostics found;
  Value tree = module::read_yaml_with_includes(*text, file, list.folder, found);
  const auto schema = list_schema();
  inherit(tree, list.folder);
  if (!found.has_errors()) module::validate(tree, *schema, Path(), found, schema.get());
  if (found.has_errors()) {
    found.sort();
    return std::unexpected(found.to_error());
  }
  list.http = text_of(tree, "http");
  list.http_token_file = text_of(tree, "http_token_file");
  list.name = text_of(tree, "name");
  if (const Value* curve = tree.find("curve"); curve && curve->entries()) {
    list.curve = {.secret_key_file = adapters::path_from(list.folder, text_of(*curve, "secret_key_file")),
                  .server_key = text_of(*curve, "server_key")};
    list.curve.allowed_keys_dir = adapters::path_from(list.folder, text_of(*curve, "allowed_keys_dir"));
  }
  if (const Value* shutdown = tree.find("shutdown_after_end"))
    list.shutdown_token_file = text_of(*shutdown, "token_file");
  const std::string common = out.empty() ? text_of(tree, "out") : out;
  std::vector<std::string> ids;
  for (const Value& item : *tree.find("sources")->items()) {
    module::SourceProcess::Entry& entry =
        list.sources.emplace_back(text_of(item, "type"), std::format("sources[{}]", list.sources.size()));
    for (const auto& [key, value] : *item.entries())
      if (key != "type" && key != "out") entry.properties.set(key, value);
    entry.out = text_of(item, "out");
    if (entry.out.empty()) entry.out = common;
    if (entry.out.empty())
      return fail(ErrorCode::invalid_argument, "{}: {}: the key 'out' is missing, and there is no --to",
                  item.origin.to_string(), entry.name);
    const std::string id = text_of(item, "source_id");
    if (!id.empty() && std::ranges::contains(ids, id))
      return fail(ErrorCode::invalid_argument, "{}: {}.source_id: there are two sources '{}'",
                  item.origin.to_string(), entry.name, id);
    ids.push_back(id);
  }
  return list;
}

}  // namespace sightglass::cli
