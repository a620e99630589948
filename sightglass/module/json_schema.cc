#include <format>
#include <set>

#include <nlohmann/json.hpp>

#include "sightglass/module/references.h"
#include "sightglass/module/schema_text.h"

namespace sightglass::module {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* reference_pattern =
    R"(^\$\{(parameters\.[a-z_][a-z0-9_]*|module\.name|stream\.source_id)\}$)";
constexpr const char* embedded_pattern =
    R"(\$\{(parameters\.[a-z_][a-z0-9_]*|module\.name|stream\.source_id)\})";

class Writer {
 public:
  std::string run(const Schema& schema) {
    Json root;
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    root["title"] = "Sightglass module";
    root["description"] = schema.doc;
    Json content = map(schema);
    for (auto& [key, value] : content.items()) root[key] = value;
    if (uses_reference_)
      definitions_["reference"] = {
          {"type", "string"}, {"pattern", reference_pattern}, {"description", "the value of a parameter"}};
    if (uses_binding_)
      definitions_["binding"] = Json::parse(R"({
        "type": "object", "additionalProperties": false, "required": ["from", "default"],
        "description": "follows an attribute of the frame",
        "properties": {
          "from": {"type": "string", "pattern": "^[^.]+\\..+$", "description": "NAMESPACE.NAME of the attribute"},
          "map": {"type": "array", "minItems": 1, "maxItems": 256, "description": "[input, output] with rising inputs",
                  "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}},
          "default": {"type": "number", "description": "where a frame does not have it"}}})");
    root["$defs"] = definitions_;
    return root.dump(1) + "\n";
  }

 private:
  // Of a type by name its place in $defs, which is made at the first use.
  Json of(const Schema& schema) {
    if (schema.name.empty()) return plain(schema);
    if (written_.insert(schema.name).second) definitions_[schema.name] = plain(schema);
    return {{"$ref", "#/$defs/" + schema.name}};
  }

  Json plain(const Schema& schema) {
    Json json = content(schema);
    Json choices = Json::array();
    const bool is_text =
        schema.kind == Kind::text || (schema.kind == Kind::any && schema.alternatives.empty());
    if (schema.may_refer && !is_text) {
      uses_reference_ = true;
      choices.push_back({{"$ref", "#/$defs/reference"}});
    } else if (schema.may_refer && schema.kind == Kind::text && !schema.pattern.empty()) {
      choices.push_back({{"type", "string"}, {"pattern", embedded_pattern}});
    }
    if (schema.may_bind) {
      uses_binding_ = true;
      choices.push_back({{"$ref", "#/$defs/binding"}});
    }
    if (choices.empty()) return json;
    choices.insert(choices.begin(), json);
    return {{"anyOf", choices}};
  }

  Json content(const Schema& schema) {
    switch (schema.kind) {
      case Kind::any:
        return any(schema);
      case Kind::boolean:
        return {{"type", "boolean"}};
      case Kind::integer:
        return unit(schema, number(schema, "integer"));
      case Kind::number:
        return number(schema, "number");
      case Kind::text: {
        Json json = {{"type", "string"}};
        if (!schema.pattern.empty()) json["pattern"] = "^(" + schema.pattern + ")$";
        return json;
      }
      case Kind::choice:
        return {{"enum", schema.choices}};
      case Kind::duration:
        return duration(schema);
      case Kind::bytes:
        return quantity("^[0-9]+(\\.[0-9]+)? *(B|kB|MB|GB|KiB|MiB|GiB)?$", "a size such as 64MiB");
      case Kind::rate:
        return quantity("^[0-9]+(\\.[0-9]+)? *(k|M|G)?$", "per second: 2M");
      case Kind::fraction:
        return quantity("^[0-9]{1,9}/[1-9][0-9]{0,8}$", "a fraction such as 30/1",
                        {{"type", "integer"}, {"minimum", 0}, {"maximum", 999'999'999}});
      case Kind::list:
        return list(schema);
      case Kind::map:
        return map(schema);
      case Kind::table: {
        Json json = {{"type", Json::array({"object", "null"})}};
        json["additionalProperties"] = schema.items ? of(*schema.items) : Json(true);
        if (!schema.pattern.empty()) json["propertyNames"] = {{"pattern", "^(" + schema.pattern + ")$"}};
        return json;
      }
    }
    return true;
  }

  Json any(const Schema& schema) {
    if (!schema.definition.empty()) {
      if (written_.insert(schema.definition).second) {
        const Json all = Json::parse(schema.definitions);
        for (const auto& [name, definition] : all.items()) {
          written_.insert(name);
          definitions_[name] = with_references(definition);
        }
      }
      return {{"$ref", "#/$defs/" + schema.definition}};
    }
    if (schema.alternatives.empty()) return Json::object();
    Json list = Json::array();
    for (const auto& one : schema.alternatives) list.push_back(of(*one));
    return {{"anyOf", list}};
  }

  // Numbers and polygons of selectors may be references.
  Json with_references(const Json& json) {
    if (json.is_array()) {
      Json list = Json::array();
      for (const auto& item : json) list.push_back(with_references(item));
      return list;
    }
    if (!json.is_object()) return json;
    Json result = Json::object();
    for (const auto& [key, value] : json.items()) result[key] = with_references(value);
    const bool is_value = result.contains("type") && result["type"] != "string" && result["type"] != "object";
    if (!is_value) return result;
    uses_reference_ = true;
    return {{"anyOf", Json::array({result, {{"$ref", "#/$defs/reference"}}})}};
  }

