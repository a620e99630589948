#include "sightglass/module/module_file.h"

#include "sightglass/module/references.h"
#include "sightglass/module/spec_schema.h"
#include "sightglass/module/yaml_reader.h"

namespace sightglass::module {
namespace {

// Nulls of `over` take away what is there.
void override_with(Value& target, const Value& over) {
  for (const auto& [key, value] : *over.entries()) {
    const Value* old = target.find(key);
    if (value.is_null()) {
      Value::Map rest;
      for (const auto& entry : *target.entries())
        if (entry.first != key) rest.push_back(entry);
      Value without = Value::map(std::move(rest));
      without.origin = target.origin;
      without.key_origin = target.key_origin;
      target = std::move(without);
    } else if (old && old->entries() && value.entries()) {
      Value merged = *old;
      override_with(merged, value);
      target.set(key, std::move(merged));
    } else {
      target.set(key, value);
    }
  }
}

// Models that stand in an element get a name of their own: the element's, or that with a number behind it.
Value with_models_named(const Value& tree) {
  const Value* pipeline = tree.find("pipeline");
  const Value* elements = pipeline ? pipeline->find("elements") : nullptr;
  const auto* items = elements ? elements->items() : nullptr;
  if (!items) return tree;
  Value models = tree.find("models") ? *tree.find("models") : Value();
  Value named = Value::list();
  bool any = false;
  for (const Value& item : *items) {
    const Value* model = item.find("model");
    const Value* name = item.find("name");
    if (!model || !model->entries() || (!models.is_null() && !models.entries())) {
      named.add(item);
      continue;
    }
    const std::string wanted = name && name->text() ? *name->text() : "model";
    std::string free = wanted;
    for (int n = 2; models.find(free); ++n) free = wanted + std::to_string(n);
    models.set(free, *model);
    Value reference = free;
    reference.origin = model->origin;
    reference.key_origin = model->key_origin;
    Value changed = item;
    changed.set("model", std::move(reference));
    named.add(std::move(changed));
    any = true;
  }
  if (!any) return tree;
  named.origin = elements->origin;
  named.key_origin = elements->key_origin;
  Value result = tree, around = *pipeline;
  around.set("elements", std::move(named));
  result.set("pipeline", std::move(around));
  result.set("models", std::move(models));
  return result;
}

}  // namespace

Result<ModuleSpec> Loaded::result() const {
  if (value) return *value;
  return std::unexpected(diagnostics.to_error());
}

Loaded load_module_text(std::string_view text, const std::string& name, const std::filesystem::path& folder,
                        const LoadOptions& options) {
  Loaded loaded;
  Diagnostics& found = loaded.diagnostics;
  Value tree =
      options.includes ? read_yaml_with_includes(text, name, folder, found) : read_yaml(text, name, found);
  if (const Value* include = options.includes ? nullptr : tree.find("include"))
    found.error(include->key_origin, "include", "other files are not read here");
  const bool is_read = !found.has_errors();
  if (tree.is_null() && is_read)
    found.error({std::make_shared<const std::string>(name), 1, 1}, "", "nothing is described here");
  if (!tree.is_null() && !tree.entries())
    found.error(tree.origin, "", "expects a map of keys, got " + tree.type_name());
  if (!tree.entries()) return loaded;
  CheckOptions checks = options.checks;
  if (options.overrides.entries()) {
    // What is replaced for this run has used its parameters nevertheless.
    checks.used_parameters = referenced_parameters(tree);
    override_with(tree, options.overrides);
  }
  // Checked where it stands, before models are moved away from there.
  validate(tree, module_schema(), Path(), found, &module_schema());
  loaded.tree = with_models_named(tree);
  ModuleSpec spec = read_spec(loaded.tree);
  spec.folder = folder.string();
  // What is not there because it is misspelt need not be missed as well.
  checks.names = checks.names && !found.has_errors();
  check_meaning(spec, loaded.tree, checks, found);
  found.sort();
  if (!found.has_errors()) loaded.value = std::move(spec);
  return loaded;
}

Loaded load_module(const std::filesystem::path& file, const LoadOptions& options) {
  auto text = read_text_file(file, YamlLimits{}.bytes);
  if (text) return load_module_text(*text, file.string(), file.parent_path(), options);
  Loaded loaded;
  loaded.diagnostics.error({}, "", text.error().message);
  return loaded;
}

}  // namespace sightglass::module
