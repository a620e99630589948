#include "sightglass/module/element_types.h"

#include <algorithm>

#include "sightglass/bins/bin.h"
#include "sightglass/core/registry.h"
#include "sightglass/elements/functions/function.h"
#include "sightglass/gst/factory_info.h"

namespace sightglass::module {
namespace {

// Set by the module from the keys beside `properties`, or older names of others.
const std::vector<std::string>& set_by_module() {
  static const std::vector<std::string> names = {"model",
                                                 "model-proc",
                                                 "model-instance-id",
                                                 "device",
                                                 "labels",
                                                 "labels-file",
                                                 "config",
                                                 "select",
                                                 "when",
                                                 "preprocess-functions",
                                                 "reuse-growth",
                                                 "tracking-type",
                                                 "write-states",
                                                 "write-roi-meta"};
  return names;
}

const ParamTable* table_of(std::string_view element) {
  if (const auto* bin = find_bin(element)) return &bin->params;
  const auto* desc = find_element(element);
  return desc ? &desc->params : nullptr;
}

Key made(std::string name, std::string doc, std::shared_ptr<Schema> type, Value default_value = {}) {
  type->may_refer = true;
  return {.name = std::move(name),
          .doc = std::move(doc),
          .type = std::move(type),
          .default_value = std::move(default_value),
          .mutability = Mutability::recycle};
}
std::shared_ptr<Schema> number(double least, double most, std::string unit = {}) {
  auto schema = Schema::of_kind(Kind::number);
  schema->min = least, schema->max = most, schema->unit = std::move(unit);
  return schema;
}
std::shared_ptr<Schema> whole(double least, double most) {
  auto schema = Schema::of_kind(Kind::integer);
  schema->min = least, schema->max = most;
  return schema;
}
std::shared_ptr<Schema> numbers(size_t count) {
  auto schema = Schema::list_of(Schema::of_kind(Kind::number));
  schema->min_items = schema->max_items = count;
  return schema;
}

Key live(Key key) {
  key.mutability = Mutability::live;
  key.type->may_bind = key.type->kind == Kind::number || key.type->kind == Kind::integer;
  return key;
}

// {NAME: {threshold, top_k, hidden}}
Key attributes_key() {
  auto one = Schema::of_kind(Kind::map);
  one->name = "attribute_rule";
  one->keys = {live(made("threshold", "least confidence with which it is written", number(0, 1))),
               live(made("top_k", "classes that are written, the best; 0: as the model's description says",
                         whole(0, 1000))),
               live(made("hidden", "seen by elements, not by sinks", Schema::of_kind(Kind::boolean), false))};
  auto table = Schema::table_of(one);
  return {.name = "attributes",
          .doc = "by the name of an attribute, what differs from the model's output of that name",
          .type = table,
          .mutability = Mutability::live};
}

// A shape by name, or by a pattern of source ids the shapes of those sources.
Key shapes_key(const std::string& name, size_t least_points, size_t most_points, const std::string& doc) {
  auto points = Schema::list_of(numbers(2));
  points->may_refer = true;
  points->min_items = least_points, points->max_items = most_points;
  points->name = least_points == 2 ? "line" : "polygon";
  auto of_pattern = Schema::table_of(points);
  of_pattern->doc = "the key is a pattern of source ids: shapes of the streams whose id matches";
  auto table = Schema::table_of(Schema::one_of({points, of_pattern}));
  table->may_refer = true;
  return {.name = name, .doc = doc, .type = table, .mutability = Mutability::live};
}

// Properties that a type takes beside those of its element; they win over them.
std::vector<Key> own_keys(const ElementType& type) {
  std::vector<Key> keys;
  if (type.element == "object_detect" || type.element == "video_inference") {
    // Of the decoder, where the model's description leaves them open.
    const auto* yolo = find_element("tensor_postproc_yolo");
    for (const char* name : {"nms-per-class", "max-objects", "iou-threshold"})
      if (const ParamDesc* param = yolo ? yolo->params.find(name) : nullptr) keys.push_back(key_of(*param));
  }
  if (type.takes_model) {
    keys.push_back(
        made("max_per_stream", "requests of one stream in a batch; 0: any number", whole(0, 1024), 0));
  }
  if (type.takes_model || type.takes_function) {
    auto names = Schema::list_of(Schema::of_kind(Kind::text));
    keys.push_back(
        {.name = "hidden",
         .doc = "what the element writes, or these attributes of it, is seen by elements, not by sinks",
         .type = Schema::one_of({Schema::of_kind(Kind::boolean), names}),
         .default_value = false,
         .mutability = Mutability::recycle});
  }
  if (type.name == "attribute_model" || type.name == "complex_model") keys.push_back(attributes_key());
  if (type.name == "zones")
    keys.push_back(
        shapes_key("zones", 3, 1024, "polygons by name, in pixels or 0..1: [[x, y], [x, y], [x, y], …]"));
  if (type.name == "lines")
    keys.push_back(
        shapes_key("lines", 2, 2,
                   "lines by name, in pixels or 0..1: [[x, y], [x, y]]; forward is from the left of who "
                   "looks from the first point to the second to the right"));
  return keys;
}

std::vector<std::string> left_out(const ElementType& type) {
  auto names = set_by_module();
  if (type.element == "object_analytics")
    for (const char* name : {"config", "zones", "lines"}) names.emplace_back(name);
  return names;
}

}  // namespace

const std::vector<ElementType>& element_types() {
  static const std::vector<ElementType> types = {
      {"detector", "object_detect", "Finds objects with a model.", true, true, false, true, true},
      {"rotated_object_detector", "object_detect", "Finds objects as boxes with an angle, with a model.",
       true, true, false, true, true},
      {"attribute_model", "object_classify",
       "Says more of the selected objects: classes, values, embeddings.", true, true, false, false, true},
      {"complex_model", "video_inference",
       "A model with several outputs: objects with key points, plates with text.", true, true, false, true,
       true},
      {"instance_segmentation", "video_inference", "Finds objects with their masks, with a model.", true,
       true, false, true, true},
      {"tracker", "object_track",
       "Follows objects from frame to frame and numbers them; behind a detector. A model of its own is for "
       "appearance.",
       true, false, false, false, true},
      {"zones", "object_analytics",
       "Who is in which zone, since when; events when somebody enters or leaves.", false, false, false, false,
       true},
      {"lines", "object_analytics", "Counts who crosses lines, per direction.", false, false, false, false,
       true},
      {"pyfunc", "", "A function in Python.", false, false, true, true, true},
      {"cppfunc", "", "A function in C++.", false, false, true, true, true},
  };
  return types;
}

const ElementType* find_element_type(std::string_view name) {
  const auto found = std::ranges::find(element_types(), name, &ElementType::name);
  return found == element_types().end() ? nullptr : &*found;
}

std::vector<Key> property_keys(const ElementType& type) {
  auto keys = own_keys(type);
  if (const auto* table = table_of(type.element))
    for (Key& key : keys_of(*table, left_out(type)))
      if (!std::ranges::contains(keys, key.name, &Key::name)) keys.push_back(std::move(key));
  return keys;
}

const ParamDesc* property_param(const ElementType& type, std::string_view property) {
  const auto* table = table_of(type.element);
  const auto* param = table ? table->find(property) : nullptr;
  return param && !std::ranges::contains(set_by_module(), param->name) ? param : nullptr;
}

namespace {

Variant variant(std::string name, std::string doc, std::vector<Key> keys) {
  auto properties = Schema::of_kind(Kind::map);
  properties->keys = std::move(keys);
  Variant made_variant{.name = std::move(name), .doc = std::move(doc)};
  made_variant.keys.push_back(
      {.name = "properties", .doc = "of the element behind the type", .type = properties});
  return made_variant;
}

}  // namespace

std::vector<Variant> element_variants() {
  std::vector<Variant> variants;
  for (const ElementType& type : element_types())
    variants.push_back(variant(type.name, type.doc, property_keys(type)));
  return variants;
}

std::optional<Variant> gst_variant(const std::string& type) {
  if (!type.starts_with(gst_prefix)) return std::nullopt;
  const auto info = gst::factory_info(std::string_view(type).substr(gst_prefix.size()));
  // That there is none is said once, by the checks; its properties then are anything.
  if (!info) {
    auto any = variant(type, "", {});
    any.keys[0].type->is_open = true;
    return any;
  }
  ParamTable table;
  table.params = (*info)->params;
  return variant(type, (*info)->doc, keys_of(table));
}

const std::vector<BuiltinFunction>& builtin_functions() {
  static const auto functions = [] {
    std::vector<BuiltinFunction> list;
    for (const FunctionDesc& desc : all_functions())
      list.push_back({desc.name, std::string(to_string(desc.hook)), desc.doc, keys_of(desc.params)});
    return list;
  }();
  return functions;
}

}  // namespace sightglass::module
