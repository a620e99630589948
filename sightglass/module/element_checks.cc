#include "sightglass/module/element_checks.h"

#include <algorithm>
#include <filesystem>
#include <format>

#include "sightglass/gst/factory_info.h"
#include "sightglass/model/description.h"
#include "sightglass/model/store.h"
#include "sightglass/module/element_types.h"
#include "sightglass/module/model_schema.h"
#include "sightglass/module/reference_checks.h"
#include "sightglass/module/spec_schema.h"

namespace sightglass::module {
namespace {

namespace fs = std::filesystem;

// Namespaces that mean something else.
constexpr std::string_view reserved_names[] = {"tag", "track", "stream", "frame", "error"};

// In front of a model it may say which size its picture has.
const Schema& function_around_a_model(bool is_in_front) {
  static const SchemaRef plain = function_schema();
  static const Schema sized = [] {
    Schema schema = *plain;
    auto sides = Schema::of_kind(Kind::integer);
    sides->min = 1, sides->max = 4096, sides->unit = "px";
    auto size = Schema::list_of(std::move(sides));
    size->min_items = size->max_items = 2;
    schema.keys.push_back(
        {.name = "size",
         .doc = "width and height of the picture that prepare is given; default: the model's",
         .type = std::move(size)});
    return schema;
  }();
  return is_in_front ? sized : *plain;
}

class ElementChecks {
 public:
  ElementChecks(const ModuleSpec& spec, const Value& tree, const CheckOptions& options, Diagnostics& found)
      : spec_(spec), tree_(tree), options_(options), found_(found) {}

  std::set<std::string> models, groups;

  void run() {
    std::set<std::string> names;
    // Messages of other programs may bring objects along.
    bool finds_objects = std::ranges::any_of(spec_.pipeline.sources, [](const SourceSpec& source) {
      return source.type == "zeromq" || source.type == "kafka";
    });
    for (size_t i = 0; i < spec_.pipeline.elements.size(); ++i) {
      element_ = &spec_.pipeline.elements[i];
      path_ = (Path() / "pipeline" / "elements")[i];
      if (!element_->name.empty() && !names.insert(element_->name).second)
        error("name", std::format("a second element is called {}", element_->name));
      if (std::ranges::contains(reserved_names, element_->name))
        error("name", std::format("'{}' means something else where results are named", element_->name));
      const ElementType* type = find_element_type(element_->type);
      if (type && type->name == "tracker" && !finds_objects)
        error("type", "a tracker needs a detector before it");
      if (type)
        of_type(*type);
      else if (element_->type.starts_with(gst_prefix))
        of_factory();
      finds_objects = finds_objects || !type || type->finds_objects;
      rest();
    }
  }

 private:
  Origin origin_of(const Path& path) const {
    const Value& value = *path.nearest(tree_);
    return value.origin.file ? value.origin : element_->origin;
  }
  void error(std::string_view key, std::string message, std::string suggestion = {}) {
    const Path path = path_ / key;
    found_.error(origin_of(path), path.to_string(), std::move(message), std::move(suggestion));
  }
  // Of a key that is there, but should not.
  void not_used(std::string_view key, std::string_view why) {
    const Path path = path_ / key;
    const Value& value = *path.nearest(tree_);
    found_.error(value.key_origin.file ? value.key_origin : origin_of(path), path.to_string(),
                 std::format("is not used by {}", why));
  }

  const ModelSpec* model() const {
    const auto found =
        std::ranges::find(spec_.models, element_->model, [](const auto& entry) { return entry.first; });
    return found == spec_.models.end() ? nullptr : &found->second;
  }

  void of_type(const ElementType& type) {
    const std::string of = "an element of type " + type.name;
    if (!element_->model.empty()) {
      if (type.takes_model)
        of_model(type);
      else
        not_used("model", of);
      models.insert(element_->model);
    } else if (type.needs_model && options_.names) {
      error("type", std::format("a {} needs a model", type.name));
    }
    if (element_->function && !type.takes_function) not_used("function", of);
    if (type.takes_function) {
      const std::string language = type.name == "cppfunc" ? "cpp" : "python";
      if (!element_->function && options_.names)
        error("type", std::format("a {} needs a function", type.name));
      if (element_->function && element_->function->language != language)
        error("function", std::format("{} takes a function in {}, this one is in {}", type.name, language,
                                      element_->function->language));
    }
    const bool runs_model = type.needs_model;
    if (!element_->preprocess.empty() && !runs_model) not_used("preprocess", of);
    if (!element_->postprocess.empty() && !runs_model) not_used("postprocess", of);
    if (!element_->keep.is_null() && !type.finds_objects) not_used("keep", of);
    if (element_->reuse_growth != 0 && type.name != "attribute_model") not_used("reuse_growth", of);
    if (element_->reuse_growth != 0 && element_->reuse_growth <= 1)
      error("reuse_growth", "is a factor above 1, or 0 for off");
    if (!element_->tag.empty() && type.name != "zones" && type.name != "lines") not_used("tag", of);
    if (type.name == "zones" || type.name == "lines") {
      const Value* shapes = element_->properties.find(type.name);
      if (!shapes && options_.names)
        error("type", std::format("there are no {0} in properties.{0}", type.name));
    }
    if (const Value* attributes = element_->properties.find("attributes")) of_attributes(*attributes);
  }

