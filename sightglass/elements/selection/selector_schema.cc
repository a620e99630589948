#include "sightglass/elements/selection/selector.h"

namespace sightglass {

std::string_view selector_schema() {
  return R"json({
"selector": {
  "description": "Which objects or frames are meant. Keys of a map all have to hold, of a list one.",
  "anyOf": [
    {"type": "string", "pattern": "^(frame|[^.]+\\..+)$", "description": "ELEMENT.LABEL, or frame: the whole picture"},
    {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector"}},
    {"type": "object", "additionalProperties": false, "properties": {
      "element": {"$ref": "#/$defs/selector_text", "description": "element that found the object"},
      "label": {"$ref": "#/$defs/selector_text"},
      "draw_label": {"$ref": "#/$defs/selector_text"},
      "source": {"$ref": "#/$defs/selector_text", "description": "source id of the stream"},
      "confidence": {"$ref": "#/$defs/selector_number"},
      "box": {"type": "object", "additionalProperties": false, "properties": {
        "width": {"$ref": "#/$defs/selector_size"}, "height": {"$ref": "#/$defs/selector_size"},
        "area": {"$ref": "#/$defs/selector_size"}, "aspect": {"$ref": "#/$defs/selector_number"},
        "angle": {"$ref": "#/$defs/selector_number"}}},
      "box.width": {"$ref": "#/$defs/selector_size", "description": "pixels"},
      "box.height": {"$ref": "#/$defs/selector_size", "description": "pixels"},
      "box.area": {"$ref": "#/$defs/selector_size", "description": "square pixels"},
      "box.aspect": {"$ref": "#/$defs/selector_number", "description": "width / height"},
      "box.angle": {"$ref": "#/$defs/selector_number", "description": "radians, clockwise"},
      "region": {"$ref": "#/$defs/selector_region"},
      "track": {"$ref": "#/$defs/selector_track"},
      "attribute": {"$ref": "#/$defs/selector_attribute"},
      "parent": {"anyOf": [{"$ref": "#/$defs/selector"}, {"$ref": "#/$defs/selector_exists"}]},
      "child": {"type": "object", "additionalProperties": false, "properties": {
        "match": {"$ref": "#/$defs/selector"}, "count": {"$ref": "#/$defs/selector_number"}}},
      "frame": {"$ref": "#/$defs/selector_frame"},
      "any": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector"}},
      "all": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector"}},
      "not": {"$ref": "#/$defs/selector"}}}]},
"selector_exists": {"type": "object", "additionalProperties": false, "required": ["exists"],
  "properties": {"exists": {"type": "boolean"}}},
"selector_texts": {"anyOf": [
  {"type": "string", "minLength": 1}, {"type": "integer"},
  {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer"}]}}]},
"selector_text": {"anyOf": [{"$ref": "#/$defs/selector_texts"},
  {"type": "object", "additionalProperties": false, "minProperties": 1, "properties": {
    "eq": {"$ref": "#/$defs/selector_texts"}, "ne": {"$ref": "#/$defs/selector_texts"},
    "in": {"$ref": "#/$defs/selector_texts"}, "not_in": {"$ref": "#/$defs/selector_texts"},
    "prefix": {"$ref": "#/$defs/selector_texts"}, "suffix": {"$ref": "#/$defs/selector_texts"},
    "matches": {"$ref": "#/$defs/selector_texts", "description": "a pattern: * ? [a-z] [!a-z] and \\ for one of these"},
    "exists": {"type": "boolean"}}}]},
"selector_numbers": {"anyOf": [{"type": "number"}, {"type": "array", "minItems": 1, "items": {"type": "number"}}]},
"selector_number": {"anyOf": [{"$ref": "#/$defs/selector_numbers"},
  {"type": "object", "additionalProperties": false, "minProperties": 1, "properties": {
    "eq": {"$ref": "#/$defs/selector_numbers"}, "ne": {"$ref": "#/$defs/selector_numbers"},
    "in": {"$ref": "#/$defs/selector_numbers"}, "not_in": {"$ref": "#/$defs/selector_numbers"},
    "lt": {"type": "number"}, "le": {"type": "number"}, "gt": {"type": "number"}, "ge": {"type": "number"},
    "between": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
    "exists": {"type": "boolean"}}}]},
"selector_size": {"anyOf": [{"$ref": "#/$defs/selector_numbers"},
  {"type": "object", "additionalProperties": false, "minProperties": 1, "properties": {
    "eq": {"$ref": "#/$defs/selector_numbers"}, "ne": {"$ref": "#/$defs/selector_numbers"},
    "in": {"$ref": "#/$defs/selector_numbers"}, "not_in": {"$ref": "#/$defs/selector_numbers"},
    "lt": {"type": "number"}, "le": {"type": "number"}, "gt": {"type": "number"}, "ge": {"type": "number"},
    "between": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
    "exists": {"type": "boolean"},
    "relative": {"type": "boolean", "description": "fractions of the frame instead of pixels"}}}]},
"selector_point": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
"selector_polygon": {"anyOf": [
  {"type": "array", "minItems": 3, "items": {"$ref": "#/$defs/selector_point"}},
  {"type": "array", "minItems": 6, "items": {"type": "number"}}]},
"selector_region": {"anyOf": [
  {"type": "object", "additionalProperties": false, "required": ["zone"], "properties": {
    "zone": {"anyOf": [{"$ref": "#/$defs/selector_polygon"},
             {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector_polygon"}}]},
    "anchor": {"enum": ["center", "bottom", "any"]},
    "inside": {"type": "boolean"}}},
  {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector_region"}}]},
"selector_state": {"enum": ["none", "tentative", "confirmed", "lost"]},
"selector_track": {"anyOf": [
  {"type": "object", "additionalProperties": false, "minProperties": 1, "properties": {
    "state": {"anyOf": [{"$ref": "#/$defs/selector_state"},
              {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector_state"}}]},
    "age": {"$ref": "#/$defs/selector_number", "description": "frames"},
    "id": {"$ref": "#/$defs/selector_number"},
    "exists": {"type": "boolean"}}},
  {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector_track"}}]},
"selector_attribute": {"anyOf": [
  {"type": "object", "additionalProperties": false, "minProperties": 1, "properties": {
    "namespace": {"$ref": "#/$defs/selector_text"},
    "name": {"$ref": "#/$defs/selector_text"},
    "value": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/selector_text"}, {"$ref": "#/$defs/selector_number"}]},
    "confidence": {"$ref": "#/$defs/selector_number"},
    "exists": {"type": "boolean"}}},
  {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/selector_attribute"}}]},
"selector_frame": {"anyOf": [{"const": true},
  {"type": "object", "additionalProperties": false, "properties": {
    "keyframe": {"type": "boolean"},
    "width": {"$ref": "#/$defs/selector_number", "description": "pixels"},
    "height": {"$ref": "#/$defs/selector_number", "description": "pixels"},
    "tag": {"$ref": "#/$defs/selector_text"},
    "attribute": {"$ref": "#/$defs/selector_attribute"},
    "queue_fill": {"$ref": "#/$defs/selector_number", "description": "0 to 1"},
    "every": {"type": "integer", "minimum": 1, "description": "the first of so many frames"}}}]}
})json";
}

}  // namespace sightglass
