#include "sightglass/elements/metaconvert/frame_schema.h"

namespace sightglass {

// New fields may be added within one version, so readers have to ignore those that they do not know;
// additionalProperties is false here to find what we write by mistake.
std::string_view frame_schema() {
  return R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$id": "urn:sightglass:frame:1",
  "title": "Results of a frame (sightglass.frame/1)",
  "description": "What metaconvert writes for one frame with layout=sightglass. Readers should ignore fields that they do not know: later versions may add some under the same number.",
  "type": "object",
  "additionalProperties": false,
  "required": ["schema", "objects"],
  "properties": {
    "schema": {"const": "sightglass.frame/1"},
    "resolution": {
      "description": "Size of the picture in pixels; missing where the stream is no picture.",
      "type": "object",
      "additionalProperties": false,
      "required": ["width", "height"],
      "properties": {"width": {"$ref": "#/$defs/size"}, "height": {"$ref": "#/$defs/size"}}
    },
    "source": {"description": "Text of the property `source`.", "type": "string"},
    "tags": {"description": "Object of the property `tags`.", "type": "object"},
    "timestamp": {"description": "Time in the stream, in ns.", "type": "integer"},
    "stream": {"description": "Name of the stream.", "type": "string"},
    "uuid": {"description": "Of the frame; from a module only.", "type": "string"},
    "source_id": {"description": "Which source the frame is of; from a module only.", "type": "string"},
    "epoch": {"description": "Counts restarts of the source; from a module only.", "type": "integer"},
    "seq": {"description": "Number of the frame within its epoch; from a module only.", "type": "integer"},
    "pts": {"description": "Presentation time in ns; from a module only.", "type": "integer"},
    "system_timestamp": {"description": "Time of day in ISO 8601, from a time code.", "type": "string"},
    "rtp": {
      "type": "object",
      "additionalProperties": false,
      "properties": {
        "sender_ntp_unix_timestamp_ns": {"description": "The sender's clock, ns since 1970.", "type": "integer"}
      }
    },
    "objects": {"type": "array", "items": {"$ref": "#/$defs/object"}},
    "attributes": {"$ref": "#/$defs/attributes"},
    "tensors": {"$ref": "#/$defs/tensors"}
  },
  "$defs": {
    "size": {"type": "integer", "minimum": 1},
    "number": {"description": "A number that is not finite is null.", "type": ["number", "null"]},
    "numbers": {"type": "array", "items": {"$ref": "#/$defs/number"}},
    "score": {"description": "Usually 0 to 1.", "$ref": "#/$defs/number"},
    "object": {
      "type": "object",
      "additionalProperties": false,
      "required": ["detection"],
      "dependentRequired": {"x": ["y", "w", "h"], "y": ["x"], "w": ["x"], "h": ["x"]},
      "properties": {
        "x": {"description": "Left, in pixels.", "type": "integer"},
        "y": {"description": "Top, in pixels.", "type": "integer"},
        "w": {"description": "Width in pixels.", "type": "integer"},
        "h": {"description": "Height in pixels.", "type": "integer"},
        "region_id": {"description": "Number of the object within the frame.", "type": "integer", "minimum": 0},
        "parent_id": {"description": "region_id of the object that it was found in.", "type": "integer", "minimum": 0},
        "id": {"description": "Number of the track, from 1; missing: not tracked.", "type": "integer"},
        "roi_type": {"description": "The label.", "type": "string"},
        "detection": {
          "type": "object",
          "additionalProperties": false,
          "required": ["bounding_box", "confidence"],
          "properties": {
            "bounding_box": {
              "description": "In parts of the picture, 0 to 1.",
              "type": "object",
              "additionalProperties": false,
              "required": ["x_min", "y_min", "x_max", "y_max"],
              "properties": {
                "x_min": {"$ref": "#/$defs/number"},
                "y_min": {"$ref": "#/$defs/number"},
                "x_max": {"$ref": "#/$defs/number"},
                "y_max": {"$ref": "#/$defs/number"}
              }
            },
            "confidence": {"$ref": "#/$defs/score"},
            "label_id": {"description": "Place in the list of labels.", "type": "integer", "minimum": 0},
            "label": {"type": "string"}
          }
        },
        "angle": {
          "description": "Radians, clockwise; the boxes are then before rotation about their centre.",
          "$ref": "#/$defs/number"
        },
        "attributes": {"$ref": "#/$defs/attributes"},
        "tensors": {"$ref": "#/$defs/tensors"}
      }
    },
    "attributes": {
      "description": "What is known about the object, or about the whole frame.",
      "type": "array",
      "minItems": 1,
      "items": {"$ref": "#/$defs/attribute"}
    },
    "attribute": {
      "type": "object",
      "additionalProperties": false,
      "required": ["name", "kind"],
      "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["box", "class", "multi", "text", "number", "vector", "keypoints", "contour", "mask"]},
        "label": {"description": "Class, text, or the number as text.", "type": "string"},
        "label_id": {"type": "integer", "minimum": 0},
        "confidence": {"$ref": "#/$defs/score"},
        "value": {
          "description": "number: the number; vector: its numbers; box, mask: x, y, w, h, 0 to 1 of the picture.",
          "anyOf": [{"$ref": "#/$defs/number"}, {"$ref": "#/$defs/numbers"}]
        },
        "points": {
          "description": "keypoints: x, y, score, x and y -1 where not found; contour: x, y. 0 to 1 of the picture.",
          "type": "array",
          "items": {"type": "array", "minItems": 2, "maxItems": 3, "items": {"$ref": "#/$defs/number"}}
        },
        "model": {"description": "Name of the model that it comes from.", "type": "string"},
        "age": {"description": "Frames since it was computed; missing: on this frame.", "type": "integer", "minimum": 1}
      },
      "allOf": [
        {
          "if": {"properties": {"kind": {"enum": ["class", "multi"]}}},
          "then": {"required": ["label", "confidence"]}
        },
        {"if": {"properties": {"kind": {"const": "text"}}}, "then": {"required": ["label"]}},
        {
          "if": {"properties": {"kind": {"const": "number"}}},
          "then": {"required": ["value"], "properties": {"value": {"$ref": "#/$defs/number"}}}
        },
        {
          "if": {"properties": {"kind": {"enum": ["vector", "box", "mask"]}}},
          "then": {"required": ["value"], "properties": {"value": {"$ref": "#/$defs/numbers"}}}
        },
        {"if": {"properties": {"kind": {"enum": ["keypoints", "contour"]}}}, "then": {"required": ["points"]}}
      ]
    },
    "tensors": {
      "description": "Raw outputs of models and masks, with add-tensor-data.",
      "type": "array",
      "minItems": 1,
      "items": {
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "precision", "dims"],
        "properties": {
          "name": {"type": "string"},
          "model_name": {"type": "string"},
          "layer_name": {"type": "string"},
          "precision": {
            "enum": ["U8", "I8", "U16", "I16", "I32", "U32", "I64", "U64", "FP16", "BF16", "FP32", "FP64", "BOOL",
                     "UNSPECIFIED"]
          },
          "layout": {"type": "string"},
          "dims": {"description": "Outermost first.", "type": "array", "items": {"type": "integer", "minimum": 0}},
          "format": {"description": "What the numbers are, in a word of the pipeline's author.", "type": "string"},
          "data": {
            "description": "The numbers, row by row; missing where they cannot be read.",
            "type": "array",
            "items": {"type": ["number", "boolean", "null"]}
          }
        }
      }
    }
  }
}
)json";
}

}  // namespace sightglass