  void of_model(const ElementType& type) {
    const ModelSpec* spec = model();
    if (!spec) {
      if (!options_.names) return;
      std::vector<std::string> known;
      known.reserve(spec_.models.size());
      for (const auto& entry : spec_.models) known.push_back(entry.first);
      error("model", std::format("no model is called {}", element_->model),
            nearest_name(element_->model, known));
      return;
    }
    if (type.name == "detector" && has_angle(*spec))
      error("model",
            std::format("{} finds boxes with an angle, which is for the type rotated_object_detector",
                        element_->model));
  }

  bool has_angle(const ModelSpec& spec) const {
    const auto is_oriented = [](const Value& output) {
      const Value* task = output.find("task");
      return task && task->text() && *task->text() == "obb";
    };
    if (const Value* outputs = spec.document.find("output")) {
      if (outputs->items() && std::ranges::any_of(*outputs->items(), is_oriented)) return true;
      if (is_oriented(*outputs)) return true;
    }
    // What the model says of itself.
    if (spec.path.empty() || spec.path.find("${") != std::string::npos || !options_.files) return false;
    std::error_code failed;
    fs::path file = fs::path(spec_.folder) / spec.path;
    if (!is_regular_file(file, failed)) {
      const auto stored = resolve_model(spec.path);
      if (!stored) return false;
      file = *stored;
    }
    const auto info = describe_model(file, {});
    return info && std::ranges::any_of(info->outputs, [](const OutputInfo& output) {
             const auto task = output.properties.find("task");
             return task != output.properties.end() && task->second && *task->second == "obb";
           });
  }

  // Names of attributes are those of the model's outputs, where its description is here.
  void of_attributes(const Value& attributes) {
    const ModelSpec* spec = model();
    const Value* outputs = spec ? spec->document.find("output") : nullptr;
    if (!outputs || !outputs->items() || !attributes.entries()) return;
    std::vector<std::string> known;
    for (const Value& output : *outputs->items())
      for (const char* key : {"attribute", "attribute_name"})
        if (const Value* name = output.find(key); name && name->text()) known.push_back(*name->text());
    if (known.empty()) return;
    for (const auto& [name, rule] : *attributes.entries())
      if (!std::ranges::contains(known, name))
        found_.error(rule.key_origin.file ? rule.key_origin : element_->origin,
                     (path_ / "properties" / "attributes" / name).to_string(),
                     std::format("the model {} gives no attribute called {}", element_->model, name),
                     nearest_name(name, known));
  }

  void of_factory() {
    const std::string of = "an element of GStreamer";
    const std::string name = element_->type.substr(gst_prefix.size());
    if (!element_->model.empty()) not_used("model", of), models.insert(element_->model);
    if (element_->function) not_used("function", of);
    if (!element_->select.is_null()) not_used("select", of);
    if (!element_->keep.is_null()) not_used("keep", of);
    if (!element_->preprocess.empty()) not_used("preprocess", of);
    if (!element_->postprocess.empty()) not_used("postprocess", of);
    if (element_->reuse_growth != 0) not_used("reuse_growth", of);
    if (!element_->tag.empty()) not_used("tag", of);
    const auto info = gst::factory_info(name);
    if (!info) {
      error("type", info.error().message, nearest_name(name, gst::factory_names()));
    } else if ((*info)->plugs_pads_later) {
      error("type",
            std::format("{} plugs pads while it runs, which the pipeline of a stream cannot: decoders are "
                        "chosen by the module",
                        name));
    } else if (!(*info)->can_stand_in_line()) {
      error("type", std::format("{} has {} inputs and {} outputs; an element in line has one of each", name,
                                (*info)->static_inputs, (*info)->static_outputs));
    }
  }

  void rest() {
    if (!element_->group.empty()) {
      groups.insert(element_->group);
      std::vector<std::string> known;
      known.reserve(spec_.groups.size());
      for (const auto& entry : spec_.groups) known.push_back(entry.first);
      if (options_.names && !std::ranges::contains(known, element_->group))
        error("group", std::format("no group is called {}", element_->group),
              nearest_name(element_->group, known));
    }
    check_selector(element_->select, "select", false, spec_, path_ / "select", found_);
    check_selector(element_->keep, "keep", false, spec_, path_ / "keep", found_);
    check_selector(element_->when, "when", true, spec_, path_ / "when", found_);
    if (element_->function)
      check_function(*element_->function, spec_, options_, path_ / "function", tree_, found_);
    functions(element_->preprocess, "preprocess");
    functions(element_->postprocess, "postprocess");
  }

