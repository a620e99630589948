// The words of the selector language, as selector_parse.cc knows them and errors name them.
#pragma once

#include <string_view>

namespace sightglass::selector_words {

inline constexpr std::string_view selector_keys[] = {
    "element",    "label",    "draw_label", "source",    "confidence", "box",   "box.width",
    "box.height", "box.area", "box.aspect", "box.angle", "region",     "track", "attribute",
    "parent",     "child",    "frame",      "any",       "all",        "not"};
inline constexpr std::string_view text_keys[] = {"eq",     "ne",     "in",      "not_in",
                                                 "prefix", "suffix", "matches", "exists"};
inline constexpr std::string_view number_keys[] = {"eq", "ne",      "lt", "le",     "gt",
                                                   "ge", "between", "in", "not_in", "exists"};
inline constexpr std::string_view box_number_keys[] = {"eq",      "ne", "lt",     "le",     "gt",      "ge",
                                                       "between", "in", "not_in", "exists", "relative"};
inline constexpr std::string_view box_keys[] = {"width", "height", "area", "aspect", "angle"};
inline constexpr std::string_view region_keys[] = {"zone", "anchor", "inside"};
inline constexpr std::string_view anchors[] = {"center", "bottom", "any"};
inline constexpr std::string_view track_keys[] = {"state", "age", "id", "exists"};
inline constexpr std::string_view states[] = {"none", "tentative", "confirmed", "lost"};
inline constexpr std::string_view attribute_keys[] = {"namespace", "name", "value", "confidence", "exists"};
inline constexpr std::string_view child_keys[] = {"match", "count"};
inline constexpr std::string_view frame_keys[] = {"keyframe",  "width",      "height", "tag",
                                                  "attribute", "queue_fill", "every"};

}  // namespace sightglass::selector_words
