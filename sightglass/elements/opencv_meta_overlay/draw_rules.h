// The rules of the overlay's property `draw`: how which objects look.
//
//   [{"match": "faces.face", "box": {"color": "lime", "width": 2}, "label": "{label} #{track_id}"},
//    {"match": {"label": "plate"}, "blur": true},
//    {"box": true}]
//
// The first rule that matches an object says all of its look; one that none matches is not drawn. In a rule
// only what it names is drawn: `box` (its lines), `label`, `dot` (key points and their skeleton where the
// object has some, else a disc in its middle), `mask` (masks and contours), `blur`. Each is true, a colour or
// a map: {color, width} of box, {color, radius} of dot, {color} of mask, {text, color} of label.
//
// In a label {NAME} stands for label, track_id, id, confidence, element, or for an attribute as
// NAMESPACE.ATTRIBUTE; {{ and }} for braces. A word, from one space to the next, is left out where nothing
// of what it stands for is there.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sightglass/core/frame.h"
#include "sightglass/core/result.h"
#include "sightglass/elements/opencv_meta_overlay/canvas.h"
#include "sightglass/elements/selection/selection.h"

namespace sightglass {

// "lime", "#00ff00"; about thirty names of CSS.
Result<Color> read_color(std::string_view text);

// A text with places in it, read once.
class LabelTemplate {
 public:
  static Result<LabelTemplate> parse(std::string_view text);
  void append(const Region& region, std::string& text) const;  // no allocation once `text` is large enough

 private:
  enum class Place : uint8_t { literal, label, track_id, id, confidence, element, attribute };
  struct Part {
    Place place = Place::literal;
    std::string text, name;  // literal; namespace and name of an attribute
    bool ends_word = false;
  };
  static bool write(const Part& part, const Region& region, std::string& text);

  std::vector<Part> parts_;
};

struct DrawRule {
  Selection match{"match"};
  bool box = false, dot = false, mask = false, blur = false;
  std::optional<Color> color, dot_color, label_color, mask_color;  // none: by track, else by class
  std::optional<int> width, radius;  // pixels; none: by the height of the picture
  std::optional<LabelTemplate> label;
};

// JSON; empty: no rules.
Result<std::vector<DrawRule>> parse_draw_rules(std::string_view json, std::string_view name = "draw");

// The JSON Schema of `draw`; refers to #/$defs/selector.
std::string_view draw_schema();

}  // namespace sightglass
