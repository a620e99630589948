#include "sightglass/cli/adapter_options.h"

#include <algorithm>
#include <format>
#include <optional>

#include "sightglass/core/masked_url.h"
#include "sightglass/core/secret_option.h"
#include "sightglass/module/adapter_types.h"
#include "sightglass/module/sink_settings.h"
#include "sightglass/module/spec_schema.h"
#include "sightglass/module/yaml_reader.h"

namespace sightglass::cli {
namespace {

using module::Diagnostic;
using module::Diagnostics;
using module::Key;
using module::Kind;
using module::Schema;
using module::Value;
using module::Variant;

// What one entry of `pipeline.source` or `pipeline.sinks` may say.
const Schema& entry_schema(std::string_view section) {
  return *module::module_schema().find("pipeline")->type->find(section)->type->items;
}

std::vector<const Key*> keys_for(const Schema& schema, std::string_view type,
                                 std::optional<Variant>& storage) {
  Value tag;
  tag.set("type", std::string(type));
  auto keys = module::keys_of(schema, tag, storage);
  std::erase_if(keys, [](const Key* key) { return key->name == "type"; });
  return keys;
}

const Key* find(const std::vector<const Key*>& keys, std::string_view name) {
  const auto found = std::ranges::find(keys, name, &Key::name);
  return found == keys.end() ? nullptr : *found;
}

bool is_map(const Key& key) { return key.type->kind == Kind::map; }

// Text as YAML would have it, or as it is where a text is wanted.
Value value_of(const Schema& type, std::string_view text) {
  if (type.kind == Kind::text || type.kind == Kind::choice) return std::string(text);
  if (type.kind == Kind::list && type.items && !text.starts_with('[')) return value_of(*type.items, text);
  Diagnostics ignored;
  Value read = module::read_yaml(text, "", ignored);
  return ignored.has_errors() || read.is_null() ? Value(std::string(text)) : read;
}

class Reading {
 public:
  Reading(std::string_view section, std::string_view type)
      : schema_(entry_schema(section)), type_(type), keys_(keys_for(schema_, type, storage_)) {
    command_ = std::format("sightglass {} {}", section == "source" ? "source" : "sink", type);
  }

  Result<Value> read(std::span<const std::string> words) {
    Value entry;
    entry.set("type", std::string(type_));
    if (find(keys_, "name")) entry.set("name", std::string(type_));
    for (const std::string& word : words)
      if (Status taken = take(word, entry); !taken) return forward_error(taken);
    Diagnostics found;
    module::validate(entry, schema_, {}, found, &schema_);
    // What was said wrongly comes before what was not said.
    const Diagnostic* first = nullptr;
    for (const Diagnostic& item : found.items())
      if (item.severity == module::Severity::error && (!first || (first->path.empty() && !item.path.empty())))
        first = &item;
    if (first) return wrong(*first, entry);
    return entry;
  }

 private:
  Status take(const std::string& word, Value& entry) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos)
      return fail(ErrorCode::invalid_argument, "{}: '{}' is no option: they are written key=value", type_,
                  masked_url(word));
    std::string name = word.substr(0, equals);
    std::ranges::replace(name, '-', '_');
    const std::string_view text = std::string_view(word).substr(equals + 1);
    const Key* key = find(keys_, name);
    std::string inner;
    // batch.count, tls.ca, and tls_ca as it is called in tables of parameters.
    for (size_t i = 0; !key && i < name.size(); ++i)
      if (name[i] == '.' || name[i] == '_')
        if (const Key* map = find(keys_, name.substr(0, i)); map && is_map(*map)) {
          key = map;
          inner = name.substr(i + 1);
        }
    if (!key) return unknown(name, shown(word, equals));
    if (inner.empty()) {
      add(entry, name, *key->type, value_of(*key->type, text));
      return {};
    }
    const Key* below = key->type->find(inner);
    if (!below) {
      std::string known;
      for (const Key& one : key->type->keys)
        known += std::format("{}{}.{}", known.empty() ? "" : ", ", key->name, one.name);
      return fail(ErrorCode::invalid_argument, "{}: there is no option {}; there are: {}", type_,
                  shown(word, equals), known);
    }
    Value map = entry.find(key->name) ? *entry.find(key->name) : Value::map();
    add(map, inner, *below->type, value_of(*below->type, text));
    entry.set(key->name, std::move(map));
    return {};
  }

