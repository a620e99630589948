// A selector as it is evaluated: nodes in depth-first order, each knowing where its subtree ends. Inside of
// the library only; selector.h is for others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sightglass/elements/selection/polygon.h"

namespace sightglass {

struct SelectorNode {
  enum class Op : uint8_t {
    all,     // children
    any,     // children
    negate,  // one child
    // Tests of a text.
    text_in,      // one of the texts
    text_not_in,  // there is one, and it is none of them
    text_prefix,
    text_suffix,
    text_glob,
    text_exists,
    // Tests of a number, with bounds a and b.
    number_less,
    number_at_most,
    number_greater,
    number_at_least,
    number_between,
    number_in,
    number_not_in,
    number_exists,
    // Others.
    zone,    // one of the polygons; a: whether inside is wanted
    state,   // first: a bit per TrackState
    parent,  // child: what the parent has to be
    child,   // children up to `split` hold for a region; it is counted, and the rest are tests of the count
    attribute,  // the children hold for one attribute of the region
    frame_attribute,
    tag,       // the children hold for one tag
    keyframe,  // first: wanted
    every,     // first: of so many frames the first
  };
  enum class Field : uint8_t {
    none,
    // Texts.
    element,
    label,
    draw_label,
    source,
    attribute_namespace,
    attribute_name,
    attribute_text,
    tag,
    // Numbers.
    confidence,
    width,
    height,
    area,
    aspect,
    angle,
    relative_width,
    relative_height,
    relative_area,
    track_id,
    track_age,
    frame_width,
    frame_height,
    queue_fill,
    attribute_number,
    attribute_confidence,
    count,
  };
  enum class Anchor : uint8_t { center, bottom, any };

  Op op = Op::all;
  Field field = Field::none;
  Anchor anchor = Anchor::center;
  uint16_t end = 0;               // index of the node behind the subtree
  uint16_t split = 0;             // child
  uint32_t first = 0, count = 0;  // of the texts, numbers or polygons
  double a = 0, b = 0;
};

// Kept in single precision, and compared in it, so that 0.9 is 0.9; bounds are rounded as well.
constexpr bool is_single_precision(SelectorNode::Field field) {
  using enum SelectorNode::Field;
  return (field >= confidence && field <= relative_area) || field == queue_fill ||
         field == attribute_confidence;
}

struct SelectorProgram {
  struct Polygon {
    std::vector<PlanePoint> points;
    bool pixels = false;
  };
  std::vector<SelectorNode> nodes;  // one root; none: everything matches
  std::vector<std::string> texts;
  std::vector<double> numbers;
  std::vector<Polygon> polygons;
  bool of_objects = false, of_frames = false, uses_track_age = false;
};

}  // namespace sightglass
