// The types of elements that a description may name, and what each takes. Their properties are those of the
// element or bin behind the type, from its descriptor; the few that the module adds or sets itself are here.
//
//   const ElementType* type = find_element_type("detector");   // element "object_detect"
//   for (const Key& key : property_keys(*type)) …              // threshold, batch_size, …
//
// Constant tables; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/module/schema.h"

namespace sightglass::module {

struct ElementType {
  std::string name;
  std::string element;  // bin or element of this library behind it; empty: none
  std::string doc;
  bool takes_model = false, needs_model = false;
  bool takes_function = false;  // and needs one
  bool finds_objects = false;
  bool selects = true;  // has `select`
};

const std::vector<ElementType>& element_types();
const ElementType* find_element_type(std::string_view name);  // null: unknown, or "gst:FACTORY"
inline constexpr std::string_view gst_prefix = "gst:";

// What may stand under `properties`.
std::vector<Key> property_keys(const ElementType& type);
// The parameter of the element behind the type that a property sets, by its name in the description; null:
// one that the module itself understands (`attributes`, `max_per_stream`, decoders' properties).
const ParamDesc* property_param(const ElementType& type, std::string_view property);

// All types with their properties, as variants of the key `type`; and "gst:FACTORY" by introspection.
std::vector<Variant> element_variants();
std::optional<Variant> gst_variant(const std::string& type);

// The functions that are delivered, with their parameters, as `preprocess` and `postprocess` take them by
// name.
struct BuiltinFunction {
  std::string name, hook, doc;  // hook: region, prepare, decode
  std::vector<Key> parameters;
};
const std::vector<BuiltinFunction>& builtin_functions();

}  // namespace sightglass::module
