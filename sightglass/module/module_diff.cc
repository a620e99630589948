#include "sightglass/module/module_diff.h"

#include <algorithm>
#include <format>

#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

class Comparison {
 public:
  explicit Comparison(std::vector<Change>& changes) : changes_(changes) {}

  void compare(const Value* before, const Value* after, const Schema* schema, const std::string& path,
               Mutability effect) {
    if (before && after && *before == *after) return;
    if (schema && schema->kind == Kind::any) schema = chosen(*schema, after ? *after : *before);
    const bool are_maps = (!before || before->entries()) && (!after || after->entries());
    const bool is_map = schema && (schema->kind == Kind::map || schema->kind == Kind::table);
    if (are_maps && is_map && (before || after)) return maps(before, after, *schema, path, effect);
    if (before && after && before->items() && after->items() && schema && schema->kind == Kind::list &&
        are_named(*before) && are_named(*after))
      return lists(*before, *after, *schema, path, effect);
    changes_.push_back({path, before ? before->to_json() : "", after ? after->to_json() : "", effect});
  }

 private:
  static const Schema* chosen(const Schema& schema, const Value& value) {
    for (const auto& one : schema.alternatives) {
      if (value.entries() && (one->kind == Kind::map || one->kind == Kind::table)) return one.get();
      if (value.items() && one->kind == Kind::list) return one.get();
    }
    return nullptr;
  }
  static bool are_named(const Value& list) {
    return std::ranges::all_of(
        *list.items(), [](const Value& item) { return item.find("name") && item.find("name")->text(); });
  }
  static const Value* named(const Value& list, const std::string& name) {
    for (const Value& item : *list.items())
      if (*item.find("name")->text() == name) return &item;
    return nullptr;
  }

  void maps(const Value* before, const Value* after, const Schema& schema, const std::string& path,
            Mutability effect) {
    // What is a whole new thing is one change.
    const bool is_table_entry = !before || !after;
    if (is_table_entry && schema.kind == Kind::map && !schema.name.empty()) {
      changes_.push_back({path, before ? before->to_json() : "", after ? after->to_json() : "", effect});
      return;
    }
    std::vector<std::string> names;
    for (const Value* map : {before, after})
      if (map)
        for (const auto& entry : *map->entries())
          if (!std::ranges::contains(names, entry.first)) names.push_back(entry.first);
    std::optional<Variant> storage;
    const auto keys = keys_of(schema, after ? *after : *before, storage);
    for (const auto& name : names) {
      const Value* old = before ? before->find(name) : nullptr;
      const Value* now = after ? after->find(name) : nullptr;
      const Schema* below = schema.kind == Kind::table ? schema.items.get() : nullptr;
      Mutability how = effect;
      if (const auto key = std::ranges::find(keys, name, [](const Key* k) { return k->name; });
          key != keys.end()) {
        below = (*key)->type.get();
        if ((*key)->mutability != Mutability::inherited) how = (*key)->mutability;
      }
      compare(old, now, below, path.empty() ? name : std::format("{}.{}", path, name), how);
    }
  }

  void lists(const Value& before, const Value& after, const Schema& schema, const std::string& path,
             Mutability effect) {
    std::vector<std::string> common_before, common_after;
    for (const Value& item : *before.items()) {
      const auto& name = *item.find("name")->text();
      const Value* now = named(after, name);
      compare(&item, now, schema.items.get(), std::format("{}.{}", path, name), effect);
      if (now) common_before.push_back(name);
    }
    for (const Value& item : *after.items()) {
      const auto& name = *item.find("name")->text();
      if (named(before, name))
        common_after.push_back(name);
      else
        compare(nullptr, &item, schema.items.get(), std::format("{}.{}", path, name), effect);
    }
    if (common_before != common_after) changes_.push_back({path, order(before), order(after), effect});
  }
  static std::string order(const Value& list) {
    Value names = Value::list();
    for (const Value& item : *list.items()) names.add(*item.find("name"));
    return names.to_json();
  }

  std::vector<Change>& changes_;
};

// The defaults of secret parameters, hidden but told apart.
Value masked(const ModuleSpec& spec, const char* mask) {
  ModuleSpec copy = spec;
  for (auto& entry : copy.parameters)
    if (entry.second.secret && !entry.second.default_value.is_null()) entry.second.default_value = mask;
  return write_spec(copy);
}

bool same_secrets(const ModuleSpec& before, const ModuleSpec& after) {
  for (const auto& [name, parameter] : before.parameters)
    for (const auto& [other, now] : after.parameters)
      if (name == other && parameter.secret && !(parameter.default_value == now.default_value)) return false;
  return true;
}

}  // namespace

std::string Change::to_string() const {
  const auto shown = [](const std::string& json) {
    return json.size() > 120 ? json.substr(0, 117) + "…" : json;
  };
  const std::string start = std::format("{:<10} {}", module::to_string(effect), path);
  if (before.empty()) return std::format("{}: {} (new)", start, shown(after));
  if (after.empty()) return std::format("{}: {} (gone)", start, shown(before));
  return std::format("{}: {} → {}", start, shown(before), shown(after));
}

std::vector<Change> differences(const ModuleSpec& before, const ModuleSpec& after) {
  std::vector<Change> changes;
  const Value old = masked(before, "***");
  const Value now = masked(after, same_secrets(before, after) ? "***" : "*** (changed)");
  Comparison(changes).compare(&old, &now, &module_schema(), "", Mutability::restart);
  return changes;
}

}  // namespace sightglass::module