  static void add(Value& map, const std::string& name, const Schema& type, Value value) {
    const Value* before = map.find(name);
    if (!before || type.kind != Kind::list) return map.set(name, std::move(value));
    Value list = before->items() ? *before : Value::list({*before});
    list.add(std::move(value));
    map.set(name, std::move(list));
  }

  // "password=hunter2", which people try, is not repeated.
  static std::string shown(const std::string& word, size_t equals) {
    const std::string name = word.substr(0, equals);
    return is_secret_name(name) ? name + "=***" : masked_url(word);
  }

  Status unknown(const std::string& name, const std::string& word) const {
    std::vector<std::string> names;
    std::string known;
    for (const Key* key : keys_) {
      names.push_back(key->name);
      known += (known.empty() ? "" : ", ") + key->name;
    }
    const std::string near = module::nearest_name(name, names);
    return fail(ErrorCode::invalid_argument, "{}: there is no option {}; {}there are: {}", type_, word,
                near.empty() ? "" : std::format("did you mean '{}'? ", near), known);
  }

  std::unexpected<Error> wrong(const Diagnostic& item, const Value& entry) const {
    if (item.path.empty())
      return fail(ErrorCode::invalid_argument, "{}: {}; `{} --help` shows all", type_, item.message,
                  command_);
    const std::string key = item.path.substr(0, item.path.find_first_of(".["));
    const Value* value = entry.find(key);
    const size_t dot = item.path.find('.');
    if (value && value->entries() && dot != std::string::npos)
      if (const Value* inner = value->find(item.path.substr(dot + 1))) value = inner;
    std::string text = value ? masked_url(value->text() ? *value->text() : value->to_json()) : "";
    if (is_secret_name(item.path)) text = "***";
    return fail(ErrorCode::invalid_argument, "{}: {}{}{}: {}{}", type_, item.path, value ? "=" : "",
                text.substr(0, 80), masked_url(item.message),
                item.suggestion.empty() ? "" : std::format("; did you mean '{}'?", item.suggestion));
  }

  const Schema& schema_;
  const std::string type_;
  std::string command_;
  std::optional<Variant> storage_;
  const std::vector<const Key*> keys_;
};

std::string shown(const Schema& type) {
  switch (type.kind) {
    case Kind::boolean:
      return "true|false";
    case Kind::choice: {
      std::string names;
      for (const auto& name : type.choices) names += (names.empty() ? "" : "|") + name;
      return names;
    }
    case Kind::integer:
    case Kind::number:
      return type.unit.empty() ? "NUMBER" : "NUMBER " + type.unit;
    case Kind::duration:
      return "TIME";
    case Kind::bytes:
      return "SIZE";
    case Kind::rate:
      return "RATE";
    case Kind::fraction:
      return "N/M";
    case Kind::list:
      return type.items ? shown(*type.items) + ", may come again" : "LIST";
    case Kind::map:
    case Kind::table:
    case Kind::any:
      return "YAML";
    case Kind::text:
      break;
  }
  return "TEXT";
}

void describe(std::string& text, const std::string& name, const Key& key) {
  if (key.type->kind == Kind::map && !key.type->keys.empty() && key.name != "map") {
    for (const Key& inner : key.type->keys) describe(text, name + "." + inner.name, inner);
    return;
  }
  std::string line = std::format("  {}={}", name, shown(*key.type));
  if (line.size() < 34) line.resize(34, ' ');
  text += std::format("{}  {}", line, key.doc);
  const Value& value = key.default_value;
  if (!value.is_null() && !(value.text() && value.text()->empty()))
    text += std::format(" [{}]", value.text() ? *value.text() : value.to_json());
  text += '\n';
}

// curve_server_key, where curve: {server_key: …} stands as well.
bool is_told_in_map(const Key& key, const std::vector<const Key*>& keys) {
  return std::ranges::any_of(keys, [&](const Key* map) {
    return is_map(*map) && key.name.starts_with(map->name + "_") &&
           map->type->find(key.name.substr(map->name.size() + 1));
  });
}