  Json number(const Schema& schema, const char* type) {
    Json json = {{"type", type}};
    if (schema.min > -1e300 && schema.min > -2147483648.) limit(json, "minimum", schema.min);
    if (schema.max < 4294967295. && schema.max != 2147483647.) limit(json, "maximum", schema.max);
    return json;
  }
  static void limit(Json& json, const char* key, double value) {
    if (value == double(int64_t(value)))
      json[key] = int64_t(value);
    else
      json[key] = value;
  }
  Json unit(const Schema& schema, Json json) {
    if (schema.unit != "%") return json;
    return {{"anyOf", Json::array({json, {{"type", "string"}, {"pattern", "^[0-9]+ *%$"}}})}};
  }

  Json duration(const Schema& schema) {
    std::string pattern = "^[0-9]+(\\.[0-9]+)? *(ns|us|ms|s|m|h|d)$";
    if (schema.may_never) pattern = "^(never|[0-9]+(\\.[0-9]+)? *(ns|us|ms|s|m|h|d))$";
    Json text = {{"type", "string"}, {"pattern", pattern}};
    if (schema.unit == "ns" || schema.unit.empty())
      return {{"anyOf", Json::array({text, {{"const", 0}}})}, {"description", "a duration such as 10ms"}};
    Json whole = number(schema, "number");
    whole["description"] = schema.unit;
    return {{"anyOf", Json::array({text, whole})}};
  }
  static Json quantity(const char* pattern, const char* doc,
                       const Json& number = {{"type", "number"}, {"minimum", 0}}) {
    return {{"anyOf", Json::array({{{"type", "string"}, {"pattern", pattern}}, number})},
            {"description", doc}};
  }

  Json list(const Schema& schema) {
    const Json item = schema.items ? of(*schema.items) : Json(true);
    Json json = {{"type", schema.min_items ? Json("array") : Json::array({"array", "null"})},
                 {"items", item}};
    if (schema.min_items) json["minItems"] = schema.min_items;
    if (schema.max_items < size_t(-1)) json["maxItems"] = schema.max_items;
    return schema.or_single ? Json{{"anyOf", Json::array({json, item})}} : json;
  }

  Json described(const Key& key) {
    Json type = of(*key.type);
    Json json = Json::object();
    // A description beside $ref is allowed since 2019-09.
    for (auto& [name, value] : type.items()) json[name] = value;
    if (!key.doc.empty()) json["description"] = key.doc;
    if (!key.default_value.is_null() && (!key.default_value.text() || !key.default_value.text()->empty()))
      json["default"] = Json::parse(key.default_value.to_json());
    return json;
  }

  Json properties(const std::vector<Key>& keys, Json& required) {
    Json json = Json::object();
    for (const Key& key : keys) {
      json[key.name] = described(key);
      if (key.is_required) required.push_back(key.name);
    }
    return json;
  }

  Json map(const Schema& schema) {
    Json required = Json::array();
    Json json = {{"type", "object"}};
    json["properties"] = properties(schema.keys, required);
    if (schema.variants.empty()) {
      if (!schema.is_open) json["additionalProperties"] = false;
    } else {
      variants(schema, json);
    }
    if (required.empty())
      json["type"] = Json::array({"object", "null"});  // a key without a value is an empty map
    else
      json["required"] = required;
    return json;
  }

  // One branch per value of the tag; what no branch and no common key knows is refused.
  void variants(const Schema& schema, Json& json) {
    Json names = Json::array();
    for (const Variant& variant : schema.variants) names.push_back(variant.name);
    Json tag = schema.find(schema.tag)->doc.empty() ? Json::object()
                                                    : Json{{"description", schema.find(schema.tag)->doc}};
    Json known = {{"enum", names}};
    if (schema.other_pattern.empty())
      tag["enum"] = names;
    else
      tag["anyOf"] = Json::array({known, {{"type", "string"}, {"pattern", schema.other_pattern}}});
    json["properties"][schema.tag] = tag;
    const Key* tag_key = schema.find(schema.tag);
    Json branches = Json::array();
    for (const Variant& variant : schema.variants) {
      Json condition = {{"properties", {{schema.tag, {{"const", variant.name}}}}}};
      const bool is_default = tag_key->default_value.text() && *tag_key->default_value.text() == variant.name;
      if (!is_default) condition["required"] = Json::array({schema.tag});
      Json required = Json::array();
      Json then = {{"properties", properties(variant.keys, required)}};
      if (!required.empty()) then["required"] = required;
      branches.push_back({{"if", condition}, {"then", then}});
    }
    json["allOf"] = branches;
    // Keys of every branch are unevaluated unless that branch holds. Of types not listed anything goes.
    if (schema.other_pattern.empty()) {
      json["unevaluatedProperties"] = false;
    } else {
      Json open = {{"properties", {{schema.tag, {{"type", "string"}, {"pattern", schema.other_pattern}}}}},
                   {"required", Json::array({schema.tag})}};
      Json others = Json::object();
      for (const Variant& variant : schema.variants)
        for (const Key& key : variant.keys) others[key.name] = true;
      json["allOf"].push_back({{"if", open}, {"then", {{"properties", others}}}});
      json["unevaluatedProperties"] = false;
    }
  }

  Json definitions_ = Json::object();
  std::set<std::string> written_;
  bool uses_reference_ = false, uses_binding_ = false;
};

}  // namespace

std::string json_schema(const Schema& schema) { return Writer().run(schema); }

}  // namespace sightglass::module