  // A name, {name: {parameters}} or a function.
  void functions(const std::vector<Value>& list, std::string_view key) {
    std::vector<std::string> known;
    for (const auto& function : builtin_functions()) known.push_back(function.name);
    for (size_t i = 0; i < list.size(); ++i) {
      const Value& value = list[i];
      const Path path = (path_ / key)[i];
      if (value.text()) {
        of_hook(*value.text(), key, value.origin, path);
        continue;
      }
      if (!value.entries()) continue;
      if (value.find("path") || value.find("symbol") || value.find("language")) {
        validate(value, function_around_a_model(key == "preprocess"), path, found_, &module_schema());
        FunctionSpec function;
        read(value, *function_schema(), &function);
        check_function(function, spec_, options_, path, tree_, found_);
        continue;
      }
      if (value.entries()->size() != 1) {
        found_.error(value.origin, path.to_string(),
                     "expects one function: its name, {NAME: {…}}, or {path, symbol, …}");
        continue;
      }
      const auto& [name, parameters] = value.entries()->front();
      const auto builtin = std::ranges::find(builtin_functions(), name, &BuiltinFunction::name);
      if (builtin == builtin_functions().end()) {
        found_.error(parameters.key_origin.file ? parameters.key_origin : value.origin,
                     (path / name).to_string(), std::format("there is no function called {}", name),
                     nearest_name(name, known));
        continue;
      }
      of_hook(name, key, value.origin, path);
      auto schema = Schema::of_kind(Kind::map);
      schema->keys = builtin->parameters;
      validate(parameters, *schema, path / name, found_, &module_schema());
    }
  }

  // In front of a model or behind it.
  void of_hook(const std::string& name, std::string_view key, const Origin& origin, const Path& path) {
    const auto builtin = std::ranges::find(builtin_functions(), name, &BuiltinFunction::name);
    if (builtin == builtin_functions().end()) return;  // said by the schema
    const bool is_behind = builtin->hook == "decode";
    if (is_behind != (key == "postprocess"))
      found_.error(
          origin, path.to_string(),
          std::format("{} works {} the model, so it belongs to {}", name,
                      is_behind ? "behind" : "in front of", is_behind ? "postprocess" : "preprocess"));
  }

  const ModuleSpec& spec_;
  const Value& tree_;
  const CheckOptions& options_;
  Diagnostics& found_;
  const ElementSpec* element_ = nullptr;
  Path path_;
};

// A file beside the description, or a name that the store knows.
void check_model_file(const ModelSpec& model, const std::string& folder, const Origin& origin,
                      const Path& path, Diagnostics& found) {
  std::error_code failed;
  const fs::path file = fs::path(folder) / model.path;
  if (is_regular_file(file, failed) || resolve_model(model.path)) return;
  const auto manifests = known_manifests();
  std::vector<std::string> names;
  if (manifests)
    for (const Manifest& manifest : *manifests)
      if (manifest.kind == ManifestKind::model) names.push_back(manifest.name);
  if (std::ranges::contains(names, model.path))
    found.warning(origin, path.to_string(),
                  std::format("{0} has not been fetched yet: `sightglass models fetch {0}`", model.path));
  else
    found.error(origin, path.to_string(),
                std::format("{}: no such file, and no model by that name", file.string()),
                model.path.find_first_of("/.") == std::string::npos ? nearest_name(model.path, names) : "");
}

}  // namespace

void check_elements(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                    std::set<std::string>& models, std::set<std::string>& groups, Diagnostics& found) {
  ElementChecks checks(spec, tree, options, found);
  checks.run();
  models = std::move(checks.models);
  groups = std::move(checks.groups);
}

void check_models(const ModuleSpec& spec, const Value& tree, const CheckOptions& options,
                  Diagnostics& found) {
  const Value defaults = default_parameters(spec);
  for (const auto& [name, model] : spec.models) {
    const Path path = Path() / "models" / name;
    const auto origin_of = [&](const Path& place) {
      const Value& value = *place.nearest(tree);
      return value.origin.file ? value.origin : model.origin;
    };
    const auto error = [&](std::string_view key, std::string message) {
      found.error(origin_of(path / key), (path / key).to_string(), std::move(message));
    };
    if (model.path.empty() == model.url.empty() && options.names)
      found.error(origin_of(path), path.to_string(), "needs either path or url");
    if (!model.url.empty()) {
      if (model.sha256.empty()) error("url", "needs the file's checksum beside it: sha256");
      const bool is_known = std::ranges::any_of(
          std::initializer_list<std::string_view>{"file://", "http://", "https://", "s3://", "${"},
          [&](std::string_view scheme) { return model.url.starts_with(scheme); });
      if (!is_known) error("url", "expects file://, http://, https:// or s3://, got '" + model.url + "'");
    } else if (!model.auth.is_null()) {
      error("auth", "is not used without url");
    }
    if (options.files && !model.path.empty() && model.path.find("${") == std::string::npos)
      check_model_file(model, spec.folder, origin_of(path / "path"), path / "path", found);
    // What the schema has refused need not be refused again.
    Diagnostics wrong;
    const auto document = resolve(model.document, default_scope(spec, defaults));
    if (!document || !document->entries()) continue;
    auto schema = Schema::of_kind(Kind::map);
    schema->keys = model_document_keys();
    validate(*document, *schema, path, wrong);
    if (!wrong.has_errors()) check_model_document(*document, spec.folder, path, found);
  }
}

}  // namespace sightglass::module