std::string help(std::string_view section, std::string_view type) {
  std::optional<Variant> storage;
  const Schema& schema = entry_schema(section);
  const auto keys = keys_for(schema, type, storage);
  std::string text, common;
  for (const Key* key : keys) {
    if (is_told_in_map(*key, keys)) continue;
    const bool is_own = storage && std::ranges::contains(storage->keys, key->name, &Key::name);
    const auto variant = std::ranges::find(schema.variants, type, &Variant::name);
    const bool is_known =
        variant != schema.variants.end() && std::ranges::contains(variant->keys, key->name, &Key::name);
    describe(is_own || is_known ? text : common, key->name, *key);
  }
  return text + common;
}

std::string list_of(const std::vector<Variant>& variants, bool (*is_available)(std::string_view)) {
  std::string text;
  for (const Variant& variant : variants)
    if (is_available(variant.name)) text += std::format("  {:<16}{}\n", variant.name, variant.doc);
  return text;
}

Status known_type(std::string_view type, const std::vector<Variant>& variants, std::string_view what,
                  bool (*is_available)(std::string_view)) {
  if (is_available(type)) return {};
  std::vector<std::string> names;
  std::string known;
  for (const Variant& variant : variants)
    if (is_available(variant.name)) {
      names.push_back(variant.name);
      known += (known.empty() ? "" : ", ") + variant.name;
    }
  const std::string near = module::nearest_name(type, names);
  return fail(ErrorCode::not_found, "there is no {} of type '{}'; {}there are: {}", what, type,
              near.empty() ? "" : std::format("did you mean '{}'? ", near), known);
}

}  // namespace

namespace {

// Words of a command line are there for everybody who asks for the list of processes.
Status refuse_secrets(std::string_view what, std::span<const std::string> words) {
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals),
                      value = word.substr(equals == std::string::npos ? 0 : equals + 1);
    if (holds_secret(value))
      return fail(ErrorCode::invalid_argument,
                  "{}: holds a secret, which `ps` would show; write the {} into a file, FILE.yml", key, what);
    if (masked_url(value) != value)
      return fail(
          ErrorCode::invalid_argument,
          "{}={}: holds a secret, which `ps` would show; put it into a file, and give password-file{}", key,
          masked_url(value), what == "source" ? " or url-file" : "");
  }
  return {};
}

}  // namespace

std::string take_name(std::vector<std::string>& words) {
  if (words.empty() || words[0].starts_with("-")) return {};
  std::string name = std::move(words[0]);
  words.erase(words.begin());
  return name;
}

std::vector<std::string> as_settings(const std::vector<std::string>& words) {
  std::vector<std::string> settings;
  for (size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with("--")) {
      settings.push_back(words[i]);
      continue;
    }
    std::string setting = words[i].substr(2);
    if (!setting.contains('=')) {
      const bool has_value = i + 1 < words.size() && !words[i + 1].starts_with("--");
      setting += "=" + (has_value ? words[++i] : "true");
    }
    settings.push_back(std::move(setting));
  }
  return settings;
}

Result<module::SinkSpec> sink_entry(std::string_view type, std::span<const std::string> words) {
  if (Status known = known_type(type, module::sink_variants(), "sink", module::is_sink_available); !known)
    return forward_error(known);
  if (Status safe = refuse_secrets("sink", words); !safe) return forward_error(safe);
  auto entry = Reading("sinks", type).read(words);
  if (!entry) return forward_error(entry);
  module::SinkSpec spec;
  module::read(*entry, entry_schema("sinks"), &spec);
  return spec;
}

Result<module::SourceSpec> source_entry(std::string_view type, std::span<const std::string> words) {
  if (Status known = known_type(type, module::source_variants(), "source", module::is_source_available);
      !known)
    return forward_error(known);
  if (Status safe = refuse_secrets("source", words); !safe) return forward_error(safe);
  auto entry = Reading("source", type).read(words);
  if (!entry) return forward_error(entry);
  module::SourceSpec spec;
  module::read(*entry, entry_schema("source"), &spec);
  return spec;
}

Result<std::shared_ptr<ParamSet>> source_params(const adapters::SourceDesc& desc,
                                                std::span<const std::string> words) {
  auto spec = source_entry(desc.name, words);
  if (!spec) return forward_error(spec);
  return module::adapter_params(desc.params, spec->properties, desc.name);
}

std::string sink_help(std::string_view type) { return help("sinks", type); }
std::string source_help(std::string_view type) { return help("source", type); }
std::string sink_list() { return list_of(module::sink_variants(), module::is_sink_available); }
std::string source_list() { return list_of(module::source_variants(), module::is_source_available); }

}  // namespace sightglass::cli
